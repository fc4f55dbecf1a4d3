from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, decoders, models

from schemas.problems import Problem
from schemas.shard import read_manifest
from tests.train.conftest import Run
from tests.train.shards import LENGTH, PADDING, VOCABULARY
from train.data import (
    IGNORED,
    Prefetched,
    Rows,
    ShardReader,
    check_digests,
    open_shards,
    targets,
    token_bytes,
)


def as_written(run: Run, split: str) -> list[dict[str, Any]]:
    """All rows of a split as Python values, in the order of the manifest."""
    files = run.manifest.splits[split].files  # type: ignore[index]
    return [row for file in files for row in pq.read_table(run.shards / file.path).to_pylist()]


def obvious_targets(
    ids: list[int], starts: set[int], padding: int
) -> tuple[list[int], list[int], list[int]]:
    """Labels, positions and segments by the rule, one token after another."""
    labels: list[int] = []
    positions: list[int] = []
    segments: list[int] = []
    for place, token in enumerate(ids):
        is_padding = token == padding
        after_padding = place > 0 and (ids[place - 1] == padding) != is_padding
        begins = place == 0 or place in starts or after_padding
        positions.append(0 if begins else positions[-1] + 1)
        segments.append((segments[-1] if segments else 0) + begins)
        last = place + 1 == len(ids)
        ends = last or place + 1 in starts or ids[place + 1] == padding or is_padding
        labels.append(IGNORED if ends else ids[place + 1])
    return labels, positions, segments


def test_rows_labels_and_positions_are_those_of_the_obvious_rule(run: Run) -> None:
    written = as_written(run, "train")
    reader = ShardReader(run.shards, run.manifest, "train", held_groups=1)
    rows = reader.read(0, reader.rows)
    found = targets(rows.ids, rows.begins, run.manifest.tokenizer.padding)
    assert len(written) == reader.rows > 1000
    seen_padding = seen_continuation = seen_several = False
    for index, row in enumerate(written):
        assert rows.ids[index].tolist() == row["input_ids"]
        assert reader.source_names[rows.sources[index]] == row["source"]
        assert rows.text_bytes[index] == sum(segment["bytes"] for segment in row["segments"])
        starts = {segment["start"] for segment in row["segments"]}
        obvious = obvious_targets(row["input_ids"], starts, run.manifest.tokenizer.padding)
        assert found.labels[index].tolist() == obvious[0]
        assert found.positions[index].tolist() == obvious[1]
        assert found.segments[index].tolist() == obvious[2]
        seen_padding |= row["length"] < LENGTH
        seen_continuation |= row["segments"][0]["document_offset"] > 0
        seen_several |= len(row["segments"]) > 1
    assert seen_padding
    assert seen_continuation
    assert seen_several


def test_nothing_is_predicted_in_text_that_was_removed() -> None:
    # A takedown has put padding (9) over the second segment.
    ids = np.array([[5, 6, 7, 9, 9, 9, 4, 3]], np.uint16)
    begins = np.zeros_like(ids, np.bool_)
    begins[0, [0, 3, 6]] = True
    found = targets(ids, begins, padding=9)
    assert found.labels.tolist() == [[6, 7, IGNORED, IGNORED, IGNORED, IGNORED, 3, IGNORED]]
    assert found.positions.tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert found.segments.tolist() == [[1, 1, 1, 2, 2, 2, 3, 3]]


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (95, 105), (90, 330), (503, 505), (1400, 1450)]
)
def test_reads_cross_row_groups_and_files(run: Run, start: int, stop: int) -> None:
    whole = ShardReader(run.shards, run.manifest, "train", held_groups=99)
    reader = ShardReader(run.shards, run.manifest, "train")
    for field, expected in zip(reader.read(start, stop), whole.read(0, whole.rows), strict=True):
        assert np.array_equal(field, expected[start:stop])


def test_rows_are_taken_by_number_in_any_order(run: Run) -> None:
    reader = ShardReader(run.shards, run.manifest, "train")
    numbers = np.array([7, 8, 9, 3, 250, 251, 0])
    taken = reader.take(numbers)
    for field, expected in zip(taken, reader.read(0, 300), strict=True):
        assert np.array_equal(field, expected[numbers])


def test_bytes_leave_out_the_first_token_of_a_segment(run: Run) -> None:
    tokenizer_path = run.shards / run.manifest.tokenizer.path
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    sizes = token_bytes(tokenizer_path, VOCABULARY)
    reader = ShardReader(run.shards, run.manifest, "validation", token_bytes=sizes)
    rows = reader.read(0, reader.rows)
    for index, row in enumerate(as_written(run, "validation")):
        ends = [segment["start"] for segment in row["segments"][1:]] + [row["length"]]
        # These documents are ASCII: characters are bytes.
        spelled = sum(
            len(tokenizer.decode(row["input_ids"][segment["start"] + 1 : end]))
            for segment, end in zip(row["segments"], ends, strict=True)
        )
        assert rows.text_bytes[index] == spelled


