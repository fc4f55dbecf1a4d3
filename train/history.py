"""What a run tells of itself: log lines, progress and speed. Kept by rank 0 alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from train import meters, metrics, sinks
from train.evaluate import Score
from train.job import Job, Record, Rollback
from train.mesh import World
from train.model import Decoder
from train.step import Outcome
from train.tasks import Accuracy


@dataclass(frozen=True)
class Step:
    """An update whose numbers may still be on the device."""

    fields: dict[str, Any]
    outcome: Outcome


class History:
    """Collects steps and writes them in windows, so that the host waits once a window."""

    def __init__(self, job: Job, world: World, model: Decoder, resumed: Record | None) -> None:
        """Open the log, and say in it what is trained on what."""
        resumed_step = resumed.step if resumed else 0
        self._job, self._world = job, world
        self._log = metrics.Log(job.output / "steps.jsonl", resumed_step=resumed_step)
        self._sinks = sinks.open_all(job, resumed_step)
        self._energy = meters.EnergyMeter(world.device)
        self._window: list[Step] = []
        self._flops = model.flops_per_token(job.manifest.sequence_length)
        on_gpu = world.device.type == "cuda"
        device = torch.cuda.get_device_name(world.device) if on_gpu else "cpu"
        peak = metrics.PEAK_FLOPS.get(device) if model.dtype == torch.bfloat16 else None
        self._peak = peak and peak * world.size
        order = job.order
        self._log.write(
            "start",
            step=resumed_step,
            run=job.run,
            steps=job.steps,
            rows=order.rows,
            rows_unused=order.leftover,
            rows_per_epoch=order.rows_per_epoch,
            batch_rows=order.batch_rows,
            lanes=order.lanes,
            sequence_length=job.manifest.sequence_length,
            layout_digest=job.manifest.layout_digest,
            content_revision=job.manifest.content_revision,
            parameters=model.num_params(),
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
        say(f"{model.num_params():,} parameters, {world.size} x {device}, {model.dtype}")
        say(
            f"{job.steps} steps of {order.batch_rows} rows in {order.lanes} lanes; "
            f"{order.rows_per_epoch} of {order.rows} train rows an epoch, {order.leftover} unused"
        )
        if resumed:
            say(f"resumed after step {resumed_step}")
            if resumed.content_revision != job.manifest.content_revision:
                say(
                    f"content_revision of the shards was {resumed.content_revision}, "
                    f"is {job.manifest.content_revision}"
                )
        self.restart_clock()

    def restart_clock(self) -> None:
        """Time from here on: what was done since the last step was no training."""
        self._since = time.perf_counter()
        self._energy.restart()

    def add(self, outcome: Outcome, **fields: Any) -> None:
        """Note one update; `flush` writes it."""
        self._window.append(Step(fields, outcome))

    def flush(self, waited: float = 0.0) -> list[tuple[int, bool]]:
        """Write the steps since the last flush, with the speed over all of them.

        waited: seconds of them in which training waited for rows. Returns the position of each
        step, and whether its loss was a spike.
        """
        if not self._window:
            return []
        # Reading the numbers waits for the device, so that the clock is right after it.
        numbers = torch.stack([torch.stack(s.outcome[:4]) for s in self._window]).tolist()
        nats = torch.stack([step.outcome.nats for step in self._window]).tolist()
        seconds = time.perf_counter() - self._since
        speed = sum(step.fields["tokens"] for step in self._window) / seconds
        utilisation = metrics.mfu(speed, self._flops, self._peak)
        measured = {
            "tokens_per_second": round(speed, 1),
            "mfu": utilisation and round(utilisation, 4),
            "data_wait": round(waited / seconds, 4),
            "memory": meters.memory(self._world.device),
            "joules": self._energy.joules(),
        }
        told = []
        for step, (loss, norm, skipped, spike), parts in zip(
            self._window, numbers, nats, strict=True
        ):
            labels = step.fields["sources"]
            means = zip(labels.items(), parts, strict=True)
            line = {
                **step.fields,
                "sources": {name: metrics.finite(part / n) for (name, n), part in means if n},
                "loss": metrics.finite(loss),
                "grad_norm": metrics.finite(norm),
                "skipped": bool(skipped),
                "spike": bool(spike),
                **measured,
            }
            self._log.write("step", **line)
            for sink in self._sinks:
                sink.write(line["step"], "train", line)
            told.append((int(line["first_row"]), bool(spike)))
        done = self._window[-1].fields["step"]
        eta = seconds / len(self._window) * (self._job.steps - done)
        metrics.show_progress(
            f"step {done}/{self._job.steps}  loss {numbers[-1][0]:.4f}  "
            f"lr {self._window[-1].fields['lr']:.2e}  {speed:,.0f} tokens/s  "
            + (f"mfu {utilisation:.1%} of {self._peak:.3g} FLOP/s  " if utilisation else "")
            + (f"skipped {self._log.skipped}  " if self._log.skipped else "")
            + f"eta {metrics.clock(eta)}",
            last=done == self._job.steps,
        )
        self._window.clear()
        self.restart_clock()
        return told

    def go_back(self, rollback: Rollback, count: int) -> None:
        """Move what was written after a step to another file, and say why."""
        self._log.go_back(rollback.to_step)
        metrics.show_progress(
            f"step {rollback.step}: the loss left its course: back to step {rollback.to_step}, and "
            f"rows {rollback.start} to {rollback.stop} are passed over (rollback {count})",
            last=True,
        )
        self.restart_clock()

    def validation(self, step: int, tokens_seen: int, scores: dict[str, Score]) -> None:
        """Write the scores by source; "" is the total."""
        sources = {name: score.measures() for name, score in scores.items() if name}
        line = {"step": step, "tokens_seen": tokens_seen, **scores[""].measures()}
        self._log.write("validation", **line, sources=sources)
        for sink in self._sinks:
            sink.write(step, "validation", line)
            for name, values in sources.items():
                sink.write(step, f"validation/{name}", values)
        score = scores[""]
        metrics.show_progress(
            f"step {step}  validation loss {score.loss:.4f}  perplexity {score.perplexity:.2f}  "
            f"bits per byte {score.bits_per_byte:.4f}",
            last=True,
        )
        self.restart_clock()

    def task(self, step: int, name: str, accuracy: Accuracy) -> None:
        """Write how many questions of a task were answered as they should."""
        line = accuracy.measures()
        self._log.write("task", step=step, task=name, **line)
        for sink in self._sinks:
            sink.write(step, f"task/{name}", line)
        right = line["accuracy_by_length"] or 0.0
        metrics.show_progress(f"step {step}  {name}: {right:.1%} right, by length", last=True)
        self.restart_clock()

    def checkpoint(self, step: int, stalled: float) -> None:
        """Note that a checkpoint is being written; `stalled`: seconds that training stood."""
        self._log.write("checkpoint", step=step, stalled=round(stalled, 4))
        self.restart_clock()

    def close(self) -> None:
        """End the log."""
        self._log.close()
        for sink in self._sinks:
            sink.close()
