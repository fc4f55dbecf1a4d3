"""What a task takes: seconds and memory, of its process and of those that it has started."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field

_OWN = "self"


@dataclass(frozen=True)
class Usage:
    """Seconds by the clock and of CPU time, and the most bytes of memory that were held.

    All are equal: two attempts that made the same are the same.
    """

    wall_seconds: float = field(default=0.0, compare=False)
    cpu_seconds: float = field(default=0.0, compare=False)
    peak_bytes: int = field(default=0, compare=False)


class Meter:
    """Measures from its making on. Children are those alive or waited for; memory is summed."""

    def __init__(self) -> None:
        """Begins."""
        for process in (_OWN, *_children()):
            # the peak of memory, anew from here on (proc(5), `clear_refs`)
            with suppress(OSError), open(f"/proc/{process}/clear_refs", "w") as file:
                file.write("5")
        self._wall, self._cpu = time.monotonic(), _cpu()

    def read(self) -> Usage:
        """What was taken so far."""
        return Usage(round(time.monotonic() - self._wall, 4), round(_cpu() - self._cpu, 4), _peak())


_running: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metered() -> Iterator[None]:
    """Measure a task from here on."""
    token = _running.set(Meter())
    try:
        yield
    finally:
        _running.reset(token)


def running() -> Meter:
    """The meter of the task that is being done; one that begins now, if there is none."""
    return _running.get() or Meter()


def _children() -> list[str]:
    """Ids of the processes that this one has started; none where the system does not say."""
    found = []
    with suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children") as file:
                found += file.read().split()
    return found


def _cpu() -> float:
    """CPU seconds of this process and its children until now."""
    waited = os.times()
    seconds = time.process_time() + waited.children_user + waited.children_system
    for child in _children():
        with suppress(OSError):  # the clock of another process, as of clock_getcpuclockid(3)
            seconds += time.clock_gettime((~int(child) << 3) | 2)
    return seconds


def _peak() -> int:
    total = sum(map(_high_water, (_OWN, *_children())))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return total or own * (1 if sys.platform == "darwin" else 1024)


def _high_water(process: str) -> int:
    """Bytes of the largest resident set of a process; 0 where the system does not say."""
    with suppress(OSError), open(f"/proc/{process}/status", "rb") as file:
        for line in file:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
