"""Imports that would bring more than is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_torch() -> Iterator[None]:
    """Let what is imported inside find neither torch nor transformers, unless they are loaded.

    spaCy and Presidio load them where they are installed, though their tokenizers and patterns do
    not use them: 3 seconds and 600 MB in every worker.
    """
    hidden = [name for name in ("torch", "transformers") if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # what makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
