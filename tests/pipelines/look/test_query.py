"""`gristmill query`: SQL over a run, which reads its tables and nothing else."""

import csv
import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.look.query import TABLES, described, query
from pipelines.run import Run
from schemas.problems import Problem
from tests.conftest import REPOSITORY
from tests.runs import gristmill


@pytest.fixture(scope="module")
def run(finished: Path) -> Run:
    """The run of the demo."""
    return Run.open(str(finished))


def test_the_tables_are_the_ledger(run: Run) -> None:
    asked = "SELECT stage, reason, count(*) FROM rejections GROUP BY ALL"
    found = {(s, r): n for s, r, n in map(dict.values, query(run, asked).read_all().to_pylist())}
    assert found == {
        (stage, reason): count
        for stage, counts in run.ledger.items()
        for reason, count in counts["rejected"].items()
    }
    asked = "SELECT stage, sum(documents)::BIGINT AS n, any_value(records) AS records"
    asked += " FROM ledger GROUP BY 1"
    for row in query(run, asked).read_all().to_pylist():
        assert row["n"] == row["records"] == run.ledger[row["stage"]]["records"]
    for table, count in (
        ("documents", run.ledger["extract"]["kept"]),
        ("signals", run.ledger["filter"]["records"]),
        ("curated", run.ledger["curate"]["kept"]),
    ):
        assert query(run, f"SELECT count(*) AS n FROM {table}").read_all()["n"][0].as_py() == count
    tokens = query(run, "SELECT split, sum(tokens)::BIGINT AS n FROM shards GROUP BY 1").read_all()
    assert {row["split"]: row["n"] for row in tokens.to_pylist()} == {
        name: split.tokens for name, split in run.shards.splits.items()
    }
    dropped = (
        query(run, "SELECT sum(dropped)::BIGINT AS n FROM clusters").read_all()["n"][0].as_py()
    )
    assert dropped == sum(run.ledger["deduplicate"]["rejected"].values())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_parquet('{run}/extract/documents/*.parquet')",
        "SELECT * FROM glob('{run}/*')",
        "SELECT * FROM read_csv('https://example.org/x.csv')",
        "SELECT * FROM duckdb_secrets()",
        "SELECT getenv('HOME')",
        "SELECT * FROM run",
        "COPY documents TO '{run}/x.csv'",
        "EXPLAIN ANALYZE COPY documents TO '{run}/x.csv'",
        "ATTACH '{run}/x.db'",
        "CREATE TABLE x AS SELECT 1",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SELECT 1; DROP VIEW documents",
        "PRAGMA database_list",
        "EXPORT DATABASE '{run}'",
        "",
        "SELEC 1",
        "SELECT nothing FROM documents",
    ],
)
def test_nothing_else_is_read_or_written(run: Run, sql: str) -> None:
    before = sorted(path.name for path in Path(run.folder.url).iterdir())
    with pytest.raises(Problem) as caught:
        query(run, sql.format(run=run.folder.url)).read_all()
    assert caught.value.where == "query"
    assert sorted(path.name for path in Path(run.folder.url).iterdir()) == before


def test_every_column_is_described(run: Run) -> None:
    told = described(run)
    assert all(f"\n{name}: " in "\n" + told for name in TABLES)
    signals = re.findall(r"^  (\w+\.[\w.]+) +double", told, re.MULTILINE)
    assert "gopher.words" in signals
    said = [line for line in told.splitlines() if line.startswith("  ")]
    assert all(len(line.split(maxsplit=2)) > 2 for line in said if "." not in line.split()[0])


def test_the_queries_of_the_readme(run: Run) -> None:
    readme = (REPOSITORY / "pipelines/README.md").read_text("utf-8")
    (block,) = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)
    for line in block.splitlines():
        assert query(run, line).schema.names


def test_an_unfinished_run_has_the_tables_of_what_is_done(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    for stage in ("filter", "deduplicate", "curate", "tokenizer", "tokenize", "mix", "index"):
        shutil.rmtree(tmp_path / "run" / stage)
    run = Run.open(str(tmp_path / "run"))
    assert query(run, "SELECT * FROM rejections").read_all().num_rows > 0
    with pytest.raises(Problem, match="tables are documents, rejections, ledger, tasks"):
        query(run, "SELECT * FROM shards")
    assert "shards: is there when the stage `index` is finished" in described(run)


def test_a_damaged_file_is_not_used(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (path,) = list((tmp_path / "run/curate/text").iterdir())[:1]
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match=r"(?i)crc|checksum|corrupt"):
        query(Run.open(str(tmp_path / "run")), "SELECT id FROM curated").read_all()


def test_the_command_writes_every_format(finished: Path, tmp_path: Path) -> None:
    sql = "SELECT id, url, opt_outs, crawled, page_bytes FROM documents ORDER BY id"
    for name in ("o.csv", "o.jsonl", "o.parquet"):
        result = gristmill("query", str(finished), sql, "--output", str(tmp_path / name))
        assert result.returncode == 0, result.stderr
    table = pq.read_table(tmp_path / "o.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    rows = list(csv.DictReader((tmp_path / "o.csv").open()))
    assert len(table) == len(lines) == len(rows) == 99
    for parquet, jsonl, row in zip(table, lines, rows, strict=True):
        assert parquet["id"] == jsonl["id"] == row["id"]
        assert json.loads(row["opt_outs"]) == jsonl["opt_outs"] == parquet["opt_outs"]
        assert jsonl["page_bytes"] == int(row["page_bytes"]) == parquet["page_bytes"]
    shown = gristmill("query", str(finished), "SELECT chr(27) || '[31m' AS x, 'y' AS name").stdout
    assert shown.splitlines() == ["x             name", "⟨U+001B⟩[31m  y"]
    wrong = gristmill("query", str(finished), "DELETE FROM documents")
    assert wrong.returncode == 2
    assert "a run is only read" in wrong.stderr
