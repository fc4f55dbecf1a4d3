"""Raw text, with the personal data in it, taken out of a run that needs it no more.

The files of raw text lose its columns and keep the others: where records are, and what was found of
them. As receipts hold the digests of the files as they were, a list in each folder holds those of
the files as they are.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass

import pyarrow.parquet as pq

from pipelines.runs.documents import PRUNED, RAW, RAW_COLUMNS
from pipelines.runs.steps import Context
from pipelines.runs.store import SUMS, Folder
from schemas.parquet import open_parquet


@dataclass(frozen=True)
class RawText:
    """Raw text in a run's folder: its folders, files and bytes; `elsewhere`: the runs that hold
    the raw text of stages which this one took over, and which it leaves alone."""

    folders: tuple[str, ...]
    files: int
    bytes: int
    elsewhere: tuple[str, ...]


def raw_text(context: Context) -> RawText:
    """What there is of it, also what killed attempts left; `bytes`: as they are stored."""
    folders = tuple(f"{stage}/{kind}" for stage, kind in RAW.items() if stage not in context.homes)
    sizes = [
        _raw_bytes(context.run / folder, name)
        for folder in folders
        for name in _parts(context.run / folder)
    ]
    homes = (context.homes[stage] for stage in RAW if stage in context.homes)
    return RawText(folders, sum(map(bool, sizes)), sum(sizes), tuple(dict.fromkeys(homes)))


def prune(run: Folder, found: RawText) -> None:
    """Mark the run, so that what needs raw text says so, and take it out of the files."""
    run.create(PRUNED, "".join(f"{name}\n" for name in found.folders).encode())
    for name in found.folders:
        folder = run / name
        for part in _parts(folder):
            if _raw_bytes(folder, part):
                _strip(folder, part)
        sums = (
            f"{hashlib.sha256(folder.read(part)).hexdigest()}  {part}\n" for part in _parts(folder)
        )
        folder.replace(SUMS, "".join(sums).encode())


def _parts(folder: Folder) -> list[str]:
    return [name for name in folder.names() if name.endswith(".parquet")]


def _raw_bytes(folder: Folder, name: str) -> int:
    with folder.open(name) as stream:
        metadata = pq.read_metadata(stream)
    groups = (metadata.row_group(at) for at in range(metadata.num_row_groups))
    columns = (group.column(at) for group in groups for at in range(group.num_columns))
    return sum(one.total_compressed_size for one in columns if one.path_in_schema in RAW_COLUMNS)


def _strip(folder: Folder, name: str) -> None:
    """Put a file without the columns of raw text in the place of one with them."""
    scratch = folder.scratch()
    try:
        with folder.open(name) as stream:
            file = open_parquet(stream)
            schema = file.schema_arrow
            kept = [each for each in schema.names if each not in RAW_COLUMNS]
            for each in set(schema.names) - set(kept):
                schema = schema.remove(schema.get_field_index(each))
            with pq.ParquetWriter(
                scratch / name, schema, compression="zstd", write_page_checksum=True
            ) as out:
                for group in range(file.num_row_groups):
                    out.write_table(file.read_row_group(group, kept, use_threads=False))
        folder.publish(scratch / name, name)
    finally:
        shutil.rmtree(scratch)
