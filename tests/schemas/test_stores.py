"""What is tried again, what is refused, and what is never shown."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from pipelines.runs.store import Folder
from schemas import stores
from schemas.base import ModelFile
from schemas.inputs import Input
from schemas.mistakes import checked
from schemas.problems import Problem
from schemas.recipe import Recipe
from schemas.secrets import has_secret, redacted
from schemas.stores import Storage, steadily
from tests.runs import gristmill

SECRETS = {
    "s3://AKIA:hunter2@bucket/run": "hunter2",
    "https://user:hunter2@example.org/a.warc.gz": "hunter2",
    "https://hunter2@example.org/a.warc.gz": "hunter2",
    "https://b.s3.amazonaws.com/a?X-Amz-Credential=AKIA%2F1&X-Amz-Signature=hunter2": "hunter2",
    "https://storage.googleapis.com/b/a?X-Goog-Signature=hunter2&x=1": "hunter2",
    "https://a.blob.core.windows.net/c/b?sv=2024&sp=r&sig=hunter2": "hunter2",
    "https://d1.cloudfront.net/a?Expires=1&Signature=hunter2&Key-Pair-Id=K1": "hunter2",
    "https://example.org/a?access_token=hunter2": "hunter2",
    "https://example.org/a?api_key=hunter2": "hunter2",
    "simplecache::https://user:hunter2@example.org/a": "hunter2",
}
PUBLIC = (
    "s3://commoncrawl/crawl-data",
    "https://data.commoncrawl.org/crawl-data/a.warc.gz",
    "https://example.org/model.bin?download=true&keyword=x&design=y",
    "abfs://container@account.dfs.core.windows.net/run",
    "hf://datasets/org/name@main/data",
    "hdfs://name:8020/data",
    "/disk/with:colon@sign/run",
)


@pytest.mark.parametrize("url", SECRETS)
def test_a_secret_is_neither_taken_nor_shown(url: str) -> None:
    assert has_secret(url)
    assert SECRETS[url] not in redacted(f"404, message='Not Found', url='{url}'")
    for value in ({"root": url}, {"root": url, "files": 3}, [url]):
        made, mistakes = checked(Input, value if isinstance(value, list) else {**value})
        assert made is None
        assert SECRETS[url] not in str(mistakes)
    with pytest.raises(ValueError, match="must not hold a password"):
        ModelFile(file=url, sha256="0" * 64)
    with pytest.raises(Problem) as problem:
        Folder(url)
    assert SECRETS[url] not in str(problem.value)


@pytest.mark.parametrize("url", PUBLIC)
def test_other_urls_are_taken(url: str) -> None:
    assert not has_secret(url)
    assert Folder(url).url == url


def test_commands_do_not_repeat_a_secret(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "extends: fineweb\nname: x\ninputs:\n"
        "  - {source: web, root: 'https://me:hunter2@example.org/', files: ['a.warc.gz']}\n"
    )
    for words in (
        ("run", "fineweb", "--output", "s3://me:hunter2@bucket/run"),
        ("run", str(tmp_path / "r.yaml"), "--output", str(tmp_path / "run")),
        ("run", "fineweb", "--input", "web=https://me:hunter2@x.org/a", "--output", str(tmp_path)),
        ("recipe", "validate", str(tmp_path / "r.yaml")),
        ("report", "gs://me:hunter2@bucket/run"),
    ):
        result = gristmill(*words)
        assert result.returncode == 2, result.stderr
        assert "hunter2" not in result.stdout + result.stderr
        assert "a password, a token or a signature" in result.stderr
    assert not (tmp_path / "run").exists()


def test_options_are_those_that_a_store_has() -> None:
    public, paid = Storage(anonymous=True), Storage(requester_pays=True)
    assert public.options("s3://b") == {"anon": True}
    assert public.options("gs://b") == {"token": "anon"}
    assert public.options("abfs://b") == {"anon": True}
    assert paid.options("s3://b") == {"requester_pays": True}
    assert Storage(requester_pays="mine").options("gs://b") == {"requester_pays": "mine"}
    for url, storage in (("https://x.org", public), ("/disk", public), ("abfs://b", paid)):
        _, mistakes = checked(
            Input, {"source": "a", "root": url, "files": ["a"], "storage": storage.model_dump()}
        )
        assert "leave it out" in mistakes[0].text


def test_access_is_no_part_of_what_a_run_is() -> None:
    from pipelines.recipes.saving import differences
    from pipelines.stages.extract import relevant

    item = {"source": "web", "root": "s3://b", "files": ["a"]}
    plain, other = (
        Recipe(name="x", inputs=(Input(**item, **more),))
        for more in ({}, {"storage": Storage(requester_pays=True)})
    )
    assert relevant(plain) == relevant(other)
    assert differences(plain, other) == []


def _http(status: int) -> Exception:
    asked: Any = SimpleNamespace(real_url="https://x")
    error = aiohttp.ClientResponseError(asked, (), status=status, message="said")
    missing = FileNotFoundError("x")
    missing.__cause__ = error
    return missing  # as fsspec tells it


@pytest.mark.parametrize(
    "error",
    [
        _http(503),
        _http(429),
        OSError(errno.EBUSY, "SlowDown"),
        TimeoutError(),
        ConnectionResetError("reset"),
        aiohttp.ClientPayloadError("cut"),
        EOFError("half"),
    ],
)
def test_what_may_pass_is_tried_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PAUSE", 0.001)
    tried: list[int] = []

    def operation() -> str:
        tried.append(1)
        if len(tried) < 3:
            raise error
        return "done"

    assert steadily("s3://b/x", operation) == "done"
    tried.clear()

    def never() -> None:
        tried.append(1)
        raise error

    with pytest.raises(Problem, match=r"s3://b/x: the store failed 5 times.*goes on from what is"):
        steadily("s3://b/x", never)
    assert len(tried) == stores.ATTEMPTS


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (FileNotFoundError("x"), FileNotFoundError, "x"),
        (FileExistsError("x"), FileExistsError, "x"),
        (PermissionError("x"), Problem, "access is denied: x"),
        (OSError("Forbidden: b/o\nno"), Problem, "access is denied"),
        (_http(403), Problem, "access is denied"),
        (OSError(errno.EINVAL, "no"), Problem, "the store refuses"),
        (KeyError("ours"), KeyError, "ours"),
    ],
)
def test_what_lasts_is_told_at_once(error: Exception, raised: type[Exception], said: str) -> None:
    tried: list[int] = []

    def operation() -> None:
        tried.append(1)
        raise error

    with pytest.raises(raised, match=said):
        steadily("s3://b/x", operation)
    assert len(tried) == 1
