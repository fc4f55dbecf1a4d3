"""Common Crawl's lists and index as inputs, on a small crawl that is served here."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curation.readers.warc import read_warc
from pipelines.recipes import commoncrawl
from pipelines.recipes.loading import load, resolve
from pipelines.run import Run
from pipelines.runs.store import Folder
from schemas.problems import Problem
from tests.runs import gristmill
from tests.stores import Asked, environment, s3, served

CRAWL = "CC-MAIN-2026-30"
COLUMNS = ("id", "url", "file", "offset", "offset_kind", "length", "text")


@dataclass
class Crawl:
    """A small crawl: its folder, files, pages in the order of the index, and where it is served."""

    folder: Path
    files: list[str]
    pages: list[dict[str, Any]]
    url: str
    asked: list[Asked]

    @property
    def index(self) -> str:
        """The URL of its index."""
        return f"{self.url}cc-index/part-0.parquet"


def surt(host: str) -> str:
    return ",".join(reversed(re.sub(r"^www\d*\.", "", host).split(".")))


@pytest.fixture(scope="module")
def crawl(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawl]:
    folder = tmp_path_factory.mktemp("crawl")
    files, pages = [], []
    for number, source in enumerate(sorted(sample.glob("*.warc.gz"))):
        name = f"crawl-data/{CRAWL}/segments/17.{number}/warc/{source.name}"
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(source.read_bytes())
        files.append(name)
        with source.open("rb") as stream:
            for record in read_warc(stream, 0, source.stat().st_size, max_record_bytes=1 << 24):
                if getattr(record, "kind", "") != "response":
                    continue
                host = urlsplit(str(record.url)).hostname or ""
                pages.append(
                    {
                        "url_surtkey": f"{surt(host)}){urlsplit(str(record.url)).path}",
                        "url": record.url,
                        "url_host_name": host,
                        "fetch_status": record.status,
                        "content_mime_detected": "text/html",
                        "content_languages": ("eng", "deu,eng", None)[len(pages) % 3],
                        "warc_filename": name,
                        "warc_record_offset": record.offset,
                        "warc_record_length": record.length,
                        "padding": host * 2000,  # a column that is not asked for
                    }
                )
    pages.sort(key=lambda page: page["url_surtkey"])
    table = pa.Table.from_pylist(pages)
    ints = {"fetch_status": pa.int16(), "warc_record_offset": pa.int32()}
    ints["warc_record_length"] = pa.int32()  # as the index has them
    for name, kind in ints.items():
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(kind))
    (folder / "cc-index").mkdir()
    pq.write_table(table, folder / "cc-index/part-0.parquet", row_group_size=4)
    paths = "".join(f"{name}\n" for name in files)
    (folder / f"crawl-data/{CRAWL}/warc.paths.gz").write_bytes(gzip.compress(paths.encode()))
    with served(folder) as (url, asked):
        yield Crawl(folder, files, pages, url, asked)


@pytest.fixture(scope="module")
def whole(crawl: Crawl, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a run over the whole files on the disk makes of the pages, by id."""
    recipe = commoncrawl.recipe_of(CRAWL, str(crawl.folder), {"files": crawl.files}, "fineweb")
    return extracted(recipe, tmp_path_factory.mktemp("whole"))


