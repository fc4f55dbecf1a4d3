"""Programs that an engine needs beside this process; none is left when this one ends, however."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.engines.jobs import JobFailed
from pipelines.engines.local import end

# Runs a program in a session of its own, which an interrupt from the keyboard does not reach, and
# kills all of it when the pipe from the process that wants it is closed: also if that is killed.
_KEEPER = """
import os, signal, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def keep():
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=keep, daemon=True).start()
os._exit(child.wait() & 255)
"""


@contextmanager
def started(
    command: Sequence[str],
    port: int,
    log: Path,
    environment: Mapping[str, str],
    what: str,
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that answers on a port, and what it prints at the end of `log`; it and all that it
    has started are ended afterwards. Raises JobFailed with `what` if it does not start."""
    keeper = [sys.executable, "-I", "-S", "-c", _KEEPER, *command]
    with log.open("ab") as sink:
        process = subprocess.Popen(  # noqa: S603
            keeper, env=dict(environment), stdin=subprocess.PIPE, stdout=sink, stderr=sink,
            start_new_session=True, cwd=folder,
        )  # fmt: skip
    try:
        _wait_for_port(port, process, what)
        yield process
    finally:
        end(process.pid)
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(address: str, seconds: float = 3) -> bool:
    """Whether somebody listens on HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), seconds):
            return True
    except OSError:
        return False


def here(**more: str) -> dict[str, str]:
    """The environment of this process, with more variables; modules come from where it has them."""
    return {
        **os.environ,
        # Beam's pool starts its workers as `python`
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        **more,
    }


def _wait_for_port(port: int, process: subprocess.Popen[bytes], what: str) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise JobFailed(f"{what} did not start")
        if answers(f"127.0.0.1:{port}"):
            return
        time.sleep(0.1)
    raise JobFailed(f"{what} does not answer")
