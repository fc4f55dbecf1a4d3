"""`gristmill filter`, as a person uses it."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.chain import Chain
from curation.rules import load_chain
from pipelines.commands.filtering import Filtering, chain_of, languages_of
from pipelines.runs.events import ignore
from pipelines.runs.inputs import Rows, inputs_of
from pipelines.runs.rows import batches
from schemas.problems import Problem
from tests.curation.judging import judge
from tests.runs import REPOSITORY, gristmill

ENGLISH = "The miller opens the sluice before dawn and lets the water run over the old wheel.\n"
BOKMAL = "Alle mennesker er født frie og med samme menneskeverd og menneskerettigheter."
ROWS = [
    {"id": "a", "text": "Home\n" + ENGLISH * 12, "language": "en", "language_score": 0.97},
    {"id": 17, "text": "word " * 60, "language": "eng_Latn", "language_score": 0.9},
    {"id": "c", "text": "", "language": "de", "language_score": 0.5},
    {"id": "d"},
]


def texts(folder: Path, rows=ROWS) -> str:
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def judged_by(chain: Chain, path: str, id: str = "id", **options):  # noqa: A002
    """Each text with the chain's judgement, and what became of all."""
    judged = Filtering(chain, **options)
    inputs = inputs_of([path], {"columns": Rows(id=id)})
    every = batches(inputs, lambda row: None, ignore)
    return [found for batch in every for found in judged(batch)], judged


def test_rows_are_those_of_the_chain(tmp_path):
    out = tmp_path / "out.parquet"
    result = gristmill("filter", "--rules", "fineweb", texts(tmp_path), "--output", str(out))
    assert result.returncode == 0, result.stderr
    rows = pq.read_table(out).to_pylist()
    chain = Chain(load_chain("fineweb", Path()))
    assert [row["id"] for row in rows] == ["a", "17", "c"]
    for row, given, language in zip(rows, ROWS, ("en", "en", "de"), strict=False):
        outcome = judge(chain, given["text"], language, given["language_score"])
        assert (row["language"], row["language_score"]) == (language, given["language_score"])
        assert row["kept"] is outcome.kept
        assert row["reasons"] == outcome.reasons
        assert row["text"] == outcome.text
        assert {name: row[name] for name in chain.signals} == outcome.signals
    assert rows[0]["text"].startswith("The miller")
    assert "3 documents, 0 kept" in result.stderr
    assert "1 records hold no text: damaged_no_text" in result.stderr
    assert "the language of 3 is what their rows say" in result.stderr


def test_the_model_names_the_language_only_if_the_rules_need_it(tmp_path):
    unnamed = texts(tmp_path, [{"id": "a", "text": ENGLISH}])
    for rules, named in (("fineweb2", 1), ("c4_code", 1), ("gopher", 0)):
        ((each, _),), judged = judged_by(chain_of(rules), unnamed)
        assert each.language == ("en" if named else None)
        assert judged.named["is named by lid.176.ftz"] == named


def test_a_score_is_asked_for_only_if_one_must_be_exceeded(tmp_path):
    unscored = texts(tmp_path, [{"id": "a", "text": ENGLISH, "language": "de"}])
    ((each, _),), _ = judged_by(chain_of("fineweb2"), unscored)
    assert (each.language, each.score) == ("de", None)
    ((each, _),), _ = judged_by(chain_of("c4_code"), unscored)
    assert each.language == "en"
    assert each.score is not None


def test_codes_are_those_of_the_chain(tmp_path):
    path = texts(tmp_path, [{"text": "x", "language": "deu_Latn", "language_score": 0.9}])
    for asked, kept in (("de", True), ("deu_Latn", True), ("en", False)):
        chain = chain_of("mc4", languages={asked: 0.5})
        ((_, outcome),), _ = judged_by(chain, path)
        assert ("language" not in outcome.reasons) is kept


def test_the_model_is_chosen(tmp_path):
    zulu = "Bonke abantu bazalwa bekhululekile belingana ngesithunzi nangamalungelo."
    path = texts(tmp_path, [{"text": zulu}, {"text": BOKMAL}])
    chain = chain_of("mc4", languages={"zul": 0.5, "nb": 0.5})
    found, judged = judged_by(chain, path, model="both")
    assert [each.language for each, _ in found] == ["zul", "nb"]
    assert judged.named["is named by lid.176.ftz and lid.75.ftz"] == 2
    with pytest.raises(Problem, match=r"model lid\.176: names no language `zul`"):
        judged_by(chain, path)
    # what lid.176 calls Norwegian is Bokmål
    (_, norwegian), _ = judged_by(chain_of("mc4", languages={"nb": 0.5}), path)
    assert (norwegian[0].language, norwegian[1].reasons) == ("nb", ["too_few_paragraphs"])
    result = gristmill("filter", "--rules", "fineweb", path, "--output", "-", "--model", "no.bin")
    assert result.returncode == 2
    assert "no.bin" in result.stderr


def test_what_was_not_measured_is_told(tmp_path):
    path = texts(tmp_path)
    assert "not measured" not in judged_by(chain_of("gopher"), path)[1].summary({})
    found, judged = judged_by(chain_of("gopher", exhaustive=False), path)
    assert judged.partly == sum(None in outcome.signals.values() for _, outcome in found) == 3
    assert "3 were not measured to the end" in judged.summary({})


