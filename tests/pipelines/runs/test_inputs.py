"""What is read: files of every format by names, folders and patterns, and how they are cut."""

import gzip
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.readers import Record
from pipelines.runs import splits
from pipelines.runs.inputs import input_at, left_out
from pipelines.runs.receipts import task_bytes
from pipelines.runs.splits import plan_splits, read_split, unreadable
from schemas.inputs import Input, Splits
from schemas.problems import Problem
from schemas.recipe import Recipe

MIT = (
    "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy "
    "of this software"
)


@pytest.fixture
def folder(tmp_path):
    """A folder with a file of every kind."""
    (tmp_path / "code" / "deep").mkdir(parents=True)
    (tmp_path / "code" / "LICENSE").write_text(MIT)
    (tmp_path / "code" / "deep" / "mill.py").write_text("print('flour')\n")
    (tmp_path / "code" / "own.c").write_text("// SPDX-License-Identifier: BSD-2-Clause\nint a;\n")
    (tmp_path / "page.html").write_text("<html><body><p>A page.</p></body></html>")
    (tmp_path / "notes [1].txt").write_text("Some notes.\n")
    (tmp_path / "empty.warc.gz").write_bytes(b"")
    rows = [{"text": f"row {number}", "url": f"https://e.example/{number}"} for number in range(50)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(lines)
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=10)
    (tmp_path / "rows.csv").write_text("text,url\nsome text,https://e.example/\n")
    with zipfile.ZipFile(tmp_path / "pages.zip", "w") as archive:
        archive.writestr("in/a.html", "<html><body><p>In an archive.</p></body></html>")
    return tmp_path


def recipe(root, *files, size=1 << 20, **keys):
    item = Input(source="all", root=str(root), files=files, **keys)
    return Recipe(name="test", inputs=(item,), splits=Splits(bytes=size))


def read_all(recipe):
    return [each for task in plan_splits(recipe) for each in read_split(recipe, task)]


def test_every_format_is_told_by_name_or_look(folder):
    found = read_all(recipe(folder, "**/*"))
    kinds = {}
    for name, record in found:
        kinds.setdefault(name, []).append(getattr(record, "kind", None))
    assert {name: (kind[0], len(kind)) for name, kind in kinds.items()} == {
        "code/LICENSE": ("text", 1),
        "code/deep/mill.py": ("text", 1),
        "code/own.c": ("text", 1),
        "empty.warc.gz": ("truncated", 1),
        "notes [1].txt": ("text", 1),
        "packed.jsonl.gz": ("text", 50),
        "page.html": ("page", 1),
        "pages.zip": ("page", 1),
        "rows.csv": ("text", 1),
        "rows.jsonl": ("text", 50),
        "rows.parquet": ("text", 50),
    }


def test_code_has_the_licence_of_its_header_or_its_folder(folder):
    found = dict(read_all(recipe(folder, "code/**/*.py", "code/*.c")))
    assert found["code/deep/mill.py"].licence == "MIT"
    assert found["code/deep/mill.py"].language == "Python"
    assert found["code/own.c"].licence == "BSD-2-Clause"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet", "packed.jsonl.gz"])
def test_small_splits_give_each_row_once(folder, name):
    whole = read_all(recipe(folder, name))
    cut = recipe(folder, name, size=200)
    tasks = plan_splits(cut)
    assert len(tasks) == 1 if name.endswith(".gz") else len(tasks) > 5
    pieces = [each for task in tasks for each in read_split(cut, task)]
    assert [record.text for _, record in pieces] == [record.text for _, record in whole]


def test_files_that_are_one_document_share_tasks(tmp_path):
    for number in range(100):
        (tmp_path / f"{number:03}.txt").write_text("x" * 100)
    tasks = plan_splits(recipe(tmp_path, "*.txt", size=1000))
    assert [len(task.spec["ranges"]) for task in tasks] == [10] * 10
    assert len({task.key for task in tasks}) == 10


@pytest.mark.parametrize("name", ["rows.jsonl", "packed.jsonl.gz", "rows.parquet", "rows.csv"])
def test_small_files_of_rows_share_tasks(folder, tmp_path, name):
    data, many = (folder / name).read_bytes(), tmp_path / "many"
    many.mkdir()
    for number in range(30):
        (many / f"{number:02}-{name}").write_bytes(data)
    asked = recipe(many, "*", size=10 * len(data))
    tasks = plan_splits(asked)
    assert [len(task.spec["ranges"]) for task in tasks] == [10] * 3
    found = [each for task in tasks for each in read_split(asked, task)]
    assert len({(file, each.offset, each.inner) for file, each in found}) == len(found)
    assert len(found) == 30 * len(read_all(recipe(folder, name)))


def test_tiny_files_without_number_are_not_one_task(tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "_MOST_FILES", 16)
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text("x")
    sizes = [len(task.spec["ranges"]) for task in plan_splits(recipe(tmp_path, "*.txt"))]
    assert sizes == [16, 16, 8]


