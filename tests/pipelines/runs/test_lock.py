"""One driver a run: who holds it is told, and a lock that nobody holds any more is recognised."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.runs import lock
from pipelines.runs.lock import alone
from pipelines.runs.store import Folder
from schemas.problems import Problem
from tests.conftest import REPOSITORY

HOLD = """
import sys, time
from pipelines.runs.lock import alone
from pipelines.runs.store import Folder
with alone(Folder(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A folder of fsspec's file system in memory, which creates exclusively, as buckets do."""
    return Folder(f"memory://{tmp_path.name}")


def word(**other: object) -> bytes:
    return json.dumps({**json.loads(lock._word()), **other}).encode()


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        said = rf"process {first.pid} on {os.uname().nodename}, since 20\d\d-"
        with pytest.raises(Problem, match=said), alone(Folder(str(tmp_path))):
            pass
        first.send_signal(signal.SIGKILL)
    with alone(Folder(str(tmp_path))):
        pass


def test_an_object_store_holds_a_lock_too(store: Folder) -> None:
    with alone(store):
        said = f"process {os.getpid()} on"
        with pytest.raises(Problem, match=said), alone(store):
            pass
    with alone(store):
        pass
    assert (store / "lock").names() == []


@pytest.mark.parametrize(
    ("other", "is_stale"),
    [
        ({"pid": 1 << 22}, True),
        ({"started": 1.0}, True),  # another process has that number now
        ({"host": "elsewhere"}, False),
        ({"host": "elsewhere", "renewed": time.time() - 2 * lock.STALE}, True),
    ],
)
def test_a_stale_lock_is_recognised(
    store: Folder, other: dict[str, object], is_stale: bool
) -> None:
    store.create("lock/00000007.json", word(**other))
    if is_stale:
        with alone(store):
            assert (store / "lock").names() == ["00000008.json"]
        return
    with pytest.raises(Problem, match="on elsewhere, since"), alone(store):
        pass


def test_of_two_that_take_a_stale_lock_one_at_most_holds_it(
    store: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("lock/00000007.json", word(pid=1 << 22))
    create = Folder.create

    def create_late(self: Folder, name: str, data: bytes) -> bool:
        monkeypatch.setattr(Folder, "create", create)
        with alone(store):  # is quicker, and has it by now
            return create(self, name, data)

    monkeypatch.setattr(Folder, "create", create_late)
    with pytest.raises(Problem, match="at work"), alone(store):
        pass


def test_a_holder_renews_its_lock(store: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with alone(store):
        first = json.loads(store.read("lock/00000001.json"))
        time.sleep(0.1)
        later = json.loads(store.read("lock/00000001.json"))
    assert later["renewed"] > first["renewed"]
    assert later["since"] == pytest.approx(first["since"], abs=1)
