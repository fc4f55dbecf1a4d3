"""The card of a model: a JSON file beside it that says how it was fitted, and how well it does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.classifiers.features import FEATURES
from schemas.problems import Problem


def card_path(model: str | Path) -> Path:
    """Where the card of a model is: `quality.ftz` has `quality.json`."""
    return Path(model).with_suffix(".json")


def read_card(data: bytes, digest: str, model: str) -> dict[str, Any] | None:
    """The card beside a model with this SHA-256; None for a file that is no card of ours.

    Raises Problem, naming `model`, if the card is of another file or of other features.
    """
    try:
        told: dict[str, Any] = json.loads(data)
        version, own = told["features"], told["sha256"]
        found = told["label"], told["settings"]["lists"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(found[0], str) or not isinstance(found[1], list):
        return None
    if version != FEATURES:
        raise Problem(f"{model}: fitted on features {version}, these are {FEATURES}: fit anew")
    _check(own, digest, model)
    return told


def weights_card(data: bytes, digest: str, model: str) -> dict[str, Any]:
    """The card beside importance weights with this SHA-256; empty for a file that is no card of
    ours.

    Raises Problem, naming `model`, if the card is of another file.
    """
    try:
        told: dict[str, Any] = json.loads(data)
        own, _ = told["sha256"], told["settings"]["buckets"]
    except (ValueError, KeyError, TypeError):
        return {}
    _check(own, digest, model)
    return told


def _check(own: str, digest: str, model: str) -> None:
    if own != digest:
        raise Problem(
            f"{model}: not the file that {card_path(model).name} describes: its SHA-256 differs"
        )


def write_card(model: str | Path, card: Mapping[str, Any]) -> None:
    """Write the card of a model beside it."""
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    card_path(model).write_text(text, "utf-8")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
