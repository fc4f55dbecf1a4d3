"""`gristmill extract` on real files, as a person uses it."""

import io
import json

import pyarrow.parquet as pq
import pytest

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
    assert beside == f"{SAMPLE}: read for its WARC files; not README.md, sample.gold.jsonl.gz"
    assert told.startswith("315 records\n")
    assert f"{len(pages):,} written" in told
    reasons = {row["reason"] for row in lost}
    assert reasons >= {"not_a_page", "status", "content_type", "damaged_corrupt_gzip"}
    places = {(*row["origin"].values(),) for row in pages + lost}
    assert len(places) == 315


def test_a_row_says_where_it_is_from_and_what_its_page_declares(extracted):
    pages, _, _ = extracted
    url = "https://flowfx.de/blog/copy-paste-from-tmux-to-system-clipboard/"
    (row,) = [row for row in pages if row["url"] == url]
    assert list(row) == ["url", "text", "metadata", "engine", "origin"]
    assert "tmux" in row["text"]
    assert row["engine"] == "blocks"
    about = row["metadata"]
    assert about["title"] == "Copy & paste from tmux to system clipboard"
    assert about["published"] == "2020-01-16"
    assert (about["charset"], about["page_bytes"], about["flaw"]) == ("utf-8", 8157, None)
    file = SAMPLE / row["origin"]["file"].rpartition("/")[2]
    with file.open("rb") as stream:
        stream.seek(row["origin"]["offset"])
        assert stream.read(row["origin"]["length"]).startswith(b"\x1f\x8b")


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
    assert [row["origin"] for row in stored] == [row["origin"] for row in pages]
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


def test_a_folder_costs_only_what_cannot_be_read(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "notes.md").write_text("# Notes\n")
    (folder / "package.json").write_text('{"name": "mill"}')
    out, lost = tmp_path / "out.jsonl", tmp_path / "lost.jsonl"
    words = ("--output", str(out), "--rejected", str(lost))
    result = gristmill("extract", str(folder), *words)
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith(f"not read: {folder}/package.json: no text in the column")
    assert [row["text"] for row in lines(out)] == ["# Notes\n"]
    ((reason, file),) = [(row["reason"], row["origin"]["file"]) for row in lines(lost)]
    assert (reason, file) == ("damaged_unreadable", f"{folder}/package.json")
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
    assert (row["engine"], row["url"], row["metadata"]["title"]) == (
        *("blocks", "https://h.example/1"),
        "The Wheel",
    )
    for command in ("language", "dedup"):
        result = gristmill(command, str(source), "--columns", "html=html", "--output", str(out))
        assert result.returncode == 2
        assert "only `extract` reads HTML" in result.stderr


def test_rows_can_be_traced(tmp_path):
    """A byte of the text that a `.jsonl.gz` inflates to; a row and its row group in Parquet."""
    rows = [{"text": f"Text {number}."} for number in range(5)]
    plain = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    packed, table, out = (tmp_path / name for name in ("a.jsonl.gz", "a.parquet", "out.jsonl"))
    packed.write_bytes(gzip.compress(plain))
    pq.write_table(pa.Table.from_pylist(rows), table, row_group_size=2)
    gristmill("extract", str(packed), "--output", str(out))
    for row in lines(out):
        place = row["origin"]
        assert place["offset_kind"] == "inflated"
        found = plain[place["offset"] :][: place["length"]]
        assert json.loads(found)["text"] == row["text"]
    gristmill("extract", str(table), "--output", str(out))
    places = [row["origin"] for row in lines(out)]
    assert [(place["offset"], place["row_group"]) for place in places] == [
        (number, number // 2) for number in range(5)
    ]
