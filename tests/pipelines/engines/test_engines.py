"""The same shards on an engine with workers of its own: no job leans on one process."""

import os
import shutil
import time
from pathlib import Path

import psutil
import pytest

from tests.runs import DEMO, balanced, count_receipts, mill, receipts, shards, start, wait_for

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module", autouse=True)
def _prism() -> None:
    if not (os.environ.get("GRISTMILL_PRISM") or shutil.which("prism")):
        pytest.skip("no prism: `make test-engines` installs it")


def test_prism_makes_the_same_shards(finished: Path, tmp_path: Path) -> None:
    mill(tmp_path / "run", "--runner", "prism")
    assert shards(tmp_path / "run") == shards(finished)
    assert set(receipts(tmp_path / "run")) == set(receipts(finished))
    balanced(tmp_path / "run")


def test_prism_makes_the_same_in_many_passes(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    for stage in ("deduplicate", "curate", "tokenizer", "tokenize", "mix", "shards", "report"):
        shutil.rmtree(tmp_path / "run" / stage)
    mill(tmp_path / "run", "--runner", "prism", "--memory", "2M")
    assert shards(tmp_path / "run") == shards(finished)


def test_a_worker_of_prism_that_is_killed_ends_the_run(finished: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    process = start("run", str(DEMO), "--output", str(output), "--runner", "prism")

    def workers() -> list[psutil.Process]:
        children = psutil.Process(process.pid).children(recursive=True)
        return [c for c in children if "SdkHarness" in " ".join(c.cmdline())]

    wait_for(lambda: count_receipts(output) >= 1, 60, "a first receipt")
    begun = time.monotonic()
    workers()[0].kill()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 30
    assert process.returncode == 1, err
    assert "The same command goes on from what is done" in err
    assert "Traceback" not in err
    mill(output)
    assert shards(output) == shards(finished)
