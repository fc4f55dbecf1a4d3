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
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Any

from curation.extraction import Extractor, Page
from schemas.extract import Extract

MEMORY = 3 << 30  # bytes of data that a child may hold
# Wall-clock time a second of CPU time that is allowed, for what waits and does not work.
_PATIENCE = 20
_LENGTH = 4


def write_frame(stream: IO[bytes], data: bytes) -> None:
    """Write a frame whole."""
    stream.write(len(data).to_bytes(_LENGTH, "little"))
    stream.write(data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes | None:
    """The next frame; None at the end, also inside a frame."""
    head = stream.read(_LENGTH)
    size = int.from_bytes(head, "little")
    data = stream.read(size) if len(head) == _LENGTH else b""
    return data if len(head) == _LENGTH and len(data) == size else None


def requests(stream: IO[bytes]) -> Iterator[Any]:
    """What the parent has sent, until it ends, also inside a request."""
    while True:
        try:
            yield pickle.load(stream)  # noqa: S301 - of its parent
        except (EOFError, pickle.UnpicklingError):
            return


def main() -> None:
    """Answer the records on standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent ends it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    asked = requests(sys.stdin.buffer)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not an answer
    options: Extract = next(asked)
    extractor = Extractor(options)
    extractor.prepare()
    gc.freeze()
    write_frame(answers, b"ready")
    seconds = options.max_page_seconds
    for record in asked:
        # their default action ends the process, also inside native code
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, seconds * _PATIENCE)
        found = extractor.rest(record)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answer = {"page": asdict(found)} if isinstance(found, Page) else {"rejected": asdict(found)}
        write_frame(answers, json.dumps(answer).encode())


if __name__ == "__main__":
    main()
