"""Runs from and to buckets of stores on this machine: the same shards, by conditional creation."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipelines.runs.store import Folder
from schemas.problems import Problem
from tests.runs import DEMO, gristmill, shards
from tests.stores import STORES, Store, environment

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store with an empty bucket, which is the one that clients find."""
    with STORES[request.param]() as found, environment(found.settings(found.port)):
        yield found


def copied(run: Folder, folder: Path) -> Path:
    """The files of a run in a store, on the disk."""
    for name, _ in run.walk():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(run.read(name))
    return folder


def put_demo(bucket: str) -> dict[str, object]:
    """The demo's pages in a bucket, and its recipe that reads them there."""
    recipe = yaml.safe_load(DEMO.read_text())
    for file in sorted((DEMO.parent / "sample").glob("*.warc.gz")):
        Folder(bucket).replace(f"sample/{file.name}", file.read_bytes())
    recipe["inputs"][0]["root"] = f"{bucket}/sample"
    return dict(recipe)


def test_of_many_writers_of_one_object_exactly_one_wins(store: Store) -> None:
    folder = Folder(f"{store.bucket}/race")
    barrier, won = threading.Barrier(6), []

    def write(word: bytes) -> None:
        barrier.wait()
        won.append((Folder(folder.url).create("receipt.json", word * 1000), word))

    threads = [threading.Thread(target=write, args=(bytes([65 + i]),)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [word for first, word in won if first]
    assert len(winners) == 1
    assert folder.read("receipt.json") == winners[0] * 1000


def test_a_store_behaves_as_the_disk_does(store: Store, tmp_path: Path) -> None:
    for folder in (Folder(str(tmp_path / "disk")), Folder(f"{store.bucket}/behaves")):
        assert folder.names() == []
        assert not folder.exists("a")
        with pytest.raises(FileNotFoundError):
            folder.read("a")
        with pytest.raises(FileNotFoundError):
            folder.info("a")
        for name in ("a", "deep/b", "deep/c d"):
            folder.replace(name, name.encode() * 9)
        assert folder.names() == ["a"]
        assert folder.exists("deep")
        assert [name for name, _ in folder.glob("**/*")] == ["a", "deep/b", "deep/c d"]
        assert folder.walk() == [("a", 9), ("deep/b", 54), ("deep/c d", 72)]
        with folder.open("deep/b") as stream:
            assert stream.seek(-6, 2) == 48
            assert stream.read() == b"deep/b"
        finished = tmp_path / "finished"
        finished.write_bytes(b"4")
        folder.publish(finished, "deep/b")
        assert folder.read("deep/b") == b"4"
        folder.unlink("deep/b")
        folder.unlink("deep/b")
        (folder / "deep").remove()
        assert folder.walk() == [("a", 9)]


def test_a_run_from_and_to_a_bucket_makes_the_same_shards(
    store: Store, finished: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "demo.yaml"
    recipe.write_text(yaml.safe_dump(put_demo(store.bucket)))
    for _ in range(2):  # the second time there is nothing to do
        result = gristmill("run", str(recipe), "--output", f"{store.bucket}/run", "--quiet")
        assert result.returncode == 0, result.stderr
    assert "nothing to do" in result.stderr
    copy = copied(Folder(f"{store.bucket}/run"), tmp_path / "copy")
    assert shards(copy) == shards(finished)
    report, other = (
        json.loads((run / "report/report.json").read_text()) for run in (copy, finished)
    )
    usage, theirs = report.pop("usage"), other.pop("usage")  # times, which differ
    for each in (report, other):
        del each["scaled"]  # from those
    assert [each["step"] for each in usage] == [each["step"] for each in theirs]
    assert report == other
    assert not any(
        store.secret.encode() in path.read_bytes() for path in copy.rglob("*") if path.is_file()
    )


def test_a_bucket_that_is_not_there_is_named(store: Store) -> None:
    url = store.bucket.replace("mill", "nosuchbucket")
    with pytest.raises(Problem, match=f"{url}/run: cannot be written to"):
        Folder(f"{url}/run").make()
