"""What a run took, by stage and step, and what one of more records would take."""

from __future__ import annotations

import math
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from pipelines.report import shape
from pipelines.runs.receipts import Receipt
from pipelines.runs.steps import Context

FACTORS = (1, 10, 100, 1000)
_CONFIDENT = 1.96  # standard errors, for 95 %


def steps_of(context: Context, stage: str) -> dict[str, list[Receipt]]:
    """The receipts of each step of a finished stage; that with the stage's name is its last."""
    return {
        step.removeprefix(f"{stage}/"): context.receipts(step)
        for path, _ in context.home(stage).glob(f"{stage}/**/receipts.parquet")
        for step in [posixpath.dirname(path)]
    }


def usage(context: Context, stage: str) -> Iterator[shape.Usage]:
    """What the tasks of a stage took, and those of each of its steps, if it has several."""
    taken = steps_of(context, stage)
    together = {"": [each for own in taken.values() for each in own]}
    jobs = Counter(
        path.rsplit("/jobs/")[0].removeprefix(f"{stage}/")
        for path, _ in context.home(stage).glob(f"{stage}/**/jobs/*")
    )
    for step, own in (together | taken if len(taken) > 1 else together).items():
        if own:
            used = [receipt.usage for receipt in own]
            yield shape.Usage(
                stage=stage,
                step=step,
                tasks=len(own),
                records=sum(map(records_of, taken.get(step or stage, own))),
                wall_seconds=round(sum(each.wall_seconds for each in used), 3),
                cpu_seconds=round(sum(each.cpu_seconds for each in used), 3),
                longest_seconds=max(each.wall_seconds for each in used),
                peak_bytes=max(each.peak_bytes for each in used),
                file_bytes=sum(file.size for receipt in own for file in receipt.files),
                jobs=jobs[step] if step else jobs.total(),
            )


def records_of(receipt: Receipt) -> int:
    """The records that a task was given, without those that hold no page."""
    return receipt.records - sum(receipt.counts.get("others", {}).values())


def scaled(context: Context, stages: Iterable[str]) -> list[shape.Scaled]:
    """What the run would take for more records of the same kind.

    Seconds of processors and bytes grow with the records, but those of the tokenizer, whose sample
    has a limit. The error is that of a ratio of two sums over tasks, seconds to records (Cochran,
    Sampling Techniques, 1977, 6.3), of steps with two tasks or more; what others take is counted in
    `unknown_seconds`.
    """
    found = []
    stages = list(stages)
    records = sum(map(records_of, context.receipts("extract")))
    for factor in FACTORS:
        seconds = unknown = variance = size = 0.0
        for stage in stages:
            grown = _growth(context, factor) if stage == "tokenizer" else factor
            for own in steps_of(context, stage).values():
                cpu = sum(receipt.usage.cpu_seconds for receipt in own)
                error = _error(own)
                seconds += grown * cpu
                size += grown * sum(file.size for receipt in own for file in receipt.files)
                if error is None:
                    unknown += grown * cpu
                else:
                    variance += (grown * error) ** 2
        found.append(
            shape.Scaled(
                factor=factor,
                records=factor * records,
                cpu_seconds=round(seconds, 3),
                error_seconds=round(_CONFIDENT * math.sqrt(variance), 3),
                unknown_seconds=round(unknown, 3),
                file_bytes=round(size),
            )
        )
    return found


def _growth(context: Context, factor: int) -> float:
    """How much more text the tokenizer would be trained on."""
    train = context.recipe.tokenizer.train
    if train is None:
        return 1.0
    (receipt,) = context.receipts("tokenizer")
    sampled = sum(receipt.counts.get("sampled_bytes", {}).values())
    return min(factor, max(1.0, train.sample_bytes / sampled)) if sampled else 1.0


def _error(receipts: Sequence[Receipt]) -> float | None:
    """The standard error of the seconds that tasks with so many records take together."""
    count, records = len(receipts), sum(receipt.records for receipt in receipts)
    if count < 2 or not records:
        return None
    ratio = sum(receipt.usage.cpu_seconds for receipt in receipts) / records
    residuals = (r.usage.cpu_seconds - ratio * r.records for r in receipts)
    return math.sqrt(count / (count - 1) * sum(each**2 for each in residuals))
