"""Limits on the time of code that must stay linear, whatever else the machine does."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

_REFERENCE = 0.02  # seconds that `_pace` takes on the machine on which the limits were set


def cpu_seconds() -> float:
    """CPU seconds of this thread alone: threads that other tests left do not count."""
    return time.thread_time()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail when the block takes this thread more CPU seconds than `seconds`.

    The limit is stretched on a machine that is slower or busy (but never shortened), and garbage
    is not collected meanwhile: the heap of all tests before would be searched with it.
    """
    before = _pace()
    gc.disable()
    begun = cpu_seconds()
    try:
        yield
        spent = cpu_seconds() - begun
    finally:
        gc.enable()
    limit = seconds * max(1, before / _REFERENCE, _pace() / _REFERENCE)
    assert spent < limit, f"{spent:.2f} CPU seconds, at most {limit:.2f}"


def _pace() -> float:
    """CPU seconds of a fixed piece of work."""
    begun = cpu_seconds()
    sum(at * at for at in range(300_000))
    return cpu_seconds() - begun
