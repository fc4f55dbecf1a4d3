"""Main text by resiliparse: rules over one parse in native code; the fastest of the engines."""

from __future__ import annotations

import re

from resiliparse.extract.html2text import extract_plain_text

from schemas.extract import Extract

# It indents by the depth of a list, which on a hostile page is most of its output.
_TOO_FAR = re.compile(r"^ {16,}", re.MULTILINE)


def main_text(html: str, options: Extract) -> str:
    """The main text of a page, "" if none is found. May raise what resiliparse raises.

    `favor: recall` takes all visible text of the page; of `precision` it knows nothing more than
    of `balanced`. Alternative texts of pictures are no main text.
    """
    structure = options.structure
    text = extract_plain_text(
        html,
        main_content=options.favor != "recall",
        list_bullets=structure.lists,
        alt_texts=False,
        comments=options.comments,
        skip_elements=["table"] if structure.tables == "none" else None,
    )
    return _TOO_FAR.sub(" " * 16, text)