def test_a_small_corpus_has_tasks_for_many_workers():
    mebibyte = 1 << 20
    assert task_bytes(mebibyte // 2, 64 * mebibyte) == mebibyte
    assert task_bytes(640 * mebibyte, 64 * mebibyte) == 10 * mebibyte
    assert task_bytes(640 * mebibyte, 1000) == 1000
    assert task_bytes(1 << 50, 64 * mebibyte) == 64 * mebibyte


def test_columns_by_layout_and_by_name(folder):
    row = {"raw_content": "Some text.", "url": "https://e.example/", "date_download": "2023-01-02"}
    (folder / "rp.jsonl").write_text(json.dumps(row) + "\n")
    ((_, record),) = read_all(recipe(folder, "rp.jsonl", columns="redpajama_v2"))
    assert (record.text, record.url, record.crawled.year) == (*list(row.values())[:2], 2023)
    columns = {"text": "url", "title": "raw_content"}
    ((_, record),) = read_all(recipe(folder, "rp.jsonl", columns=columns))
    assert (record.text, record.title) == ("https://e.example/", "Some text.")
    with pytest.raises(Problem, match=r"rp.jsonl: no text in the column `text`; there are"):
        read_all(recipe(folder, "rp.jsonl"))


def test_a_format_can_be_said(folder):
    (folder / "data").write_text("plain words")
    with pytest.raises(Problem, match="neither its name nor its first bytes tell its format"):
        read_all(recipe(folder, "data"))
    ((_, record),) = read_all(recipe(folder, "data", format="text"))
    assert isinstance(record, Record)
    assert record.payload == b"plain words"


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("rows.jsonl", ["rows.jsonl"]),
        ("notes [1].txt", ["notes [1].txt"]),
        ("code/**/*.py", ["**/*.py"]),
        ("code", ["**/*"]),
        ("", ["**/*.warc.gz"]),
    ],
)
def test_what_a_path_at_the_prompt_means(folder, path, files):
    found = input_at(f"{folder}/{path}".rstrip("/"))
    assert found["files"] == files
    assert read_all(recipe(found["root"], *files))


def test_a_path_that_brings_nothing_is_told(folder):
    with pytest.raises(Problem, match="missing: no such file or folder"):
        input_at(f"{folder}/missing")
    (folder / "none").mkdir()
    with pytest.raises(Problem, match="none: holds no file"):
        input_at(f"{folder}/none")


@pytest.fixture
def mixed(tmp_path):
    """A folder of which two files can be read."""
    folder = tmp_path / "mixed"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config.txt").write_text("[core]")
    (folder / "mill.py").write_text("print('flour')\n")
    (folder / "page.html").write_text("<html><body><p>A page.</p></body></html>")
    (folder / "package.json").write_text('{"name": "mill"}')
    (folder / "table.csv").write_text("a,b\n1,2\n")
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "fake.warc.gz").write_bytes(gzip.compress(b"<html>"))
    (folder / "fifo.txt").symlink_to("nowhere")
    return folder


def test_a_file_that_cannot_be_read_costs_itself(mixed):
    whole = recipe(mixed, "**/*")
    found = read_all(whole)
    assert [name for name, record in found if isinstance(record, Record)] == [
        "mill.py",
        "page.html",
    ]
    lost = {name: record for name, record in found if not isinstance(record, Record)}
    assert {name: record.kind for name, record in lost.items()} == dict.fromkeys(
        ("fake.warc.gz", "image.png", "package.json", "table.csv"), "unreadable"
    )
    assert lost["fake.warc.gz"].detail.startswith("not a WARC file, it looks like a gzip file of")
    assert lost["image.png"].length == 8
    told = dict(unreadable(whole, plan_splits(whole)))
    assert set(told) == {f"{mixed}/{name}" for name in lost}
    assert told[f"{mixed}/image.png"].startswith("neither its name nor")
    # ranges decide nothing about what is lost, and ids of tasks do not depend on the root
    assert len(read_all(recipe(mixed, "**/*", size=5))) == len(found)
    plan = [task.to_json() for task in plan_splits(recipe(mixed, "**/*"))]
    moved = mixed.rename(mixed.with_name("moved"))
    assert [task.to_json() for task in plan_splits(recipe(moved, "**/*"))] == plan


def test_a_name_that_cannot_be_stored(tmp_path):
    (tmp_path / "a.html").write_text("<html><body><p>A page.</p></body></html>")
    (tmp_path / "b\udcff.html").write_text("<html><body><p>Another page.</p></body></html>")
    (_, page), (name, lost) = read_all(recipe(tmp_path, "*.html"))
    assert page.kind == "page"
    assert (name, lost.kind) == ("b\ufffd.html", "unreadable")
    assert lost.detail == "its name is not UTF-8: give it another"


def test_a_file_that_is_named_is_refused(mixed):
    for files in (("package.json",), ("*.html", "package.json"), ("*.json",)):
        with pytest.raises(Problem, match=r"package.json: no text in the column"):
            plan_splits(recipe(mixed, *files))
    with pytest.raises(Problem, match=r"image.png: neither its name .*1 other file"):
        plan_splits(recipe(mixed, "*.png", "*.csv"))


def test_hidden_files_are_read_where_a_pattern_says_so(mixed):
    ((name, _),) = read_all(recipe(mixed, ".git/*"))
    assert name == ".git/config.txt"


def test_what_stands_beside_warc_files_is_told(folder):
    assert left_out(**input_at(str(folder)))[:2] == ["code/LICENSE", "code/deep/mill.py"]
    assert left_out(**input_at(str(folder / "code"))) == []
    assert left_out(**input_at(f"{folder}/*.gz")) == []


def test_names_with_wildcards_and_file_urls(tmp_path):
    folder = tmp_path / "b[1]*"
    folder.mkdir()
    (folder / "x?.html").write_text("<html><body><p>A page.</p></body></html>")
    for path in (folder, folder / "x?.html", f"file://{folder}"):
        found = input_at(str(path))
        assert [name for name, _ in read_all(recipe(found["root"], *found["files"]))] == ["x?.html"]


def test_a_page_under_the_name_of_a_program_is_a_page(tmp_path):
    (tmp_path / "index.php").write_text("<!DOCTYPE html><html><body><p>A page.</p></body></html>")
    (tmp_path / "code.php").write_text("<!DOCTYPE html><html><?php echo 1; ?></html>")
    found = dict(read_all(recipe(tmp_path, "*.php")))
    assert {name: record.kind for name, record in found.items()} == {
        "index.php": "page",
        "code.php": "text",
    }
