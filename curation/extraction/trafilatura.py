"""Main text and metadata by trafilatura, made pure.

Its `deduplicate` remembers earlier pages and stays off. Its search for dates in the text uses a
parser that learns from page to page and the clock, so metadata are what a page itself declares.
"""

from __future__ import annotations

import logging
import re
from configparser import ConfigParser
from copy import deepcopy
from datetime import datetime

import trafilatura
from trafilatura.settings import DEFAULT_CONFIG

from schemas.recipe import Extract

# A line for every page without text: that is a rejection here.
logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
logging.getLogger("htmldate").setLevel(logging.CRITICAL)

_HEAD = 1 << 18  # characters of a page's head that are read
_LINKED_DATA = 1 << 18  # and of its JSON-LD
_HEAD_END = re.compile("</head[\\s>]|<body[\\s>]", re.IGNORECASE)
_JSON_LD = re.compile("<script[^<>]{0,500}application/ld\\+json[^<>]{0,500}>", re.IGNORECASE)
_LATEST = "2100-01-01"


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
            include_tables=options.tables,
            deduplicate=False,
            config=_SETTINGS,
        )
        or ""
    )


def declared(
    html: str, url: str | None, crawled: datetime | None
) -> tuple[str | None, str | None, str | None]:
    """Title, author and date of publication that a page declares in its head and JSON-LD.

    The date is an ISO 8601 day, not after the crawl. A twelfth of the time that a search of the
    whole page takes, and more often right when it answers.
    """
    found = trafilatura.extract_metadata(
        _declarations(html),
        default_url=url,
        date_config={
            "original_date": True,
            "extensive_search": False,
            "max_date": crawled.date().isoformat() if crawled else _LATEST,
        },
    )
    return found.title or None, found.author or None, found.date or None


def _declarations(html: str) -> str:
    """A page of the head and the JSON-LD of a page."""
    end = _HEAD_END.search(html, 0, _HEAD)
    parts = [html[: end.start() if end else _HEAD]]
    size = 0
    for start in _JSON_LD.finditer(html, len(parts[0])):
        close = html.find("</script", start.end())
        size += close - start.start()
        if close < 0 or size > _LINKED_DATA:
            break
        parts.append(f"{html[start.start() : close]}</script>")
    return "".join([*parts, "</head><body><p></p></body></html>"])
