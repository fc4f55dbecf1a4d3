"""Captures as a crawler writes them: the WARC records of a page, each its own gzip member."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
import uuid
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecordType

STARTED = datetime(2026, 2, 14, 12, tzinfo=UTC)

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
</head>
<body>
<header><a href="/">{site}</a></header>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About</a></li>\
<li><a href="/archive">Archive</a></li></ul></nav>
<main><article>
<h1>{title}</h1>
{body}
</article></main>
<footer><p>{footer}</p></footer>
</body>
</html>
"""


class Entry:
    """One capture: the gzip members of its records, and its line of gold."""

    def __init__(self, members: list[bytes], gold: dict[str, Any]) -> None:
        self.members = members
        self.gold = gold


def captures(data: bytes) -> dict[str, tuple[list[bytes], bytes]]:
    """Record id of each response -> (members of request, response, metadata; HTML)."""
    records = []
    for each in ArchiveIterator(io.BytesIO(data)):
        body = each.reader.read()
        records.append((each.stream_pos, each.record_type, each.record_id, body))
    ends = [start for start, *_ in records[1:]] + [len(data)]
    members = [data[start:end] for (start, *_), end in zip(records, ends, strict=True)]
    return {
        urn.strip("<>"): (members[at - 1 : at + 2], body)
        for at, (_, kind, urn, body) in enumerate(records)
        if kind == WarcRecordType.response
    }


class Builder:
    """Writes captures in the style of the real ones, with identifiers from a seed."""

    def __init__(self) -> None:
        self.count = 0

    def page(self, url: str, body: bytes, gold: dict[str, Any], **response: Any) -> Entry:
        self.count += 1
        when = STARTED + timedelta(minutes=self.count)
        request, urn, metadata = (self._urn(kind) for kind in ("request", "response", "metadata"))
        path = re.sub(r"^https?://[^/]+", "", url)
        host = url.split("/")[2]
        asked = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n".encode()
        members = [
            record("request", request, when, asked, url=url, to=urn),
            record("response", urn, when, http(body, when, **response), url=url, to=request),
            record("metadata", metadata, when, b"fetchTimeMs: 120\r\n\r\n", url=url, to=urn),
        ]
        line = {"record_id": urn, "url": url, "author": None, "date": None, "encoding": "utf-8"}
        return Entry(members, line | gold)

    def _urn(self, kind: str) -> str:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"gristmill-sample/{self.count}/{kind}").urn


def http(
    body: bytes,
    when: datetime,
    status: str = "200 OK",
    content_type: str = "text/html; charset=UTF-8",
) -> bytes:
    date = when.strftime("%a, %d %b %Y %H:%M:%S GMT")
    head = (
        f"HTTP/1.1 {status}\r\nServer: nginx\r\nDate: {date}\r\nContent-Type: {content_type}\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def record(kind: str, urn: str, when: datetime, block: bytes, url: str = "", to: str = "") -> bytes:
    """One WARC record as one gzip member (fixed header: no name, no time)."""
    types = {
        "warcinfo": "application/warc-fields",
        "metadata": "application/warc-fields",
        "request": "application/http; msgtype=request",
        "response": "application/http; msgtype=response",
    }
    digest = base64.b32encode(hashlib.sha1(block).digest()).decode()
    fields = [
        ("WARC-Type", kind),
        ("WARC-Record-ID", f"<{urn}>"),
        ("WARC-Date", when.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("WARC-Target-URI", url),
        ("WARC-Concurrent-To", f"<{to}>" if to else ""),
        ("WARC-Block-Digest", f"sha1:{digest}"),
        ("Content-Type", types[kind]),
        ("Content-Length", str(len(block))),
    ]
    head = "WARC/1.0\r\n" + "".join(f"{key}: {value}\r\n" for key, value in fields if value)
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return packer.compress(head.encode() + b"\r\n" + block + b"\r\n\r\n") + packer.flush()


def render(title: str, paragraphs: list[str], site: str, footer: str) -> bytes:
    body = "\n".join(f"<p>{html.escape(text, quote=False)}</p>" for text in paragraphs)
    page = TEMPLATE.format(title=html.escape(title), body=body, site=site, footer=footer)
    return page.encode()


def damage(entry: Entry) -> None:
    """Flip 32 bytes in the middle of the response's gzip member."""
    member = bytearray(entry.members[1])
    middle = len(member) // 2
    for at in range(middle, middle + 32):
        member[at] ^= 0xFF
    try:
        zlib.decompress(bytes(member), zlib.MAX_WBITS | 16)
    except zlib.error:
        entry.members[1] = bytes(member)
        entry.gold["damaged"] = True
        return
    raise SystemExit("the damaged record can still be read")
