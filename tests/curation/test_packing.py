import random

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from curation.packing import Packed, pack
from schemas.mix import Packing
from schemas.shard import shard_schema

VOCABULARY = 1024
PADDING = 7
SOURCES = ("books", "code", "web")


def pack_lists(
    documents: list[list[int]],
    length: int,
    lengths: npt.NDArray[np.int32],
    token_type: str = "uint16",
) -> pa.Table:
    return pack_all(documents, length, lengths, token_type).rows


def pack_all(
    documents: list[list[int]],
    length: int,
    lengths: npt.NDArray[np.int32],
    token_type: str = "uint16",
    packing: Packing = "concatenate",
) -> Packed:
    offsets = np.cumsum([0] + [len(document) for document in documents]).astype(np.int64)
    tokens = np.array([token for document in documents for token in document], token_type)
    return pack(
        tokens,
        offsets,
        pa.array([name(n) for n in range(len(documents))], pa.binary(16)),
        packing=packing,
        vocabulary=len(lengths),
        byte_lengths=lengths,
        padding=PADDING,
        sequence_length=length,
        source="web",
        sources=SOURCES,
    )


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def obvious(
    documents: list[list[int]], length: int, lengths: npt.NDArray[np.int32]
) -> list[dict[str, object]]:
    """One token after the other."""
    rows: list[dict[str, object]] = []
    ids: list[int] = []
    segments: list[dict[str, object]] = []

    def close() -> None:
        padded = ids + [PADDING] * (length - len(ids))
        row = {"input_ids": padded, "length": len(ids), "source": "web", "segments": list(segments)}
        rows.append(row)
        ids.clear()
        segments.clear()

    for number, document in enumerate(documents):
        for position, token in enumerate(document):
            if position == 0 or not ids:
                segments.append(
                    {
                        "start": len(ids),
                        "document_id": name(number),
                        "document_offset": position,
                        "bytes": 0,
                    }
                )
            ids.append(token)
            segments[-1]["bytes"] += int(lengths[token])  # type: ignore[operator]
            if len(ids) == length:
                close()
    if ids:
        close()
    return rows


def byte_lengths(vocabulary: int = VOCABULARY) -> npt.NDArray[np.int32]:
    return np.random.default_rng(1).integers(0, 12, vocabulary).astype(np.int32)


@pytest.mark.parametrize("seed", range(40))
def test_like_the_obvious(seed: int) -> None:
    rng = np.random.default_rng(seed)
    length = int(rng.choice([2, 3, 16, 64]))
    sizes = [
        int(
            rng.choice(
                [0, 0, 1, length - 1, length, length + 1, 2 * length, int(rng.integers(300))]
            )
        )
        for _ in range(int(rng.integers(1, 30)))
    ]
    documents = [rng.integers(0, VOCABULARY, size).tolist() for size in sizes]
    table = pack_lists(documents, length, byte_lengths())
    table.validate(full=True)
    assert table.schema.equals(shard_schema(length, VOCABULARY), check_metadata=True)
    assert table.to_pylist() == obvious(documents, length, byte_lengths())
    # nothing is lost: every token of every document once, every byte once
    assert sum(row["length"] for row in table.to_pylist()) == sum(sizes)
    total = sum(int(byte_lengths()[document].sum()) for document in documents if document)
    assert sum(part["bytes"] for row in table.to_pylist() for part in row["segments"]) == total


def test_no_documents_and_no_tokens() -> None:
    cases: list[list[list[int]]] = [[], [[]], [[], []]]
    for documents in cases:
        table = pack_lists(documents, 8, byte_lengths())
        assert table.num_rows == 0
        assert table.schema == shard_schema(8, VOCABULARY)


def test_exact_fit_has_no_padding() -> None:
    table = pack_lists([[1] * 5, [2] * 3, [3] * 8], 8, byte_lengths())
    assert table["length"].to_pylist() == [8, 8]
    assert [len(row) for row in table["segments"].to_pylist()] == [2, 1]


def test_wide_ids() -> None:
    lengths = byte_lengths(100_352)
    documents = [[100_000, 5, 70_000], [99_999] * 9]
    table = pack_lists(documents, 4, lengths, "uint32")
    assert table.schema.equals(shard_schema(4, 100_352))
    assert table.to_pylist() == obvious(documents, 4, lengths)


def test_blocks_end_where_rows_end() -> None:
    # more tokens than are looked up at a time, in rows that do not divide a block
    rng = np.random.default_rng(2)
    tokens = rng.integers(0, VOCABULARY, 2_500_000).astype(np.uint16)
    offsets = np.sort(rng.choice(len(tokens), 3000, replace=False))
    offsets = np.concatenate([[0], offsets, [len(tokens)]]).astype(np.int64)
    ids = pa.array([name(n) for n in range(len(offsets) - 1)], pa.binary(16))
    table = pack(
        tokens, offsets, ids, vocabulary=VOCABULARY, byte_lengths=byte_lengths(), padding=PADDING,
        sequence_length=1000, source="code", sources=SOURCES,
    ).rows  # fmt: skip
    segments = table["segments"].combine_chunks().flatten()
    owners = np.array(
        [int.from_bytes(one, "big") for one in segments.field("document_id").to_pylist()]
    )
    sums = np.bincount(owners, segments.field("bytes").to_numpy(), len(ids))
    expected = np.add.reduceat(byte_lengths()[tokens], offsets[:-1])
    assert (sums[np.diff(offsets) > 0] == expected[np.diff(offsets) > 0]).all()
    assert (table["input_ids"].combine_chunks().flatten().to_numpy() == tokens).all()


