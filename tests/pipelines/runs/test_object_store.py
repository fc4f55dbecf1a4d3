"""A run whose folder is a bucket of an S3 server: the same shards, by conditional creation."""

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.runs.store import Folder
from schemas.problems import Problem
from tests.runs import DEMO, gristmill, shards

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """URL of an empty bucket of a server that ends with the test."""
    pytest.importorskip("moto.server", reason="no moto: `make test-engines` installs it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    settings = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {key: os.environ.get(key) for key in settings}
    os.environ.update(settings)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(url, timeout=1).close()
                break
            except OSError:
                assert server.poll() is None
                threading.Event().wait(0.1)
        import s3fs

        s3fs.S3FileSystem().mkdir("mill")
        yield "s3://mill"
    finally:
        server.kill()
        server.wait()
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def test_of_many_writers_of_one_object_exactly_one_wins(bucket: str) -> None:
    folder = Folder(f"{bucket}/race")
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


def test_a_run_in_a_bucket_makes_the_same_shards(
    bucket: str, finished: Path, tmp_path: Path
) -> None:
    import s3fs

    for _ in range(2):  # the second time there is nothing to do
        result = gristmill("run", str(DEMO), "--output", f"{bucket}/run", "--quiet")
        assert result.returncode == 0, result.stderr
    assert "nothing to do" in result.stderr
    s3fs.S3FileSystem().get("mill/run/", str(tmp_path / "copy"), recursive=True)
    assert shards(tmp_path / "copy") == shards(finished)
    report, other = (
        json.loads((run / "report/report.json").read_text())
        for run in (tmp_path / "copy", finished)
    )
    usage, theirs = report.pop("usage"), other.pop("usage")  # times, which differ
    assert [each["step"] for each in usage] == [each["step"] for each in theirs]
    assert report == other


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(Problem, match="s3://nosuchbucket/run: cannot be written to"):
        Folder("s3://nosuchbucket/run").make()
