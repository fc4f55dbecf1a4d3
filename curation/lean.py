"""Importing heavy libraries without what we never use of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_torch() -> Iterator[None]:
    """Let a library be imported as if torch were not installed.

    spaCy's `thinc` imports torch wherever it finds it: 6 s and some 400 MB a worker process, for
    a tokenizer that has no use of it. A torch that is loaded already stays.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]