def extracted(recipe: dict[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    run = Run.create(resolve("crawl", recipe, folder), str(folder / "run"))
    run.go(until="extract")
    kept = [row for batch in run.documents("extract", COLUMNS) for row in batch.to_pylist()]
    return {row["id"]: row for row in kept}


def chosen(crawl: Crawl, folder: Path, **asked: Any) -> tuple[dict[str, Any], list[dict[str, int]]]:
    """A recipe of chosen records by HTTP, and the table of them."""
    table = commoncrawl.records(CRAWL, [crawl.index], **asked)
    pq.write_table(table, folder / "chosen.parquet")
    given = {"records": {"file": "chosen.parquet"}}
    return commoncrawl.recipe_of(CRAWL, crawl.url, given, "fineweb"), table.to_pylist()


def test_a_list_of_files_becomes_a_recipe(crawl: Crawl, tmp_path: Path) -> None:
    output = tmp_path / "cc.yaml"
    words = ("inputs", "commoncrawl", CRAWL, "--limit", "1", "--prefix", crawl.url)
    result = gristmill(*words, "--extends", "fineweb", "--output", str(output))
    assert result.returncode == 0, result.stderr
    recipe = load(str(output))
    (item,) = recipe.inputs
    assert (item.root, item.files, item.snapshot) == (crawl.url, (crawl.files[0],), CRAWL)
    assert gristmill("recipe", "validate", str(output)).returncode == 0
    printed = gristmill(*words, "--paths", str(crawl.folder / f"crawl-data/{CRAWL}/warc.paths.gz"))
    assert yaml.safe_load(printed.stdout)["inputs"][0]["files"] == [crawl.files[0]]


def test_files_by_http_give_what_they_give_on_the_disk(
    crawl: Crawl, whole: dict[str, Any], tmp_path: Path
) -> None:
    recipe = commoncrawl.recipe_of(CRAWL, crawl.url, {"files": crawl.files}, "fineweb")
    assert extracted(recipe, tmp_path) == whole


def test_chosen_records_are_read_alone_and_are_the_same_documents(
    crawl: Crawl, whole: dict[str, Any], tmp_path: Path
) -> None:
    recipe, records = chosen(crawl, tmp_path, languages=["deu"])
    assert 0 < len(records) < len(crawl.pages)
    crawl.asked.clear()
    documents = extracted(recipe, tmp_path)
    places = {(each["warc_filename"], each["warc_record_offset"]) for each in records}
    assert documents == {
        key: row for key, row in whole.items() if (row["file"], row["offset"]) in places
    }
    assert documents
    got = [each for each in crawl.asked if each.method == "GET"]
    assert all("range" in each.headers for each in got)
    assert sum(each.sent for each in got) == sum(each["warc_record_length"] for each in records)
    files = {each["warc_filename"] for each in records}
    # what a file is, when it is planned and when it is read
    assert len(crawl.asked) - len(got) == 2 * len(files)
    assert len(got) == len(records)  # between two responses is a request


def test_neighbours_are_read_at_once(crawl: Crawl, whole: dict[str, Any], tmp_path: Path) -> None:
    name = crawl.files[0]
    with (crawl.folder / name).open("rb") as stream:
        every = list(read_warc(stream, 0, 1 << 40, max_record_bytes=1 << 24))
    rows = [
        {"warc_filename": name, "warc_record_offset": r.offset, "warc_record_length": r.length}
        for r in every
    ]
    lines = (json.dumps(row) for row in reversed(rows))
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    given = {"records": {"file": "all.jsonl"}}
    recipe = commoncrawl.recipe_of(CRAWL, crawl.url, given, "fineweb")
    crawl.asked.clear()
    documents = extracted(recipe, tmp_path)
    assert documents == {key: row for key, row in whole.items() if row["file"] == name}
    size = (crawl.folder / name).stat().st_size
    got = [each.sent for each in crawl.asked if each.method == "GET"]
    assert sum(got) == size
    assert len(got) < 10 < len(rows)


def test_hosts_are_looked_for_in_few_row_groups(crawl: Crawl) -> None:
    host = crawl.pages[len(crawl.pages) // 2]["url_host_name"]
    crawl.asked.clear()
    table = commoncrawl.records(CRAWL, [crawl.index], hosts=[host])
    own = [page for page in crawl.pages if page["url_host_name"] == host]
    expected = [page for page in own if page["fetch_status"] == 200]
    assert table.num_rows == len(expected)
    size = (crawl.folder / "cc-index/part-0.parquet").stat().st_size
    assert sum(each.sent for each in crawl.asked) < size


def test_a_host_stands_for_its_subdomains_and_no_other(tmp_path: Path) -> None:
    hosts = ("example.org", "www.example.org", "a.b.example.org", "example.org:8080")
    others = ("example-a.org", "myexample.org", "example.orga", "org", "example.org.uk")
    rows = [
        {
            "url_surtkey": f"{surt(host.partition(':')[0])}{':8080' if ':' in host else ''})/",
            "url_host_name": host.partition(":")[0],
            "fetch_status": status,
            "warc_filename": f"crawl-data/{CRAWL}/{host}/{status}.warc.gz",
            "warc_record_offset": 0,
            "warc_record_length": 1,
        }
        for host in (*hosts, *others)
        for status in (200, 404)
    ]
    path = tmp_path / "index.parquet"
    pq.write_table(pa.Table.from_pylist(sorted(rows, key=lambda row: row["url_surtkey"])), path)
    found = commoncrawl.records(CRAWL, [str(path)], hosts=["Example.org"])
    names = found["warc_filename"].to_pylist()
    assert names == sorted(f"crawl-data/{CRAWL}/{host}/200.warc.gz" for host in hosts)
    only = commoncrawl.records(CRAWL, [str(path)], hosts=["www.example.org"])
    assert only.num_rows == 1


def test_the_command_writes_a_table_and_a_recipe(crawl: Crawl, tmp_path: Path) -> None:
    output = tmp_path / "german.yaml"
    result = gristmill(
        *("inputs", "commoncrawl", CRAWL, "--index", crawl.index, "--languages", "deu"),
        *("--media-types", "text/html", "--prefix", crawl.url, "--limit", "3"),
        *("--extends", "fineweb", "--output", str(output)),
    )
    assert result.returncode == 0, result.stderr
    assert "3 pages" in result.stderr
    assert pq.read_table(tmp_path / "german.parquet").num_rows == 3
    result = gristmill("recipe", "validate", str(output))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("CC-MAIN-26",), "is no name of a crawl"),
        ((CRAWL, "--hosts", "example.org"), "pages are chosen from an index"),
        ((CRAWL, "--index", "x.parquet"), "needs --output"),
        ((CRAWL, "--index", "x.parquet", "--output", "OUT"), "cannot be read as the columnar"),
        ((CRAWL, "--index", "INDEX", "--languages", "de", "--output", "OUT"), "ISO 639-3"),
        ((CRAWL, "--index", "INDEX", "--hosts", "a/b", "--output", "OUT"), "no name of a host"),
        ((CRAWL, "--index", "INDEX", "--hosts", "x.invalid", "--output", "OUT"), "no page of"),
        (("CC-MAIN-2026-31", "--paths", "PATHS"), "is no WARC file of CC-MAIN-2026-31"),
        ((CRAWL, "--kind", "wet", "--paths", "PATHS"), "is no WET file of"),
        ((CRAWL, "--paths", "PATHS", "--prefix", "s3://a:b@c/"), "must not hold a password"),
        ((CRAWL, "--paths", "BROKEN"), "is cut"),
    ],
)
def test_what_cannot_be_is_told(
    words: tuple[str, ...], said: str, crawl: Crawl, tmp_path: Path
) -> None:
    paths = crawl.folder / f"crawl-data/{CRAWL}/warc.paths.gz"
    (tmp_path / "broken.gz").write_bytes(paths.read_bytes()[:-9])
    known = {"PATHS": str(paths), "INDEX": str(crawl.folder / "cc-index/part-0.parquet")}
    known |= {"BROKEN": str(tmp_path / "broken.gz"), "OUT": str(tmp_path / "out.yaml")}
    result = gristmill("inputs", "commoncrawl", *(known.get(word, word) for word in words))
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"warc_filename": "../secret.warc.gz"}, "no file below the root"),
        ({"warc_filename": "/etc/passwd"}, "no file below the root"),
        ({"warc_filename": "s3://other/a.warc.gz"}, "no file below the root"),
        ({"warc_filename": None}, "no file below the root"),
        ({"warc_record_offset": -1}, "are no bytes of a record"),
        ({"warc_record_length": 0}, "are no bytes of a record"),
        ({"warc_record_length": 1 << 40}, "overlap"),
        ({"warc_filename": "nosuch.warc.gz"}, "no file matches"),
        ({"warc_record_offset": 1 << 40}, "ends before"),
    ],
)
def test_a_list_is_looked_through(
    row: dict[str, Any], said: str, crawl: Crawl, tmp_path: Path
) -> None:
    good = {
        "warc_filename": crawl.files[0],
        "warc_record_offset": 10,
        "warc_record_length": 5,
    }
    rows = [good, {**good, "warc_record_offset": 0, **row}]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = {"records": {"file": "list.jsonl"}}
    recipe = commoncrawl.recipe_of(CRAWL, str(crawl.folder), given, "fineweb")
    with pytest.raises(Problem, match=said):
        extracted(recipe, tmp_path)


