"""The engines that find a page's main text, by name. Each is imported when it is first used."""

from __future__ import annotations

from collections.abc import Callable

from selectolax.lexbor import LexborHTMLParser

from schemas.extract import Extract

Engine = Callable[[str, LexborHTMLParser], str]


def engine(options: Extract) -> Engine:
    """What takes a page's HTML and its tree to its main text, "" if it finds none.

    An engine of one's own is a function of these two. The tree may be changed. What an engine
    raises on hostile input is its caller's to catch.
    """
    match options.engine:
        case "blocks":
            from curation.extraction import blocks
            from curation.extraction.formulas import resolve_formulas

            def by_blocks(_: str, tree: LexborHTMLParser) -> str:
                resolve_formulas(tree, options.structure)
                return blocks.main_text(tree, options)

            return by_blocks
        case "trafilatura":
            from curation.extraction import trafilatura

            return lambda html, _: trafilatura.main_text(html, options)
        case "resiliparse":
            from curation.extraction import resiliparse

            return lambda html, _: resiliparse.main_text(html, options)
        case name:
            from curation import own

            found: Engine = own.load("engine", name)
            return found
