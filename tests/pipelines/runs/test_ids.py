"""Ids are text where people read them, and bytes where they are many and only compared."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.runs.ids import to_bytes, to_text
from schemas.tables import HEX, ID

# signatures, tokens and what shuffles leave; all other tables are for people too
PACKED = {"signatures", "index", "tokens", "reserve", "grams", "edges"}


def test_bytes_and_text_are_each_others_inverse():
    ids = pa.array([bytes(16), b"\xff" * 16, os.urandom(16)], ID)
    assert to_text(ids).to_pylist() == [each.hex() for each in ids.to_pylist()]
    for column in (ids, ids.slice(1), ids.slice(0, 0), pa.chunked_array([ids.slice(2), ids])):
        flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        assert to_bytes(to_text(column)).equals(flat)
        assert to_bytes(pa.chunked_array([to_text(column)])).equals(flat)
    assert to_bytes(pa.chunked_array([], HEX)).equals(pa.array([], ID))


def test_tables_of_a_run_that_people_read_have_ids_as_text(finished: Path):
    seen = set()
    for path in finished.glob("*/**/*.parquet"):
        schema = pq.read_schema(path)
        kind = path.parent.name
        if "id" in schema.names and kind not in PACKED:
            seen.add(kind)
            assert schema.field("id").type == pa.string(), path
            assert {len(id_) for id_ in pq.read_table(path, columns=["id"])["id"].to_pylist()} <= {
                32
            }
    assert {"documents", "rejections", "signals", "edits", "text", "clusters"} <= seen
