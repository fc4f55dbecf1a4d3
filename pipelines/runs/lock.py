"""One driver a run. On a disk the system holds the lock, and frees it when the process ends,
however it ends. A store of objects knows no processes: there the holder renews a small file."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psutil

from pipelines.runs.store import Folder
from schemas.problems import Problem

BEAT = 30.0  # seconds from one renewal to the next
STALE = 300.0  # a lock of another machine that was not renewed for so long is nobody's


@contextmanager
def alone(run: Folder) -> Iterator[None]:
    """Hold the run. Raises Problem that names the process that holds it, if one does.

    What is written is right under two holders too, as a task commits once: a lock saves work.
    """
    if run.local is None:
        with _in_store(run / "lock"):
            yield
        return
    with (run.local / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _held(run, file.read()) from None
        file.truncate(0)
        file.write(_word())
        file.flush()
        yield
        file.truncate(0)


@contextmanager
def _in_store(locks: Folder) -> Iterator[None]:
    """Every holder has a file of the next number. Who makes it sees whether another did too; of
    two at the same moment none may hold it."""
    stale = locks.names()
    for name in stale:
        word = locks.read(name).decode()
        if not _is_stale(word):
            raise _held(locks, word)
    mine = f"{max((int(name.partition('.')[0]) for name in stale), default=0) + 1:08d}.json"
    made = locks.create(mine, _word().encode())
    if not made or set(locks.names()) - {mine, *stale}:
        if made:
            locks.unlink(mine)
        raise _held(locks, "")
    for name in stale:
        locks.unlink(name)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(BEAT):
            locks.replace(mine, _word(since).encode())

    since = time.time()
    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        locks.unlink(mine)


def _word(since: float | None = None) -> str:
    """What a holder says of itself."""
    own, now = psutil.Process(), time.time()
    word = {"host": socket.gethostname(), "pid": os.getpid(), "started": own.create_time()}
    return json.dumps({**word, "since": since or now, "renewed": now})


def _is_stale(text: str) -> bool:
    word = _read(text)
    if word.get("host") != socket.gethostname():
        return bool(time.time() - word.get("renewed", 0) > STALE)
    try:
        return bool(psutil.Process(word["pid"]).create_time() != word["started"])
    except psutil.NoSuchProcess:
        return True


def _read(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:  # being written
        return {}


def _held(run: Folder, text: str) -> Problem:
    word = _read(text)
    who = ""
    if word:
        since = datetime.fromtimestamp(word["since"], UTC).isoformat(" ", "seconds")
        who = f": process {word['pid']} on {word['host']}, since {since}"
    return Problem(
        f"another gristmill is at work in this run{who}", run.url, "wait for it, or end it"
    )
