"""Shards as other programs read them, in the formats that these document."""

import json
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from pipelines.exports.export import export
from pipelines.recipes.loading import resolve
from pipelines.run import Run
from schemas.problems import Problem
from tests.conftest import REPOSITORY
from tests.runs import gristmill

DATA = REPOSITORY / "tests" / "data" / "mixture"
RECIPE = {
    "inputs": [
        {"source": name, "root": str(DATA), "files": [f"{name}.jsonl"]} for name in ("big", "small")
    ],
    "deduplicate": {"near": None},
    "curate": {"chain": []},
    "tokenizer": {"train": {"vocabulary": 512, "sample_bytes": 1 << 20}},
    "mix": {
        "sequence_length": 100,
        "packing": "best_fit",
        "bucket_tokens": 6000,
        "validation": {"tokens": 500},
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("tokens")
    found = Run.create(resolve("tokens", RECIPE, folder), str(folder / "run"))
    found.go()
    return found


def rows_of(run: Run, split: str, source: str = "") -> list[list[int]]:
    shards = Path(run.folder.url) / "shards"
    files = [shards / file.path for file in run.shards.splits[split].files]  # type: ignore[index]
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return [r["input_ids"][: r["length"]] for r in rows if source in ("", r["source"])]


def indexed(prefix: Path) -> list[npt.NDArray[np.integer]]:
    """The sequences of a data set, as Megatron-LM's `_IndexReader` takes its files apart."""
    data = prefix.with_suffix(".idx").read_bytes()
    assert data[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, documents = struct.unpack_from("<QBQQ", data, 9)
    assert version == 1
    kind = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f8", 7: "<f4", 8: "<u2"}[code]
    at = 9 + 8 + 1 + 8 + 8
    lengths = np.frombuffer(data, "<i4", sequences, at)
    pointers = np.frombuffer(data, "<i8", sequences, at + lengths.nbytes)
    borders = np.frombuffer(data, "<i8", documents, at + lengths.nbytes + pointers.nbytes)
    assert at + lengths.nbytes + pointers.nbytes + borders.nbytes == len(data)
    assert lengths.shape[0] == sequences == borders[-1]
    assert borders[0] == 0
    tokens = prefix.with_suffix(".bin").read_bytes()
    return [
        np.frombuffer(tokens, kind, length, pointer)
        for length, pointer in zip(lengths.tolist(), pointers.tolist(), strict=True)
    ]


def test_megatron(run: Run, tmp_path: Path) -> None:
    result = gristmill(
        "export", run.folder.url, "--to", "megatron", "--output", str(tmp_path / "out")
    )
    assert result.returncode == 0, result.stderr
    for split in ("train", "validation"):
        found = indexed(tmp_path / "out" / split)
        assert [row.tolist() for row in found] == rows_of(run, split)
    export(run, "megatron", str(tmp_path / "small"), ["small"])
    found = indexed(tmp_path / "small" / "train")
    assert [row.tolist() for row in found] == rows_of(run, "train", "small")
    with pytest.raises(Problem, match="is no source of the run"):
        export(run, "megatron", str(tmp_path / "none"), ["tiny"])


def test_nanogpt(run: Run, tmp_path: Path) -> None:
    export(run, "nanogpt", str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "tokenizer.json",
        "train.bin",
        "val.bin",
    ]
    for split, name in (("train", "train.bin"), ("validation", "val.bin")):
        ids = np.memmap(tmp_path / "out" / name, dtype=np.uint16, mode="r")
        assert ids.tolist() == [token for row in rows_of(run, split) for token in row]


def test_a_vocabulary_above_16_bits(run: Run, tmp_path: Path) -> None:
    """A tokenizer of 65,537 ids and more gives uint32 shards."""
    tokenizer = json.loads((Path(run.folder.url) / "tokenizer/tokenizer.json").read_text())
    last = max(tokenizer["added_tokens"], key=lambda token: token["id"])
    first = last["id"] + 1
    tokenizer["added_tokens"] += [
        {**last, "id": number, "content": f"<|more_{number}|>"} for number in range(first, 65_600)
    ]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    recipe = {**RECIPE, "tokenizer": {"load": {"file": "tokenizer.json"}}}
    wide = Run.create(resolve("wide", recipe, tmp_path), str(tmp_path / "run"))
    wide.go()
    assert wide.shards.token_type == "uint32"
    assert sorted(map(tuple, rows_of(wide, "train"))) == sorted(map(tuple, rows_of(run, "train")))
    export(wide, "megatron", str(tmp_path / "out"))
    found = indexed(tmp_path / "out" / "train")
    assert found[0].dtype == np.int32
    assert [row.tolist() for row in found] == rows_of(wide, "train")
    with pytest.raises(Problem, match="nanoGPT reads ids of 16 bits"):
        export(wide, "nanogpt", str(tmp_path / "nano"))


def test_shards_open_as_they_are(run: Run) -> None:
    folder = Path(run.folder.url) / "shards" / "train"
    split = run.shards.splits["train"]
    table = pyarrow.dataset.dataset(folder).to_table()
    assert table.num_rows == split.rows
    assert sum(table["length"].to_pylist()) == split.tokens
    pattern = str(folder / "*.parquet")
    duckdb = pytest.importorskip("duckdb")
    query = f"select source, sum(length) from '{pattern}' group by source order by source"
    expected = [(name, counts.tokens) for name, counts in split.sources.items()]
    assert duckdb.sql(query).fetchall() == expected
    query = f"select input_ids, segments[1].start from '{pattern}' limit 1"
    ((ids, start),) = duckdb.sql(query).fetchall()
    assert (len(ids), start) == (100, 0)


def test_shards_open_in_pandas(run: Run) -> None:
    pandas = pytest.importorskip("pandas")
    folder = Path(run.folder.url) / "shards" / "train"
    frame = pandas.read_parquet(folder)
    assert frame["length"].sum() == run.shards.splits["train"].tokens


def test_shards_open_in_datasets(run: Run, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    files = str(Path(run.folder.url) / "shards/train/*.parquet")
    found = datasets.load_dataset(
        "parquet", data_files={"train": files}, cache_dir=str(tmp_path), split="train"
    )
    split = run.shards.splits["train"]
    assert (len(found), sum(found["length"])) == (split.rows, split.tokens)
    assert len(found[0]["input_ids"]) == 100
