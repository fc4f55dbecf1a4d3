"""How a run names another one whose stage it took over, so that both may be moved together."""

from __future__ import annotations

import os
import posixpath


def way_to(home: str, run: str) -> str:
    """The folder of one run as another one writes it down: the way there from its own; whole if
    they are on different file systems. Both are local paths or URLs."""
    (scheme, path), (other, own) = _split(home), _split(run)
    if scheme != other:
        return home
    return posixpath.relpath(path, own) if scheme else os.path.relpath(path, own)


def homes(written: str, run: str) -> list[str]:
    """Where a run that was written down by `way_to` may be: there, else beside this one under its
    name."""
    scheme, own = _split(run)
    prefix = f"{scheme}://" if scheme else ""
    absolute = "://" in written or os.path.isabs(written)
    there = written if absolute else f"{prefix}{posixpath.normpath(posixpath.join(own, written))}"
    beside = posixpath.join(posixpath.dirname(own.rstrip("/")), posixpath.basename(written))
    return list(dict.fromkeys([there, f"{prefix}{beside}"]))


def _split(url: str) -> tuple[str, str]:
    scheme, found, path = url.removeprefix("file://").partition("://")
    return (scheme, path) if found else ("", scheme)
