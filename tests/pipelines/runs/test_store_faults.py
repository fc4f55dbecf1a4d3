"""Stores that throttle, fail, cut bodies, lose answers and list page by page."""

import re
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import yaml

from pipelines.runs.store import Folder
from schemas import stores
from schemas.problems import Problem
from schemas.stores import Storage
from tests.pipelines.runs.test_object_store import copied, put_demo
from tests.runs import gristmill, shards
from tests.stores import STORES, Proxy, Store, environment, some

pytestmark = pytest.mark.engine

# botocore tries nothing again, so that all comes down to us
ALONE = {"AWS_MAX_ATTEMPTS": "1"}


@pytest.fixture(scope="module", params=["s3"])
def server(request: pytest.FixtureRequest) -> Iterator[Store]:
    with STORES[request.param]() as found:
        yield found


@pytest.fixture
def proxy(server: Store) -> Iterator[Proxy]:
    """A proxy in front of the store, through which clients go."""
    with (
        Proxy(server.port, page=5).served() as found,
        environment({**server.settings(found.port), **ALONE}),
    ):
        yield found


def recipe_in(proxy: Proxy, store: Store, tmp_path: Path) -> str:
    file = tmp_path / "demo.yaml"
    file.write_text(yaml.safe_dump(put_demo(store.bucket)))
    proxy.asked.clear()
    return str(file)


@pytest.mark.parametrize("server", ["s3", "gs"], indirect=True)
def test_a_run_through_faults_makes_the_same_shards(
    proxy: Proxy, server: Store, finished: Path, tmp_path: Path
) -> None:
    recipe = recipe_in(proxy, server, tmp_path)
    proxy.fault = some(0.01, "throttle", "error", "cut", "lost")
    words = ("--output", f"{server.bucket}/faults", "--quiet", "--workers", "2")
    result = gristmill("run", recipe, *words)
    assert result.returncode == 0, result.stderr
    faults = {each.fault for each in proxy.asked}
    assert faults == {"", "throttle", "error", "cut", "lost"}
    assert any(re.search("continuation-token|pageToken", each.path) for each in proxy.asked)
    proxy.fault = lambda *_: ""
    copy = copied(Folder(f"{server.bucket}/faults"), tmp_path / "copy")
    assert shards(copy) == shards(finished)


def test_a_store_that_stays_away_is_one_clear_error_and_the_run_goes_on(
    proxy: Proxy, server: Store, finished: Path, tmp_path: Path
) -> None:
    recipe = recipe_in(proxy, server, tmp_path)
    run = Folder(f"{server.bucket}/stops")

    def away(_: int, method: str, path: str) -> str:
        return "error" if method == "PUT" and "/stops/tokenize/" in path else ""

    proxy.fault = away
    words = ("run", recipe, "--output", run.url, "--quiet")
    result = gristmill(*words)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"gristmill: {run.url}/tokenize/")
    assert "the store failed 5 times" in line
    assert line.endswith("the same command goes on from what is done, once the store answers")
    extract = run / "extract"
    done = {name: extract.read(name) for name, _ in extract.walk()}
    assert done
    proxy.fault = lambda *_: ""
    result = gristmill(*words)
    assert result.returncode == 0, result.stderr
    assert {name: extract.read(name) for name, _ in extract.walk()} == done
    assert shards(copied(run, tmp_path / "copy")) == shards(finished)


def test_a_put_whose_answer_is_lost_counts_as_done(proxy: Proxy, server: Store) -> None:
    folder = Folder(f"{server.bucket}/lost")
    proxy.fault = lambda number, method, _: "lost" if method == "PUT" and number == 0 else ""
    assert folder.create("receipt", b"mine")
    assert [(each.method, each.fault) for each in proxy.asked[:2]] == [("PUT", "lost"), ("PUT", "")]
    assert not folder.create("receipt", b"theirs")
    assert folder.read("receipt") == b"mine"


def test_bodies_that_are_cut_are_asked_for_again(proxy: Proxy, server: Store) -> None:
    data = bytes(range(256)) * 4096
    folder = Folder(f"{server.bucket}/cut")
    folder.replace("a", data)
    cut = iter([True, False] * 99)
    proxy.fault = lambda _, method, __: "cut" if method == "GET" and next(cut) else ""
    with folder.open("a") as stream:
        stream.seek(1000)
        assert stream.read(5000) == data[1000:6000]
        assert stream.seek(-10, 2)
        assert stream.read() == data[-10:]
        stream.seek(0)
        assert stream.read() == data
    assert folder.read("a") == data


def test_a_store_that_is_not_there_is_told(server: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PAUSE", 0.01)
    said = "s3://mill/away: cannot be written to: the store failed"
    with environment({**server.settings(1), **ALONE}), pytest.raises(Problem, match=said):
        Folder("s3://mill/away").make()


def test_access_by_option_reaches_the_store(proxy: Proxy, server: Store) -> None:
    """A request that is not signed has no `Authorization`; one that is paid for says so."""
    import s3fs

    url = f"{server.bucket}/public"
    Folder(url).replace("a", b"1")
    with pytest.raises(Problem, match=r"public/a: access is denied.*anonymous: true"):
        Folder(url, Storage(anonymous=True)).read("a")
    s3fs.S3FileSystem().chmod("mill/public/a", "public-read")
    proxy.asked.clear()
    for storage in (Storage(anonymous=True), Storage(requester_pays=True)):
        assert Folder(url, storage).read("a") == b"1"
    signed = ["authorization" in each.headers for each in proxy.asked]
    paid = ["x-amz-request-payer" in each.headers for each in proxy.asked]
    assert (signed[0], paid[0]) == (False, False)
    assert (signed[-1], paid[-1]) == (True, True)


def test_a_run_s_store_is_asked_as_fsspec_is_told(proxy: Proxy, server: Store) -> None:
    proxy.asked.clear()
    with environment({"FSSPEC_S3_REQUESTER_PAYS": "true"}):
        Folder(f"{server.bucket}/paid").replace("a", b"1")
    assert all("x-amz-request-payer" in each.headers for each in proxy.asked)
    del fsspec.config.conf["s3"]["requester_pays"]
