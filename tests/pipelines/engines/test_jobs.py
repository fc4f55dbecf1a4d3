"""What an engine must do with a job: in this process, in a pool of processes, on Beam's workers."""

import json
import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pipelines.engines.jobs import (
    PIECE_BYTES,
    SPILLED_BYTES,
    Barrier,
    ByKey,
    Cut,
    Job,
    JobFailed,
    Joined,
    through,
)
from pipelines.engines.runners import Engine, Runner

PARTS, KEYS = 6, 5
HERE, LOCAL, DIRECT = Engine("local", 1), Engine("local", 2), Engine("direct", 2)


class Emit:
    """Number of a part -> a chunk for every key, small and large ones."""

    def process(self, element: int) -> Iterator[tuple[str, bytes]]:
        for key in range(KEYS):
            size = 1 if key % 2 else SPILLED_BYTES + element
            yield f"k{key}", bytes([element + 1]) * size


class Write:
    """A group -> a line of its key, and of what came from each part."""

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, element: tuple[str, Iterable[bytes]]) -> Iterator[str]:
        key, chunks = element
        sizes = {chunk[0] - 1: len(chunk) for chunk in chunks if chunk}
        assert all(chunk == chunk[:1] * len(chunk) for chunk in chunks)
        (Path(self.output) / key).write_text(json.dumps(sizes))
        yield key


class Touch:
    """A name -> a file of that name, after some time."""

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, element: str) -> Iterator[str]:
        time.sleep(0.05)
        (Path(self.output) / element).touch()
        yield element


class Second:
    """For each file that there is, the name of another."""

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, _: None) -> Iterator[str]:
        for path in sorted(Path(self.output).iterdir()):
            yield f"{path.name}-again"


class End:
    """Ends its own process, as the system does when it has no more memory."""

    def process(self, element: int) -> Iterator[int]:
        if element == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield element


class Pid:
    """The process that does the work."""

    def process(self, element: int) -> Iterator[int]:
        time.sleep(0.05)
        yield os.getpid()


class Fail:
    """An error of one element."""

    def process(self, element: int) -> Iterator[float]:
        yield 1 / (element - 3)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("engine", [HERE, LOCAL, DIRECT], ids=["here", "local", "direct"])
def test_every_chunk_arrives_with_its_key(tmp_path: Path, engine: Engine, on_disk: bool) -> None:
    output, scratch = tmp_path / "output", tmp_path / "scratch"
    output.mkdir()
    scratch.mkdir()

    job = Job(range(PARTS), [Emit(), ByKey("some", ["k0", "none"]), Write(str(output))])
    received: list[str] = []
    Runner(engine).run(job, received.append, scratch=scratch if on_disk else None)
    found = {
        path.name: {int(part): size for part, size in json.loads(path.read_text()).items()}
        for path in output.iterdir()
    }
    large = {part: SPILLED_BYTES + part for part in range(PARTS)}
    small = dict.fromkeys(range(PARTS), 1)
    assert found == {"k0": large, "k1": small, "k2": large, "k3": small, "k4": large, "none": {}}
    held = Counter(path.stat().st_size > 0 for path in scratch.iterdir())
    assert bool(held[True]) == on_disk
    # an engine carries back all or nothing
    assert sorted(received) == ([] if engine == DIRECT else sorted(found))


class Large:
    """Number of a part -> a chunk of several pieces for the one key."""

    def process(self, element: int) -> Iterator[tuple[str, bytes]]:
        yield "hot", bytes([element]) * (3 * PIECE_BYTES + element)


class Sizes:
    """A group -> a file with the sizes of its chunks, by the byte that they are of."""

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, element: tuple[str, Iterable[bytes]]) -> Iterator[str]:
        key, chunks = element
        assert all(chunk == chunk[:1] * len(chunk) for chunk in chunks)
        sizes = sorted((chunk[0], len(chunk)) for chunk in chunks)
        Path(self.output).write_text(json.dumps(sizes))
        yield key


def test_large_chunks_of_a_hot_key_cross_in_pieces(tmp_path: Path) -> None:
    job = Job(range(4), [Large(), ByKey("hot"), Sizes(str(tmp_path / "sizes"))])
    Runner(DIRECT).run(job)
    whole = [[part, 3 * PIECE_BYTES + part] for part in range(4)]
    assert json.loads((tmp_path / "sizes").read_text()) == whole
    elements = [piece for part in range(4) for piece in through([Large(), Cut()], [part])]
    assert max(len(pickle.dumps(element)) for element in elements) < 1 << 20
    assert len(elements) == 4 + sum(3 for _ in range(4)) - 1  # the last piece of part 0 is empty
    ((_, chunks),) = Joined().process(("hot", [value for _, value in reversed(elements)]))
    assert sorted(chunks) == sorted(
        chunk for part in range(4) for _, chunk in Large().process(part)
    )


@pytest.mark.parametrize("items", [[], ["a", "b", "c"]])
@pytest.mark.parametrize("engine", [HERE, LOCAL, DIRECT], ids=["here", "local", "direct"])
def test_a_barrier_waits_for_all_that_comes_before(
    tmp_path: Path, engine: Engine, items: list[str]
) -> None:
    touch = Touch(str(tmp_path))
    job = Job(items, [touch, Barrier("first", Second(str(tmp_path))), touch])
    received: list[str] = []
    Runner(engine).run(job, received.append)
    expected = sorted([*items, *(f"{item}-again" for item in items)])
    assert sorted(path.name for path in tmp_path.iterdir()) == expected
    assert sorted(received) == ([] if engine == DIRECT else expected)


@pytest.mark.parametrize("engine", [LOCAL, DIRECT], ids=["local", "direct"])
def test_a_killed_worker_is_told_within_seconds(engine: Engine) -> None:
    begun = time.monotonic()
    with pytest.raises(JobFailed, match="a worker process died"):
        Runner(engine).run(Job(range(8), [End()]))
    assert time.monotonic() - begun < 45  # with the start of the workers


@pytest.mark.parametrize("engine", [HERE, LOCAL, DIRECT], ids=["here", "local", "direct"])
def test_an_error_ends_the_job_with_its_message(engine: Engine) -> None:
    with pytest.raises(JobFailed, match="division by zero"):
        Runner(engine).run(Job(range(8), [Fail()]))


def test_workers_of_the_pool_stay_from_job_to_job_and_end_with_it() -> None:
    runner = Runner(LOCAL)
    seen: list[set[int]] = []
    for _ in range(3):
        pids: list[int] = []
        runner.run(Job(range(8), [Pid()]), pids.append)
        seen.append(set(pids))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 2
    assert os.getpid() not in seen[0]
    with pytest.raises(JobFailed):
        runner.run(Job(range(8), [Fail()]))
    pids = []
    runner.run(Job(range(8), [Pid()]), pids.append)  # goes on with new ones
    assert not set(pids) & seen[0]
    del runner
    for pid in {*pids, *seen[0]}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
