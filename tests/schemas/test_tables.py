from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.docs import TABLES_FILE, tables
from schemas.shard import shard_schema
from schemas.tables import DESCRIPTION, TABLES

SHARDS = shard_schema(256, 2048)


def test_the_reference_is_up_to_date() -> None:
    assert TABLES_FILE.read_text("utf-8") == tables(), "run `python -m schemas.docs`"


@pytest.mark.parametrize("schema", [*TABLES.values(), SHARDS], ids=[*TABLES, "shards"])
def test_every_table_and_column_says_what_it_is(schema: pa.Schema) -> None:
    assert (schema.metadata or {}).get(DESCRIPTION)
    for field in schema:
        assert (field.metadata or {}).get(DESCRIPTION), field.name


def test_every_file_of_a_run_is_in_the_reference(finished: Path) -> None:
    known = {schema.metadata[b"gristmill.schema"]: schema for schema in [*TABLES.values(), SHARDS]}
    seen = set()
    for path in finished.glob("*/**/*.parquet"):
        if path.stem == "receipts" or path.parent.name == "receipts":
            continue
        schema = pq.read_schema(path)
        name = schema.metadata[b"gristmill.schema"]
        assert name in known, path
        seen.add(name)
        said = {field.name: field for field in known[name]}
        for field in schema:
            if field.name in said:
                assert field.nullable == said[field.name].nullable, path
                assert field.metadata[DESCRIPTION] == said[field.name].metadata[DESCRIPTION]
    assert len(seen) >= 10
