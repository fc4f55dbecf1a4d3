"""Main text by trafilatura, made pure: its `deduplicate` remembers earlier pages and stays off."""

from __future__ import annotations

import logging
from configparser import ConfigParser
from copy import deepcopy

import trafilatura
from trafilatura.settings import DEFAULT_CONFIG

from schemas.extract import Extract

# A line for every page without text: that is a rejection here.
logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
logging.getLogger("htmldate").setLevel(logging.CRITICAL)


def _settings() -> ConfigParser:
    """trafilatura's settings without its limit of 20 MB a page: the recipe has its own."""
    settings = deepcopy(DEFAULT_CONFIG)
    settings["DEFAULT"]["MAX_FILE_SIZE"] = str(1 << 40)
    return settings


_SETTINGS = _settings()


def main_text(html: str, options: Extract) -> str:
    """The main text of a page, "" if none is found. May raise what trafilatura raises."""
    return (
        trafilatura.extract(
            html,
            favor_precision=options.favor == "precision",
            favor_recall=options.favor == "recall",
            include_comments=options.comments,
            include_tables=options.structure.tables != "none",
            deduplicate=False,
            config=_SETTINGS,
        )
        or ""
    )