def test_records_of_other_bytes_are_losses_in_their_place(crawl: Crawl, tmp_path: Path) -> None:
    rows = [{"warc_filename": crawl.files[0], "warc_record_offset": 7, "warc_record_length": 50}]
    (tmp_path / "list.jsonl").write_text(json.dumps(rows[0]))
    given = {"records": {"file": "list.jsonl"}}
    recipe = commoncrawl.recipe_of(CRAWL, str(crawl.folder), given, "fineweb")
    run = Run.create(resolve("crawl", recipe, tmp_path), str(tmp_path / "run"))
    run.go(until="extract")
    (batch,) = run.rejections("extract")
    assert batch["offset"].to_pylist() == [7]
    assert batch["reason"].to_pylist()[0].startswith("damaged_")


@pytest.mark.engine
def test_chosen_records_of_a_bucket(crawl: Crawl, whole: dict[str, Any], tmp_path: Path) -> None:
    with s3() as store, environment(store.settings(store.port)):
        for name in crawl.files:
            Folder(f"{store.bucket}/cc").replace(name, (crawl.folder / name).read_bytes())
        recipe, records = chosen(crawl, tmp_path, languages=["eng"])
        recipe["inputs"][0]["root"] = f"{store.bucket}/cc"
        documents = extracted(recipe, tmp_path)
    places = {(each["warc_filename"], each["warc_record_offset"]) for each in records}
    assert documents == {
        key: row for key, row in whole.items() if (row["file"], row["offset"]) in places
    }
