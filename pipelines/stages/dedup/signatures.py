"""What deduplication works on: a row of digests and the bands of its signature for every document.

A band is stored as 16 bits of each of its values: what candidates are found by, one band at a time,
is so what they are compared by, all bands together. Of signatures with more than SKETCH_VALUES
values keys of 64 bits are stored instead, beside a sketch of the first values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.dedup.exact import digest, normalised_digest
from curation.dedup.nodes import Array, nodes, preference
from pipelines.recipes.saving import read_saved
from pipelines.runs.documents import of_part
from pipelines.runs.ids import to_bytes, to_text
from pipelines.runs.parts import read_table
from pipelines.runs.steps import Context, read_manifest, read_receipts
from pipelines.runs.store import Folder
from schemas.deduplicate import Deduplicate, Near
from schemas.problems import Problem
from schemas.tables import HEX, signature_schema

if TYPE_CHECKING:
    from curation.dedup.minhash import Signer

# Levels that compare one digest a document, in their order, and the column that holds it.
KEYED = {"url": "url", "exact": "digest", "normalised": "normalised"}
_BAND = "band_{:04d}"
_UNNAMED = 254  # rank of the sources that `prefer` does not name


def keyed_levels(recipe: Deduplicate) -> list[str]:
    """The keyed levels that the recipe asks for, in order."""
    return [level for level in KEYED if getattr(recipe, level)]


def schema(recipe: Deduplicate) -> pa.Schema:
    """Of the rows of `signature_table`."""
    near, levels = recipe.near, keyed_levels(recipe)
    if near is None:
        return signature_schema(levels, 0, 0)
    sketch = 0 if _is_whole(near) else 2 * sketch_values(near)
    return signature_schema(levels, near.bands, 2 * near.rows, sketch)


def _is_whole(near: Near) -> bool:
    """Whether all values of a signature are stored."""
    return sketch_values(near) == near.bands * near.rows


def sketch_values(near: Near) -> int:
    """Values of a sketch."""
    from curation.dedup.minhash import SKETCH_VALUES

    return min(near.bands * near.rows, SKETCH_VALUES)


@cache
def signer(near: Near) -> Signer:
    """The signer, made once a process."""
    from curation.dedup.minhash import Signer

    return Signer(near)


def signature_table(recipe: Deduplicate, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of the signature file, for rows with id, source, snapshot, url, text, crawled, and
    `signal`, the value that `keep` names, if it names one."""
    scope = recipe.scope
    scopes = ["" if scope == "global" else row[scope] for row in rows]
    texts = [row["text"] for row in rows]
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    digests = [digest(data, own) for data, own in zip(encoded, scopes, strict=True)]
    sizes = np.fromiter(map(len, encoded), np.int64, len(rows))
    columns: dict[str, Any] = {
        "id": to_bytes(pa.array([row["id"] for row in rows], HEX)),
        "scope": pa.array(scopes, pa.string()),
        "preference": pa.array(_preferences(recipe, recipe.keep, rows, sizes, digests)),
        "digest": pa.array(digests, pa.binary(16)),
    }
    if recipe.url:
        from curation.urls import normalise

        keep = recipe.keep if recipe.url == "best" else "newest"
        columns["url"] = pa.array(
            [
                digest(url, own) if (url := normalise(row["url"] or "")) else None
                for row, own in zip(rows, scopes, strict=True)
            ],
            pa.binary(16),
        )
        columns["url_preference"] = pa.array(_preferences(recipe, keep, rows, sizes, digests))
    if recipe.normalised:
        columns["normalised"] = pa.array(
            [normalised_digest(text, own) for text, own in zip(texts, scopes, strict=True)],
            pa.binary(16),
        )
    if (near := recipe.near) is not None:
        columns |= near_columns(near, signer(near).sign(texts), scopes)
    return pa.table(columns, schema(recipe))


def near_columns(near: Near, signed: Array, scopes: Sequence[str]) -> dict[str, pa.Array]:
    """What is stored of signatures [n, bands * rows]."""
    from curation.dedup.minhash import band_keys, sketch

    short = sketch(signed)
    if _is_whole(near):
        values = short.reshape(len(short), near.bands, near.rows)
        return {_BAND.format(band): _binary(values[:, band]) for band in range(near.bands)}
    keys = band_keys(signed, near.bands, near.rows, scopes)
    bands = {_BAND.format(band): pa.array(keys[:, band]) for band in range(near.bands)}
    return {"sketch": _binary(short), **bands}


def _binary(values: Array) -> pa.FixedSizeBinaryArray:
    data = np.ascontiguousarray(values)
    kind = pa.binary(data.itemsize * data.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(data), [None, pa.py_buffer(data)])


def band_columns(bands: Sequence[int]) -> list[str]:
    """The columns that `keys_of_band` needs."""
    return ["scope", *map(_BAND.format, bands)]