def test_a_column_for_ids_that_is_named_must_be_there(tmp_path):
    path = tmp_path / "texts.parquet"
    pq.write_table(pa.table({"text": ["x"]}), path)
    assert judged_by(chain_of("mc4"), str(path))[1].texts == 1
    with pytest.raises(Problem, match="no column `docid`"):
        judged_by(chain_of("mc4"), str(path), id="docid")


def test_through_pipes_and_not_exhaustive(tmp_path):
    rows = Path(texts(tmp_path)).read_text()
    words = ["filter", "--rules", "gopher", "-", "--output", "-", "--no-exhaustive", "--quiet"]
    result = subprocess.run(
        [sys.executable, "-m", "pipelines.commands.main", *words],
        input=rows, capture_output=True, text=True, cwd=REPOSITORY, check=True,
    )  # fmt: skip
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["id"] for row in found] == ["a", "17", "c"]
    assert result.stderr == ""
    empty = found[2]
    assert empty["reasons"] == ["empty"]
    assert empty["gopher.words"] is None
    assert empty["gopher_repetition.characters"] == 0


def test_rules_by_source_ask_for_one(tmp_path):
    (tmp_path / "chain.yaml").write_text(
        "chain:\n  - {rules: gopher_quality, sources: [news]}\n  - {rules: mc4}\n"
    )
    chain = chain_of(str(tmp_path / "chain.yaml"))
    rows = [{"id": "a", "text": "few", "source": "web"}, {"id": "b", "text": "few"}]
    path = texts(tmp_path, rows[:1])
    assert judged_by(chain, path)[1].failing == {"too_few_paragraphs": 1}
    assert judged_by(chain, path, source="news")[1].failing["gopher_short_doc"] == 1
    with pytest.raises(Problem, match="b: the rules are limited to sources"):
        judged_by(chain, texts(tmp_path, rows))


def test_languages_are_replaced(tmp_path):
    assert languages_of("en=.65,de") == {"en": 0.65, "de": 0}
    assert languages_of("any") == {}
    with pytest.raises(Problem, match=r"en=x: write"):
        languages_of("en=x")
    assert chain_of("fineweb", languages={}).needs == frozenset()
    with pytest.raises(Problem, match=r"languages\.English"):
        chain_of("fineweb", languages={"English": 0.5})


def test_what_is_wrong_is_told(tmp_path):
    result = gristmill("filter", "--rules", "finweb", texts(tmp_path), "--output", "-")
    assert result.returncode == 2
    assert "did you mean `fineweb`" in result.stderr
    (tmp_path / "own.yaml").write_text(
        "name: own\nrules: [{signal: gopher.wrods, operator: '>', threshold: 1, reason: x}]\n"
    )
    result = gristmill(
        "filter", "--rules", str(tmp_path / "own.yaml"), texts(tmp_path), "--output", "-"
    )
    assert result.returncode == 2
    assert "did you mean `words`" in result.stderr


def test_parquet_in_gives_what_jsonl_gives(tmp_path):
    path = tmp_path / "texts.parquet"
    pq.write_table(pa.Table.from_pylist([{**row, "id": str(row["id"])} for row in ROWS]), path)
    outs = [tmp_path / name for name in ("one.jsonl", "other.jsonl")]
    for source, out in zip((texts(tmp_path), str(path)), outs, strict=True):
        result = gristmill("filter", "--rules", "dclm", source, "--output", str(out), "--quiet")
        assert (result.returncode, result.stderr) == (0, "")
    one, other = (out.read_text() for out in outs)
    assert one == other != ""


def test_other_columns_and_what_is_rejected(tmp_path):
    """A row keeps all of its columns; with a file for what is rejected only the others go on."""
    rows = [
        {"content": "few words", "id": "short", "tags": ["a"], "score": 1, "url": "https://e/"},
        {"content": ENGLISH * 12, "id": "long", "tags": [], "score": 0.5, "about": {"by": "me"}},
        {"id": "none"},
    ]
    path, lost = texts(tmp_path, rows), tmp_path / "lost.jsonl"
    words = ["--rules", "gopher_quality", "--columns", "text=content"]
    all_ = gristmill("filter", path, *words, "--output", "-", "--quiet")
    short, long = map(json.loads, all_.stdout.splitlines())
    assert (short["kept"], short["tags"], short["score"]) == (False, ["a"], 1)
    assert "content" not in short
    assert long["about"] == {"by": "me"}
    out = tmp_path / "kept.parquet"
    result = gristmill("filter", path, *words, "--output", str(out), "--rejected", str(lost))
    assert result.returncode == 0, result.stderr
    (row,) = pq.read_table(out).to_pylist()
    assert {name: row[name] for name in ("id", "text", "tags", "score", "about")} == {
        "id": "long", "text": ENGLISH * 12, "tags": [], "score": 0.5, "about": {"by": "me"},
    }  # fmt: skip
    rejected = [json.loads(line) for line in lost.read_text().splitlines()]
    assert [(row["id"], row["stage"], row["reason"]) for row in rejected] == [
        ("texts.jsonl:" + str(rejected[0]["offset"]), "read", "damaged_no_text"),
        ("short", "filter", "gopher_short_doc"),
    ]
    assert rejected[1]["url"] == "https://e/"
    assert rejected[1]["detail"] == "gopher_enough_stop_words"
    # a column that is a number here and a text there is no column of Parquet
    mixed = texts(tmp_path, [{"text": "a", "x": 1}, {"text": "b", "x": "one"}])
    result = gristmill("filter", "--rules", "mc4", mixed, "--output", str(out))
    assert (result.returncode, "write JSON lines" in result.stderr) == (2, True)
