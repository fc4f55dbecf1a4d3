"""A job as data, which an engine runs: elements, and the steps that they go through.

`pipelines.engines.local` deals the elements out to processes of this machine,
`pipelines.engines.beam` makes a Beam pipeline of them. `run_here` calls the same steps in a loop of
this process: what takes a second or less is not worth sending, and one worker needs no other.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Protocol

PIECE_BYTES = 512 << 10  # of an element that an engine shuffles: Flink refuses large ones
SPILLED_BYTES = 4096  # smaller chunks are no more than what says where they would stand

Place = tuple[str, int, int]  # name of a file, first byte, bytes
Piece = tuple[str, int, bytes]  # name of a chunk, first byte, some of its bytes
Receive = Callable[[Any], None]


class JobFailed(Exception):
    """A job ended without doing its work; the message says why."""


class WorkerLost(JobFailed):
    """A process that worked on it was killed, or ended by itself."""

    def __init__(self) -> None:
        """It has one message."""
        super().__init__("a worker process died")


class Step(Protocol):
    """What is done with each element; a step is sent to the workers."""

    def process(self, element: Any) -> Iterable[Any]:
        """The elements that it makes of one."""


@dataclass(frozen=True)
class ByKey:
    """Group (key, packed chunk) by key; every one of `keys` has a group, if only of nothing.

    Large chunks cross the shuffle in pieces. Where workers have one disk only the place of a chunk
    crosses it, and the chunks lie on the disk until the job has ended: the local runners hold in
    memory, several times, what they shuffle. And Beam 2.77 loses some of what worker processes of
    FnApiRunner send to it when that is a hundred megabytes and the processors are busy [measured].
    """

    label: str
    keys: Sequence[Any] = ()


@dataclass(frozen=True)
class Barrier:
    """Wait for all elements; then `then.process(None)` makes those that go on, dealt out anew.

    It makes them of what the steps before have left on disk, so that an engine whose jobs take
    minutes to start runs several stretches of work as one job.
    """

    label: str
    then: Step


@dataclass(frozen=True)
class Job:
    """Elements, dealt out to the workers in this order, and what they go through in turn."""

    items: Sequence[Any]
    steps: Sequence[Step | ByKey | Barrier]


def through(steps: Iterable[Step], elements: Iterable[Any]) -> Iterable[Any]:
    """What the steps make of elements, one after another."""
    for step in steps:
        elements = chain.from_iterable(map(step.process, elements))
    return elements


def ignore(_: Any) -> None:
    """Receives nothing."""


def run_here(job: Job, receive: Receive = ignore, scratch: Path | None = None) -> None:
    """Run a job in this process; chunks that are grouped stand in the folder `scratch`.

    `receive` is given what comes to a barrier, and to the end.
    """
    elements: Iterable[Any] = job.items
    for step in job.steps:
        if isinstance(step, ByKey):
            elements = _grouped(elements, step.keys, scratch)
        elif isinstance(step, Barrier):
            elements = _after(elements, step, receive)
        else:
            elements = through([step], elements)
    for element in elements:
        receive(element)


def _after(elements: Iterable[Any], barrier: Barrier, receive: Receive) -> Iterator[Any]:
    for element in elements:
        receive(element)
    yield from barrier.then.process(None)


def _grouped(
    chunks: Iterable[tuple[Any, bytes]], keys: Sequence[Any], scratch: Path | None
) -> Iterator[tuple[Any, Iterable[bytes]]]:
    if scratch is not None:
        chunks = through([Spill(scratch)], chunks)
    groups = gathered(chunks, keys)
    for key in list(groups):
        group = key, groups.pop(key)
        yield from [group] if scratch is None else Unspill(scratch).process(group)


def gathered(pairs: Iterable[tuple[Any, Any]], keys: Sequence[Any]) -> dict[Any, list[Any]]:
    """Values by key, with an empty list for each of `keys` that has none."""
    groups: dict[Any, list[Any]] = {key: [] for key in keys}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


class Spill:
    """(key, chunk) -> (key, where in a file the chunk stands), or the chunk itself if small."""

    def __init__(self, folder: str | Path) -> None:
        """`folder` takes a file for every worker."""
        self.folder = folder
        self.file: IO[bytes] | None = None

    def process(self, element: tuple[Any, bytes]) -> Iterator[tuple[Any, bytes | Place]]:
        """`element` is a chunk with its key."""
        key, chunk = element
        if len(chunk) < SPILLED_BYTES:
            yield key, chunk
            return
        if self.file is None:
            self.name = uuid.uuid4().hex
            self.file = (Path(self.folder) / self.name).open("wb", buffering=0)
        start = self.file.tell()
        self.file.write(chunk)
        yield key, (self.name, start, len(chunk))


class Unspill:
    """(key, chunks or their places) -> (key, chunks)."""

    def __init__(self, folder: str | Path) -> None:
        """`folder`: that of `Spill`."""
        self.folder = Path(folder)

    def process(
        self, element: tuple[Any, Iterable[bytes | Place]]
    ) -> Iterator[tuple[Any, list[bytes]]]:
        """`element` is a group."""
        key, values = element
        chunks = [value for value in values if isinstance(value, bytes)]
        places = sorted(value for value in values if not isinstance(value, bytes))
        for name, own in groupby(places, key=itemgetter(0)):
            with (self.folder / name).open("rb", buffering=0) as file:
                for _, start, size in own:
                    file.seek(start)
                    chunks.append(file.read(size))
        yield key, chunks


class Cut:
    """(key, chunk) -> (key, piece of it), or the chunk itself if it is small."""

    def process(self, element: tuple[Any, bytes]) -> Iterator[tuple[Any, bytes | Piece]]:
        """`element` is a chunk with its key."""
        key, chunk = element
        if len(chunk) <= PIECE_BYTES:
            yield key, chunk
            return
        name = uuid.uuid4().hex
        for start in range(0, len(chunk), PIECE_BYTES):
            yield key, (name, start, chunk[start : start + PIECE_BYTES])


class Joined:
    """(key, chunks or their pieces) -> (key, chunks)."""

    def process(
        self, element: tuple[Any, Iterable[bytes | Piece]]
    ) -> Iterator[tuple[Any, list[bytes]]]:
        """`element` is a group."""
        key, values = element
        chunks: list[bytes] = []
        pieces: list[Piece] = []
        for value in values:
            if isinstance(value, bytes):
                chunks.append(value)
            else:
                pieces.append(value)
        for _, own in groupby(sorted(pieces), key=itemgetter(0)):
            chunks.append(b"".join(piece for _, _, piece in own))
        yield key, chunks


def last_line(error: BaseException) -> str:
    """What an error says at its end, which of an engine's is the cause."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
