"""Imports that would bring more than is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_torch() -> Iterator[None]:
    """Let what is imported inside find no torch, unless it is loaded already.

    spaCy loads torch where it is installed, though its tokenizers and Presidio's patterns do not
    use it: 3 seconds and 600 MB in every worker.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # what makes an import fail
    try:
        yield
    finally:
        del sys.modules["torch"]
