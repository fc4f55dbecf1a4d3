"""What a run tells of itself: log lines, progress and speed. Kept by rank 0 alone."""

import time
from dataclasses import asdict
from typing import Any

import torch

from train import meters, metrics, sinks
from train.evaluate import Score
from train.job import Job, Progress, Record, Rollback
from train.mesh import World
from train.model import Decoder
from train.step import Outcome
from train.tasks import Accuracy

# What the log says of the shards.
SHARDS = {"sequence_length", "layout_digest", "content_revision"}


class History:
    """Collects steps and writes them in windows, so that the host waits once a window."""

    def __init__(self, job: Job, world: World, model: Decoder, resumed: Record | None) -> None:
        """Open the log, and say in it what is trained on what."""
        resumed_step = resumed.step if resumed else 0
        self._job, self._world = job, world
        self._log = metrics.Log(job.output / "steps.jsonl", resumed_step=resumed_step)
        self._sinks = sinks.open_all(job, resumed_step)
        self._energy = meters.EnergyMeter(world.device)
        # Numbers of a window may still be on the device.
        self._window: list[tuple[dict[str, Any], Outcome]] = []
        length, parameters = job.manifest.sequence_length, model.shape.num_params(model.vocabulary)
        self._flops = model.shape.flops_per_token(model.vocabulary, length)
        on_gpu = world.device.type == "cuda"
        device = torch.cuda.get_device_name(world.device) if on_gpu else "cpu"
        peak = metrics.peak_flops(device) if model.dtype == torch.bfloat16 else None
        self._peak = peak and peak * world.size
        order = job.order
        self._log.write(
            "start",
            step=resumed_step,
            run=job.run,
            steps=job.steps,
            **asdict(order),
            rows_unused=order.leftover,
            rows_per_epoch=order.rows_per_epoch,
            **job.manifest.model_dump(include=SHARDS),
            parameters=parameters,
            flops_per_token=self._flops,
            peak_flops=self._peak,
            world_size=world.size,
            device=device,
            precision=str(model.dtype).removeprefix("torch."),
            attention=model.backend,
            compiled=model.compiled,
            torch=torch.__version__,
        )
        say = metrics.show_progress
        say(f"{parameters:,} parameters, {world.size} x {device}, {model.dtype}")
        say(
            f"{job.steps} steps of {order.batch_rows} rows in {order.lanes} lanes; "
            f"{order.rows_per_epoch} of {order.rows} train rows an epoch, {order.leftover} unused"
        )
        if resumed:
            say(f"resumed after step {resumed_step}")
            before, now = resumed.content_revision, job.manifest.content_revision
            if before != now:
                say(f"content_revision of the shards was {before}, is {now}")
        self.restart_clock()

    def restart_clock(self) -> None:
        """Time from here on: what was done since the last step was no training."""
        self._since = time.perf_counter()
        self._energy.restart()

    def add(self, outcome: Outcome, **fields: Any) -> None:
        """Note one update; `flush` writes it."""
        self._window.append((fields, outcome))

    def flush(self, waited: float = 0.0) -> list[tuple[int, bool]]:
        """Write the steps since the last flush, with the speed over all of them.

        waited: seconds of them in which training waited for rows. Returns the position of each
        step, and whether its loss was a spike.
        """
        if not self._window:
            return []
        # Reading the numbers waits for the device, so that the clock is right after it.
        numbers = torch.stack([torch.stack(outcome[:4]) for _, outcome in self._window]).tolist()
        nats = torch.stack([outcome.nats for _, outcome in self._window]).tolist()
        seconds = time.perf_counter() - self._since
        speed = sum(fields["tokens"] for fields, _ in self._window) / seconds
        utilisation = metrics.mfu(speed, self._flops, self._peak)
        measured = {
            "tokens_per_second": round(speed, 1),
            "mfu": utilisation and round(utilisation, 4),
            "data_wait": round(waited / seconds, 4),
            "memory": meters.memory(self._world.device),
            "joules": self._energy.joules(),
        }
        told = []
        for (fields, _), (loss, norm, skipped, spike), parts in zip(
            self._window, numbers, nats, strict=True
        ):
            means = zip(fields["sources"].items(), parts, strict=True)
            line = {
                **fields,
                "sources": {name: metrics.finite(part / n) for (name, n), part in means if n},
                "loss": metrics.finite(loss),
                "grad_norm": metrics.finite(norm),
                "skipped": bool(skipped),
                "spike": bool(spike),
                **measured,
            }
            self._write("step", "train", **line)
            told.append((int(line["first_row"]), bool(spike)))
        done, steps = fields["step"], self._job.steps
        eta = seconds / len(self._window) * (steps - done)
        text = f"step {done}/{steps}  loss {loss:.4f}  lr {fields['lr']:.2e}  {speed:,.0f} tokens/s"
        if utilisation:
            text += f"  mfu {utilisation:.1%} of {self._peak:.3g} FLOP/s"
        if self._log.skipped:
            text += f"  skipped {self._log.skipped}"
        self._window.clear()
        self._say(f"{text}  eta {metrics.clock(eta)}", last=done == steps)
        return told

    def go_back(self, rollback: Rollback, count: int) -> None:
        """Move what was written after a step to another file, and say why."""
        self._log.go_back(rollback.to_step)
        self._say(
            f"step {rollback.step}: the loss left its course: back to step {rollback.to_step}, and "
            f"rows {rollback.start} to {rollback.stop} are passed over (rollback {count})"
        )

    def validation(self, at: Progress, scores: dict[str, Score]) -> None:
        """Write the scores by source; "" is the total."""
        score = scores.pop("")
        sources = {name: part.measures() for name, part in scores.items()}
        given = {"step": at.step, "tokens_seen": at.tokens, **score.measures()}
        self._write("validation", "validation", **given, sources=sources)
        self._say(
            f"step {at.step}  validation loss {score.loss:.4f}  perplexity {score.perplexity:.2f}  "
            f"bits per byte {score.bits_per_byte:.4f}"
        )

    def task(self, step: int, name: str, accuracy: Accuracy) -> None:
        """Write how many questions of a task were answered as they should."""
        self._write("task", f"task/{name}", step=step, task=name, **asdict(accuracy))
        self._say(f"step {step}  {name}: {accuracy.accuracy_by_length:.1%} right, by length")

    def checkpoint(self, step: int, stalled: float) -> None:
        """Note that a checkpoint is being written; `stalled`: seconds that training stood."""
        self._write("checkpoint", "checkpoint", step=step, stalled=round(stalled, 4))
        self.restart_clock()

    def stopped(self, at: Progress) -> None:
        """Say that training ends before its last step."""
        self._say(
            f"step {at.step}: training ends, as {at.worse} validations did not improve on the loss "
            f"{at.best:.4f} of step {at.best_step} (evaluation.patience)"
        )

    def close(self) -> None:
        """End the log."""
        self._log.close()
        for sink in self._sinks:
            sink.close()

    def _write(self, kind: str, group: str, **fields: Any) -> None:
        self._log.write(kind, **fields)
        for sink in self._sinks:
            sink.write(fields["step"], sinks.numbers(group, fields))

    def _say(self, text: str, *, last: bool = True) -> None:
        metrics.show_progress(text, last=last)
        self.restart_clock()
