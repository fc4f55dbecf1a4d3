"""Chosen blocks of a page to text, with the structure that their elements give them.

A block is a line; lists, tables, headings and code are marked as in Markdown, as far as the recipe
wants. What stands between the marks are the words of the blocks, all of them and no others: but
for tables that are left out, the numbers of ordered lists, line numbers beside code, and the name
of a code's language behind its fence.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from selectolax.lexbor import LexborNode

from curation.extraction import elements
from curation.extraction.elements import words
from schemas.extract import Structure


class Block(Protocol):
    """A run of text that begins a line of its own: the element that it stands in, and its words
    with single spaces between them, or line breaks."""

    @property
    def node(self) -> LexborNode:
        """The nearest element around the text that is no part of a line."""

    @property
    def text(self) -> str:
        r"""Its words; `br` is "\n"."""


_DEEPEST = 8  # levels of a list that are indented
_INDENT = "  "
# A table with more in a cell than this arranges a page: it has no rows to read.
_CELL_BLOCKS = 4  # mean number of blocks a cell
_CELL_CHARACTERS = 1500
_FARTHEST = 64  # columns that spans can push a cell to the right


# White space between what these hold is not shown.
_ROWS = words("table thead tbody tfoot tr ul ol")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# Elements that say something of what stands in them.
_TELLING = words("h1 h2 h3 h4 h5 h6 li dt dd ol ul menu dir dl table tr td th pre div")
_NUMBERS = re.compile(r"[\d\s]+")
_UNREAD = elements.SKIPPED | elements.CLOSED
_NUMBERED = words("td th span a div pre")  # elements that hold a line number
_BLANK = " \t\r\f\v\u200b"  # at the end of a line
# Class names, by part, of what holds line numbers, and of the cell beside it.
_GUTTER = re.compile(
    r"(?:^|[\s_-])(?:gutter|line-?nos?|linenodiv|line-?numbers?|line-num|blob-num|ln-numbers|lnt?)"
    r"(?:$|[\s_-])",
    re.IGNORECASE,
)
_CODE = re.compile(r"(?:^|[\s_-])code(?:$|[\s_-])", re.IGNORECASE)
# Of a line of code, by whichever highlighter, and of an element of a style that makes it one.
_LINE = re.compile(r"(?:^|\s)(?:[\w-]*[_-])?line(?:$|\s)", re.IGNORECASE)
_SHOWN_AS_LINE = re.compile(r"display\s*:\s*(?:block|flex|grid|table|list-item)", re.IGNORECASE)
_LISTING = re.compile(r"code|highlight|listing|editor|syntax|(?:^|[\s_-])ace[\s_-]", re.IGNORECASE)
_LANGUAGE = re.compile(
    r"(?:^|\s)(?:lang(?:uage)?-|highlight-(?:source-)?|brush:\s*|sourceCode\s+)([a-z][a-z0-9+#-]{0,19})"
    r"(?=$|[\s;])",
    re.IGNORECASE,
)
_NO_LANGUAGES = frozenset({"none", "text", "plaintext", "plain", "default", "notranslate", "auto"})


@dataclass(eq=False, slots=True)
class _Table:
    """What decides whether a table has rows to read, or arranges a page."""

    item: _Item | None
    layout: bool
    cells: int = 0  # that hold chosen blocks, as are these:
    blocks: int = 0
    widest: int = 0  # cells in a row
    longest: int = 0  # characters in a cell
    # of the row and the cell that were seen last
    row: int = 0
    row_cells: int = 0
    cell: int = 0
    cell_characters: int = 0
    coded: set[int] = field(default_factory=set)  # rows with code in them
    begun: bool = False  # whether a row was written
    filled: set[int] = field(default_factory=set)  # cells that hold chosen blocks
    width: int = 0  # columns with text
    columns: dict[int, int] | None = None  # that of each cell, among them

    def add(self, place: _Place, text: str) -> None:
        """Count a block in a cell of it."""
        if place.code:
            if not _NUMBERS.fullmatch(text):
                self.coded.add(place.row)
            return
        self.layout |= place.heading > 0
        if place.row != self.row:
            self.row, self.row_cells = place.row, 0
        if place.cell != self.cell:
            self.cell, self.cell_characters = place.cell, 0
            self.cells += 1
            self.filled.add(place.cell)
            self.row_cells += 1
            self.widest = max(self.widest, self.row_cells)
        self.blocks += 1
        self.cell_characters += len(text)
        self.longest = max(self.longest, self.cell_characters)

    def has_rows(self) -> bool:
        return not (
            self.layout
            or self.widest < 2
            or self.blocks > _CELL_BLOCKS * self.cells
            or self.longest > _CELL_CHARACTERS
        )


@dataclass(eq=False, slots=True)
class _Item:
    """An item of a list."""

    marker: str
    level: int
    begun: bool = False


class _Place(NamedTuple):
    """What the elements around a text say of it. Numbers are those of nodes, 0 for none."""

    heading: int = 0  # its level
    lists: int = 0  # around it
    item: _Item | None = None
    table: _Table | None = None
    table_node: LexborNode | None = None
    row: int = 0
    cell: int = 0
    cell_node: LexborNode | None = None
    code: LexborNode | None = None  # outermost element of a block of code
    gutter: bool = False  # beside code, where its lines are numbered


class _Places:
    """The place of each node; all together take linear time in the number of their ancestors."""

    def __init__(self) -> None:
        self._known: dict[int, _Place] = {}
        self._numbers: dict[int, int] = {}

    def of(self, node: LexborNode) -> _Place:
        """The place of what stands in an element."""
        path = []
        above: LexborNode | None = node
        place = _NOWHERE
        while above is not None:
            known = self._known.get(above.mem_id)
            if known is not None:
                place = known
                break
            path.append(above)
            above = above.parent
        for inner in reversed(path):
            if inner.tag in _TELLING:
                place = self._step(place, inner)
            self._known[inner.mem_id] = place
        return place

    def _step(self, place: _Place, node: LexborNode) -> _Place:
        tag = node.tag
        match tag:
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                return place._replace(heading=_HEADINGS[tag])
            case "li" | "dt" | "dd" if place.code is None:
                number = self._numbers.get(node.mem_id)
                marker = f"{number}. " if number is not None else "" if tag == "dd" else "- "
                return place._replace(item=_Item(marker, max(place.lists, 1)))
            case "ol" | "ul" | "menu" | "dir" | "dl":
                if tag == "ol" and not _is_styled(node) and node.attrs.get("type") in {None, "1"}:
                    self._numbers.update(_numbers(node))
                return place._replace(lists=place.lists + 1)
            case "table":
                if place.table:
                    place.table.layout = True
                layout = node.attrs.sget("role", "") in {"presentation", "none"}
                return place._replace(
                    table=_Table(place.item, layout), table_node=node, row=0, cell=0
                )
            case "tr":
                return place._replace(row=node.mem_id, cell=0)
            case "td" | "th" if place.row:
                place = place._replace(cell=node.mem_id, cell_node=node)
                classes = node.attrs.sget("class", "")
                if classes and _GUTTER.search(classes):
                    return place._replace(gutter=True)
                if (
                    classes
                    and place.code is None
                    and _CODE.search(classes)
                    and _beside_gutter(node)
                ):
                    return place._replace(code=place.table_node)
                return place
            case "pre" | "div" if place.code is None:
                if _is_line_of_listing(node):
                    return place._replace(code=node.parent)
                return place._replace(code=node) if tag == "pre" else place
        return place


_NOWHERE = _Place()


def _is_styled(node: LexborNode) -> bool:
    """Whether a style may well hide the number that an item of a list has by itself."""
    classes = node.attrs.sget("class", "") or node.attrs.sget("style", "")
    return bool(classes) and classes != "wp-block-list"


def _numbers(ordered: LexborNode) -> dict[int, int]:
    """The numbers that the items of an ordered list are shown with (HTML standard, 4.4.5)."""
    if "reversed" in ordered.attrs:
        return {}
    numbers: dict[int, int] = {}
    following = _number(ordered.attrs.sget("start", ""), 1)
    for item in ordered.iter():
        if item.tag == "li":
            following = _number(item.attrs.sget("value", ""), following)
            if not _is_styled(item):
                numbers[item.mem_id] = following
            following += 1
    return numbers


def _number(value: str, otherwise: int) -> int:
    found = _integer(value)
    return otherwise if found is None else found


def _integer(value: str) -> int | None:
    """A number of an attribute; None if it is none, or not of one to four digits."""
    value = value.strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 5 else None


def _is_line_of_listing(node: LexborNode) -> bool:
    """Whether an element is one of the lines that an editor or a highlighter makes of a listing."""
    classes = node.attrs.sget("class", "")
    if not classes or not _LINE.search(classes):
        return False
    around: LexborNode | None = node
    for _ in range(3):
        if around is None or not around.is_element_node:
            return False
        if _LISTING.search(around.attrs.sget("class", "")):
            return True
        around = around.parent
    return False


def _beside_gutter(cell: LexborNode) -> bool:
    before = cell.prev
    for _ in range(4):
        if before is None:
            return False
        if before.is_element_node and _GUTTER.search(before.attrs.sget("class", "")):
            return True
        before = before.prev
    return False


@dataclass(eq=False, slots=True)
class _Part:
    """Blocks that are written together: one, those of a row of a table, or those of code."""

    place: _Place
    blocks: list[Block] = field(default_factory=list)
    cells: list[tuple[_Place, list[str]]] = field(default_factory=list)


def render(blocks: Sequence[Block], structure: Structure) -> str:
    """The text of blocks that are in the order of their page; lines are parted by "\\n".

    Takes linear time in the blocks, what they hold and their ancestors.
    """
    if not blocks:
        return ""
    places = _Places()
    known = [(_listed(places.of(block.node), block), block) for block in blocks]
    for place, block in known:
        if place.table and place.cell:
            place.table.add(place, block.text)
    listings = _Listings()
    lines: list[str] = []
    for part in _parts(known, structure):
        place = part.place
        if part.cells:
            assert place.table is not None  # noqa: S101
            written = _row(part, place.table, structure)
            item = place.table.item
        elif place.code:
            written = _code(part, place.code, listings, structure)
            item = place.item
        else:
            written = _lines(part.blocks[0], place, structure)
            item = place.item
        if structure.lists and item:
            written = _itemised(written, item)
        lines += written
    return "\n".join(lines)


def _listed(place: _Place, block: Block) -> _Place:
    """The place of a block, which is a listing if it is one element of code with several lines."""
    if place.code:
        return place
    inner = block.node.first_child
    while inner is not None and inner.is_text_node and not (inner.text_content or "").strip():
        inner = inner.next
    if inner is None or inner.tag != "code":
        return place
    source = _source(inner, numbered=True)
    if "\n" in source.strip() and _letters(source) == _letters(block.text):
        return place._replace(code=inner)
    return place


def _parts(known: list[tuple[_Place, Block]], structure: Structure) -> Iterator[_Part]:
    part = _Part(_NOWHERE)
    for place, block in known:
        if _is_numbering(place, block.text):
            continue
        if place.code:
            if part.place.code is None or part.place.code.mem_id != place.code.mem_id:
                yield from _some(part)
                part = _Part(place)
            part.blocks.append(block)
            continue
        table = place.table
        if table and table.has_rows():
            if structure.tables == "none":
                continue
            if place.cell:
                if part.place.table is not table or part.place.row != place.row:
                    yield from _some(part)
                    part = _Part(place)
                if not part.cells or part.cells[-1][0].cell != place.cell:
                    part.cells.append((place, []))
                part.cells[-1][1].append(block.text.replace("\n", " "))
                continue
        yield from _some(part)
        yield _Part(place, [block])
        part = _Part(_NOWHERE)
    yield from _some(part)


def _some(part: _Part) -> list[_Part]:
    return [part] if part.blocks or part.cells else []


def _is_numbering(place: _Place, text: str) -> bool:
    """Whether a block numbers lines of code beside it."""
    if not (place.table and place.cell and place.table.coded and _NUMBERS.fullmatch(text)):
        return False
    if place.gutter or not place.code:
        return place.gutter
    numbers = text.split()
    first = int(numbers[0]) if len(numbers[0]) < 7 else -1
    counted = [str(number) for number in range(first, first + len(numbers))]
    return len(numbers) > 1 and numbers == counted and place.row in place.table.coded


def _itemised(lines: list[str], item: _Item) -> list[str]:
    level = min(item.level, _DEEPEST)
    indent = _INDENT * level
    first = indent if item.begun or not item.marker else _INDENT * (level - 1) + item.marker
    item.begun = True
    return [(indent if at else first) + line for at, line in enumerate(lines)]


# --- lines ------------------------------------------------------------------------------------


def _lines(block: Block, place: _Place, structure: Structure) -> list[str]:
    if place.heading:
        text = block.text.replace("\n", " ")
        return [f"{'#' * place.heading} {text}" if structure.headings else text]
    return block.text.split("\n")


def _letters(text: str) -> str:
    return "".join(text.split())


def _inside(node: LexborNode) -> list[LexborNode]:
    """What an element holds, last first."""
    return list(node.iter(include_text=True))[::-1]


# --- tables -----------------------------------------------------------------------------------


def _row(part: _Part, table: _Table, structure: Structure) -> list[str]:
    texts = [" ".join(cell) for _, cell in part.cells]
    assert part.place.table_node is not None  # noqa: S101
    if table.columns is None:
        columns = _columns(part.place.table_node)
        filled = sorted({columns.get(cell, 0) for cell in table.filled})
        table.width = len(filled)
        table.columns = {cell: bisect_left(filled, column) for cell, column in columns.items()}
    row: list[str] = []
    for (place, _), text in zip(part.cells, texts, strict=True):
        column = min(table.columns.get(place.cell, 0), len(row) + _FARTHEST)
        row += [""] * (column - len(row))
        row.append(text)
    if structure.tables == "text":
        return [" | ".join(row).strip()]
    row = [text.replace("|", "\\|") for text in row]
    if not table.begun:  # readers of Markdown leave out cells that the first row has not
        row += [""] * (min(table.width, len(row) + _FARTHEST) - len(row))
    lines = ["| " + " | ".join(row) + " |"]
    if not table.begun:
        table.begun = True
        lines.append("|" + " --- |" * len(row))
    return lines


def _columns(table: LexborNode) -> dict[int, int]:
    """The column of each cell, by the spans of those before and above it.

    As in the HTML standard (4.9.12), but that nothing is pushed farther than `_FARTHEST`.
    """
    columns: dict[int, int] = {}
    taken: dict[int, int] = {}  # column -> first row that no cell from above takes
    for at, row in enumerate(_rows(table)):
        column = 0
        for cell in row.iter():
            if cell.tag not in {"td", "th"}:
                continue
            limit = column + _FARTHEST
            while column < limit and taken.get(column, 0) > at:
                column += 1
            columns[cell.mem_id] = column
            width = min(_integer(cell.attrs.sget("colspan", "")) or 1, _FARTHEST)
            height = _integer(cell.attrs.sget("rowspan", "")) or 1
            if height > 1:
                taken |= dict.fromkeys(range(column, column + width), at + height)
            column += width
    return columns


def _rows(table: LexborNode) -> Iterator[LexborNode]:
    for inner in table.iter():
        if inner.tag == "tr":
            yield inner
        elif inner.tag in {"thead", "tbody", "tfoot"}:
            yield from (row for row in inner.iter() if row.tag == "tr")


# --- code -------------------------------------------------------------------------------------


class _Listings:
    """The listings of a page, each read once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, frozenset[str], str]] = {}

    def of(self, root: LexborNode) -> tuple[str, frozenset[str], str]:
        """Source of a whole element of code without line numbers, its letters without and with
        them, and the name of its language."""
        at = root.mem_id
        if at not in self._known:
            text = _source(root, numbered=False)
            letters = {_letters(text), _letters(_source(root, numbered=True))}
            self._known[at] = text, frozenset(letters), _language(root)
        return self._known[at]


