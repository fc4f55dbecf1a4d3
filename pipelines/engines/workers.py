"""Worker processes of the local engine, forked from one that has imported what they need.

A stage may run dozens of short jobs, and a Python process takes seconds to import Beam, Arrow and
SciPy; a fork of one that has done so takes hundredths, and shares their memory. That parent has
one thread and opens no channel, so that it can be forked. It reads a line for every worker to
start, writes one for every worker that has ended, and ends when nobody is left to write to it:

    {"WORKER_ID": "w1", ...}    the environment of a worker
    w1 0                        its exit status
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import IO, Any, NoReturn, cast

from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.transforms import environments
from google.protobuf import json_format, text_format  # type: ignore[import-untyped]

_URN = "gristmill:environment:forked:v1"
_LOG = "GRISTMILL_WORKER_LOG"
# Beam warns, when it is imported, of what is not installed
_PROGRAM = (
    "import logging; logging.root.setLevel(logging.CRITICAL); "
    "from pipelines.engines.workers import main; main()"
)


@environments.Environment.register_urn(_URN, bytes)
class ForkedEnvironment(environments.Environment):
    """Workers that are forked; what they print goes to the end of a file."""

    def __init__(self, log: str, capabilities: Iterable[str] | None = None) -> None:
        """`log` is the file's path."""
        super().__init__(
            environments.python_sdk_capabilities() if capabilities is None else capabilities
        )
        self.log = log

    def to_runner_api_parameter(self, _: Any) -> tuple[str, bytes]:
        """As Beam stores it."""
        return _URN, self.log.encode()

    @staticmethod
    def from_runner_api_parameter(
        payload: bytes, capabilities: Iterable[str], *_: Any
    ) -> ForkedEnvironment:
        """The environment of `to_runner_api_parameter`."""
        return ForkedEnvironment(payload.decode(), capabilities)


@worker_handlers.WorkerHandler.register_environment(_URN, bytes)
class ForkedWorker(worker_handlers.GrpcWorkerHandler):
    """One worker, as Beam's local runner handles it."""

    def __init__(self, log: bytes, *others: Any) -> None:
        """`others`: what Beam gives a handler."""
        super().__init__(*others)
        self.log = log.decode()

    def start_worker(self) -> None:
        """Fork it."""
        self.parent = parent()
        self.parent.start(
            {
                "WORKER_ID": self.worker_id,
                "CONTROL_API_SERVICE_DESCRIPTOR": _text(self.control_api_service_descriptor()),
                "LOGGING_API_SERVICE_DESCRIPTOR": _text(self.logging_api_service_descriptor()),
                "PIPELINE_OPTIONS": json_format.MessageToJson(
                    self.provision_info.provision_info.pipeline_options
                ),
                _LOG: self.log,
            }
        )

    def stop_worker(self) -> None:
        """Wait for its end; it ends when its channels are closed."""
        self.parent.wait(self.worker_id)


def _text(message: Any) -> str:
    return str(text_format.MessageToString(message))


class Parent:
    """The parent of the workers, seen from the process that runs the jobs."""

    def __init__(self) -> None:
        """Starts it."""
        self.died = threading.Event()  # a worker ended as it should not, or the parent did
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                # modules come from where this process has them, and not from where it stands
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                # each worker is a thread of work: many with threads of their own are slower
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        self._ended: dict[str, threading.Event] = {}
        self._watcher = threading.Thread(target=self._watch, name="workers", daemon=True)
        self._watcher.start()

    def start(self, environment: Mapping[str, str]) -> None:
        """Start a worker, known by the environment's WORKER_ID."""
        self._ended[environment["WORKER_ID"]] = threading.Event()
        stream = cast(IO[bytes], self._process.stdin)
        stream.write(json.dumps(dict(environment)).encode() + b"\n")
        stream.flush()

    def wait(self, worker: str) -> None:
        """Until a worker has ended."""
        self._ended[worker].wait()

    def close(self) -> None:
        """End it, once no worker is left."""
        cast(IO[bytes], self._process.stdin).close()
        self._process.wait()
        self._watcher.join()

    def _watch(self) -> None:
        for line in cast(IO[bytes], self._process.stdout):
            worker, status = line.decode().split()
            if int(status):
                self.died.set()
            self._ended[worker].set()
        self.died.set()
        for event in self._ended.values():
            event.set()


_parent: Parent | None = None


def parent() -> Parent:
    """The parent of this process's workers; a new one where the last is gone or lost a worker."""
    global _parent
    if _parent is None or _parent.died.is_set():
        if _parent is not None:
            atexit.unregister(_parent.close)
            _parent.close()
        _parent = Parent()
        atexit.register(_parent.close)
    return _parent


def main() -> None:
    """Fork a worker for every line of standard input, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what runs the jobs ends them
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    names: dict[int, str] = {}
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(reader, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                data = os.read(key.fd, 1 << 16)
                if key.fd == reader:
                    _answer(names)
                elif not data:
                    return
                else:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        environment = json.loads(line)
                        pid = os.fork()
                        if not pid:
                            _serve(environment)
                        names[pid] = environment["WORKER_ID"]


def _answer(names: dict[int, str]) -> None:
    """Write which workers have ended."""
    for pid in list(names):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            os.write(1, f"{names.pop(pid)} {status}\n".encode())


def _serve(environment: Mapping[str, str]) -> NoReturn:
    """Be a worker."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(environment[_LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.update(environment)
        sdk_worker_main.main([])
        status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
