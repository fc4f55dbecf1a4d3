"""Features of the blocks of a page: what its markup, place, neighbours and repetition say.

All values are whole numbers or quotients of whole numbers, so every machine finds the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.extraction.blocks.declared import Declared
from curation.extraction.blocks.dom import IDS, Dom
from curation.extraction.blocks.words import GROUPS, groups

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Kinds of elements, by how much text of their kind is prose.
_KINDS = (
    *("p", "h1", "h2", "h3", "h4 h5 h6", "li", "dd", "dt", "td", "th", "tr", "blockquote q"),
    *("pre code samp kbd", "figcaption figure caption", "article", "main", "section", "header"),
    *("footer", "nav", "aside", "form fieldset", "label legend", "button input", "a", "span font"),
    *("address", "details summary", "ul ol menu", "dl", "table tbody thead tfoot", "body center"),
    *("strong b em i", "time", "dialog"),
)


def _by_tag(values: dict[str, int]) -> Ints:
    """A value for each of lexbor's numbers of tags, 0 where none is given."""
    found = np.zeros(max(IDS.values()) + 1, np.int64)
    for tag, value in values.items():
        found[IDS[tag]] = value
    return found


_KIND_OF = _by_tag({tag: at for at, tags in enumerate(_KINDS, 1) for tag in tags.split()})
_HEADING_OF = _by_tag({f"h{level}": level for level in range(1, 7)})
# Elements that say what is in them, however far up they are.
_ROLES = (
    *("article", "main", "section", "header", "footer", "nav", "aside", "form", "table", "ul ol"),
    *("dl", "figure figcaption", "blockquote", "pre", "button", "details", "a", "p", "label"),
    *("h1 h2 h3 h4 h5 h6", "li", "address", "dialog", "tr", "noscript"),
)
_ROLE_OF = {IDS[tag]: 1 << at for at, tags in enumerate(_ROLES) for tag in tags.split()}
_IS_IMAGE = _by_tag(dict.fromkeys(("img", "picture", "svg", "video"), 1))
_IS_CONTROL = _by_tag(dict.fromkeys(("input", "button", "select", "textarea"), 1))
_COUNTED = [IDS[tag] for tag in ("article", "form", "section", "table")]
_NAMES = frozenset({"class", "id", "role", "itemprop"})
_HIDDEN = 1 << GROUPS.index("hidden")
_COMMENT = GROUPS.index("comment")
_LEVELS = 10  # sections up from a block that are looked at for their names
_NEAR = 6  # and for their size
_TOP = 5  # sections down from the page that are looked at
_DEEPEST = 24  # sections up from a block, where these are looked for
_SHIFTS = (-2, -1, 1, 2)  # neighbours
_REACHES = (2, 5, 12)  # blocks on each side
_LONG = 12  # words of a text that is prose
_CHARACTERS_A_WORD = 12  # of writing without spaces

# Classes of characters.
_SPACE, _DIGIT, _UPPER, _COMMA, _STOP, _MARK, _OTHER = 1, 2, 3, 4, 5, 6, 0


def _classes() -> NDArray[np.uint8]:
    table = np.zeros(1 << 16, np.uint8)
    for code in range(1 << 16):
        character = chr(code)
        if character.isspace() or code == 0:
            table[code] = _SPACE
        elif character.isdecimal():
            table[code] = _DIGIT
        elif character.isupper():
            table[code] = _UPPER
    for characters, kind in (
        (",;、，；،", _COMMA),
        (".!?:。！？…؟।", _STOP),
        ("|/»›•·©®™$€£¥+*#@<>", _MARK),
    ):
        for character in characters:
            table[ord(character)] = kind
    return table


_CLASS = _classes()


