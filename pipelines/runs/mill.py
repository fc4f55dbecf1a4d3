"""The mill: plans the tasks of a step, has the engine do them, and closes the step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.engines.jobs import Job
from pipelines.engines.runners import Engine, JobFailed, run_job
from pipelines.runs.events import Listener, StepBegun, StepFinished, StepProgress, ignore
from pipelines.runs.receipts import Receipt, Task, read_receipt, receipt_keys, total_rejected
from pipelines.runs.steps import Context, Execute, Manifest, Work, fingerprint, read_manifest
from pipelines.runs.store import Folder
from schemas.problems import Problem


@dataclass
class Mill:
    """Runs steps of one run on an engine."""

    context: Context
    engine: Engine
    splits: list[Task]
    listener: Listener = ignore

    @property
    def run(self) -> Folder:
        """The run's folder."""
        return self.context.run

    def plan(self, step: str, fingerprint: str, tasks: Callable[[], Sequence[Task]]) -> list[Task]:
        """The frozen tasks of a step; `tasks` is asked only the first time.

        Raises Problem if the step was begun under another fingerprint.
        """
        name = f"{step}/plan.jsonl"
        if not self.run.exists(name):
            planned = sorted(tasks(), key=lambda task: task.key)
            if len({task.key for task in planned}) != len(planned):
                raise AssertionError(f"{step}: two tasks share a key")
            lines = [json.dumps({"fingerprint": fingerprint}), *(t.to_json() for t in planned)]
            self.run.create(name, ("\n".join(lines) + "\n").encode())
        header, *lines = self.run.read(name).decode().splitlines()
        if json.loads(header)["fingerprint"] != fingerprint:
            raise Problem(
                f"{self.run.url}/{step}: was begun with other inputs, or by other versions of "
                "gristmill or of the libraries it uses. Finish it with those, or start a new run "
                "in another folder (with `parent:` it takes over the stages that are still equal)"
            )
        return [Task.from_json(line) for line in lines]

    def do(self, step: str, work: Work, tasks: Sequence[Task]) -> Manifest:
        """Do the tasks that have no receipt yet: one element a task, one receipt a task."""

        def build(waiting: Sequence[Task]) -> Job:
            # the local runner deals elements out beforehand: the largest first
            ordered = sorted(waiting, key=lambda task: (-task.size, task.key))
            return Job([task.to_json() for task in ordered], [Execute(self.context, step, work)])

        return self.jobs(step, [tasks], build)

    def jobs(
        self,
        step: str,
        passes: Sequence[Sequence[Task]],
        build: Callable[[Sequence[Task]], Job],
        *,
        small: bool = False,
    ) -> Manifest:
        """Run one job a pass, which gives those tasks their receipts; write the manifest.

        `build` is given the tasks of the pass that have no receipt yet. `small`
        keeps jobs of next to no work inside this process, where the engine can.
        """
        if self.run.exists(f"{step}/manifest.json"):
            return read_manifest(self.run, step)
        keys = {task.key for tasks in passes for task in tasks}
        done = receipt_keys(self.run, step) & keys
        self.listener(StepBegun(step, len(keys), len(done)))
        try:
            for tasks in passes:
                waiting = [task for task in tasks if task.key not in done]
                if waiting:
                    self._job(step, build(waiting), len(keys), small=small or len(waiting) == 1)
        finally:
            self.listener(StepFinished(step))
        return self._finish(step, sorted(keys))

    def _job(self, step: str, job: Job, tasks: int, *, small: bool) -> None:
        engine = self.engine
        if engine.runner == "direct" and small:
            engine = Engine("direct", 1, engine.memory)
        scratch = (self.run / step).scratch()
        try:
            run_job(engine, job, lambda: self._show(step, tasks), self._log(), scratch)
        except JobFailed as error:
            raise self._explain(step, error) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _show(self, step: str, tasks: int) -> None:
        self.listener(StepProgress(step, tasks, len(receipt_keys(self.run, step))))

    def _log(self) -> Path | None:
        return None if self.run.local is None else self.run.local / "workers.log"

    def _explain(self, step: str, error: JobFailed) -> Exception:
        """The error of the task that failed, if one left word of it, or the engine's."""
        folder = self.run / f"{step}/failures"
        words = [json.loads(folder.read(name)) for name in folder.names()]
        folder.remove()
        again = "The same command goes on from what is done"
        for word in words:
            if word["user"]:
                return Problem(word["message"])
        if words:
            trace = "\n".join(word["trace"] for word in words)
            self.run.replace(f"{step}/failure.txt", trace.encode())
            return JobFailed(
                f"{step}: task {words[0]['task']} failed: {words[0]['message']} "
                f"(traces in {self.run.url}/{step}/failure.txt). {again}"
            )
        log = f" (its last words may be in {self._log()})" if self._log() else ""
        return JobFailed(f"{step}: {error}{log}. {again}")

    def _finish(self, step: str, keys: Sequence[str]) -> Manifest:
        """Check that every task has a receipt and that the ledger balances; write the manifest."""
        missing = sorted(set(keys) - receipt_keys(self.run, step))
        if missing:
            raise JobFailed(
                f"{step}: the job ended, but these tasks have no receipt: {missing[:5]}"
            )
        header, *_ = self.run.read(f"{step}/plan.jsonl").decode().splitlines()
        receipts = [read_receipt(self.run, step, key) for key in keys]
        manifest = Manifest(
            step,
            json.loads(header)["fingerprint"],
            _digest(receipts),
            len(keys),
            sum(receipt.records for receipt in receipts),
            sum(receipt.kept for receipt in receipts),
            total_rejected(receipts),
        )
        table = pa.table(
            {
                "task": [r.task for r in receipts],
                "records": pa.array([r.records for r in receipts], pa.int64()),
                "kept": pa.array([r.kept for r in receipts], pa.int64()),
                "rejected": [json.dumps(r.rejected, ensure_ascii=False) for r in receipts],
                "counts": [json.dumps(r.counts, ensure_ascii=False) for r in receipts],
                "files": pa.array([[asdict(item) for item in r.files] for r in receipts], _FILES),
            }
        )
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        self.run.replace(f"{step}/receipts.parquet", buffer.getvalue().to_pybytes())
        self.run.create(f"{step}/manifest.json", manifest.to_json())
        return manifest


_FILES = pa.list_(
    pa.struct(
        [
            ("kind", pa.string()),
            ("path", pa.string()),
            ("rows", pa.int64()),
            ("size", pa.int64()),
            ("sha256", pa.string()),
            ("digest", pa.string()),
        ]
    )
)


def _digest(receipts: Iterable[Receipt]) -> str:
    """What the receipts say was made: no paths, no file bytes, no attempts."""
    return fingerprint(
        [
            [
                r.task,
                r.records,
                r.kept,
                r.rejected,
                r.counts,
                sorted([item.kind, item.rows, item.digest] for item in r.files),
            ]
            for r in receipts
        ]
    )
