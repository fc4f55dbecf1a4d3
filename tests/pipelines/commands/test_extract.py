"""`gristmill extract` on real files, as a person uses it."""

import gzip
import io
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.tables import DOCUMENT, REJECTION
from tests.runs import REPOSITORY, gristmill

SAMPLE = REPOSITORY / "tests" / "data" / "sample"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """The sample's pages and losses, by the default engine."""
    folder = tmp_path_factory.mktemp("extracted")
    pages, lost = folder / "pages.jsonl", folder / "lost.jsonl"
    result = gristmill("extract", str(SAMPLE), "--output", str(pages), "--rejected", str(lost))
    assert result.returncode == 0, result.stderr
    return lines(pages), lines(lost), result.stderr


def test_every_record_ends_in_one_of_the_two_files(extracted):
    pages, lost, told = extracted
    assert len(pages) + len(lost) == 315
    beside, told = told.split("\n", 1)
    assert beside == (
        f"warning: {SAMPLE}: is read for its WARC files; not README.md, sample.gold.jsonl.gz: "
        "name files or a pattern to read them"
    )
    assert told.startswith("315 records\n")
    assert f"{len(pages):,} written" in told
    reasons = {row["reason"] for row in lost}
    assert reasons >= {"not_a_page", "status", "content_type", "damaged_corrupt_gzip"}
    assert all(list(row) == REJECTION.names for row in lost)
    # an id is of a source, a file and a place in it
    assert len({row["id"] for row in pages + lost}) == 315
    assert {(len(row["id"]), row["source"]) for row in pages + lost} == {(32, "in0")}
    places = [(row["file"], row["offset"]) for row in pages]
    assert places == sorted(places)


def test_a_row_says_where_it_is_from_and_what_its_page_declares(extracted):
    pages, _, _ = extracted
    url = "https://flowfx.de/blog/copy-paste-from-tmux-to-system-clipboard/"
    (row,) = [row for row in pages if row["url"] == url]
    assert list(row) == DOCUMENT.names
    assert "tmux" in row["text"]
    assert row["engine"] == "blocks"
    assert row["title"] == "Copy & paste from tmux to system clipboard"
    assert row["published"] == "2020-01-16"
    assert (row["charset"], row["page_bytes"], row["flaw"]) == ("utf-8", 8157, None)
    # nobody asked for its language
    assert row["language"] is row["language_score"] is None
    with (SAMPLE / row["file"]).open("rb") as stream:
        stream.seek(row["offset"])
        assert stream.read(row["length"]).startswith(b"\x1f\x8b")


def test_the_structure_of_markdown():
    page = REPOSITORY / "tests" / "data" / "pages" / "05_table.html"
    for flags, row in (
        ([], "Tuesday |  | closed"),
        (["--structure", "markdown"], "| Day | Opens | Closes |\n| --- | --- | --- |\n| Monday |"),
    ):
        result = gristmill("extract", str(page), *flags, "--output", "-")
        assert row in json.loads(result.stdout)["text"], result.stderr


def test_parquet_and_standard_output_hold_the_same(extracted, tmp_path):
    pages, _, _ = extracted
    table = tmp_path / "pages.parquet"
    result = gristmill("extract", str(SAMPLE), "--output", str(table), "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    stored = pq.read_table(table).to_pylist()
    assert [row["text"] for row in stored] == [row["text"] for row in pages]
    assert [row["id"] for row in stored] == [row["id"] for row in pages]
    piped = gristmill("extract", f"{SAMPLE}/*-00000.warc.gz", "--output", "-", "--workers", "2")
    rows = [json.loads(line) for line in io.StringIO(piped.stdout)]
    assert rows == pages[: len(rows)]


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse"])
def test_other_engines(engine, extracted, tmp_path):
    out = tmp_path / "out.jsonl.gz"
    words = ("extract", f"{SAMPLE}/*-00000.warc.gz", "--engine", engine, "--output", str(out))
    assert gristmill(*words).returncode == 0
    assert out.read_bytes().startswith(b"\x1f\x8b")


def test_rows_of_text_pass_through(tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"text": "A text.", "url": "https://e.example/"}\n{"other": 1}\n[]\n')
    out, lost = tmp_path / "out.jsonl", tmp_path / "lost.jsonl"
    words = ("--columns", "fineweb", "--rejected", str(lost))
    result = gristmill("extract", str(source), "--output", str(out), *words)
    assert result.returncode == 0, result.stderr
    (row,) = lines(out)
    assert (row["text"], row["url"], row["engine"]) == ("A text.", "https://e.example/", None)
    assert [row["reason"] for row in lines(lost)] == ["damaged_no_text", "damaged_bad_json"]


def test_columns_can_be_named(tmp_path):
    source, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"content": "A text.", "meta": {"link": "https://e.example/"}}\n')
    words = ("--columns", "text=content, url=meta.link", "--output", str(out), "--quiet")
    assert gristmill("extract", str(source), *words).stderr == ""
    ((text, url),) = [(row["text"], row["url"]) for row in lines(out)]
    assert (text, url) == ("A text.", "https://e.example/")
    for command in ("language", "dedup"):
        result = gristmill(command, str(source), "--columns", "text=content", "--output", str(out))
        assert result.stderr.splitlines()[-2].endswith("1 records"), result.stderr


