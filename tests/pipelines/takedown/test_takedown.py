"""Documents taken out of a run: nothing is left of them, nothing moves, and killed it goes on."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.urls import read_list
from pipelines.commands.takedown import steps_told
from pipelines.exports.export import export
from pipelines.look import why
from pipelines.recipes.loading import load, resolve
from pipelines.run import Run
from pipelines.runs import takedowns
from pipelines.runs.store import Folder
from pipelines.takedown import takedown
from pipelines.takedown.find import Asked, find
from schemas.problems import Problem
from schemas.shard import read_manifest
from tests.runs import DEMO, gristmill, mill
from train import metrics
from train.cli import main

DOMAIN = "library.example"


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A run that may be changed, and that no other takes stages from."""
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("users"))
    return tmp_path / "run"


def pages(folder: Path) -> dict[str, dict[str, Any]]:
    """The documents of DOMAIN, as the run has them now."""
    names = ["id", "url", "text", "title"]
    tables = Run.open(str(folder)).documents("extract", names)
    rows = [row for table in tables for row in table.to_pylist()]
    own = {row["id"]: row for row in rows if f"//{DOMAIN}/" in (row["url"] or "")}
    assert len(own) > 5
    return own


def strings(column: pa.ChunkedArray) -> str:
    """All strings of a column, in lists and structs too."""
    return json.dumps(column.to_pylist(), default=str, ensure_ascii=False)


def everything(folder: Path) -> dict[str, str]:
    """All that can be read in a run, file by file: texts as they are, tables as JSON, ids of
    tokens as numbers."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix == ".parquet":
            table = pq.read_table(path)
            found[str(path.relative_to(folder))] = "\n".join(map(strings, table.columns))
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_text("utf-8", "replace")
    return found


def shard_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of all shards, in order."""
    return [
        row
        for split in read_manifest(folder).splits.values()
        for file in split.files
        for row in pq.read_table(folder / "shards" / file.path).to_pylist()
    ]


def test_nothing_is_left_and_nothing_moves(copy: Path, finished: Path) -> None:
    before, rows = pages(copy), shard_rows(copy)
    phrases = [max(page["text"].splitlines(), key=len)[10:60] for page in before.values()]
    others = [
        row["text"] for b in Run.open(str(copy)).documents("extract") for row in b.to_pylist()
        if row["id"] not in before
    ]  # fmt: skip
    # copies of some pages stand on other sites, and stay
    phrases = [phrase for phrase in phrases if not any(phrase in text for text in others)]
    assert len(phrases) > 5
    assert find(Run.open(str(copy)), Asked(domain=DOMAIN)).stay
    kept_text = {row["id"]: row for b in Run.open(str(copy)).documents() for row in b.to_pylist()}
    done = takedown.take_down(Run.open(str(copy)), Asked(domain=DOMAIN), "asked for")
    assert done is not None
    assert done.documents == len(before)
    for path, content in everything(copy).items():
        if not path.startswith("tokenizer"):
            for phrase in phrases:
                assert json.dumps(phrase, ensure_ascii=False)[1:-1] not in content, path
    # other documents are as they were
    for batch in Run.open(str(copy)).documents():
        for row in batch.to_pylist():
            if row["id"] in before:
                assert row["text"] == ""
            else:
                assert row == kept_text[row["id"]]
    # tokens are padding, and all else is where it was
    old, new = read_manifest(finished), read_manifest(copy)
    assert (new.layout_digest, new.content_revision) == (old.layout_digest, 1)
    padding, covered = new.tokenizer.padding, 0
    for one, other in zip(rows, shard_rows(copy), strict=True):
        ends = [segment["start"] for segment in one["segments"][1:]] + [one["length"]]
        expected = list(one["input_ids"])
        for segment, end in zip(one["segments"], ends, strict=True):
            if segment["document_id"].hex() in before:
                expected[segment["start"] : end] = [padding] * (end - segment["start"])
                covered += end - segment["start"]
        assert other == {**one, "input_ids": expected}
    assert covered == done.tokens > 0
    for split in old.splits:
        assert new.splits[split].tokens == old.splits[split].tokens
        groups = [[g.rows for g in f.row_groups] for f in new.splits[split].files]
        assert groups == [[g.rows for g in f.row_groups] for f in old.splits[split].files]
        paths = [file.path for file in new.splits[split].files]
        assert paths == [file.path for file in old.splits[split].files]
    for part in (copy / "tokenize/tokens").iterdir():
        for row in pq.read_table(part).to_pylist():
            assert (set(row["tokens"]) == {padding}) == (row["id"].hex() in before)


