from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.runs.parts import PartWriter, logical_digest, read_part
from pipelines.runs.store import Folder
from schemas.shard import shard_schema
from schemas.tables import VERDICT

ROWS = [
    {
        "id": f"{i:032x}",
        "source": "web",
        "url": f"u{i}",
        "kind": "web",
        "format": "warc",
        "language": "en",
        "kept": i % 3 == 0,
        "reasons": ["x"] * i,
        "bytes": 100 + i,
    }
    for i in range(10)
]
TABLE = pa.Table.from_pylist(ROWS, VERDICT)


def test_digest_is_of_values_not_of_chunks_offsets_or_encodings() -> None:
    whole = logical_digest(TABLE)
    chunks = pa.concat_tables([TABLE.slice(0, 3), TABLE.slice(3, 1), TABLE.slice(4)])
    assert logical_digest(chunks) == whole
    padded = pa.concat_tables([TABLE.slice(5), TABLE]).slice(5)
    assert logical_digest(padded) == whole
    encoded = TABLE.set_column(1, "source", TABLE["source"].dictionary_encode())
    assert logical_digest(encoded) == whole


@pytest.mark.parametrize("column", TABLE.column_names)
def test_digest_changes_with_any_value(column: str) -> None:
    changed = {
        "id": "f" * 32,
        "source": "wec",
        "url": "",
        "kind": "code",
        "format": "html",
        "language": None,
        "kept": True,
        "reasons": ["x", "", "x", "xx"],
        "bytes": 0,
    }
    rows = [dict(row) for row in ROWS]
    rows[4][column] = changed[column]
    assert logical_digest(pa.Table.from_pylist(rows, VERDICT)) != logical_digest(TABLE)


def test_digest_tells_null_from_empty_and_where_strings_end() -> None:
    def digest(values: list[str | None]) -> str:
        return logical_digest(pa.table({"x": pa.array(values, pa.string())}))

    assert (
        len({digest(["", "a"]), digest([None, "a"]), digest(["a", ""]), digest(["a", None])}) == 4
    )


def test_digest_of_shard_rows_survives_a_slice() -> None:
    schema = shard_schema(4, 1000)
    row = {
        "input_ids": [1, 2, 3, 4],
        "length": 4,
        "source": "web",
        "segments": [{"start": 0, "document_id": b"d" * 16, "document_offset": 0, "bytes": 7}],
    }
    other = {**row, "input_ids": [1, 2, 3, 5]}
    table = pa.Table.from_pylist([other, row, row], schema)
    single = logical_digest(pa.Table.from_pylist([row], schema))
    assert logical_digest(table.slice(2)) == single != logical_digest(table.slice(0, 1))


def test_row_groups_and_digest_do_not_depend_on_how_rows_arrive(tmp_path: Path) -> None:
    digests = set()
    for name, cuts in (("a", [10]), ("b", [1, 2, 7]), ("c", [4, 4, 2])):
        writer = PartWriter(tmp_path / name, VERDICT, row_group_rows=4, dictionary=("source",))
        start = 0
        for size in cuts:
            writer.write(TABLE.slice(start, size))
            start += size
        digests.add(writer.close())
        file = pq.ParquetFile(tmp_path / name)
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        assert groups == [4, 4, 2]
    assert len(digests) == 1
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


def test_an_empty_part_can_be_written_and_read(tmp_path: Path) -> None:
    PartWriter(tmp_path / "empty", VERDICT).close()
    assert list(read_part(Folder(str(tmp_path)), "empty")) == []