def test_what_languages_are_asked_for_are_named(tmp_path):
    pages = [("a", "The miller opens the sluice before dawn."), ("b", "Der Müller geht zur Mühle.")]
    source, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for _, text in pages))
    words = ("--languages", "en,de", "--output", str(out), "--quiet")
    assert gristmill("extract", f"mine={source}", *words).returncode == 0
    rows = lines(out)
    assert [(row["source"], row["language"]) for row in rows] == [("mine", "en"), ("mine", "de")]
    assert all(0 < row["language_score"] <= 1 for row in rows)


def test_order_is_that_of_paths_names_and_records_for_any_workers(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    # files that are a document each are read together, and rows stand between them
    for name in "adg":
        (folder / f"{name}.txt").write_text(f"Text {name}.")
    for name in "bf":
        texts = [json.dumps({"text": f"Row {name} {number}."}) + "\n" for number in range(3)]
        (folder / f"{name}.jsonl").write_text("".join(texts))
    expected = ["Text a.", *(f"Row b {n}." for n in range(3)), "Text d."]
    expected += [*(f"Row f {n}." for n in range(3)), "Text g."]
    last = tmp_path / "0.txt"
    last.write_text("Last.")
    for workers in ("1", "2"):
        words = ("--output", "-", "--quiet", "--workers", workers)
        result = gristmill("extract", str(folder), str(last), *words)
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        assert [row["text"] for row in rows] == [*expected, "Last."], result.stderr


def test_standard_input_is_told_by_its_first_bytes(extracted):
    pages, _, _ = extracted
    command = [sys.executable, "-m", "pipelines.commands.main", "extract", "-", "--output", "-"]
    data = (SAMPLE / "web-00000.warc.gz").read_bytes()
    done = subprocess.run(command, input=data, capture_output=True, cwd=REPOSITORY, timeout=300)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == [row["text"] for row in pages[: len(rows)]]
    assert len(rows) > 20
    done = subprocess.run(command, input=b"What?", capture_output=True, cwd=REPOSITORY, timeout=300)
    assert done.returncode == 2
    assert b"neither its name nor its first bytes tell its format" in done.stderr


def test_a_folder_costs_only_what_cannot_be_read(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "notes.md").write_text("# Notes\n")
    (folder / "package.json").write_text('{"name": "mill"}')
    out, lost = tmp_path / "out.jsonl", tmp_path / "lost.jsonl"
    words = ("--output", str(out), "--rejected", str(lost))
    result = gristmill("extract", str(folder), *words)
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith(
        f"warning: {folder}/package.json: is not read: no text in the column"
    )
    assert [row["text"] for row in lines(out)] == ["# Notes\n"]
    ((reason, file),) = [(row["reason"], row["file"]) for row in lines(lost)]
    assert (reason, file) == ("damaged_unreadable", "package.json")
    assert gristmill("extract", f"{folder}/package.json", *words).returncode == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.warc",), "nowhere.warc: no such file or folder"),
        ((str(SAMPLE), "--output", "out.txt"), "out.txt: its name must end in .parquet"),
        ((str(SAMPLE), "--recipe", "nothing"), "nothing: no such recipe"),
        ((str(SAMPLE), "--format", "docx"), "invalid choice: 'docx'"),
        ((str(SAMPLE), "--languages", "english"), "extract.languages"),
        ((str(SAMPLE), "--languages", "en,xx"), "lid.176.ftz names no language `xx`"),
        (
            (str(SAMPLE), "--engine", "resiliparse", "--favor", "precision"),
            "gristmill: extract: `favor: precision`: the engine `resiliparse` cannot do it",
        ),
        ((str(SAMPLE), "--columns", "odd"), "--columns odd: not known; one of text, fineweb"),
        ((str(SAMPLE), "--columns", "body=b"), "or FIELD=COLUMN,... with the fields text, html"),
    ],
)
def test_mistakes_are_told(words, message, tmp_path):
    words = words if "--output" in words else (*words, "--output", str(tmp_path / "out.jsonl"))
    result = gristmill("extract", *words)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_rows_of_html_go_through_extraction(tmp_path, sample):
    source, out = sample.parent / "rows" / "html_column.jsonl", tmp_path / "out.jsonl"
    words = ("--columns", "html=html,url=url", "--output", str(out), "--quiet")
    assert gristmill("extract", str(source), *words).stderr == ""
    (row,) = lines(out)
    assert "and every grain is surely ground" in row["text"]
    assert (row["engine"], row["url"], row["title"]) == (
        *("blocks", "https://h.example/1"),
        "The Wheel",
    )
    for command in ("language", "dedup"):
        result = gristmill(command, str(source), "--columns", "html=html", "--output", str(out))
        assert result.returncode == 2
        assert "extract the text of HTML first" in result.stderr


def test_rows_can_be_traced(tmp_path):
    """A byte of the text that a `.jsonl.gz` inflates to; a row and its row group in Parquet."""
    rows = [{"text": f"Text {number}."} for number in range(5)]
    plain = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    packed, table, out = (tmp_path / name for name in ("a.jsonl.gz", "a.parquet", "out.jsonl"))
    packed.write_bytes(gzip.compress(plain))
    pq.write_table(pa.Table.from_pylist(rows), table, row_group_size=2)
    gristmill("extract", str(packed), "--output", str(out))
    for row in lines(out):
        assert row["offset_kind"] == "inflated"
        found = plain[row["offset"] :][: row["length"]]
        assert json.loads(found)["text"] == row["text"]
    gristmill("extract", str(table), "--output", str(out))
    assert [(row["offset"], row["row_group"]) for row in lines(out)] == [
        (number, number // 2) for number in range(5)
    ]
