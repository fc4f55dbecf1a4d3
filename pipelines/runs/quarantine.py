"""Records that end the process that works on them: found one by one, and left out.

Such a record would end every attempt at its task. So an attempt leaves a mark in the run's folder
while it lasts. One that finds the mark of another, which was killed or is still at work, does what
may end a process in a process of its own, and divides what ends it: rows into halves, files into
ranges, or what stands before a record and what behind it. What is left alone at last and ends the
process `DEATHS` times is quarantined. That follows from the records, so it is the same with any
workers, on any engine, and however often the run was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pipelines.engines.jobs import Job, Step
from pipelines.engines.local import Pool, modules_of
from pipelines.runs.inputs import root_of
from pipelines.runs.receipts import Task
from pipelines.runs.splits import QUARANTINED, input_of, read_split, within
from pipelines.runs.steps import Context
from schemas.problems import Problem
from schemas.recipe import Recipe

if TYPE_CHECKING:
    from curation.readers import Damage, Record

_SPARE = 12  # processes that stand by: to fork one is little work, to begin anew seconds
DEATHS = 3  # of a process that is given one record, until that is quarantined
_MARKS = "begun"


def begun(context: Context, step: str) -> list[str]:
    """The tasks of a step that attempts are at, or were when they were killed."""
    return (context.run / f"{step}/{_MARKS}").names()


class Care:
    """What one attempt at a task does with records; a context manager."""

    def __init__(self, context: Context, step: str, task: Task, records: int | None = None) -> None:
        """`records`: of the whole step, if it is known, of which the recipe allows for a share."""
        self._context, self._step, self._task = context, step, task
        share = context.recipe.expect.quarantined
        self._most = None if records is None else max(1, share * records)
        self._found = 0
        self._pool: Pool | None = None

    def __enter__(self) -> Self:
        self._mark = f"{self._step}/{_MARKS}/{self._task.key}"
        self.is_apart = not self._context.run.create(self._mark, b"")
        """Whether another attempt was begun and has not ended."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.close()
        self._context.run.unlink(self._mark)

    def rows(self, step: Step, rows: Any) -> Iterator[tuple[Any, Any]]:
        """What a step makes of rows, which can be sliced, in a process of its own, with the rows
        that it was given; None with a single one that is quarantined.

        Raises Problem if these are more than the recipe allows for.
        """
        made = next(self._tries(step, rows, 1 if len(rows) > 1 else DEATHS), None)
        if made is None and len(rows) > 1:
            half = len(rows) // 2
            yield from self.rows(step, rows[:half])
            yield from self.rows(step, rows[half:])
            return
        if made is None:
            self._count()
        yield rows, made and made[0]

    def read(self) -> Iterator[tuple[str, Record | Damage]]:
        """The records and damage of the task, a split; `Damage` of a kind of its own stands for
        what ends the process that reads it. Raises Problem as `read_split` does."""
        recipe, task = self._context.recipe, self._task
        if self.is_apart:
            pieces = [safe for piece in task.spec["ranges"] for safe in self._readable(piece)]
            task = replace(task, spec={**task.spec, "ranges": pieces})
        return read_split(recipe, task)

    def _readable(self, piece: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The ranges that can be read of one, and those that stand for what cannot."""
        if "unreadable" in piece or self._reads(piece):
            yield piece
        elif self._can_be_cut(piece):
            start, end = piece["start"], piece["end"]
            place = _last(lambda middle: self._reads(within(piece, start, middle)), start, end)
            lost = within(piece, place, place + 1)
            if any(self._reads(lost) for _ in range(DEATHS - 1)):  # it was something else
                yield from self._readable(piece)
                return
            yield within(piece, start, place)
            yield {**lost, QUARANTINED: 0}
            yield from self._readable(within(piece, place + 1, end))
        else:
            most = 1
            while self._reads(piece, most) and most < 1 << 40:
                most *= 2
            count = _last(lambda records: self._reads(piece, records), 0, most)
            if any(self._reads(piece, count + 1) for _ in range(DEATHS - 1)):
                yield from self._readable(piece)
                return
            yield {**piece, QUARANTINED: count}

    def _can_be_cut(self, piece: Mapping[str, Any]) -> bool:
        from curation.readers import formats

        root = root_of(input_of(self._context.recipe, self._task))
        with root.open(piece["file"]) as stream:
            return "records" in piece or formats.is_splittable(piece["format"], stream)

    def _reads(self, piece: Mapping[str, Any], most: int | None = None) -> bool:
        step = _Read(self._context.recipe, self._task.spec["source"], most)
        return next(self._tries(step, piece, 1), None) is not None

    def _tries(self, step: Step, element: Any, times: int) -> Iterator[list[Any]]:
        """What a step makes of an element in another process, as often as that survives it."""
        for _ in range(times):
            if self._pool is None or not self._pool.is_open:
                local = self._context.run.local
                log = None if local is None else local / "workers.log"
                self._pool = Pool(_SPARE, modules_of(Job([element], [step])), log)
            made = self._pool.ask(step, element)
            if made is not None:
                yield made

    def _count(self) -> None:
        self._found += 1
        if self._most is not None and self._found > self._most:
            raise Problem(
                f"{self._found:,} records of one task have ended the process that worked on them, "
                "more than `expect.quarantined` allows for in the whole stage",
                f"{self._context.run.url}/{self._step}",
                "mend what ends it (its last words may be in workers.log), or raise the share",
            )


class _Read:
    """Reads a range; how many records there are."""

    def __init__(self, recipe: Recipe, source: str, most: int | None) -> None:
        self.recipe, self.source, self.most = recipe, source, most

    def process(self, element: Mapping[str, Any]) -> Iterator[int]:
        """`element`: a range of a split."""
        task = Task("", {"source": self.source, "ranges": [element]})
        yield sum(1 for _ in islice(read_split(self.recipe, task), self.most))


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The last number for which something holds, as it does for `low` and not for `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
