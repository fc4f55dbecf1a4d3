"""The local engine: a pool of worker processes, which stay from one job of a run to the next.

A Python process takes seconds to import Arrow and SciPy; a fork of one that has done so takes
hundredths, and shares their memory. So one process imports the modules of the job's steps, and
forks the workers while it is a single thread. (The standard library's fork server would import the
caller's own script in each worker, and run it if it has no guard.) Each worker is given one element
at a time, so that none waits while another has a heap; a worker that is killed closes its pipe,
which is seen at once.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn, cast

from pipelines.engines.jobs import (
    Barrier,
    ByKey,
    Job,
    JobFailed,
    Receive,
    Spill,
    Step,
    Unspill,
    WorkerLost,
    gathered,
    ignore,
    last_line,
    through,
)
from schemas.problems import Problem, full_disk

# Each worker is a thread of work: many with threads of their own are slower. Of BLAS, of Arrow, of
# tokenizers.
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_PROGRAM = f"from {__name__} import main; main()"


@dataclass(frozen=True)
class _Failure:
    """Why a worker could not do what it was given."""

    message: str


class Pool:
    """Workers; they end when the pool is closed, or is no longer referred to."""

    def __init__(self, workers: int, modules: Iterable[str], log: Path | None = None) -> None:
        """`modules` are imported before the workers are forked; `log` takes what they print."""
        pairs = [socket.socketpair() for _ in range(workers)]
        theirs = [there.fileno() for _, there in pairs]
        with Path(log or os.devnull).open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                # -P: nothing is imported from the folder it is started in
                [sys.executable, "-P", "-c", _PROGRAM, *map(str, theirs)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=theirs,
                env={
                    **os.environ,
                    # modules come from where this process has them
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    **ONE_THREAD,
                },
            )
        self._workers = [Connection(here.detach()) for here, _ in pairs]
        for _, there in pairs:
            there.close()
        self.close = weakref.finalize(self, _close, self._process, self._workers)
        if self._process.stdin is not None:
            with suppress(BrokenPipeError), self._process.stdin as stream:
                stream.write(json.dumps(list(modules)).encode())

    def run(self, job: Job, receive: Receive = ignore, scratch: Path | None = None) -> None:
        """Run a job; see `run_here`. Raises JobFailed; the pool is closed then."""
        try:
            self._run(job, receive, scratch)
        except BaseException:
            end(self._process.pid, itself=False)
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        """Whether there are workers."""
        return self.close.alive and bool(self._workers)

    def ask(self, step: Step, element: Any) -> list[Any] | None:
        """What a step makes of an element; None if it ends the worker that is given it, which is
        one less then. The pool is open. Raises as `run` does."""
        worker = self._workers[0]
        try:
            worker.send((pickle.dumps([step], pickle.HIGHEST_PROTOCOL), element))
            answer = worker.recv()
        except (EOFError, ConnectionError):
            worker.close()
            del self._workers[0]
            return None
        return _sound(answer)

    def _run(self, job: Job, receive: Receive, scratch: Path | None) -> None:
        elements: Iterable[Any] = job.items
        steps: list[Step] = []
        for step in job.steps:
            if isinstance(step, ByKey):
                disk = [] if scratch is None else [Spill(scratch)]
                groups = gathered(self._deal([*steps, *disk], elements), step.keys)
                elements = sorted(groups.items(), key=_size, reverse=True)
                steps = [] if scratch is None else [Unspill(scratch)]
            elif isinstance(step, Barrier):
                for element in self._deal(steps, elements):
                    receive(element)
                elements, steps = step.then.process(None), []
            else:
                steps.append(step)
        for element in self._deal(steps, elements):
            receive(element)

    def _deal(self, steps: Sequence[Step], elements: Iterable[Any]) -> Iterator[Any]:
        """What the steps make of the elements, as it comes."""
        waiting = iter(elements)
        sent = pickle.dumps(list(steps), pickle.HIGHEST_PROTOCOL)
        new = set(self._workers)  # who does not have the steps yet
        busy = 0

        def give(worker: Connection) -> int:
            for element in waiting:
                worker.send((sent if worker in new else None, element))
                new.discard(worker)
                return 1
            return 0

        try:
            for worker in self._workers:
                busy += give(worker)
            while busy:
                # one that has nothing to do is heard too: of its end
                for worker in cast("list[Connection]", wait(self._workers)):
                    answer = worker.recv()
                    made = _sound(answer)
                    busy += give(worker) - 1
                    yield from made
        except (EOFError, ConnectionError):
            raise WorkerLost from None


def _sound(answer: Any) -> list[Any]:
    """What a worker answered, if it could do what it was given."""
    if isinstance(answer, _Failure):
        raise JobFailed(answer.message)
    if isinstance(answer, Problem):
        raise answer
    return cast("list[Any]", answer)


def _size(group: tuple[Any, Sequence[Any]]) -> int:
    """Bytes of a group of chunks, or of what their places say."""
    return sum(len(each) if isinstance(each, bytes) else each[2] for each in group[1])


def modules_of(job: Job) -> list[str]:
    """The modules that this process has of the packages which the job's steps are from."""
    packages = {type(step).__module__.partition(".")[0] for step in job.steps}
    return sorted(
        name
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in packages - {"__main__"}
        and getattr(module, "__spec__", None) is not None
    )


def _close(process: subprocess.Popen[bytes], workers: Sequence[Connection]) -> None:
    """Let idle workers end."""
    for worker in workers:
        worker.close()
    process.wait()


def end(pid: int, *, itself: bool = True) -> None:
    """Kill all processes that a process has started, and it too."""
    import psutil

    try:
        process = psutil.Process(pid)
        found = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for item in [*found, process] if itself else found:
        with suppress(psutil.NoSuchProcess):
            item.kill()


def main() -> None:
    """Import the modules named on standard input; fork a worker for each pipe; wait for them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what runs the jobs ends them
    faulthandler.enable()  # where a library's native code ended a worker
    pipes = [int(word) for word in sys.argv[1:]]
    for pipe in pipes:
        os.set_inheritable(pipe, False)
    for name in json.load(sys.stdin):
        # what a step does need is imported with it, and its absence told then
        with suppress(ImportError):
            importlib.import_module(name)
    with suppress(ImportError):
        importlib.import_module("pandas")  # Arrow does, in each worker, for its first list
    gc.collect()
    gc.freeze()  # what is there now is looked at, and so copied, by no worker
    sys.stdout.flush()
    for pipe in pipes:
        if not os.fork():
            for other in pipes:
                if other != pipe:
                    os.close(other)
            _serve(Connection(pipe))
    for pipe in pipes:
        os.close(pipe)
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _serve(pipe: Connection) -> NoReturn:
    """Be a worker: do what comes until the pipe is closed."""
    steps: list[Step] = []
    status = 1
    try:
        while True:
            data = pipe.recv_bytes()
            try:
                new, element = pickle.loads(data)  # noqa: S301 - from the process that started this
                if new is not None:
                    steps = pickle.loads(new)  # noqa: S301
                answer = pickle.dumps(list(through(steps, [element])), pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                problem = error if isinstance(error, Problem) else full_disk(error)
                answer = pickle.dumps(problem or _Failure(last_line(error)))
            pipe.send_bytes(answer)
    except (EOFError, ConnectionError):
        status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
