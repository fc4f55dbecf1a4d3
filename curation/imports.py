"""Imports that would bring more than is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


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


@contextmanager
def only_spacys_rules() -> Iterator[None]:
    """Let what is imported inside find spaCy's modules of rules for English without the rest.

    The rules are lists of expressions and words; what they import of spaCy's own brings its
    pipelines, thinc and its command line: 1.5 CPU seconds in every worker. Inside, `spacy.symbols`
    holds names for its numbers. A spaCy that is loaded already is left as it is.
    """
    spec = find_spec("spacy")
    if "spacy" in sys.modules or spec is None or spec.origin is None:
        yield
        return
    home = Path(spec.origin).parent
    for name, folder, values in (
        ("spacy", home, {}),
        ("spacy.lang.en", home / "lang" / "en", {}),
        ("spacy.symbols", None, {"ORTH": "ORTH", "NORM": "NORM"}),
        ("spacy.util", None, {"update_exc": _with_apostrophes}),
    ):
        module = sys.modules[name] = ModuleType(name)
        vars(module).update(values, __path__=[str(folder)] if folder else [])
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "spacy"]:
            del sys.modules[name]


def _with_apostrophes(base: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    """spaCy's `update_exc`: special cases, each with `'` also with `’`."""
    found = dict(base)
    for each in more:
        found |= each
    curled = {
        case.replace("'", "’"): [word | {"ORTH": word["ORTH"].replace("'", "’")} for word in words]
        for case, words in found.items()
        if "'" in case
    }
    return found | curled