@dataclass(slots=True)
class Table:
    """The blocks of a page.

    A value a block: elements (its number in the page's Dom), first and last (range of its texts),
    sizes (words), paths (equal for blocks in equal markup), headings (place of the last one, or
    -1), columns of features. A row a level of the elements around a block that hold more text
    each: low and high (range of its blocks), signatures (equal for equal siblings). comments:
    whether it is prose in an element whose name says that it holds comments.
    """

    elements: Ints
    first: Ints
    last: Ints
    sizes: Ints
    paths: Ints
    headings: Ints
    low: Ints
    high: Ints
    signatures: Ints
    comments: NDArray[np.bool_]
    features: Floats


@dataclass(slots=True)
class _Texts:
    """Counts a text of the page: words, those in links, characters that are not white space."""

    words: Ints
    linked: Ints
    letters: Ints
    counts: Ints  # of _DIGIT, _UPPER, _COMMA, _STOP, _MARK: a row each
    initial: Ints  # class of the first and the last character
    final: Ints


def _texts(dom: Dom, owners: Ints) -> _Texts:
    lengths = np.fromiter(map(len, dom.texts), np.int64, len(dom.texts))
    data = "\0".join(dom.texts).encode("utf-32-le", "surrogatepass")
    kinds = _CLASS[np.minimum(np.frombuffer(data, np.uint32), 0xFFFF)]
    starts = np.cumsum(lengths + 1) - lengths - 1
    ends = starts + lengths - 1
    space = kinds == _SPACE
    begins = ~space
    begins[1:] &= space[:-1]
    words = np.add.reduceat(begins, starts, dtype=np.int64)
    spaces = np.add.reduceat(space, starts, dtype=np.int64)
    spaces[:-1] -= 1  # the zero between two texts
    letters = lengths - spaces
    counts = np.stack(
        [
            np.add.reduceat(kinds == kind, starts, dtype=np.int64)
            for kind in (_DIGIT, _UPPER, _COMMA, _STOP, _MARK)
        ]
    )
    words = np.maximum(words, letters // _CHARACTERS_A_WORD)
    linked = np.where(np.array(dom.links)[owners], words, 0)
    starts += (kinds[starts] == _SPACE) & (lengths > 1)
    return _Texts(words, linked, letters, counts, kinds[starts], kinds[ends])


@dataclass(slots=True)
class _Sections:
    """A value an element: what its names and its tags say (bits), the nearest element around it
    with more text, how many of these there are, numbers for equal siblings and equal paths."""

    names: Ints
    roles: Ints
    up: Ints
    depth: Ints
    tree_depth: Ints
    hidden: Ints
    signature: Ints
    path: Ints


def _sections(dom: Dom) -> _Sections:
    many = len(dom.tags)
    names, roles, up, depth = [0] * many, [0] * many, [0] * many, [0] * many
    tree_depth, hidden, signature, path = [0] * many, [0] * many, [0] * many, [0] * many
    numbers: dict[tuple[int, int, str | None], int] = {}
    paths: dict[tuple[int, int, str | None], int] = {}
    number, number_path, role_of = numbers.setdefault, paths.setdefault, _ROLE_OF.get
    nodes, first, last, parents = dom.nodes, dom.first, dom.last, dom.parents
    blocks, ends = dom.blocks, dom.ends
    for at, tag in enumerate(dom.tags):
        if last[at] <= first[at]:
            continue
        own, name = 0, None
        # The name of an element within a line that holds no other says little.
        if (blocks[at] == at or ends[at] > at + 1) and (attributes := nodes[at].attributes):
            for key, value in attributes.items():
                if key in _NAMES:
                    if value:
                        own |= groups(value)
                        if key == "class":
                            name = value
                elif (
                    key == "hidden"
                    or (key == "aria-hidden" and value == "true")
                    or (key == "style" and value and "none" in value and "display" in value)
                ):
                    own |= _HIDDEN
                    hidden[at] = 1
        role = role_of(tag, 0)
        if at:
            parent = parents[at]
            tree_depth[at] = tree_depth[parent] + 1
            if hidden[parent]:
                hidden[at] = 1
            if first[at] == first[parent] and last[at] == last[parent]:
                up[at] = up[parent]
                depth[at] = depth[parent]
                own |= names[parent]
                role |= roles[parent]
            else:
                up[at] = parent
                depth[at] = depth[parent] + 1
            signature[at] = number((up[at], tag, name), len(numbers))
            path[at] = number_path((path[parent], tag, name), len(paths) + 1)
        names[at], roles[at] = own, role
    return _Sections(*map(np.array, (names, roles, up, depth, tree_depth, hidden, signature, path)))


def _running(values: Ints) -> Ints:
    """Sums of all that is before each place along the last axis, and of all."""
    out = np.zeros((*values.shape[:-1], values.shape[-1] + 1), np.int64)
    np.cumsum(values, axis=-1, out=out[..., 1:])
    return out


def _ratio(part: Ints | Floats, whole: Ints | Floats | int) -> Floats:
    return part / np.maximum(whole, 1)


def _nearest(bits: Ints, number: int) -> NDArray[np.uint8]:
    """How many sections up the nearest with each bit is; bits: a row a level."""
    levels, many = bits.shape
    flags = np.unpackbits(bits.view(np.uint8).reshape(levels, many, 8), axis=2, bitorder="little")
    flags = flags[:, :, :number] * np.arange(levels, 0, -1, dtype=np.uint8)[:, None, None]
    return (levels - flags.max(0)).T


def table(dom: Dom, declared: Declared) -> Table | None:
    """The blocks of a page and their features; None if it has no text."""
    if not dom.texts:
        return None
    owners = np.array(dom.owners)
    text = _texts(dom, owners)
    tree = _sections(dom)
    tags = np.array(dom.tags)
    tags = np.where(tags < len(_KIND_OF), tags, 0)
    kinds, heading_of = _KIND_OF[tags], _HEADING_OF[tags]
    parents = np.array(dom.parents)
    e_first, e_last = np.array(dom.first), np.array(dom.last)

    # Blocks: runs of texts in the same element that begins a line.
    blocks = np.array(dom.blocks)[owners]
    begins = np.diff(blocks, prepend=-1) != 0
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(owners))
    elements, inner = blocks[first], owners[first]
    many = len(first)
    block_of = np.append(np.cumsum(begins) - 1, many)
    size, link, letter = (
        np.add.reduceat(count, first) for count in (text.words, text.linked, text.letters)
    )
    counts = np.add.reduceat(text.counts, first, axis=1)
    digit, _, comma, stop, mark = counts
    stops = comma + stop
    prose = np.where(size - link >= _LONG, size - link, 0)
    order = np.arange(many)
    kind = kinds[elements]
    heading = np.zeros(many, np.int64)
    at = elements
    for _ in range(3):
        heading = np.where(heading == 0, heading_of[at], heading)
        at = parents[at]
    raw = [
        dom.texts[a] if b == a + 1 else "".join(dom.texts[a:b])
        for a, b in zip(first.tolist(), last.tolist(), strict=True)
    ]
    seen: dict[str, int] = {}
    text_of = np.array([seen.setdefault(one, len(seen)) for one in raw])
    again = np.bincount(text_of)[text_of]
    fresh = np.zeros(many, np.int64)
    fresh[np.unique(text_of, return_index=True)[1]] = 1
    repeated = np.where(fresh, 0, size)

    # Sums over ranges of blocks. An element's range is of blocks, so that of an inline element
    # is the blocks it touches.
    headed = (heading > 0).astype(np.int64)
    sums = _running(np.stack([size, link, prose, stops, digit, mark, headed, repeated, letter]))
    shown = e_last > e_first
    b_first = block_of[e_first]
    b_last = np.where(shown, block_of[np.maximum(e_last - 1, 0)] + 1, b_first)
    e_blocks = b_last - b_first
    e_sums = sums[:, b_last] - sums[:, b_first]
    e_words, e_prose = e_sums[0], e_sums[2]
    images = _running(_IS_IMAGE[tags].astype(np.int64))
    controls = _running(_IS_CONTROL[tags].astype(np.int64))
    ends = np.array(dom.ends)
    e_images = images[ends] - images[:-1]
    e_controls = controls[ends] - controls[:-1]
    same = np.bincount(tree.signature[shown])
    same_words = np.bincount(tree.signature[shown], e_words[shown])
    children = np.bincount(tree.up[shown], minlength=len(tags))
    page_words, page_links, page_prose = (max(int(value), 1) for value in sums[:3, -1])

    rows: list[NDArray[Any]] = []
    add = rows.append
    density, letters_a_word = _ratio(link, size), _ratio(letter, size)
    final, initial = text.final[last - 1], text.initial[first]
    path_of = np.unique(tree.path[elements], return_inverse=True)[1]
    depth = tree.depth[elements]

    # The block.
    rows += [size, letter, letters_a_word, density, link, stops, final, initial, kind, heading]
    rows += [_ratio(counts, letter), kinds[inner], last - first, kinds[parents[elements]], depth]
    rows += [tree.tree_depth[elements], tree.hidden[elements], again, 1 - fresh]

    # Blocks in the same markup.
    path_count = np.bincount(path_of)
    path_words, path_links, path_stops = (np.bincount(path_of, one) for one in (size, link, stops))
    path_first = np.unique(path_of, return_index=True)[1]
    path_last = np.zeros(len(path_count), np.int64)
    path_last[path_of] = order
    rows += [
        column[path_of]
        for column in (
            path_count,
            path_words,
            _ratio(path_words, path_count),
            _ratio(path_links, path_words),
            _ratio(path_words, page_words),
            _ratio(path_stops, path_words),
            _ratio(path_last - path_first + 1, path_count),
        )
    ]
    rows += [order - path_first[path_of], path_last[path_of] - order]

    # Sections around it, nearest first.
    sections = np.empty((_LEVELS, many), np.int64)
    sections[0] = elements
    for level in range(1, _LEVELS):
        sections[level] = tree.up[sections[level - 1]]
    near = sections[:_NEAR]
    words, links, proses, n_stops, digits, marks, heads, repeats, letters = e_sums[:, near]
    signature = tree.signature[near]
    for columns in (
        words,
        _ratio(links, words),
        _ratio(words, page_words),
        e_blocks[near],
        _ratio(words, e_blocks[near]),
        _ratio(proses, words),
        kinds[near],
        children[near],
        same[signature],
        _ratio(same_words[signature], same[signature]),
        e_images[near],
        e_controls[near],
        _ratio(same_words[signature], e_words[tree.up[near]]),
        (order - b_first[near])[1:],
        (b_last[near] - order)[1:],
        _ratio(size, words)[1:],
        _ratio(n_stops, words)[1:],
        _ratio(digits, letters)[1:],
        _ratio(marks, letters)[1:],
        heads[1:],
        _ratio(repeats, words)[1:],
    ):
        rows.append(columns)
    rows.append(_nearest(tree.names[sections], len(GROUPS)))
    rows.append(_nearest(tree.roles[sections], len(_ROLES)))

    # Sections around it, from the top.
    top = np.zeros((_TOP + 1, many), np.int64)
    climb = elements
    for _ in range(_DEEPEST):
        top[np.minimum(tree.depth[climb], _TOP), order] = climb
        if not climb.any():
            break
        climb = tree.up[climb]
    top = np.where(depth >= np.arange(_TOP + 1)[:, None], top, 0)[1:]
    for columns in (
        _ratio(e_words[top], page_words),
        _ratio(e_sums[1][top], e_words[top]),
        _ratio(e_prose[top], e_words[top]),
        kinds[top],
        _ratio(b_first[top], many),
        e_blocks[top],
    ):
        rows.append(columns)

    # The smallest elements with most of the prose.
    base = e_prose if sums[2, -1] else e_words
    for percent in (40, 60, 80, 95):
        best = int(np.flatnonzero(base * 100 >= base[0] * percent)[-1])
        low, high = int(b_first[best]), int(b_last[best])
        add(np.where(order < low, order - low, np.maximum(order - high + 1, 0)))
        add(np.full(many, e_words[best] / page_words))

    # Place.
    before = sums[0, :-1]
    rows += [order, many - order, _ratio(order, many), before, page_words - before]
    rows += [_ratio(before, page_words), _ratio(sums[2, :-1], page_prose)]
    rows.append(page_prose - sums[2, :-1])

    # Headings.
    under = np.maximum.accumulate(np.where(headed, order, -1))
    following = many - 1 - np.maximum.accumulate(np.where(headed[::-1], order, -1))[::-1]
    rows += [order - under, np.where(under >= 0, heading[under], 0)]
    rows.append(before - np.where(under >= 0, before[under], 0))
    rows.append(np.where(following < many, following - order, -1))
    part_words, part_links = (np.bincount(under + 1, one, many + 1) for one in (size, link))
    rows += [part_words[under + 1], _ratio(part_links, part_words)[under + 1]]
    rows.append(np.bincount(under + 1, minlength=many + 1)[under + 1])
    ones = np.flatnonzero(heading == 1)
    one = int(ones[0]) if len(ones) else 0
    rows += [order - one, before - before[one]]

    # Neighbours.
    place = order[None] + np.array(_SHIFTS)[:, None]
    outside = (place < 0) | (place >= many)
    place = place.clip(0, many - 1)
    for column in (size, density, kind, heading, stops, depth, letters_a_word):
        rows.append(np.where(outside, -1, column[place]))
    rows.append(np.where(outside, 0, path_of[place] == path_of))
    low = np.maximum(order - np.array(_REACHES)[:, None], 0)
    high = np.minimum(order + np.array(_REACHES)[:, None] + 1, many)
    words, links, proses, n_stops, _, _, heads, repeats, _ = sums[:, high] - sums[:, low]
    rows.append(words)
    rows.append(_ratio(words, high - low))
    for part in (links, proses, n_stops, repeats):
        rows.append(_ratio(part, words))
    rows.append(heads)

    # How far up it parts from its neighbours, the first heading and the longest text.
    low, high = b_first[sections], b_last[sections]
    for other in (place[1], place[2], one, int(prose.argmax())):
        inside = (low <= other) & (other < high)
        add(np.where(inside.any(0), inside.argmax(0), _LEVELS))

    # The page.
    page = [
        *(many, page_words, page_links / page_words, page_prose / page_words, len(tags)),
        *(int((heading == level).sum()) for level in (1, 2, 3)),
        *(int((kind == at).sum()) for at in (1, 6, 9)),
        int(size[kind == 1].sum()) / page_words,
        *(int(headed.sum()), int(e_images[0]), int(e_controls[0])),
        *(len(path_count), int(path_count.max()), int((prose > 0).sum()), int(prose.max())),
        *(dom.tags.count(tag) for tag in _COUNTED),
        *(int(stops.sum()) / page_words, int(digit.sum()) / max(int(letter.sum()), 1)),
        int(np.bincount(path_of, prose > 0).max()),
        int(repeated.sum()) / page_words,
        *declared.page,
    ]
    rows.append(np.repeat(np.array(page, np.float64)[:, None], many, axis=1))
    rows += declared.blocks(raw, heading)
    features = np.concatenate([row if row.ndim == 2 else row[None] for row in rows])
    named = (tree.names[sections] >> _COMMENT & 1).any(0)
    return Table(
        *(elements, first, last, size, path_of, under, low, high, signature),
        *(named & (prose > 0), features),
    )