def test_the_record_supersedes_checksums(copy: Path, finished: Path) -> None:
    receipts = {p: p.read_bytes() for p in copy.glob("*/receipts/*.json")}
    done = takedown.take_down(Run.open(str(copy)), Asked(domain=DOMAIN), "asked for by mail")
    assert done is not None
    assert {p: p.read_bytes() for p in copy.glob("*/receipts/*.json")} == receipts
    run = Run.open(str(copy))
    assert run.verify().faults == []
    asked = json.loads((copy / done.name / "asked.json").read_text())
    assert asked["why"] == "asked for by mail"
    assert asked["asked"]["domain"] == DOMAIN
    assert "@" in asked["by"]
    revised = takedowns.revisions(run.folder, done.name)
    assert len({each.path for each in revised}) == done.files
    for each in revised:
        assert each.old != each.new
        assert (copy / each.path).stat().st_size == each.size
    ledger = json.loads((copy / "ledger.json").read_text())
    assert ledger.pop("taken_down") == {
        "takedowns": 1, "documents": done.documents, "tokens": done.tokens
    }  # fmt: skip
    assert ledger == json.loads((finished / "ledger.json").read_text())
    # a run that goes on finds all as it should be
    again = mill(copy)
    assert "this run is finished; nothing to do" in again.stderr
    assert Run.open(str(copy)).verify().faults == []
    # what it wrote is checked as all else is
    for path in (revised[-1].path, f"{done.name}/asked.json", f"{done.name}/000000.json"):
        data = bytearray((copy / path).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / path).write_bytes(data)
        assert any(path in str(each) for each in Run.open(str(copy)).verify().faults), path
        data[len(data) // 2] ^= 1
        (copy / path).write_bytes(data)
    assert takedown.take_down(run, Asked(domain=DOMAIN)) is None


class KilledError(BaseException):
    """What ends a process at some point."""


def test_killed_at_any_point_it_goes_on(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(domain=DOMAIN)
    shutil.copytree(copy, tmp_path / "whole")
    takedown.take_down(Run.open(str(tmp_path / "whole")), asked)

    def files(folder: Path) -> dict[str, bytes]:
        found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
        # of the record: who and when, and so its checksums
        told = re.compile(r"\.lock|takedowns/0001/(asked\.json|SHA256SUMS)|workers\.log")
        return {k: p.read_bytes() for k, p in found.items() if not told.fullmatch(k)}

    left = 0

    def dying(write: Callable[..., Any], after: bool) -> Callable[..., Any]:
        def attempt(*words: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and not after:
                raise KilledError
            found = write(*words)
            if left == 0:
                raise KilledError
            return found

        return attempt

    point, killed = 0, True
    while killed:
        point += 1
        killed, left = False, point
        with monkeypatch.context() as patch:
            for number, name in enumerate(("create", "replace", "publish")):
                write = dying(getattr(Folder, name), after=bool((point + number) % 2))
                patch.setattr(Folder, name, write)
            try:
                takedown.take_down(Run.open(str(copy)), asked)
            except KilledError:
                killed = True
        if killed and takedowns.begun(Folder(str(copy))):
            name = takedowns.begun(Folder(str(copy)))[-1]
            if not takedowns.is_done(Folder(str(copy)), name):
                faults = [str(each) for each in Run.open(str(copy)).verify().faults]
                assert any("begun and not finished" in each for each in faults)
    assert point > 4
    assert files(copy) == files(tmp_path / "whole")
    assert Run.open(str(copy)).verify().faults == []


def test_by_url_and_by_text(copy: Path) -> None:
    before = list(pages(copy).values())
    url = before[0]["url"].replace("https://", "HTTP://").upper().replace("HTTP", "https")
    run = Run.open(str(copy))
    found = find(run, Asked(url=before[0]["url"] + "#top"))
    assert list(found.documents) == [before[0]["id"]], url
    words = max(before[1]["text"].splitlines(), key=len).split()[:9]
    phrase = "\n".join(words).upper()
    found = find(run, Asked(text=phrase))
    assert before[1]["id"] in found.documents
    done = takedown.take_down(run, Asked(text=phrase))
    assert done is not None
    assert done.documents == len(found.documents)
    assert (
        " ".join(words).casefold()
        not in " ".join(
            text for name, text in everything(copy).items() if not name.startswith("tokenizer")
        ).casefold()
    )
    with pytest.raises(Problem, match="no document is found"):
        find(run, Asked(text=phrase))
    with pytest.raises(Problem, match="is empty"):
        find(run, Asked(text=" \n"))
    assert len(takedowns.begun(run.folder)) == 1
    assert takedown.take_down(run, Asked(url=before[0]["url"])) is not None
    assert read_manifest(copy).content_revision == 2
    assert Run.open(str(copy)).verify().faults == []
    (told,) = why.stories(run, before[1]["id"])
    assert told.end.endswith("taken down since")
    assert why.text_of(run, told) == ""


def test_a_dry_run_says_what_it_touches_and_writes_nothing(copy: Path) -> None:
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    result = gristmill("takedown", str(copy), "--domain", DOMAIN, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert re.match(rf"{len(pages(copy))} documents; \d+ rows of train", result.stdout)
    assert {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before
    missing = gristmill("takedown", str(copy), "--domain", "nowhere.example")
    assert missing.returncode == 2
    assert "no document is found" in missing.stderr


def test_no_rerun_brings_it_back(copy: Path, tmp_path: Path) -> None:
    ids = pages(copy)
    export(Run.open(str(copy)), "jsonl", str(tmp_path / "export"))
    lent = load(str(DEMO), {"mix": {"sequence_length": 128}, "parent": str(copy)})
    Run.create(lent, str(tmp_path / "child")).go()
    done = takedown.take_down(Run.open(str(copy)), Asked(domain=DOMAIN))
    assert done is not None
    # who has the same is named
    others = find(Run.open(str(copy)), Asked(domain=DOMAIN)).others
    assert {(each["what"], Path(each["url"]).name) for each in others} == {
        ("jsonl", "export"), ("stages", "child")
    }  # fmt: skip
    (parent,) = find(Run.open(str(tmp_path / "child")), Asked(domain=DOMAIN)).others
    assert parent == {"what": "lent its stages", "url": str(copy)}
    # the child has token parts of its parent's, and shards of its own
    child = takedown.take_down(Run.open(str(tmp_path / "child")), Asked(domain=DOMAIN))
    assert child is not None
    assert child.tokens > 0
    assert Run.open(str(tmp_path / "child")).verify().faults == []
    # another run of this one's that extracts anew
    over = {"extract": {"max_page_bytes": 10**6}, "parent": str(copy)}
    anew = Run.create(load(str(DEMO), over), str(tmp_path / "anew"))
    anew.go(until="extract")
    assert anew.ledger["extract"]["rejected"][takedowns.REASON] == len(ids)
    # and the list for those that have nothing to do with it
    entries = copy / done.name / "domains.txt"
    assert read_list(entries, "domains") == [DOMAIN]
    assert (copy / done.name / "documents.txt").read_text().split() == sorted(ids)


def test_a_training_goes_on(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = "{dim: 32, layers: 1, heads: 2, kv_heads: 2, hidden: 64}"
    (tmp_path / "small.yaml").write_text(
        f"{{model: {shape}, optimizer: {{lr: 1e-3}}, batch_rows: 32, lanes: 4, micro_rows: 32}}"
    )
    model = tmp_path / "model"
    words = [str(copy), "--output", str(model), "--preset", str(tmp_path / "small.yaml")]
    words += ["--set", "evaluation.rows=8"]
    assert main([*words, "--steps", "6"]) == 0
    ids = pages(copy)
    told = steps_told(str(model), ids, str(copy))
    first, last = map(int, re.findall(r" steps saw them, from step (\d+) to (\d+)", told)[0])
    assert 1 <= first <= last <= 6
    takedown.take_down(Run.open(str(copy)), Asked(domain=DOMAIN))
    capsys.readouterr()
    assert main([*words, "--steps", "12", "--extend"]) == 0
    assert "content_revision of the shards was 0, is 1" in capsys.readouterr().err
    log = metrics.read(model / "steps.jsonl")
    assert [line["step"] for line in log if line["kind"] == "step"] == list(range(1, 13))
    with pytest.raises(Problem, match=r"no steps\.jsonl"):
        steps_told(str(tmp_path), ids, str(copy))


def test_a_run_whose_raw_text_was_pruned(copy: Path) -> None:
    run = Run.open(str(copy))
    ids = pages(copy)
    pruned = gristmill("prune", str(copy), "--yes")
    assert pruned.returncode == 0, pruned.stderr
    done = takedown.take_down(run, Asked(domain=DOMAIN))
    assert done is not None
    assert done.documents == len(ids)
    assert done.tokens > 0
    assert Run.open(str(copy)).verify().faults == []


def test_inputs_that_grow_do_not_bring_it_back(tmp_path: Path, sample: Path) -> None:
    """Tasks that hold what was taken down are done anew, and reject it."""
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    names = sorted(path.name for path in sample.glob("*.warc.gz"))
    for name in names[:2]:
        shutil.copy(sample / name, crawl / name)
    value: dict[str, Any] = {
        "inputs": [{"source": "web", "root": str(crawl), "files": ["*.warc.gz"]}],
        "extract": {"engine": "resiliparse"},
        "filter": {"chain": [{"rules": "gopher_quality"}]},
        "splits": {"bytes": 1 << 18, "part_bytes": 20_000},
    }
    parent = Run.create(resolve("grows", value, tmp_path), str(tmp_path / "parent"))
    parent.go(until="filter")
    ids = pages(tmp_path / "parent")
    takedown.take_down(parent, Asked(domain=DOMAIN))
    assert parent.verify().faults == []
    shutil.copy(sample / names[2], crawl / names[2])
    value["parent"] = str(tmp_path / "parent")
    child = Run.create(resolve("grows", value, tmp_path), str(tmp_path / "child"))
    child.go(until="filter")
    assert child.ledger["extract"]["rejected"][takedowns.REASON] == len(ids)
    kept = {id_ for b in child.documents("extract", ["id"]) for id_ in b["id"].to_pylist()}
    assert not kept & ids.keys()
    assert child.verify().faults == []
