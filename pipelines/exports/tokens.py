"""The shards of a run as other trainers read them: tokens row after row, without padding."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.run import Run
from pipelines.runs.parts import read_part
from pipelines.runs.store import Folder
from schemas.problems import Problem
from schemas.shard import ShardFile, row_group_rows

Rows = Iterator[tuple[npt.NDArray[np.unsignedinteger], npt.NDArray[np.int64]]]

_MEGATRON = {"uint16": ("<u2", 8), "uint32": ("<i4", 4)}


def nanogpt(run: Run, folder: Folder, sources: Sequence[str]) -> None:
    """`train.bin` and `val.bin`: ids as uint16, as nanoGPT's `train.py` maps them, and
    `tokenizer.json`. Raises Problem if ids need more."""
    if run.shards.token_type != "uint16":
        raise Problem(
            "nanoGPT reads ids of 16 bits, and the vocabulary has "
            f"{run.shards.tokenizer.vocabulary:,}",
            run.folder.url,
            "export to megatron, or make the run with a vocabulary of at most 65,536",
        )
    for split, name in (("train", "train.bin"), ("validation", "val.bin")):
        files = run.shards.splits[split].files  # type: ignore[index]
        _write(folder, name, (ids for ids, _ in _rows(run, files, sources)), "<u2")
    _with_tokenizer(run, folder)


def megatron(run: Run, folder: Folder, sources: Sequence[str]) -> None:
    """`train.bin` and `.idx` (`train-PHASE` of each phase), `validation.bin` and `.idx`, as
    Megatron-LM's `IndexedDataset` reads them, and `tokenizer.json`. A row is a document of one
    sequence, so that Megatron's samples keep the mixture; its documents end in end-of-text."""
    kind, code = _MEGATRON[run.shards.token_type]
    sets = {"validation": run.shards.splits["validation"].files}
    train, first = run.shards.splits["train"], 0
    for phase in train.phases:
        sets[f"train-{phase.name}"] = train.files[first : first + phase.files]
        first += phase.files
    for name, files in {**sets, **({} if train.phases else {"train": train.files})}.items():
        lengths: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]

        def ids(files: Sequence[ShardFile] = files, lengths: list = lengths) -> Iterator:  # type: ignore[type-arg]
            for each, sizes in _rows(run, files, sources):
                lengths.append(sizes)
                yield each

        _write(folder, f"{name}.bin", ids(), kind)
        sizes = np.concatenate(lengths)
        starts = (np.cumsum(sizes) - sizes) * np.dtype(kind).itemsize
        borders = np.arange(len(sizes) + 1, dtype="<i8")
        head = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, len(sizes), len(borders))
        arrays = (sizes.astype("<i4"), starts.astype("<i8"), borders)
        folder.replace(f"{name}.idx", head + b"".join(each.tobytes() for each in arrays))
    _with_tokenizer(run, folder)


def _rows(run: Run, files: Iterable[ShardFile], sources: Sequence[str]) -> Rows:
    """The ids of the rows of some files, without padding, and the length of each row."""
    shards, length = run.folder / "shards", run.shards.sequence_length
    columns = ["input_ids", "length", "source"]
    for file in files:
        for batch in read_part(shards, file.path, columns, row_group_rows(length)):
            own = batch.filter(
                pc.is_in(batch["source"].cast(pa.string()), pa.array(sources, pa.string()))
            )
            sizes = own["length"].to_numpy().astype(np.int64)
            ids = own["input_ids"].flatten().to_numpy().reshape(-1, length)
            yield ids[np.arange(length) < sizes[:, None]], sizes


def _write(
    folder: Folder, name: str, arrays: Iterable[npt.NDArray[np.unsignedinteger]], kind: str
) -> None:
    scratch = folder.scratch()
    try:
        with (scratch / name).open("wb") as stream:
            for array in arrays:
                stream.write(array.astype(kind).tobytes())
        folder.publish(scratch / name, name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _with_tokenizer(run: Run, folder: Folder) -> None:
    folder.replace("tokenizer.json", run.folder.read("tokenizer/tokenizer.json"))
