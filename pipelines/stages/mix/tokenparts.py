"""Reading token parts by ranges of the mixing key: only the row groups that hold some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.histogram import Counts
from curation.mixture import Range, rows_between
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from schemas.parquet import open_parquet
from schemas.recipe import Recipe

TokenArray = npt.NDArray[np.unsignedinteger]
FULL: Range = (0, 1 << 64)


@dataclass(frozen=True)
class TokenFile:
    """A file of documents sorted by (source, key), all with keys in `keys`."""

    folder: Folder
    path: str
    keys: Range = FULL


def step_of(recipe: Recipe) -> str:
    """The step that wrote the token parts of the mix."""
    return "mix/groups" if recipe.mix.groups else "tokenize"


def token_files(context: Context) -> list[TokenFile]:
    """The token parts of the mix."""
    step = step_of(context.recipe)
    home = context.home(step.split("/")[0])
    return [TokenFile(home, r.file("tokens").path) for r in context.receipts(step)]


def read_rows(
    files: Sequence[TokenFile], source: str, ranges: Sequence[Range], columns: Sequence[str]
) -> Iterator[pa.Table]:
    """Documents of a source with keys in `ranges` (which do not overlap), file by file.

    Reads the row groups whose statistics allow them to hold such keys, each once.
    """
    for item in files:
        if not any(low < item.keys[1] and item.keys[0] < high for low, high in ranges):
            continue
        with item.folder.open(item.path) as stream:
            file = open_parquet(stream)
            groups = [
                group
                for group in range(file.metadata.num_row_groups)
                if _may_hold(file.metadata.row_group(group), source, ranges)
            ]
            for group in groups:
                table = file.read_row_group(
                    group, [*dict.fromkeys(["source", "key", *columns])], use_threads=False
                )
                own = np.flatnonzero(pc.equal(table["source"], source).to_numpy())
                table = table.slice(own[0], len(own)) if len(own) else table.slice(0, 0)
                keys = table["key"].to_numpy()
                for low, high in ranges:
                    rows = rows_between(keys, low, high)
                    if rows.stop > rows.start:
                        yield table.slice(rows.start, rows.stop - rows.start).select(columns)


def _may_hold(group: pq.RowGroupMetaData, source: str, ranges: Sequence[Range]) -> bool:
    columns = {group.column(i).path_in_schema: group.column(i).statistics for i in range(2)}
    first, last = columns["source"].min, columns["source"].max
    if not first <= source <= last:
        return False
    if first != last:  # keys start anew with the next source
        return True
    low, high = columns["key"].min, columns["key"].max
    return any(start <= high and low < end for start, end in ranges)


def flat_tokens(column: pa.ChunkedArray, firsts: Counts, lasts: Counts) -> TokenArray:
    """Of n lists the tokens [firsts, lasts) (int64[n] each), one after the other, as an array of
    its own: it keeps no row group in memory."""
    lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if not len(lists):
        return np.empty(0, str(lists.type.value_type))
    values, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()[:-1]
    begins, ends = offsets + firsts, offsets + lasts
    if np.array_equal(begins[1:], ends[:-1]):
        whole: TokenArray = values[begins[0] : ends[-1]].copy()
        return whole
    pairs = zip(begins.tolist(), ends.tolist(), strict=True)
    return np.concatenate([values[begin:end] for begin, end in pairs])