def _code(part: _Part, root: LexborNode, listings: _Listings, structure: Structure) -> list[str]:
    letters = "".join(_letters(block.text) for block in part.blocks)
    text, whole, language = listings.of(root)
    if letters not in whole and 2 * len(letters) < max(map(len, whole)):
        text = "\n".join(block.text for block in part.blocks)
    lines = [line.rstrip(_BLANK) for line in text.replace("\xa0", " ").splitlines()]
    filled = [at for at, line in enumerate(lines) if line]
    lines = lines[filled[0] : filled[-1] + 1] if filled else []
    if not structure.code or not lines:
        return lines
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return [fence + language, *lines, fence]


def _source(node: LexborNode, *, numbered: bool) -> str:
    """Text of an element of code with its line breaks; line numbers are left out if not
    `numbered`.

    Lines are those of the text, and what elements make lines: by their names, classes or styles.
    """
    out: list[str] = []
    # what is to be read, last first; also where lines began in `out`, and gutters end
    todo: list[LexborNode | tuple[int, bool] | None] = [node]
    gutters = 0  # around what is read
    ended = blank = False  # whether a line has ended without a "\n", or an empty one with it
    while todo:
        inner = todo.pop()
        if inner is None:
            gutters -= 1
            continue
        if isinstance(inner, tuple):
            began, holds_place = inner
            ended = True
            if began == len(out) and holds_place:
                out.append("\n")
                ended, blank = False, True
            continue
        if inner.is_text_node:
            text = inner.text_content or ""
            if text and not (gutters and _NUMBERS.fullmatch(text)):
                if not text.startswith("\n"):
                    if ended:
                        _end_line(out)
                elif blank:
                    text = text[1:]
                if text:
                    out.append(text)
                ended = blank = False
            continue
        tag = inner.tag or ""
        if not inner.is_element_node or tag in _UNREAD:
            continue
        if tag == "br":
            if ended:
                _end_line(out)
            out.append("\n")
            ended = blank = False
            continue
        classes = inner.attrs.sget("class", "")
        if not numbered and tag in _NUMBERED and _GUTTER.search(classes):
            gutters += 1
            todo.append(None)
        is_line = tag == "li" or _LINE.search(classes) is not None
        if inner is not node and not gutters and (is_line or _begins_line(inner, tag)):
            _end_line(out)
            ended = False
            todo.append((len(out), is_line))
        within = _inside(inner)
        if tag in _ROWS:
            within = [part for part in within if part.is_element_node]
        todo += within
    return "".join(out)


def _end_line(out: list[str]) -> None:
    if out and not out[-1].endswith("\n"):
        out.append("\n")


def _begins_line(node: LexborNode, tag: str) -> bool:
    """Whether an element in a listing stands on lines of its own."""
    if tag in elements.LINES:
        return tag not in elements.CELLS
    if tag == "code":  # one for each line
        return any(beside is not None and beside.tag == "code" for beside in (node.prev, node.next))
    return _SHOWN_AS_LINE.search(node.attrs.sget("style", "")) is not None


def _language(root: LexborNode) -> str:
    """What the classes of a block of code, or of an element next to it, name as its language."""
    inner = root.css_first("code")
    for node in (root, inner, root.parent, root.parent.parent if root.parent else None):
        if node is None:
            continue
        found = _LANGUAGE.search(node.attrs.sget("class", ""))
        name = found[1] if found else node.attrs.sget("data-lang", "")
        name = name.lower()
        if re.fullmatch(r"[a-z][a-z0-9+#-]{0,19}", name) and name not in _NO_LANGUAGES:
            return name
    return ""
