"""The child of a sandbox: reads records, answers with pages.

Its parent is trusted and sends pickles; the child reads hostile pages and answers in JSON, in
frames: a length of 4 bytes, then that many bytes.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import resource
import signal
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import IO, Any

from curation.extraction import Extractor, Page
from curation.readers import Record
from schemas.extract import Extract

MEMORY = 3 << 30  # bytes of data that a child may hold beside what it begins with
# Wall-clock time a second of CPU time that is allowed, for what waits and does not work.
_PATIENCE = 20
_LENGTH = 4
_PAGES = 1000  # between two looks for cycles, of which there are hardly any


def write_frame(stream: IO[bytes], data: bytes) -> None:
    """Write a frame whole."""
    stream.write(len(data).to_bytes(_LENGTH, "little"))
    stream.write(data)
    stream.flush()


def first_frame(buffer: bytearray) -> bytes | None:
    """Take the first frame out of what was read; None if it is not whole yet."""
    end = _LENGTH + int.from_bytes(buffer[:_LENGTH], "little")
    if len(buffer) < end:
        return None
    data = bytes(buffer[_LENGTH:end])
    del buffer[:end]
    return data


def written(request: Record | Extract) -> Iterator[bytes]:
    """What the parent sends: a pickle, and after it a record's payload, which is not copied."""
    payload = b""
    if isinstance(request, Record):
        request, payload = replace(request, payload=b""), request.payload
    yield pickle.dumps((request, len(payload)), pickle.HIGHEST_PROTOCOL)
    if payload:
        yield payload


def requests(stream: IO[bytes]) -> Iterator[Any]:
    """What the parent has sent, until it ends, also inside a request."""
    while True:
        try:
            request, size = pickle.load(stream)  # noqa: S301 - of its parent
        except (EOFError, pickle.UnpicklingError):
            return
        payload = stream.read(size)
        if len(payload) < size:
            return
        yield replace(request, payload=payload) if size else request


def held() -> int:
    """Bytes of data that this process holds: as a copy of its parent, what that did."""
    with open("/proc/self/statm", "rb") as pages:
        return int(pages.read().split()[5]) * resource.getpagesize()


def main() -> None:
    """Answer the records on standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent ends it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = MEMORY + held()
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    asked = requests(os.fdopen(0, "rb", closefd=False))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not an answer
    options: Extract = next(asked)
    extractor = Extractor(options)
    extractor.prepare()
    # A page's many nodes die by their counts: to look for cycles is left to once in many pages.
    gc.freeze()
    gc.disable()
    write_frame(answers, b"ready")
    seconds = options.max_page_seconds
    for number, record in enumerate(asked, 1):
        # their default action ends the process, also inside native code
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, seconds * _PATIENCE)
        found = extractor.rest(record)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answer = {"page": asdict(found)} if isinstance(found, Page) else {"rejected": asdict(found)}
        write_frame(answers, json.dumps(answer).encode())
        if number % _PAGES == 0:
            gc.collect()


if __name__ == "__main__":
    main()
