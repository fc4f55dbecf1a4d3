"""Presentation MathML as LaTeX."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping

from selectolax.lexbor import LexborNode


def _words(text: str) -> list[str]:
    return text.split()


_COMMANDS = {
    **dict(
        pair.split(":")
        for pair in _words(
            r"×:\times ÷:\div ±:\pm ∓:\mp ⋅:\cdot ·:\cdot ∗:* ∘:\circ •:\bullet −:- ⁄:/ ∕:/ "
            r"≤:\leq ≥:\geq ≠:\neq ≈:\approx ≡:\equiv ∼:\sim ≃:\simeq ≅:\cong ∝:\propto ≪:\ll "
            r"≫:\gg ≺:\prec ≻:\succ ∈:\in ∉:\notin ∋:\ni ⊂:\subset ⊃:\supset ⊆:\subseteq "
            r"⊇:\supseteq ∪:\cup ∩:\cap ∖:\setminus ∅:\emptyset ∀:\forall ∃:\exists ¬:\neg "
            r"∧:\wedge ∨:\vee ⊕:\oplus ⊗:\otimes ⊥:\perp ∥:\parallel ∣:\mid ⊢:\vdash ⊨:\models "
            r"→:\to ←:\leftarrow ↔:\leftrightarrow ⇒:\Rightarrow ⇐:\Leftarrow "
            r"⇔:\Leftrightarrow ↦:\mapsto ⟶:\longrightarrow ⟹:\Longrightarrow ↑:\uparrow "
            r"↓:\downarrow ∑:\sum ∏:\prod ∐:\coprod ∫:\int ∬:\iint ∭:\iiint ∮:\oint ⋃:\bigcup "
            r"⋂:\bigcap ⨁:\bigoplus ⨂:\bigotimes ∂:\partial ∇:\nabla ∞:\infty √:\surd ∆:\Delta "
            r"…:\ldots ⋯:\cdots ⋮:\vdots ⋱:\ddots ′:' ″:'' ‖:\| ⟨:\langle ⟩:\rangle 〈:\langle "
            r"〉:\rangle ⌈:\lceil ⌉:\rceil ⌊:\lfloor ⌋:\rfloor ℓ:\ell ℏ:\hbar ℜ:\Re ℑ:\Im "
            r"ℵ:\aleph ℝ:\mathbb{R} ℕ:\mathbb{N} ℤ:\mathbb{Z} ℚ:\mathbb{Q} ℂ:\mathbb{C} "
            r"ϵ:\epsilon ϕ:\phi ϑ:\vartheta ϱ:\varrho ϖ:\varpi ε:\varepsilon φ:\varphi "
            r"ς:\varsigma {:\{ }:\} %:\% #:\# &:\& $:\$ _:\_ ∴:\therefore ∵:\because †:\dagger "
            r"∠:\angle °:^{\circ}"
        )
    ),
    "\\": "\\backslash",
    # invisible: function application, times, comma, plus
    **dict.fromkeys("\u2061\u2062\u2063\u2064\u200b", ""),
    **dict.fromkeys("\u00a0\u2002\u2003\u2009\u200a\u205f", "\\ "),
}
_FUNCTIONS = frozenset(
    _words(
        "arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg "
        "lim liminf limsup ln log max min Pr sec sin sinh sup tan tanh"
    )
)
_ACCENTS = {
    **dict.fromkeys("^ˆ\u0302", "\\hat"),
    **dict.fromkeys("~˜∼\u0303", "\\tilde"),
    **dict.fromkeys("¯‾_―\u0304\u0305", "\\overline"),
    **dict.fromkeys("→⃗\u20d7", "\\vec"),
    **dict.fromkeys("˙\u0307", "\\dot"),
    **dict.fromkeys("¨\u0308", "\\ddot"),
    "ˇ": "\\check",
    "˘": "\\breve",
    "⏞": "\\overbrace",
}
_BELOW = {"_": "\\underline", "¯": "\\underline", "̲": "\\underline", "⏟": "\\underbrace"}
_LIMITS = frozenset("∑∏∐⋃⋂⨁⨂∫") | {"lim", "max", "min", "sup", "inf", "limsup", "liminf"}
_NOT_LATEX = re.compile(r"[\\{}%#&$_^~]")
_GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (LAMDA|[A-Z]+)")
_GREEK_NAMES = frozenset(
    _words(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho "
        "sigma tau upsilon phi chi psi omega"
    )
)
_GREEK_CAPITALS = frozenset(_words("gamma delta theta lambda xi pi sigma upsilon phi psi omega"))
_COMMAND_AT_END = re.compile(r"\\[a-zA-Z]+\Z")
_VARIANTS = {
    "bold": "\\mathbf",
    "double-struck": "\\mathbb",
    "script": "\\mathcal",
    "fraktur": "\\mathfrak",
    "sans-serif": "\\mathsf",
    "monospace": "\\mathtt",
}

_Parts = list["str | LexborNode"]


def latex_of(math: LexborNode) -> str:
    """A `math` element's presentation markup as LaTeX, on one line, without dollar signs.

    Linear in its nodes, whatever their depth. Elements that are not known give their content.
    """
    out: list[str] = []
    todo: _Parts = [math]
    while todo:
        part = todo.pop()
        if isinstance(part, str):
            if part:
                if part[0].isalpha() and out and _COMMAND_AT_END.search(out[-1]):
                    out.append(" ")
                out.append(part)
            continue
        write = _WRITERS.get(part.tag or "", _row)
        todo.extend(reversed(write(part)))
    return " ".join("".join(out).split())


def _children(node: LexborNode) -> list[LexborNode]:
    return list(node.iter())


def _row(node: LexborNode) -> _Parts:
    if node.is_text_node:
        return [_symbols(node.text_content or "")]
    return list(node.iter(include_text=node.tag not in _LAYOUT))


_LAYOUT = frozenset({"math", "mrow", "mstyle", "semantics", "mpadded", "mtable", "mtr", "mtd"})


def _nothing(_: LexborNode) -> _Parts:
    return []


def _first(node: LexborNode) -> _Parts:
    return [*_children(node)[:1]]


def _token(node: LexborNode) -> str:
    return " ".join(node.text().split())


def _symbols(text: str) -> str:
    return "".join(_joined(_symbol(letter) for letter in text.strip()))


def _joined(parts: Iterator[str]) -> Iterator[str]:
    before = ""
    for part in parts:
        if part[:1].isalpha() and _COMMAND_AT_END.search(before):
            yield " "
        yield part
        before = part or before


def _symbol(letter: str) -> str:
    if letter.isascii() and letter.isalnum():
        return letter
    known = _COMMANDS.get(letter)
    if known is not None:
        return known
    greek = _GREEK.fullmatch(unicodedata.name(letter, ""))
    if greek:
        name = greek[2].lower().replace("lamda", "lambda")
        if greek[1] == "SMALL" and name in _GREEK_NAMES:
            return f"\\{name}"
        if greek[1] == "CAPITAL" and name in _GREEK_CAPITALS:
            return f"\\{name.capitalize()}"
    return letter


def _identifier(node: LexborNode) -> _Parts:
    text = _token(node)
    variant = _VARIANTS.get(node.attrs.sget("mathvariant", ""))
    if text in _FUNCTIONS:
        return [f"\\{text}"]
    symbols = _symbols(text)
    if variant:
        return [f"{variant}{{{symbols}}}"]
    if len(text) > 1 and text.isascii() and text.isalpha():
        return [f"\\mathrm{{{text}}}"]
    return [symbols]


def _operator(node: LexborNode) -> _Parts:
    text = _token(node)
    if text in _FUNCTIONS:
        return [f"\\{text}"]
    if len(text) > 1 and text.isascii() and text.isalpha():
        return [f"\\operatorname{{{text}}}"]
    return [_symbols(text)]


def _number(node: LexborNode) -> _Parts:
    return [_symbols(_token(node))]


def _text(node: LexborNode) -> _Parts:
    text = node.text()
    if not text.strip():
        return ["\\ "] if text else []
    text = " ".join(text.replace("\\", "/").split())
    return ["\\text{" + _NOT_LATEX.sub(lambda found: "\\" + found[0], text) + "}"]


def _space(node: LexborNode) -> _Parts:
    return ["\\\\ " if node.attrs.sget("linebreak", "") == "newline" else "\\, "]


def _argument(node: LexborNode | None) -> _Parts:
    """What stands in braces after a command."""
    return ["{", node, "}"] if node is not None else ["{}"]


def _base(node: LexborNode | None) -> _Parts:
    """What a script is put at: a single letter or number needs no braces."""
    if node is not None and node.tag in {"mi", "mn", "mo"} and len(_token(node)) == 1:
        return [node]
    if node is not None and _token_of_limit(node):
        return [node]
    return _argument(node)


def _token_of_limit(node: LexborNode) -> bool:
    return node.tag in {"mi", "mo"} and _token(node) in _LIMITS


def _at(children: list[LexborNode], place: int) -> LexborNode | None:
    return children[place] if place < len(children) else None


def _command(*pieces: str) -> Callable[[LexborNode], _Parts]:
    """A writer of a command: each piece, then the next child in braces."""

    def write(node: LexborNode) -> _Parts:
        children = _children(node)
        parts: _Parts = []
        for place, piece in enumerate(pieces):
            parts += [piece, *_argument(_at(children, place))]
        return parts

    return write


def _scripts(*marks: str) -> Callable[[LexborNode], _Parts]:
    def write(node: LexborNode) -> _Parts:
        children = _children(node)
        parts = _base(_at(children, 0))
        for place, mark in enumerate(marks, 1):
            parts += [mark, *_argument(_at(children, place))]
        return parts

    return write


def _fraction(node: LexborNode) -> _Parts:
    command = (
        "\\genfrac{}{}{0pt}{}" if node.attrs.sget("linethickness", "")[:1] == "0" else "\\frac"
    )
    return _command(command, "")(node)


def _square_root(node: LexborNode) -> _Parts:
    return ["\\sqrt{", *_children(node), "}"]


def _root(node: LexborNode) -> _Parts:
    children = _children(node)
    index = _at(children, 1)
    return ["\\sqrt[", *([index] if index is not None else []), "]", *_argument(_at(children, 0))]


def _over(node: LexborNode) -> _Parts:
    return _stacked(node, "^", _ACCENTS, "\\overset")


def _under(node: LexborNode) -> _Parts:
    return _stacked(node, "_", _BELOW, "\\underset")


def _stacked(node: LexborNode, limit: str, accents: Mapping[str, str], command: str) -> _Parts:
    """A base with something above or below it: a limit, an accent, or anything."""
    children = _children(node)
    base, other = _at(children, 0), _at(children, 1)
    if base is not None and _token_of_limit(base):
        return [base, limit, *_argument(other)]
    accent = accents.get(_token(other)) if other is not None and other.tag == "mo" else None
    if accent:
        return [accent, *_argument(base)]
    return [command, *_argument(other), *_argument(base)]


def _under_over(node: LexborNode) -> _Parts:
    children = _children(node)
    base = _at(children, 0)
    if base is not None and _token_of_limit(base):
        return [base, "_", *_argument(_at(children, 1)), "^", *_argument(_at(children, 2))]
    return [
        *("\\overset", *_argument(_at(children, 2))),
        *("{\\underset", *_argument(_at(children, 1)), *_argument(base), "}"),
    ]


def _many_scripts(node: LexborNode) -> _Parts:
    children = _children(node)
    base, before, after = _at(children, 0), [], children[1:]
    for place, child in enumerate(after):
        if child.tag == "mprescripts":
            before, after = after[place + 1 :], after[:place]
            break
    return [*(["{}", *_pairs(before)] if before else []), *_base(base), *_pairs(after)]


def _pairs(scripts: list[LexborNode]) -> _Parts:
    parts: _Parts = []
    for place, script in enumerate(scripts):
        if script.tag not in {"none", "mrow"} or script.first_child is not None:
            parts += ["_^"[place % 2], *_argument(script)]
    return parts


def _table(node: LexborNode) -> _Parts:
    parts: _Parts = ["\\begin{matrix} "]
    for place, row in enumerate(node.iter()):
        parts += [" \\\\ "] * (place > 0) + [row]
    return [*parts, " \\end{matrix}"]


def _table_row(node: LexborNode) -> _Parts:
    # The first cell of a labelled row is its label.
    cells = _children(node)[node.tag == "mlabeledtr" :]
    parts: _Parts = []
    for place, cell in enumerate(cells):
        parts += [" & "] * (place > 0) + [cell]
    return parts


def _fenced(node: LexborNode) -> _Parts:
    opening = _symbols(node.attrs.get("open", "(") or "") or "."
    closing = _symbols(node.attrs.get("close", ")") or "") or "."
    separators = "".join((node.attrs.get("separators", ",") or "").split())
    parts: _Parts = [f"\\left{opening} "]
    for place, child in enumerate(node.iter()):
        if place and separators:
            parts.append(_symbols(separators[min(place, len(separators)) - 1]))
        parts.append(child)
    return [*parts, f" \\right{closing}"]


_WRITERS: dict[str, Callable[[LexborNode], _Parts]] = {
    "mi": _identifier,
    "mo": _operator,
    "mn": _number,
    "mtext": _text,
    "ms": _text,
    "mspace": _space,
    "semantics": _first,
    "maction": _first,
    "annotation": _nothing,
    "annotation-xml": _nothing,
    "mphantom": _nothing,
    "none": _nothing,
    "mprescripts": _nothing,
    "mfrac": _fraction,
    "msqrt": _square_root,
    "mroot": _root,
    "msup": _scripts("^"),
    "msub": _scripts("_"),
    "msubsup": _scripts("_", "^"),
    "mover": _over,
    "munder": _under,
    "munderover": _under_over,
    "mmultiscripts": _many_scripts,
    "mtable": _table,
    "mtr": _table_row,
    "mlabeledtr": _table_row,
    "mfenced": _fenced,
    **dict.fromkeys(("script", "style", "template", "-comment"), _nothing),
}
