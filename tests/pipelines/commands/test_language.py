"""`gristmill language`, as a person uses it."""

import json
import subprocess
import sys

import pyarrow.parquet as pq

from tests.runs import REPOSITORY, gristmill

ZULU = (
    "Bonke abantu bazalwa bekhululekile belingana ngesithunzi nangamalungelo. Bahlanganiswe "
    "wumcabango nangunembeza futhi kufanele baphathane ngomoya wobunye."
)
TEXTS = [
    {"id": "one", "text": "The grain goes in at the top and the flour comes out below."},
    {"id": "two", "text": "Alle menneske er fødde til fridom og med same menneskeverd."},
    {
        "id": "three",
        "text": f"{ZULU}\n\nAll human beings are born free.",
    },
    {"id": "four", "text": ""},
    {"other": "no text here"},
]


def source(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TEXTS))
    return str(path)


def test_rows_keep_their_ids(tmp_path):
    out = tmp_path / "languages.jsonl"
    result = gristmill("language", source(tmp_path), "--output", str(out), "--top", "2")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["id"], row["language"]) for row in rows] == [
        ("one", "en"),
        ("two", "nn"),
        ("three", "zu"),
        ("four", "und"),
    ]
    assert [len(row["runners_up"]) for row in rows] == [1, 1, 1, 0]
    assert all(row["passes"] is row["paragraphs"] is None for row in rows)
    assert "1 damaged_no_text" in result.stderr


def test_thresholds_paragraphs_and_parquet(tmp_path):
    out = tmp_path / "languages.parquet"
    words = ["--output", str(out), "--threshold", "eng=.5", "--paragraphs", "--quiet"]
    result = gristmill("language", source(tmp_path), *words)
    assert (result.returncode, result.stderr) == (0, "")
    rows = pq.read_table(out).to_pylist()
    assert [row["passes"] for row in rows] == [True, False, False, False]
    assert [each["language"] for each in rows[2]["paragraphs"]] == ["zu", "en"]
    start, end = rows[2]["paragraphs"][1]["start"], rows[2]["paragraphs"][1]["end"]
    assert TEXTS[2]["text"][start:end] == "All human beings are born free."


def test_a_pipe_and_lid_176_alone(tmp_path):
    command = [sys.executable, "-m", "pipelines.commands.main", "language", "-", "--output", "-"]
    done = subprocess.run(
        [*command, "--model", "lid.176", "--threshold", ".99"],
        input="".join(json.dumps(row) + "\n" for row in TEXTS[:3]),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=100,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["id"] for row in rows] == ["one", "two", "three"]
    assert rows[2]["language"] != "zu"
    assert [row["passes"] for row in rows] == [row["language_score"] > 0.99 for row in rows]


def test_accuracy_against_what_rows_say(tmp_path):
    said = ("eng_Latn", "nb", "zu", None)
    rows = [{**row, "lang": code} for row, code in zip(TEXTS, said, strict=False)]
    path = tmp_path / "said.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows * 2))
    words = ["--output", str(tmp_path / "out.jsonl"), "--quiet", "--expected", "lang"]
    result = gristmill("language", str(path), *words)
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines() == [
        "2 rows do not say theirs",
        "macro accuracy 0.667, 3 languages",
        "   0.500  40 to 79 characters: 4 texts",
        "   1.000  120 to 199 characters: 2 texts",
        "   0.000  nb: 2 texts",
        "   1.000  en: 2 texts",
        "   1.000  zu: 2 texts",
    ]
    result = gristmill("language", str(path), *words[:-1], "language")
    assert result.returncode == 2
    assert "--expected language: no row has a language in such a column" in result.stderr


def test_what_cannot_be_done(tmp_path):
    path = source(tmp_path)
    for words, message in (
        (["--threshold", "en=x"], "--threshold en=x: write .65 or LANGUAGE=.65"),
        (["--model", path], "not a fastText model"),
        (["--top", "0"], "--top 0: 1 or more"),
        (["--columns", "odd"], "--columns odd: not known"),
    ):
        result = gristmill("language", path, "--output", "-", *words)
        assert result.returncode == 2
        assert message in result.stderr