def keys_of_band(near: Near, table: pa.Table, band: int) -> Array:
    """The keys of a band, uint64 [n], equal where its values and the scopes are."""
    from curation.dedup.minhash import band_keys

    column = table[_BAND.format(band)]
    if not _is_whole(near):
        keys: Array = column.to_numpy()
        return keys
    values = np.frombuffer(raw(column), "<u2").reshape(table.num_rows, near.rows)
    scopes = pc.unique(table["scope"])
    labels = scopes[0].as_py() if len(scopes) == 1 else table["scope"].to_pylist()
    return band_keys(values.astype(np.uint64), 1, near.rows, labels)[:, 0]


def sketch_columns(near: Near) -> list[str]:
    """The columns that `sketches` needs."""
    return [_BAND.format(band) for band in range(near.bands)] if _is_whole(near) else ["sketch"]


def sketches(near: Near, table: pa.Table) -> Array:
    """The sketches of rows, uint8 [n, 2 * values]."""
    parts = [np.frombuffer(raw(table[name]), np.uint8) for name in sketch_columns(near)]
    return np.concatenate([part.reshape(table.num_rows, -1) for part in parts], axis=1)


def _preferences(
    recipe: Deduplicate,
    keep: str,
    rows: Sequence[Mapping[str, Any]],
    sizes: Array,
    digests: Sequence[bytes],
) -> Array:
    ranks = {source: at for at, source in enumerate(recipe.prefer, 1)}
    crawled = [-1 if row["crawled"] is None else int(row["crawled"].timestamp()) for row in rows]
    signal = [np.nan if (value := row.get("signal")) is None else value for row in rows]
    return preference(
        keep,
        sizes,
        np.array(crawled, np.int64),
        np.array(signal, np.float64),
        digests,
        np.array([ranks.get(row["source"], _UNNAMED) for row in rows], np.uint8),
    )


@dataclass(frozen=True)
class Part:
    """A file of signatures. `index`: of which run of `against` it is, None for the run's own."""

    home: Folder
    path: str
    rows: int
    index: int | None = None

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Some columns, or all; all rows."""
        return read_table(self.home, self.path, columns)

    def nodes(self, table: pa.Table, part: int, column: str = "preference") -> Array:
        """NODE rows, by a column of preferences; this is the part number `part`."""
        own = table[column].to_numpy()
        # what another run holds stays; runs have different numbers, as ids may be the same
        chosen = own if self.index is None else np.full_like(own, self.index)
        return nodes(chosen, raw(table["id"]), part)


def parts(context: Context) -> list[Part]:
    """The parts of the run, in the order of their tasks, then those of `against`."""
    signed = context.signed
    return _parts(context.home(signed).url, signed, context.recipe.deduplicate.against)


@cache
def _parts(url: str, signed: str, against: Sequence[str]) -> list[Part]:
    found = _files(url, signed, "signatures")
    for number, other in enumerate(against):
        manifest = read_manifest(Folder(other), "deduplicate")
        found += [
            replace(part, index=number)
            for part in _files(manifest.home or other, "deduplicate", "index")
        ]
    return found


def _files(url: str, step: str, kind: str) -> list[Part]:
    files = [receipt.file(kind) for receipt in read_receipts(url, step)]
    return [Part(Folder(url), file.path, file.rows) for file in files]


def texts_of(context: Context, part: int, ids: pa.ChunkedArray) -> Iterator[tuple[bytes, str]]:
    """Texts of documents of a part of the run, as they were signed, with their ids."""
    task = context.receipts(context.signed)[part].task
    for batch in of_part(context, task, ["id", "text"], to_text(ids)):
        yield from zip(to_bytes(batch["id"]).to_pylist(), batch["text"].to_pylist(), strict=True)


def signing(recipe: Deduplicate) -> dict[str, Any]:
    """What must be equal for the signatures of two runs to be compared."""
    near = recipe.near
    include = {"bands", "rows", "shingle_words", "shingle_characters", "seed"}
    return {"scope": recipe.scope, "near": near.model_dump(include=include) if near else None}


def index_digest(recipe: Deduplicate, url: str) -> str:
    """What tells one index from another. Raises Problem if it cannot be used by the recipe."""
    folder = Folder(url)
    if not folder.exists("deduplicate/manifest.json"):
        raise Problem(f"deduplicate.against: {url}: no run that has come to its deduplication")
    theirs = read_saved(folder).deduplicate
    if not theirs.index:
        raise Problem(
            f"deduplicate.against: {url}: has no index: give its recipe `deduplicate.index: true`"
        )
    if signing(theirs) != signing(recipe):
        raise Problem(
            f"deduplicate.against: {url}: has {signing(theirs)}, this recipe {signing(recipe)}: "
            "they must be equal"
        )
    for level in keyed_levels(recipe):
        if level != "exact" and level not in keyed_levels(theirs):
            raise Problem(
                f"deduplicate.{level}: {url}: was made without: turn it off, or leave this run "
                "out of `against`"
            )
    return read_manifest(folder, "deduplicate").digest


def raw(column: pa.ChunkedArray) -> bytes:
    """The bytes of a column of fixed size without nulls."""
    return b"".join(_raw(chunk) for chunk in column.chunks)


def _raw(column: pa.Array) -> bytes:
    width = column.type.byte_width
    start = column.offset * width
    return bytes(memoryview(column.buffers()[1])[start : start + len(column) * width])
