"""What goes in comes out: columns, ids, places and signals in the curated text, its card, and the
data sets that are made of it."""

import gzip
import json
import shutil
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.exports import texts
from pipelines.exports.export import export
from pipelines.recipes.loading import resolve
from pipelines.run import Run
from schemas.problems import Problem
from tests.runs import gristmill

SENTENCE = "The miller opens the sluice before dawn and lets the water run over the wheel"
COLUMNS = {
    "title": "name",
    "author": "meta.by",
    "published": "day",
    "licence": "rights",
    "keep": {"score": "float", "topic": "string"},
}

RULES = {
    "name": "lenient",
    "rules": [
        {"signal": f"gopher_repetition.{name}", "operator": "<=", "threshold": 1, "reason": name}
        for name in ("dup_5_gram", "top_2_gram")
    ],
}


def row(number: int) -> dict[str, Any]:
    return {
        "id": f"note-{number}",
        "text": f"{SENTENCE}, day {number}. Ask miller{number}@mill.org! ü",
        "name": f"Note {number}",
        "meta": {"by": "A. Miller"},
        "day": date(2024, 5, number + 1),
        "rights": "MIT" if number % 2 else "https://creativecommons.org/licenses/by/4.0/",
        "score": number / 4,
        "topic": "mills",
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("exports")
    rows = [row(number) for number in range(9)]
    lines = [json.dumps({**each, "day": str(each["day"])}, ensure_ascii=False) for each in rows]
    (folder / "notes.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    with pq.ParquetWriter(folder / "rows.parquet", pa.Table.from_pylist(rows).schema) as writer:
        for part in (rows[:5], rows[5:]):
            writer.write_table(pa.Table.from_pylist(part))
    (folder / "mill.py").write_text("def grind(corn):\n    return corn.strip()  # of the mill\n")
    value = {
        "name": "mixed",
        "description": "Notes | rows.",
        "inputs": [
            {"source": "notes", "root": str(folder), "files": ["*.jsonl.gz"], "columns": COLUMNS},
            {"source": "rows", "root": str(folder), "files": ["*.parquet"], "columns": COLUMNS},
            {"source": "scripts", "root": str(folder), "files": ["*.py"], "format": "code"},
        ],
        "filter": {"chain": [{"rules": RULES, "sources": ["notes"]}]},
        "deduplicate": {"scope": "source", "near": None},
        "curate": {"chain": [{"redact": ["EMAIL_ADDRESS"]}]},
    }
    made = Run.create(resolve("mixed", value, str(folder)), str(folder / "run"))
    made.go(until="curate")
    return made


@pytest.fixture(scope="module")
def home(run: Run) -> Path:
    return Path(run.folder.url)


def curated(home: Path, source: str) -> list[dict[str, Any]]:
    table = pyarrow.dataset.dataset(home / "curate/text").to_table()
    rows = [each for each in table.to_pylist() if each["source"] == source]
    return sorted(rows, key=lambda each: (each["user_id"] or "", each["id"]))


@pytest.mark.parametrize("source", ["notes", "rows"])
def test_what_a_row_says_of_itself_is_beside_its_text(home: Path, source: str) -> None:
    found = curated(home, source)
    assert [each["user_id"] for each in found] == [f"note-{number}" for number in range(9)]
    for number, each in enumerate(found):
        given = row(number)
        assert each["title"] == given["name"]
        assert each["author"] == "A. Miller"
        assert each["published"] == str(given["day"])
        assert each["licences"] == ["mit" if number % 2 else "cc-by-4.0"]
        assert (each["score"], each["topic"]) == (given["score"], "mills")
        assert each["language"] == "en"
        assert each["language_score"] > 0.5
        assert "@mill.org" not in each["text"]


def test_the_place_of_a_row_leads_back_to_it(home: Path) -> None:
    inflated = gzip.decompress((home.parent / "notes.jsonl.gz").read_bytes())
    places = set()
    for each in curated(home, "notes"):
        assert (each["file"], each["offset_kind"]) == ("notes.jsonl.gz", "inflated")
        own = inflated[each["offset"] : each["offset"] + each["length"]]
        assert json.loads(own)["id"] == each["user_id"]
        places.add(each["offset"])
    assert len(places) == 9
    file = pq.ParquetFile(home.parent / "rows.parquet")
    starts = [0, 5]
    for each in curated(home, "rows"):
        assert each["offset_kind"] == "row"
        group = file.read_row_group(each["row_group"])
        at = each["offset"] - starts[each["row_group"]]
        assert group["id"][at].as_py() == each["user_id"]


def test_signals_of_the_chains_are_beside_the_text(home: Path) -> None:
    stored = pyarrow.dataset.dataset(home / "filter/signals").to_table().to_pylist()
    by_id = {each["id"]: each for each in stored}
    for source in ("notes", "rows", "scripts"):
        for each in curated(home, source):
            signals = each["signals"]
            names = [name for name in by_id[each["id"]] if name.startswith("gopher_repetition.")]
            assert names
            assert {name: signals[name] for name in names} == {
                name: by_id[each["id"]][name] for name in names
            }
            # measured where the rules are for it
            assert (signals["gopher_repetition.dup_5_gram"] is None) == (source != "notes")
            assert signals["pii.count"] == (0 if source == "scripts" else 1)


def front(path: Path) -> dict[str, Any]:
    head: dict[str, Any] = yaml.safe_load(path.read_text().split("---\n")[1])
    return head


def test_the_card_counts_what_is_there(home: Path) -> None:
    head = front(home / "curate/README.md")
    text = (home / "curate/README.md").read_text()
    assert head["license"] == ["cc-by-4.0", "mit"]
    assert head["dataset_info"][0]["splits"] == [{"name": "train", "num_examples": 19}]
    schema = pyarrow.dataset.dataset(home / "curate/text").schema
    assert [each["name"] for each in head["dataset_info"][0]["features"]] == schema.names
    sizes = {source: sum(r["bytes"] for r in curated(home, source)) for source in ("notes", "rows")}
    for source, size in sizes.items():
        assert f"| `{source}` | 9 | {size:,} |" in text
    assert "| `cc-by-4.0` | 10 |" in text
    assert "| `mit` | 8 |" in text
    assert "| none given | 1 |" in text
    assert "| `EMAIL_ADDRESS` | 18 |" in text
    assert "| `author` | string or null | As the page or row gives it. |" in text
    assert "redact:" in text


@pytest.mark.parametrize("to", ["jsonl", "parquet", "hf"])
def test_an_export_has_every_row_and_column(
    home: Path, to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "FILE_BYTES", 500)
    monkeypatch.setattr(texts, "BATCH_ROWS", 2)
    export(Run.open(str(home)), to, str(tmp_path / "out"))
    found: list[dict[str, Any]] = []
    folder = tmp_path / "out" / ("data" if to == "hf" else "")
    for path in sorted(folder.glob("*.gz" if to == "jsonl" else "*.parquet")):
        own = (
            [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
            if to == "jsonl"
            else pq.read_table(path).to_pylist()
        )
        assert {each["source"] for each in own} <= {path.name.split("-")[0]}
        found += own
    assert len(list(folder.glob("notes-*"))) > 1
    expected = [each for source in ("notes", "rows", "scripts") for each in curated(home, source)]
    for each in expected:
        del each["holdout"]
        assert not isinstance(each["crawled"], datetime)
    key = lambda each: each["id"]  # noqa: E731
    assert sorted(found, key=key) == sorted(expected, key=key)
    assert (tmp_path / "out" / "README.md").exists() == (to == "hf")


def test_an_export_of_one_source_at_the_prompt(home: Path, tmp_path: Path) -> None:
    words = ("export", str(home), "--to", "hf", "--output", str(tmp_path / "out"))
    done = gristmill(*words, "--source", "rows")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out/data").iterdir()] == ["rows-00000.parquet"]
    head = front(tmp_path / "out/README.md")
    assert [each["config_name"] for each in head["configs"]] == ["rows", "default"]
    assert [each["splits"][0]["num_examples"] for each in head["dataset_info"]] == [9, 9]
    again = gristmill(*words)
    assert again.returncode == 2
    assert "holds something" in again.stderr
    wrong = gristmill(*words[:-1], str(tmp_path / "x"), "--source", "row")
    assert wrong.returncode == 2
    assert "--source row" in wrong.stderr
    assert "notes, rows, scripts" in wrong.stderr
    assert not (tmp_path / "x").exists()


def test_a_run_without_curated_text_is_told_so(home: Path, tmp_path: Path) -> None:
    early = Run.create(Run.open(str(home)).recipe, str(tmp_path / "early"))
    with pytest.raises(Problem, match="no curated text yet"):
        export(early, "jsonl", str(tmp_path / "out"))


def test_duckdb_reads_the_curated_text(home: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = f"""
        select source, count(*), sum(signals."pii.count") from '{home}/curate/text/*.parquet'
        group by source order by source
    """
    assert duckdb.sql(query).fetchall() == [("notes", 9, 9), ("rows", 9, 9), ("scripts", 1, 0)]


def test_datasets_loads_the_curated_text_and_writes_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    export(Run.open(str(home)), "hf", str(tmp_path / "out"))
    for folder, names in ((home / "curate", [None]), (tmp_path / "out", [None, "rows"])):
        for name in names:
            data = datasets.load_dataset(str(folder), name, cache_dir=tmp_path / "cache")["train"]
            assert data.num_rows == (9 if name else 19)
            data.to_json(tmp_path / "rows.jsonl")
            rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open()]
            assert {each["id"] for each in rows} >= {r["id"] for r in curated(home, "rows")}


def test_the_runs_own_text_is_read_by_the_commands(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "clusters.jsonl"
    done = gristmill("dedup", str(home / "curate/text"), "--output", str(out))
    assert done.returncode == 0, done.stderr
    found = [json.loads(line)["id"] for line in out.open()]
    ids = [r["id"] for source in ("notes", "rows", "scripts") for r in curated(home, source)]
    assert sorted(found) == sorted(ids)
    # every column goes through, structs and keys of 64 bits too
    out = tmp_path / "verdicts.parquet"
    done = gristmill("filter", "--rules", "mc4", str(home / "curate/text"), "--output", str(out))
    assert done.returncode == 0, done.stderr
    rows = {row["id"]: row for row in pq.read_table(out).to_pylist()}
    for own in curated(home, "notes"):
        for name in ("holdout", "signals", "licences", "user_id", "score", "offset"):
            assert rows[own["id"]][name] == own[name], name


def test_a_card_that_a_kill_came_before_is_written(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "run")
    for name in ("README.md", "SHA256SUMS"):
        (tmp_path / "run/curate" / name).unlink()
    run = Run.open(str(tmp_path / "run"))
    run.go()
    assert (tmp_path / "run/curate/README.md").read_text() == (
        home / "curate/README.md"
    ).read_text()
    assert not run.verify().faults
