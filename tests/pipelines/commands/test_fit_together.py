"""Commands take each other's rows, and refuse what decides nothing."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.commands.main import told
from pipelines.runs.inputs import input_at
from pipelines.runs.splits import plan_splits
from schemas.inputs import Input
from schemas.problems import Problem
from schemas.recipe import Recipe
from tests.conftest import REPOSITORY
from tests.runs import DEMO, gristmill

SENTENCE = "The miller opens the sluice before dawn and lets the water run over the wheel. "
ROWS = [
    {"id": "long", "text": SENTENCE * 9, "topic": "mills", "grade": "good"},
    {"id": "short", "text": "Grind!", "topic": "stones", "grade": "bad"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def texts(tmp_path: Path) -> str:
    return write(tmp_path / "texts.jsonl", ROWS)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def piped(data: bytes, *words: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "pipelines.commands.main", *words]
    return subprocess.run(command, input=data, capture_output=True, cwd=REPOSITORY)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["filter", "--rules", "mc4", "--id", "nope"], "--id nope: no row has such a column"),
        (["redact", "--id", "nope"], "--id nope: no row has such a column"),
        (["dedup", "--id", "nope"], "--id nope: no row has such a column"),
        (["filter", "--rules", "mc4", "--model", "both"], "--model both: these rules need no lang"),
        (
            ["language", "--threshold", "xyz=.2"],
            "--threshold xyz: the model names no such language",
        ),
        (["language", "--threshold", "xx=.2"], "names no such language"),
        (
            ["language", "--expected", "nope"],
            "--expected nope: no row has a language in such a column",
        ),
        (["dedup", "--prefer", "wiki"], "--prefer wiki: no input is called so; there are in0"),
        (
            ["redact", "--columns", "text=text,url=topic"],
            "--columns text=text,url=topic: `url` dec",
        ),
        (["dedup", "--columns", "title=topic"], "`title` decides nothing here"),
        (["redact", "--seed", "3"], "--seed is of --policy fake"),
        (["redact", "--keep-text", "--policy", "hash"], "--keep-text replaces nothing"),
    ],
)
def test_an_option_that_decides_nothing_is_refused(
    texts: str, tmp_path: Path, words: list[str], said: str
) -> None:
    out = tmp_path / "out.jsonl"
    result = gristmill(words[0], texts, *words[1:], "--output", str(out))
    assert (result.returncode, said in result.stderr) == (2, True), result.stderr
    assert not out.exists()


def test_options_that_decide_something_are_not(texts: str, tmp_path: Path) -> None:
    for words in (
        ["language", texts, "--threshold", "eng=.2", "--threshold", ".5", "--id", "topic"],
        ["dedup", f"wiki={texts}", "--prefer", "wiki"],
        ["redact", texts, "--seed", "3", "--policy", "fake"],
        ["filter", texts, "--rules", "fineweb", "--model", "both"],
        ["dedup", texts, "--columns", "text=text,url=topic", "--url", "best"],
        ["filter", texts, "--rules", "mc4", "--columns", "fineweb"],
    ):
        result = gristmill(*words, "--output", str(tmp_path / "out.jsonl"))
        assert result.returncode == 0, result.stderr


RECIPE = """
name: own
inputs:
  - source: notes
    root: .
    files: [texts.jsonl]
    columns: {keep: {topic: string}}
filter:
  chain:
    - rules:
        name: of_mills
        rules: [{signal: column.topic, operator: ==, threshold: mills, reason: other_topic}]
