"""Extraction in processes of its own, so that a page that crashes or hangs costs that page only.

A child limits itself: the kernel ends it when a page has taken its CPU time, also inside a
library's native code. The parent notes the page that ended it and goes on in a new child.
"""

from __future__ import annotations

import fcntl
import json
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Self, TypeVar

from curation.extraction import Extractor, Page, Rejected
from curation.extraction.worker import read_frame
from curation.readers import Damage, Record
from schemas.extract import Extract

# Records between a page that a child has and the next one to be read, so that both work at once.
_WINDOW = 32
_PIPE_BYTES = 1 << 20
_OUT_OF_TIME = (-signal.SIGPROF, -signal.SIGALRM)

Label = TypeVar("Label")


class Sandbox:
    """Extracts pages in child processes. A context manager: at its end the children are gone."""

    def __init__(self, extractor: Extractor, children: int = 1) -> None:
        """`children`: how many work side by side; what comes out does not depend on it."""
        self._extractor = extractor
        self._children = [_Child(extractor) for _ in range(children)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the children."""
        for child in self._children:
            child.stop()

    def extract(
        self, records: Iterable[tuple[Label, Record | Damage]]
    ) -> Iterator[tuple[Label, Record | Damage, Page | Rejected]]:
        """What `Extractor.extract` makes of each record, in their order, each with its label.

        Two reasons more: `timeout`, of a page that took more than `max_page_seconds` of CPU time,
        and `crash`, of one that ended its child twice. Raises RuntimeError if no child starts.
        """
        waiting: deque[tuple[Label, Record | Damage, _Child | Rejected]] = deque()

        def answer() -> tuple[Label, Record | Damage, Page | Rejected]:
            label, record, by = waiting.popleft()
            return label, record, by if isinstance(by, Rejected) else by.receive()

        turn = 0
        for label, record in records:
            early = self._extractor.first(record)
            if early is not None or isinstance(record, Damage):
                waiting.append((label, record, early or Rejected("damaged", None)))
            else:
                turn = (turn + 1) % len(self._children)
                self._children[turn].send(record)
                waiting.append((label, record, self._children[turn]))
            while waiting and (
                isinstance(waiting[0][2], Rejected) or len(waiting) > _WINDOW * len(self._children)
            ):
                yield answer()
        while waiting:
            yield answer()


class _Child:
    """One process and the records that it has not answered yet."""

    def __init__(self, extractor: Extractor) -> None:
        self._options = extractor.options
        self._sent: deque[Record] = deque()
        self._suspected = False  # whether the first of them ended a process before
        self._process: subprocess.Popen[bytes] | None = None
        self.pid: int | None = None  # of a process that takes records

    def send(self, record: Record) -> None:
        self._sent.append(record)
        if self._process is None:
            self._start()
        else:
            self._send(record)

    def receive(self) -> Page | Rejected:
        """What was made of the first record that is not answered."""
        while True:
            answer = self._answers.get()
            if answer is not None:
                self._suspected = False
                self._sent.popleft()
                return _result(answer)
            assert self._process is not None  # noqa: S101 - it has been sent something
            status = self._process.wait()
            found = self._why(status)
            if found:
                self._suspected = False
                self._sent.popleft()
            else:
                self._suspected = True
            self._start()
            if found:
                return found

    def _why(self, status: int) -> Rejected | None:
        """What to make of the record that ended a process; None if it is worth another try."""
        if status in _OUT_OF_TIME:
            return Rejected("timeout", f"{self._options.max_page_seconds:g} s")
        if self._suspected:
            how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            return Rejected("crash", how)
        return None

    def _start(self) -> None:
        """Begin a process anew, with all that is not answered."""
        self._close()
        # -P: nothing is imported from the folder it is started in, whose files may be the crawl's
        command = [sys.executable, "-P", "-m", "curation.extraction.worker"]
        self._process = subprocess.Popen(  # noqa: S603 - this package
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        with suppress(OSError):  # a page at once; a system may allow less
            fcntl.fcntl(self._process.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._answers: SimpleQueue[bytes | None] = SimpleQueue()
        # a thread, so that a child never waits to be heard while its parent waits to be read
        threading.Thread(
            target=_listen, args=(self._process.stdout, self._answers), daemon=True
        ).start()
        self._send(self._options)
        if self._answers.get() is None:
            raise RuntimeError(
                f"the extraction process does not start: `{' '.join(command)}` ended with "
                f"{self._process.wait()}"
            )
        self.pid = self._process.pid
        for record in self._sent:
            self._send(record)

    def _send(self, request: Record | Extract) -> None:
        assert self._process is not None and self._process.stdin is not None  # noqa: S101, PT018
        # that it ended is noticed where answers are awaited
        with suppress(BrokenPipeError):
            pickle.dump(request, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()

    def stop(self) -> None:
        """End the process."""
        self._close()
        self._sent.clear()

    def _close(self) -> None:
        if self._process is None:
            return
        self.pid = None
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):  # of what it had not read
            if self._process.stdin:
                self._process.stdin.close()
        self._process = None


def _listen(stream: IO[bytes], answers: SimpleQueue[bytes | None]) -> None:
    with stream:
        while (frame := read_frame(stream)) is not None:
            answers.put(frame)
    answers.put(None)


def _result(answer: bytes) -> Page | Rejected:
    value = json.loads(answer)
    if rejected := value.get("rejected"):
        return Rejected(rejected["reason"], rejected["value"])
    page = value["page"]
    return Page(**page | {"opt_outs": tuple(page["opt_outs"]), "licences": tuple(page["licences"])})