def test_token_bytes_of_a_byte_level_tokenizer(run: Run, tmp_path: Path) -> None:
    path = run.shards / run.manifest.tokenizer.path
    tokenizer = Tokenizer.from_file(str(path))
    sizes = token_bytes(path, VOCABULARY)
    assert sizes is not None
    for text in ("def f(x):\n\treturn x", "naïve — 你好 🙂"):
        assert sizes[tokenizer.encode(text).ids].sum() == len(text.encode())
    assert sizes[tokenizer.token_to_id(PADDING)] == 0
    with pytest.raises(Problem, match="has 896 tokens, the shards 128"):
        token_bytes(path, 128)
    pieces = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    pieces.decoder = decoders.WordPiece()
    pieces.save(str(tmp_path / "pieces.json"))
    assert token_bytes(tmp_path / "pieces.json", 128) is None


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Path:
    shutil.copytree(run.path, tmp_path / "run")
    return tmp_path / "run"


def test_a_missing_or_changed_file_is_refused_at_once(copy: Path) -> None:
    manifest, shards = open_shards(copy)
    path = shards / manifest.splits["train"].files[1].path
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(Problem, match=r"00001\.parquet: has another size"):
        ShardReader(shards, manifest, "train")
    path.unlink()
    with pytest.raises(Problem, match=r"00001\.parquet: missing"):
        ShardReader(shards, manifest, "train")


def test_a_damaged_row_group_is_named(copy: Path) -> None:
    manifest, shards = open_shards(copy)
    path = shards / manifest.splits["train"].files[0].path
    place = pq.ParquetFile(path).metadata.row_group(2).column(0).dictionary_page_offset
    content = bytearray(path.read_bytes())
    content[place : place + 400] = bytes(400)
    path.write_bytes(content)
    reader = ShardReader(shards, manifest, "train")
    reader.read(0, 200)
    with pytest.raises(Problem, match=r"00000\.parquet, row group 2: cannot be read"):
        reader.read(200, 201)


def test_no_flipped_bit_gives_other_rows(copy: Path) -> None:
    manifest, shards = open_shards(copy)
    path = shards / manifest.splits["train"].files[0].path
    whole = path.read_bytes()
    chance = random.Random(0)

    def read() -> Rows:
        reader = ShardReader(shards, manifest, "train")
        return reader.read(0, manifest.splits["train"].files[0].rows)

    expected, refused = read(), []
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            found = read()
        except Problem as error:
            refused.append(str(error))
        else:
            assert all(map(np.array_equal, found, expected))
    assert len(refused) > 50
    assert all(str(path) in message for message in refused)
    assert check_digests(shards, manifest, slice(None)) == [
        f"{path}: its SHA-256 is not the manifest's"
    ]
    path.write_bytes(whole)
    assert check_digests(shards, manifest, slice(None)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token": VOCABULARY}, f"token {VOCABULARY} is outside the vocabulary"),
        ({"start": LENGTH}, "a segment starts outside its row"),
        ({"start": -1}, "a segment starts outside its row"),
        ({"source": "elsewhere"}, "a source is not in the manifest"),
        ({"drop": True}, "99 rows, the manifest says 100"),
        ({"column": "source"}, "source is string"),
        ({"column": "input_ids"}, r"input_ids is fixed_size_list<.*uint32"),
    ],
)
def test_rows_that_break_the_contract_are_refused(
    copy: Path, change: dict[str, Any], message: str
) -> None:
    manifest, shards = open_shards(copy)
    file = manifest.splits["train"].files[0]
    path = shards / file.path
    table = pq.read_table(path)
    rows = table.to_pylist()
    if "token" in change:
        rows[3]["input_ids"][7] = change["token"]
    if "start" in change:
        rows[3]["segments"][0]["start"] = change["start"]
    if "source" in change:
        rows[3]["source"] = change["source"]
    if "drop" in change:
        del rows[99:]
    table = pa.Table.from_pylist(rows, table.schema)
    if "column" in change:
        other = {"source": pa.string(), "input_ids": pa.list_(pa.uint32(), LENGTH)}
        place = table.schema.get_field_index(change["column"])
        column = table[change["column"]].cast(other[change["column"]])
        table = table.set_column(place, change["column"], column)
    pq.write_table(table, path, row_group_size=100)
    raw = json.loads((shards / "manifest.json").read_text())
    raw["splits"]["train"]["files"][0]["size"] = path.stat().st_size
    (shards / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(Problem, match=message):
        ShardReader(shards, read_manifest(copy), "train").read(0, 5)


def test_padding_must_be_told_from_end_of_text(copy: Path) -> None:
    raw = json.loads((copy / "shards" / "manifest.json").read_text())
    raw["tokenizer"]["padding"] = raw["tokenizer"]["end_of_text"]
    (copy / "shards" / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(Problem, match="padding and end of text are the same token"):
        open_shards(copy)


def test_prefetched_keeps_order_and_raises_where_the_item_is_due() -> None:
    def load(item: int) -> int:
        if item == 3:
            raise Problem("damaged")
        return item * item

    def stream() -> Iterator[int]:
        return iter(Prefetched(load, [1, 2, 3, 4]))

    items = stream()
    assert [next(items), next(items)] == [1, 4]
    with pytest.raises(Problem, match="damaged"):
        next(items)
    prefetched = Prefetched(load, [1, 2, 3, 4])
    items = iter(prefetched)
    assert [next(items), next(items)] == [1, 4]
    prefetched.close()
    assert list(Prefetched(load, [])) == []


def test_time_spent_waiting_is_told() -> None:
    def load(item: int) -> int:
        time.sleep(0.05)
        return item

    prefetched = Prefetched(load, [1, 2, 3])
    assert list(prefetched) == [1, 2, 3]
    assert prefetched.take_waited() >= 0.1
    assert prefetched.take_waited() == 0
