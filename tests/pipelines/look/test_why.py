"""`gristmill why`: what became of every record of a real run."""

import json
from collections import Counter
from pathlib import Path

import pytest

from pipelines.look import why
from pipelines.run import Run
from pipelines.runs import index
from schemas.problems import Problem
from tests.runs import gristmill

URL = "https://directory.libsyn.com/categories/inspect/id/62"


@pytest.fixture(scope="module")
def run(finished: Path) -> Run:
    """The run of the demo."""
    return Run.open(str(finished))


@pytest.fixture(scope="module")
def every(run: Run) -> list[why.Story]:
    """The stories of all records."""
    tables = [*run.rejections("extract"), *run.documents("extract", ["id"])]
    ids = [id_ for table in tables for id_ in table["id"].to_pylist()]
    return [why.story(run, id_, part) for id_, part in index.places(run.context, ids).items()]


def test_the_stories_of_all_records_are_the_ledger(run: Run, every: list[why.Story]) -> None:
    assert len(every) == run.ledger["extract"]["records"]
    for stage, counts in run.ledger.items():
        rejected = [told.rejected for told in every if told.rejected]
        own = Counter(row["reason"] for row in rejected if row["stage"] == stage)
        assert own == counts["rejected"], stage
    kept = [told for told in every if not told.rejected]
    assert len(kept) == run.ledger["mix"]["kept"]
    assert all(told.rows and told.curated for told in kept)


def test_verdicts_are_the_reasons(every: list[why.Story]) -> None:
    for told in every:
        if told.filter:
            failed = [each.reason for each in told.filter.verdicts if each.result == "failed"]
            assert failed == told.filter.reasons
            assert told.filter.kept == (not failed)
            for each in told.filter.verdicts:
                assert each.result in ("passed", "failed")


def test_a_duplicate_names_its_representative(run: Run, every: list[why.Story]) -> None:
    by_id = {told.id: told for told in every}
    dropped = [told for told in every if told.rejected and told.rejected["stage"] == "deduplicate"]
    kept_for = Counter(told.cluster["representative"] for told in dropped if told.cluster)
    assert kept_for
    for id_, count in kept_for.items():
        assert by_id[id_].cluster == {"dropped": count}
    assert sum(bool(told.cluster) for told in every) == len(dropped) + len(kept_for)


def test_rejections_by_a_reader_have_their_place(every: list[why.Story]) -> None:
    (damaged,) = [t for t in every if t.rejected and t.rejected["reason"].startswith("damaged")]
    assert damaged.place["file"].endswith(".warc.gz")
    assert damaged.place["offset"] > 0
    assert f"{damaged.place['offset']:,}" in why.tell(damaged)


def test_texts_and_originals(run: Run, every: list[why.Story]) -> None:
    curated = {
        row["id"]: row["text"] for b in run.documents("curate") for row in b.to_pylist()
    }  # fmt: skip
    filtered = {row["id"]: row["text"] for b in run.documents("filter") for row in b.to_pylist()}
    for told in every:
        if told.curated:
            assert why.text_of(run, told) == curated[told.id]
        elif told.filter and told.filter.kept:
            assert why.text_of(run, told) == filtered[told.id]
        elif not told.extracted:
            with pytest.raises(Problem, match="no text was extracted"):
                why.text_of(run, told)
    (page,) = [told for told in why.stories(run, URL) if told.extracted]
    assert b"Libsyn Directory" in why.original(run, page)
    (damaged,) = [t for t in every if t.rejected and t.rejected["reason"].startswith("damaged")]
    with pytest.raises(Problem, match="cannot be read"):
        why.original(run, damaged)


def test_urls_are_found_however_they_are_spelled(run: Run) -> None:
    ids = [told.id for told in why.stories(run, URL)]
    assert len(ids) == 3  # the request, the page and what was noted of it
    spelled = "HTTPS://Directory.LibSyn.com:443/categories/./inspect/id/62?utm_source=x#top"
    assert [told.id for told in why.stories(run, spelled)] == ids
    with pytest.raises(Problem, match="no record is of this URL"):
        next(why.stories(run, "https://nowhere.example/"))
    with pytest.raises(Problem, match="no record has this id"):
        next(why.stories(run, "0" * 32))


def test_the_command(finished: Path) -> None:
    result = gristmill("why", str(finished), URL)
    assert result.returncode == 0, result.stderr
    assert "gopher.words >= 50" in result.stdout
    assert "train row" in result.stdout
    lines = gristmill("why", str(finished), URL, "--json").stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert sum(each["filter"] is not None for each in told) == 1
    missing = gristmill("why", str(finished), "f" * 32)
    assert (missing.returncode, missing.stdout) == (2, "")


def test_nothing_in_a_story_does_anything_to_a_terminal(every: list[why.Story]) -> None:
    (told, *_) = [told for told in every if told.extracted]
    extracted = {**told.extracted, "title": "\x1b]0;owned\x07\u202eevil"}
    shown = why.tell(why.Story(**{**vars(told), "extracted": extracted}))
    assert "⟨U+001B⟩]0;owned" in shown
    assert not set(shown) & {"\x1b", "\x07", "\u202e"}
