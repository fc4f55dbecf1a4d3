"""Common Crawl's lists of files, and its columnar index, as inputs of a recipe."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import and_, or_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds

from pipelines.runs.chosen import SCHEMA
from pipelines.runs.store import split
from schemas.inputs import Input
from schemas.mistakes import validated
from schemas.problems import Problem

_CRAWL = re.compile(r"CC-MAIN-\d{4}-\d{2}")
_MOST_BYTES = 1 << 28  # of a list of files
_AT_ONCE = 8  # files of the index
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)+[a-z0-9-]+")


def recipe_of(
    crawl: str, prefix: str, given: dict[str, Any], extends: str | None
) -> dict[str, Any]:
    """A recipe of one input, the source `web`: `given` are its `files` or `records`.

    `prefix`: folder or URL that the crawl's names of files go from; `extends`: the recipe that says
    all else.
    """
    check_crawl(crawl)
    item = {"source": "web", "root": prefix, "snapshot": crawl, **given, "format": "warc"}
    validated(Input, item, prefix)
    base = {"extends": extends} if extends else {}
    return {**base, "name": crawl.lower(), "inputs": [item]}


def check_crawl(crawl: str) -> None:
    """Raise Problem if this is no name of a crawl."""
    if not _CRAWL.fullmatch(crawl):
        raise Problem("is no name of a crawl", crawl, "write it as CC-MAIN-2026-30")


def listed(crawl: str, kind: str, place: str, limit: int | None) -> list[str]:
    """The files of a crawl, the first `limit` of its list at a path or URL, which may be gzipped.

    Raises Problem for a list that cannot be read, or is of something else.
    """
    check_crawl(crawl)
    folder, name = split(place)
    try:
        data = folder.read(name)
    except OSError as error:
        raise Problem(f"cannot be read: {error.strerror or error}", place) from None
    if data.startswith(b"\x1f\x8b"):
        data = _inflated(data, place)
    ending = ".warc.wet.gz" if kind == "wet" else ".warc.gz"
    line = re.compile(rf"crawl-data/{crawl}/[\w./-]+{re.escape(ending)}")
    names = data.decode("utf-8", "replace").split()
    for number, each in enumerate(names, 1):
        if not line.fullmatch(each) or "/../" in each:
            said = f"line {number:,} is no {kind.upper()} file of {crawl}: {each:.80}"
            raise Problem(said, place, f"give the list {kind}.paths.gz of this crawl")
    if not names:
        raise Problem("names no file", place)
    return names[:limit]


def _inflated(data: bytes, place: str) -> bytes:
    inflate = zlib.decompressobj(wbits=31)
    try:
        found = inflate.decompress(data, _MOST_BYTES)
    except zlib.error as error:
        raise Problem(f"is damaged: {error}", place) from None
    if inflate.unconsumed_tail or not inflate.eof:
        raise Problem("is cut, or too large for a list of files", place)
    return found


def records(
    crawl: str,
    index: Sequence[str],
    *,
    hosts: Sequence[str] = (),
    languages: Sequence[str] = (),
    media_types: Sequence[str] = (),
    limit: int | None = None,
) -> pa.Table:
    """The places of a crawl's chosen pages, a table of `chosen.SCHEMA` in the order of files and
    offsets; of more than `limit` the first.

    `index`: Parquet files of the columnar index by path or URL. `hosts`: with their subdomains.
    `languages`: ISO 639-3, of which a page's first must be one. `media_types`: as detected. Of the
    files only the columns in question are read, and only row groups whose statistics allow for a
    page. Raises Problem.
    """
    check_crawl(crawl)
    asked = _filter(crawl, hosts, languages, media_types)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        tables = list(pool.map(lambda path: _read(path, asked), index))
    found = pa.concat_tables([SCHEMA.empty_table(), *tables])
    if not found.num_rows:
        raise Problem(
            f"no page of {crawl} in these files is as asked for", " ".join(index[:3]),
            "look after the crawl, hosts, languages (ISO 639-3, such as eng) and media types",
        )  # fmt: skip
    order = [(name, "ascending") for name in SCHEMA.names]
    return found.sort_by(order).slice(0, limit)


def _read(path: str, asked: pc.Expression) -> pa.Table:
    folder, name = split(path)
    try:
        with folder.open(name) as stream:
            options = pds.ParquetFragmentScanOptions(page_checksum_verification=True)
            format_ = pds.ParquetFileFormat(default_fragment_scan_options=options)
            fragment = format_.make_fragment(pa.PythonFile(stream, "r"))
            table = fragment.to_table(columns=SCHEMA.names, filter=asked, use_threads=False)
            return table.cast(SCHEMA)
    except (OSError, KeyError, pa.ArrowException) as error:
        why = " ".join(str(error).split())
        mend = "give files of cc-index/table/cc-main/warc/, of 2018-34 or later for languages"
        raise Problem(f"cannot be read as the columnar index: {why:.200}", path, mend) from None


def _filter(
    crawl: str, hosts: Sequence[str], languages: Sequence[str], media_types: Sequence[str]
) -> pc.Expression:
    """What rows of the index must be."""
    field = pc.field
    tests = [
        field("fetch_status") == 200,
        pc.starts_with(field("warc_filename"), f"crawl-data/{crawl}/"),
    ]
    if hosts:
        tests.append(reduce(or_, (test for host in hosts for test in _of_host(host.lower()))))
    if languages:
        for code in languages:
            if not re.fullmatch(r"[a-z]{3}", code):
                raise Problem(f"is no code of ISO 639-3, such as eng: {code}", "languages")
        first = pc.utf8_slice_codeunits(field("content_languages"), 0, 3)
        tests.append(first.isin(list(languages)))
    if media_types:
        tests.append(field("content_mime_detected").isin(list(media_types)))
    return reduce(and_, tests)


def _of_host(host: str) -> Iterator[pc.Expression]:
    """Tests of a host and its subdomains. Rows are in the order of `url_surtkey`, which begins with
    the host's labels from the last to the first, without a leading `www`: bounds on it are what
    statistics of row groups are good for."""
    if not _HOST.fullmatch(host):
        raise Problem(f"is no name of a host: {host:.80}", "hosts")
    key, name = pc.field("url_surtkey"), pc.field("url_host_name")
    start = ",".join(reversed(re.sub(r"^www\d*\.", "", host).split(".")))
    # after the host comes `)`, `,` or `:`, which all stand between these
    within = (key >= f"{start})") & (key < f"{start};")
    yield within & ((name == host) | pc.ends_with(name, f".{host}"))
