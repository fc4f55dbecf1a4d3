"""Mixtures that the literature gives, which `mix.weights` may name."""

from __future__ import annotations

import importlib.resources
from functools import cache

from pydantic import Field

from schemas.base import Contract, Name
from schemas.files import read_yaml


class Preset(Contract):
    """Weights by kind of source, as a publication has them."""

    source: str = Field(description="The publication, and where in it.")
    note: str = ""
    weights: dict[Name, float]


@cache
def presets() -> dict[str, Preset]:
    """All of them by name."""
    path = importlib.resources.files("curation") / "mixtures.yaml"
    found = read_yaml(path, "mixtures.yaml", "mixtures")
    return {name: Preset.model_validate(item) for name, item in found.items()}
