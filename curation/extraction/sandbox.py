"""Extraction in processes of its own, so that a page that crashes or hangs costs that page only.

A child limits itself: the kernel ends it when a page has taken its CPU time, also inside a
library's native code. The parent notes the page that ended it and goes on in a new child. A child
is a copy of its parent, which has most of what it needs, where that is one thread and so can be
copied; else a new process.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from curation.extraction import Extractor, Page, Rejected, worker
from curation.readers import Damage, Record
from schemas.extract import Extract

# Records between a page that a child has and the next one to be read, so that both work at once.
_WINDOW = 32
_PIPE_BYTES = 1 << 20
_ANSWER_BYTES = 1 << 16  # read at once
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
        self._process: int | None = None
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
            answer = self._answer()
            if answer is not None:
                self._suspected = False
                self._sent.popleft()
                return _result(answer)
            found = self._why(self._wait())
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
        self.stop()
        theirs, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        with suppress(OSError):  # a page at once; a system may allow less
            fcntl.fcntl(self._requests, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._requests, False)
        self._heard = bytearray()
        self._process = _begin(theirs, answers)
        os.close(theirs)
        os.close(answers)
        self._send(self._options)
        if self._answer() is None:
            raise RuntimeError(
                f"the extraction process does not start: it ended with {self._wait()}"
            )
        self.pid = self._process
        for record in self._sent:
            self._send(record)

    def _send(self, request: Record | Extract) -> None:
        """Send a request, and hear what comes meanwhile: the child may itself wait to be heard."""
        pieces = [memoryview(piece) for piece in worker.written(request)]
        either = select.poll()
        either.register(self._requests, select.POLLOUT)
        either.register(self._answers, select.POLLIN)
        while pieces:
            try:
                pieces[0] = pieces[0][os.write(self._requests, pieces[0]) :]
                if not pieces[0]:
                    del pieces[0]
            except BlockingIOError:
                if any(place == self._answers for place, _ in either.poll()):
                    self._hear()
            except BrokenPipeError:  # is noticed where answers are awaited
                return

    def _hear(self) -> bool:
        data = os.read(self._answers, _ANSWER_BYTES)
        self._heard += data
        return bool(data)

    def _answer(self) -> bytes | None:
        """The next answer; None if the process ended before."""
        while (answer := worker.first_frame(self._heard)) is None:
            if not self._hear():
                return None
        return answer

    def _wait(self) -> int:
        """How the process ended: its exit status, or minus the signal."""
        assert self._process is not None  # noqa: S101 - it has been started
        process, self._process, self.pid = self._process, None, None
        os.close(self._requests)
        os.close(self._answers)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            os.kill(self._process, signal.SIGKILL)
            self._wait()


def _begin(requests: int, answers: int) -> int:
    """Begin a process that reads from one pipe and writes to another; its id."""
    if threading.active_count() > 1:
        # -P: nothing is imported from the folder it is started in, whose files may be the crawl's
        command = [sys.executable, "-P", "-m", worker.__name__]
        pipes = [(os.POSIX_SPAWN_DUP2, requests, 0), (os.POSIX_SPAWN_DUP2, answers, 1)]
        # modules, an engine of the user's own among them, come from where this process has them
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return os.posix_spawn(sys.executable, command, environment, file_actions=pipes)
    sys.stdout.flush()  # or the copy would write it too
    process = os.fork()
    if not process:
        try:
            os.dup2(requests, 0)
            os.dup2(answers, 1)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # of its parent
            worker.main()
            os._exit(0)
        finally:  # nothing that its parent has begun is ended here
            os._exit(1)
    return process


def _result(answer: bytes) -> Page | Rejected:
    value = json.loads(answer)
    if rejected := value.get("rejected"):
        return Rejected(rejected["reason"], rejected["value"])
    page = value["page"]
    return Page(**page | {"opt_outs": tuple(page["opt_outs"]), "licences": tuple(page["licences"])})
