"""Chunks that are grouped by key: in this process, on Beam's workers, and on their disk."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pipelines.engines.jobs import SPILLED_BYTES, ByKey, Job
from pipelines.engines.runners import Engine, run_job

PARTS, KEYS = 6, 5


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


@pytest.mark.parametrize(("workers", "on_disk"), [(1, False), (1, True), (2, False), (2, True)])
def test_every_chunk_arrives_with_its_key(tmp_path: Path, workers: int, on_disk: bool) -> None:
    output, scratch = tmp_path / "output", tmp_path / "scratch"
    output.mkdir()
    scratch.mkdir()

    job = Job(range(PARTS), [Emit(), ByKey("some", ["k0", "none"]), Write(str(output))])
    run_job(Engine("direct", workers), job, scratch=scratch if on_disk else None)
    found = {
        path.name: {int(part): size for part, size in json.loads(path.read_text()).items()}
        for path in output.iterdir()
    }
    large = {part: SPILLED_BYTES + part for part in range(PARTS)}
    small = dict.fromkeys(range(PARTS), 1)
    assert found == {"k0": large, "k1": small, "k2": large, "k3": small, "k4": large, "none": {}}
    held = Counter(path.stat().st_size > 0 for path in scratch.iterdir())
    assert bool(held[True]) == on_disk