"""


def test_filter_takes_a_recipe(texts: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(RECIPE)
    words = ("filter", "--recipe", str(tmp_path / "own.yaml"), texts, "--output", "-")
    long, short = lines(gristmill(*words).stdout)
    assert (long["kept"], short["kept"]) == (True, False)
    assert (short["reasons"], short["column.topic"]) == (["other_topic"], "stones")
    # the chain of a bundled recipe is that of its rules
    bundled = gristmill("filter", "--recipe", "gopher", texts, "--output", "-", "--quiet")
    chain = gristmill("filter", "--rules", "gopher", texts, "--output", "-", "--quiet")
    assert [row["reasons"] for row in lines(bundled.stdout)] == [
        row["reasons"] for row in lines(chain.stdout)
    ]
    both = gristmill(*words, "--rules", "gopher")
    assert both.returncode == 2
    wrong = gristmill("filter", "--rules", str(DEMO), texts, "--output", "-")
    assert wrong.returncode == 2
    assert "is a recipe" in wrong.stderr


@pytest.mark.parametrize("kind", ["jsonl", "warc", "html"])
def test_extract_reads_standard_input(kind: str, texts: str, sample: Path) -> None:
    page = f"<html><body><article><p>{SENTENCE * 5}</p></article></body></html>"
    data = {
        "jsonl": Path(texts).read_bytes(),
        "warc": (sample / "web-00000.warc.gz").read_bytes(),
        "html": page.encode(),
    }[kind]
    result = piped(data, "extract", "-", "--output", "-")
    assert result.returncode == 0, result.stderr
    rows = lines(result.stdout.decode())
    assert (len(rows) > 10) if kind == "warc" else (len(rows) == {"jsonl": 2, "html": 1}[kind])
    assert all(SENTENCE[:40] in row["text"] for row in rows[:1] if kind != "warc")


def test_a_warc_hides_no_rows(texts: str, sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.copy(texts, folder)
    (folder / "empty.warc").write_bytes(b"")
    result = gristmill("filter", "--rules", "mc4", str(folder), "--output", "-")
    assert [row["id"] for row in lines(result.stdout)] == ["long", "short"]
    shutil.copy(sample / "web-00000.warc.gz", folder)
    (folder / "empty.warc").unlink()
    said = "is read for its WARC files; not texts.jsonl"
    for words in (
        ["extract", str(folder), "--output", str(tmp_path / "out.jsonl")],
        [
            *("run", "fineweb", "--input", f"web={folder}", "--output", str(tmp_path / "run")),
            *("--until", "extract"),
        ],
    ):
        result = gristmill(*words)
        assert result.returncode == 0, result.stderr
        assert said in result.stderr


def test_a_host_without_an_address_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, *_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    said = r"the name of the host no\.example cannot be resolved: Name or service not known"
    with pytest.raises(Problem, match=said):
        input_at("https://no.example/crawl/a.warc.gz")
    recipe = Recipe(
        name="x", inputs=(Input(source="web", root="https://no.example/", files=("a",)),)
    )
    with pytest.raises(Problem, match=said) as problem:
        plan_splits(recipe)
    assert "https://no.example/" in told(problem.value)


def test_what_each_command_does_not_keep_goes_to_a_file(texts: str, tmp_path: Path) -> None:
    items = write(
        tmp_path / "quiz.jsonl",
        [{"id": "one", "question": "Which gas do green plants take from the air by day, and why?"}],
    )
    index = str(tmp_path / "tests.index")
    assert gristmill("decontaminate", "index", items, "--output", index).returncode == 0
    whole = [*ROWS, {"id": "quiz", "text": json.loads(Path(items).read_text())["question"]}]
    mixed = write(tmp_path / "mixed.jsonl", [*whole, {"id": "none"}])  # type: ignore[list-item]
    lost = tmp_path / "lost.jsonl"
    for words, stage, ids in (
        (["filter", "--rules", "mc4"], "filter", {"long", "short", "quiz"}),
        (["language", "--threshold", "de=.5"], "language", {"long", "short", "quiz"}),
        (["decontaminate", "scan", "--index", index], "decontaminate", {"quiz"}),
    ):
        result = gristmill(*words, mixed, "--output", "-", "--rejected", str(lost))
        assert result.returncode == 0, result.stderr
        rejected = lines(lost.read_text())
        assert {row["id"] for row in rejected if row["stage"] == stage} == ids
        assert [row["reason"] for row in rejected if row["stage"] == "read"] == ["damaged_no_text"]
        assert {row["id"] for row in lines(result.stdout)} == {"long", "short", "quiz"} - ids
        assert f"{len(ids):>12,} contaminated" in result.stderr or stage != "decontaminate"


def test_a_classifier_is_fitted_on_a_column_of_labels(tmp_path: Path) -> None:
    forms = {"good": "The miller grinds {} slowly with stones.", "bad": "Buy {} now, cheap!!!"}
    rows = [
        {"text": forms[label].format(f"thing {number}"), "meta": {"grade": label}}
        for number in range(40)
        for label in ("bad", "good")
    ]
    path = write(tmp_path / "all.jsonl", [*rows, {"text": "Without a label."}])  # type: ignore[list-item]
    for label in forms:
        own = [row for row in rows if row["meta"]["grade"] == label]  # type: ignore[index]
        write(tmp_path / f"{label}.jsonl", own)
    common = ("--kept", "1000", "--epochs", "10")
    column = ("--set", path, "--labels", "meta.grade")
    one, other = tmp_path / "one.ftz", tmp_path / "other.ftz"
    done = gristmill("classifier", "fit", *column, "--label", "good", "--output", str(one), *common)
    assert done.returncode == 0, done.stderr
    sets = [word for name in forms for word in ("--set", f"{name}={tmp_path / name}.jsonl")]
    assert gristmill("classifier", "fit", *sets, "--output", str(other), *common).returncode == 0
    assert one.read_bytes() == other.read_bytes()
    card = json.loads(one.with_suffix(".json").read_text())
    assert card["label"] == "good"
    assert {each["label"]: each["texts"] for each in card["data"]} == {"good": 40, "bad": 40}
    by_column = gristmill("classifier", "evaluate", str(one), *column)
    by_set = gristmill("classifier", "evaluate", str(one), *sets)
    figures = [json.loads(each.stdout) for each in (by_column, by_set)]
    for each in figures:
        del each["data"]
    assert figures[0] == figures[1]
    for words, said in (
        ((*column, "--label", "best"), "give one of bad, good"),
        ((*sets, "--label", "good"), "the set named first scores high"),
        ((*sets, "--pool", path), "nothing is a share of it"),
        (("--set", path, "--labels", "grade", "--label", "good"), "--labels grade: no row has a"),
    ):
        wrong = gristmill("classifier", "fit", *words, "--output", str(one), *common)
        assert (wrong.returncode, said in wrong.stderr) == (2, True), wrong.stderr


def test_scores_without_a_threshold_reach_none(tmp_path: Path, texts: str) -> None:
    words = ("classifier", "score", "bad_words:en", texts, "--output", "-")
    result = gristmill(*words)
    assert result.returncode == 0, result.stderr
    assert "reach the threshold" not in result.stderr
    assert "2 of them reach the threshold" in gristmill(*words, "--threshold", "0").stderr
