"""Edits: steps that change a text. What they found is told by signals; rules decide on them."""

from __future__ import annotations

from curation.edits.c4 import C4
from curation.edits.edit import Edit, Edited
from curation.edits.mending import MENDING
from curation.edits.printed import PRINTED
from curation.edits.refinedweb import REFINEDWEB

__all__ = ["EDITS", "Edit", "Edited"]

# By name. A variant of a reference is an edit of its own.
EDITS: dict[str, Edit] = {edit.name: edit for edit in (*C4, *REFINEDWEB, *MENDING, *PRINTED)}
