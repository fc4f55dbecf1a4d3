"""What engines do to tasks: bundles that run twice, and two attempts at once. The bytes stay."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.engines import runners
from pipelines.engines.jobs import Barrier, ByKey, Job, Receive, Step, run_here, through
from pipelines.engines.local import Pool
from pipelines.engines.runners import Engine
from pipelines.recipes.loading import load
from pipelines.run import Run
from tests.runs import DEMO, balanced, receipts, shards


class Twice:
    """A step whose bundles are lost when they are done, with the receipts, and run again."""

    def __init__(self, step: Step, run: Path, lost: list[str]) -> None:
        self.step, self.run, self.lost = step, run, lost

    def process(self, element: Any) -> Iterator[Any]:
        if isinstance(element, tuple):  # a group, which can be read once
            element = (
                element[0],
                element[1] if isinstance(element[1], bytes) else list(element[1]),
            )
        before = set(receipts(self.run))
        list(self.step.process(element))
        for name in set(receipts(self.run)) - before:
            (self.run / name).unlink()
            self.lost.append(name)
        yield from self.step.process(element)


def test_every_bundle_runs_twice(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def twice(job: Job, receive: Receive, scratch: Path | None) -> None:
        steps: list[Any] = []
        for step in job.steps:
            if isinstance(step, Barrier):
                steps.append(Barrier(step.label, Twice(step.then, tmp_path / "run", lost)))
            else:
                steps.append(
                    step if isinstance(step, ByKey) else Twice(step, tmp_path / "run", lost)
                )
        run_here(Job(job.items, steps), receive, scratch)

    monkeypatch.setattr(runners, "run_here", twice)
    run = Run.create(load(str(DEMO)), str(tmp_path / "run"))
    run.go()
    assert sorted(lost) == sorted(receipts(finished)), "of every task one attempt was lost"
    same(run, finished)


class Numbered:
    """Steps in a row, which answer all at once, with the number of the element."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    def process(self, element: tuple[int, Any]) -> Iterator[tuple[int, list[Any]]]:
        number, own = element
        yield number, list(through(self.steps, [own]))


def test_two_attempts_of_each_task_at_once(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers are dealt the same elements at the same time; the first answer counts."""
    deal: Callable[..., Iterator[tuple[int, list[Any]]]] = Pool._deal
    dealt: list[int] = []

    def double(pool: Pool, steps: Sequence[Step], elements: Iterable[Any]) -> Iterator[Any]:
        both = [each for each in enumerate(elements) for _ in range(2)]
        heard: set[int] = set()
        for number, answer in deal(pool, [Numbered(steps)], both):
            if number not in heard:
                heard.add(number)
                yield from answer
        dealt.append(len(heard))

    monkeypatch.setattr(Pool, "_deal", double)
    run = Run.create(load(str(DEMO)), str(tmp_path / "run"))
    run.go(Engine("local", 2))
    assert sum(dealt) > 20
    same(run, finished)


def same(run: Run, finished: Path) -> None:
    """The run is as the finished one, and holds no more once it is cleaned."""
    folder = run.folder.local
    assert folder is not None
    run.verify(clean=True)
    found = run.verify()
    assert (found.faults, found.left_over, found.unknown) == ([], {}, [])
    assert shards(folder) == shards(finished)
    assert balanced(folder) == balanced(finished)
    assert set(receipts(folder)) == set(receipts(finished))