def test_rows_of_sources_join_and_permute() -> None:
    first = pack_lists([[1, 2, 3], [4] * 6], 4, byte_lengths())
    tokens = np.array([9, 9, 9], np.uint16)
    second = pack(
        tokens, np.array([0, 3]), pa.array([name(77)], pa.binary(16)), vocabulary=VOCABULARY,
        byte_lengths=byte_lengths(), padding=PADDING, sequence_length=4, source="books",
        sources=SOURCES,
    ).rows  # fmt: skip
    both = pa.concat_tables([first, second])
    taken = both.take([3, 0, 2, 1])
    rows = first.to_pylist() + second.to_pylist()
    assert taken.to_pylist() == [rows[3], rows[0], rows[2], rows[1]]
    assert taken.combine_chunks()["source"].chunk(0).dictionary.to_pylist() == list(SOURCES)


def test_arguments_must_agree() -> None:
    tokens = np.arange(5, dtype=np.uint16)
    for offsets, count in (([0, 4], 1), ([1, 5], 1), ([0, 5], 2)):
        ids = pa.array([name(n) for n in range(count)], pa.binary(16))
        with pytest.raises(ValueError, match="offsets"):
            pack(
                tokens, np.array(offsets), ids, vocabulary=VOCABULARY,
                byte_lengths=byte_lengths(), padding=PADDING, sequence_length=4, source="web",
                sources=SOURCES,
            )  # fmt: skip


def parts(table: pa.Table) -> dict[bytes, list[tuple[int, list[int]]]]:
    """Of each document its parts, with their offsets."""
    found: dict[bytes, list[tuple[int, list[int]]]] = {}
    for row in table.to_pylist():
        ends = [*[segment["start"] for segment in row["segments"]][1:], row["length"]]
        assert set(row["input_ids"][row["length"] :]) <= {PADDING}
        for segment, end in zip(row["segments"], ends, strict=True):
            part = (segment["document_offset"], row["input_ids"][segment["start"] : end])
            found.setdefault(segment["document_id"], []).append(part)
    return found


@pytest.mark.parametrize("packing", ["concatenate", "best_fit", "document"])
@pytest.mark.parametrize("token_type", ["uint16", "uint32"])
def test_every_strategy_keeps_every_token(packing: Packing, token_type: str) -> None:
    vocabulary = VOCABULARY if token_type == "uint16" else 70_000
    rng = random.Random(packing)
    lengths = np.array([rng.randrange(5) for _ in range(vocabulary)], np.int32)
    for length in (2, 7, 64):
        for count in (0, 1, 300):
            documents = [
                [rng.randrange(8, vocabulary) for _ in range(rng.choice([0, 1, 3, length, 150]))]
                for _ in range(count)
            ]
            rows, cut = pack_all(documents, length, lengths, token_type, packing)
            assert rows.schema == shard_schema(length, vocabulary)
            found = parts(rows)
            assert len(found) == sum(map(bool, documents))
            for number, document in enumerate(documents):
                own = sorted(found.get(name(number), []))
                assert [token for _, part in own for token in part] == document
                assert [at for at, _ in own] == np.cumsum([0] + [len(p) for _, p in own])[
                    :-1
                ].tolist()
                if packing != "concatenate":
                    assert len(own) == -(-len(document) // length)
            assert cut == sum(len(own) > 1 for own in found.values())
            spelled = sum(int(lengths[d].sum()) for d in documents if d)
            segments = [s for row in rows.to_pylist() for s in row["segments"]]
            assert sum(segment["bytes"] for segment in segments) == spelled
            if packing == "document":
                assert rows.num_rows == len(segments)


def test_best_fit_cuts_little_and_pads_little() -> None:
    """On sizes like those of pages: a tenth of the documents cut that concatenation cuts, and under
    a hundredth of the places padded."""
    rng = np.random.default_rng(2)
    sizes = np.minimum(rng.lognormal(6, 1, 4000).astype(int) + 1, 20_000)
    documents = [[9] * size for size in sizes.tolist()]
    lengths = np.ones(VOCABULARY, np.int32)
    whole = pack_all(documents, 2048, lengths)
    best = pack_all(documents, 2048, lengths, packing="best_fit")
    assert best.cut == int((sizes > 2048).sum()) < whole.cut / 4
    assert best.rows.num_rows * 2048 - sizes.sum() < sizes.sum() / 100


def test_best_fit_takes_the_row_with_the_least_room() -> None:
    documents = [[1] * size for size in (6, 5, 4, 3, 2, 1)]
    rows, cut = pack_all(documents, 7, np.ones(VOCABULARY, np.int32), packing="best_fit")
    sizes = {
        tuple(int.from_bytes(s["document_id"], "big") for s in row["segments"])
        for row in rows.to_pylist()
    }
    # 6 + 1, 5 + 2, 4 + 3
    assert sizes == {(0, 5), (1, 4), (2, 3)}
    assert cut == 0
