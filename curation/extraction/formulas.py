"""Formulas of a page as LaTeX between dollar signs, each of them once.

Pages carry a formula several times: as MathML, as its LaTeX source, as letters placed by style
sheets, as a picture. The source is taken where there is one (`annotation`, `alttext`, `alt`, a
script of type `math/tex`); else presentation MathML is written as LaTeX.
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from curation.extraction.mathml import latex_of
from curation.selectors import Selector
from schemas.extract import Structure

# A formula and all its copies; the outermost match of a nest counts.
_formulas = Selector(
    *(".katex-display", ".katex", ".mwe-math-element", "mjx-container", "math"),
    *("script[type^='math/tex']", "img.latex", "img.tex", "img[class*='mwe-math-fallback-image']"),
)
# What MathJax 2 typesets, next to the script that holds the source.
_TYPESET = ".MathJax_Preview, .MathJax, .MathJax_Display, .MathJax_SVG, .MathJax_CHTML"
# Copies that readers do not see: the source, and MathML for screen readers.
_unseen = Selector(
    *(".katex-mathml", ".mwe-math-mathml-a11y", "mjx-assistive-mml", ".MJX_Assistive_MathML"),
    *("annotation", "annotation-xml"),
)
_TEX_TYPES = frozenset({"application/x-tex", "text/x-tex", "tex", "latex", "application/x-latex"})
_LATEX_COMMENT = re.compile(r"(?<!\\)%[^\n]*\n\s*")
_STYLED = re.compile(r"\{?\\(?:displaystyle|textstyle)(?![a-zA-Z])\s*(.*)", re.DOTALL)


def resolve_formulas(tree: LexborHTMLParser, structure: Structure) -> None:
    """Replace, in place, each formula of a page by text: `$...$`, displayed `$$...$$`.

    Without `structure.formulas` only the copies that readers do not see are removed, so that a
    formula is there once, as the page shows it. A page without formulas costs one query.
    """
    if not structure.formulas:
        for node in _outermost(_unseen(tree.root)):
            node.decompose()
        return
    # All are read before one is replaced: what is removed is never looked at again.
    sources = [(node, *_source(node)) for node in _outermost(_formulas(tree.root))]
    for node, source, displayed in sources:
        if node.tag == "script":
            _remove_typeset(node)
        if source:
            mark = "$$" if displayed else "$"
            node.replace_with(f"{mark}{source}{mark}")


def _outermost(nodes: list[LexborNode]) -> list[LexborNode]:
    """The nodes that are below no other of them, in time linear in their ancestors."""
    members = {node.mem_id for node in nodes}
    known: dict[int, bool] = {}  # whether a node or one above it is a member
    outer = []
    for node in nodes:
        path: list[int] = []
        above, below = node.parent, False
        while above is not None:
            at = above.mem_id
            if at in known:
                below = known[at]
                break
            path.append(at)
            if at in members:
                below = True
                break
            above = above.parent
        known.update(dict.fromkeys(path, below))
        if not below:
            outer.append(node)
    return outer


def _source(node: LexborNode) -> tuple[str, bool]:
    """LaTeX of a formula, "" if it has none, and whether it is displayed on a line of its own."""
    tag = node.tag
    classes = node.attrs.sget("class", "")
    if tag == "script":
        return _clean(node.text()), "mode=display" in node.attrs.sget("type", "")
    if tag == "img":
        return _clean(node.attrs.sget("alt", "")), "display" in classes
    math = node if tag == "math" else node.css_first("math")
    displayed = (
        "katex-display" in classes
        or node.attrs.sget("display", "") in {"true", "block"}
        or (math is not None and math.attrs.sget("display", "") == "block")
    )
    source = ""
    for annotation in node.css("annotation"):
        if annotation.attrs.sget("encoding", "").lower() in _TEX_TYPES:
            source = annotation.text()
            break
    if not source and math is not None:
        source = math.attrs.sget("alttext", "") or math.attrs.sget("data-latex", "")
    if not source and (image := node.css_first("img[alt]")) is not None:
        source = image.attrs.sget("alt", "")
        displayed = displayed or "display" in image.attrs.sget("class", "")
    if not source and math is not None:
        source = latex_of(math)
    if not source and (typeset := node.css_first("[data-latex]")) is not None:
        source = typeset.attrs.sget("data-latex", "")
    return _clean(source), displayed


def _clean(source: str) -> str:
    """LaTeX on one line, without comments and marks of its own around it."""
    if "%" in source:
        source = _LATEX_COMMENT.sub("", source)
    source = " ".join(source.split())
    for begin, end in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        if len(source) > 2 * len(begin) and source.startswith(begin) and source.endswith(end):
            source = source[len(begin) : -len(end)].strip()
            break
    # Wikipedia writes {\displaystyle ...}
    styled = _STYLED.fullmatch(source)
    if styled:
        if not source.startswith("{"):
            source = styled[1]
        elif _closes_at_end(source):
            source = styled[1][:-1]
    return source.strip()


def _closes_at_end(source: str) -> bool:
    """Whether the brace that opens a string is closed by its last character."""
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", source):
        if brace[0] == "{":
            depth += 1
        elif brace[0] == "}":
            depth -= 1
            if depth == 0:
                return brace.end() == len(source)
    return False


def _remove_typeset(script: LexborNode) -> None:
    """Remove what MathJax put before the script that it read."""
    for _ in range(3):
        before = script.prev
        if before is None or not before.is_element_node or not before.css_matches(_TYPESET):
            return
        if before.css_first("script") is not None:
            return
        before.decompose()
