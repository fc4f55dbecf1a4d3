"""What is known of each block of a page, as numbers: shape, names and place, never its words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.extraction.blocks import names
from curation.extraction.blocks.dom import AROUND, KINDS, Page

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# Classes of characters that are counted in a block.
_OTHER, _LOWER, _UPPER, _DIGIT, _COMMA, _STOP, _QUOTE, _MONEY, _MARK, _SPACE = range(10)
_CLASSES = 10


def _classes() -> NDArray[np.int8]:
    table = np.zeros(1 << 16, np.int8)
    for code in range(1 << 16):
        char = chr(code)
        if char.isdecimal():
            table[code] = _DIGIT
        elif char.isupper():
            table[code] = _UPPER
        elif char.isalnum() or char == "_":
            table[code] = _LOWER
        elif char.isspace():
            table[code] = _SPACE
    for chars, number in (
        (",;،、，；", _COMMA),
        (".!?…。！？:：।", _STOP),
        ("\"'“”‘’«»„()", _QUOTE),
        ("$€£¥₹%₽", _MONEY),
        ("|•·›/»→+-–—©@#*<>=&_", _MARK),
    ):
        for char in chars:
            table[ord(char)] = number
    return table


_CLASS = _classes()
_LEVELS = 4  # ancestors of a block that are described one by one
_SECTIONS = (0.85, 0.5, 0.2)  # shares of a page's words that a section has less of
_HEADINGS = np.array([kind in ("h1", "h2", "h3", "h4", "h5", "h6") for kind in KINDS])
_LONG = 12  # words of a block that looks like a paragraph


def log(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Logarithm of one and the values."""
    return np.log1p(values.astype(np.float64))


class Table:
    """Named columns, a row a block."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.columns: list[NDArray[np.generic]] = []

    def add(self, name: str, column: NDArray[np.generic]) -> None:
        self.names.append(name)
        self.columns.append(column)

    def add_bits(self, name: str, bits: Ints, labels: tuple[str, ...] | list[str]) -> None:
        for number, label in enumerate(labels):
            self.add(f"{name}.{label}", (bits >> number) & 1)

    def array(self) -> Floats:
        """(blocks, features)"""
        return np.stack(self.columns, axis=1).astype(np.float32)


def measure(page: Page) -> tuple[Floats, Ints, list[str]]:
    """Features (blocks, features), `\\w+` words a block, and the features' names."""
    table = Table()
    count = len(page.texts)
    owner = np.array(page.owners, np.int64)
    parent = np.array(page.parents, np.int64)
    kind = np.array(page.kinds, np.int64)
    around = np.array(page.around, np.int64)
    named = np.array(page.named, np.int64)
    above = np.array(page.above, np.int64)
    first = np.array(page.first, np.int64)
    last = np.array(page.last, np.int64)
    depth = np.array(page.depths, np.int64)
    signature = np.array(page.signatures, np.int64)
    linked = np.array(page.linked, np.int64)
    anchors = np.array(page.anchors, np.int64)

    # The text itself.
    counts, words, chars = _count(page.texts)
    solid = np.maximum(chars - counts[:, _SPACE], 1)
    link_share = np.minimum(linked / np.maximum(chars, 1), 1.0)
    linked_words = words * link_share
    table.add("words", log(words))
    table.add("chars", log(chars))
    table.add("word_length", solid / np.maximum(words, 1))
    table.add("link_share", link_share)
    table.add("anchors", log(anchors))
    table.add("words_a_link", words / np.maximum(anchors, 1))
    for name, number in (
        ("upper", _UPPER), ("digit", _DIGIT), ("comma", _COMMA), ("stop", _STOP),
        ("quote", _QUOTE), ("money", _MONEY), ("mark", _MARK),
    ):
        table.add(name, counts[:, number] / solid)
    table.add("stops", log(counts[:, _STOP]))
    table.add("commas", log(counts[:, _COMMA]))
    table.add("moneys", log(counts[:, _MONEY]))
    ends = _class_of([text[-1] for text in page.texts])
    begins = _class_of([text[0] for text in page.texts])
    table.add("end", ends)
    table.add("begin", begins)
    table.add("colon", np.array([text[-1] in ":：" for text in page.texts]))
    table.add("breaks", log(np.array(page.breaks)))
    table.add("images", log(np.array(page.images)))
    seen: dict[str, int] = {}
    which = np.empty(count, np.int64)
    for number, text in enumerate(page.texts):
        which[number] = seen.setdefault(text, len(seen))
    copies = np.bincount(which)
    occurrence = _rank(which)
    table.add("copies", log(copies[which]))
    table.add("occurrence", log(occurrence))
    declared, is_title, in_description = _declared(page)
    table.add("is_title", is_title)
    table.add("in_description", in_description)

    # Sums over the page, up to each block.
    total_words = max(int(words.sum()), 1)
    sum_words = _sums(words)
    sum_linked = _sums(linked_words)
    long = (words >= _LONG) & (link_share < 0.4) & (counts[:, _STOP] > 0)
    good = np.where(long, words, 0)
    sum_good = _sums(good)
    total_good = max(int(good.sum()), 1)
    sum_stops = _sums(counts[:, _STOP])
    sum_money = _sums(counts[:, _MONEY])
    sum_digits = _sums(counts[:, _DIGIT])
    sum_upper = _sums(counts[:, _UPPER])
    sum_images = _sums(np.array(page.images, np.int64))
    sum_chars = _sums(chars)
    heading = _HEADINGS[kind[owner]]
    sum_headings = _sums(heading)
    own_kind = kind[owner]

    # Elements: what is inside, and how often their like stands beside them.
    inside = sum_words[last] - sum_words[first]
    inside_linked = sum_linked[last] - sum_linked[first]
    inside_good = sum_good[last] - sum_good[first]
    blocks = last - first
    density = inside_linked / np.maximum(inside, 1)
    alike, alike_rank, alike_words, alike_spread = _repetition(parent, signature, inside)

    # Place.
    place = np.arange(count)
    table.add("place", place / count)
    table.add("from_start", log(place))
    table.add("from_end", log(count - 1 - place))
    table.add("words_before", sum_words[:-1] / total_words)
    table.add("good_before", sum_good[:-1] / total_good)
    table.add("depth", depth[owner])
    h1 = own_kind == KINDS.index("h1")
    first_h1 = int(h1.argmax()) if h1.any() else -1
    since_h1 = place - first_h1 if first_h1 >= 0 else np.full(count, -1000)
    table.add("since_h1", np.sign(since_h1) * log(np.abs(since_h1)))
    table.add("since_heading", log(_since(heading)))
    table.add("words_since_heading", log(sum_words[:-1] - sum_words[np.maximum(_latest(heading), 0)]))
    table.add("heading_kind", np.where(_latest(heading) >= 0, own_kind[_latest(heading)], -1))
    table.add("since_long", log(_since(long)))
    table.add("until_long", log(_since(long[::-1])[::-1]))
    table.add("words_until_heading", log(_until(heading, sum_words) - sum_words[:-1]))

    # Neighbours.
    for step in (-2, -1, 1, 2):
        table.add(f"words{step:+}", _shift(log(words), step))
        table.add(f"link_share{step:+}", _shift(link_share, step))
        table.add(f"kind{step:+}", _shift(own_kind, step))
    table.add("end-1", _shift(ends, -1))
    for step in (-1, 1):
        other = np.clip(place + step, 0, count - 1)
        table.add(f"same_owner{step:+}", owner[other] == owner)
        table.add(f"same_parent{step:+}", parent[owner[other]] == parent[owner])
        table.add(f"same_signature{step:+}", signature[owner[other]] == signature[owner])
    for width in (3, 10):
        low = np.maximum(place - width, 0)
        high = np.minimum(place + width + 1, count)
        near = sum_words[high] - sum_words[low]
        table.add(f"near_words{width}", log(near / (high - low)))
        table.add(f"near_linked{width}", (sum_linked[high] - sum_linked[low]) / np.maximum(near, 1))
        table.add(f"near_good{width}", (sum_good[high] - sum_good[low]) / np.maximum(near, 1))

    # Names and elements around.
    table.add("kind", own_kind)
    table.add("parent_kind", kind[parent[owner]])
    inline = np.array(page.inline_named, np.int64)
    up = parent[owner]
    chain = named[owner] | above[owner]
    table.add_bits("own", named[owner] | inline | named[up], names.NAMES)
    table.add_bits("above", chain, names.NAMES)
    table.add_bits("in", around[owner] | np.array(page.inline_around, np.int64), AROUND)

    # The elements above, one by one.
    at = owner
    most = alike[at].copy()
    most_words = np.zeros(count)
    for level in range(_LEVELS):
        words_in = inside[at]
        table.add(f"level{level}.words", log(words_in))
        table.add(f"level{level}.linked", density[at])
        table.add(f"level{level}.good", inside_good[at] / total_good)
        table.add(f"level{level}.blocks", log(blocks[at]))
        table.add(f"level{level}.alike", log(alike[at]))
        table.add(f"level{level}.rank", log(alike_rank[at]))
        table.add(f"level{level}.alike_words", log(alike_words[at]))
        table.add(f"level{level}.spread", alike_spread[at])
        at = parent[at]
    # The most repeated element above: a card of a listing, a post of a thread.
    at = owner.copy()
    best = np.zeros(count)
    card = owner.copy()
    best_level = np.zeros(count, np.int64)
    for level in range(12):
        score = np.where(inside[at] < 0.7 * total_words, alike[at], 0)
        better = (score > best) & (score >= 3) & (blocks[at] >= 1)
        card = np.where(better, at, card)
        best = np.where(better, score, best)
        best_level = np.where(better, level, best_level)
        at = parent[at]
    table.add("card.alike", log(best))
    table.add("card.level", best_level)
    table.add("card.words", log(inside[card]))
    table.add("card.linked", density[card])
    table.add("card.alike_words", log(alike_words[card]))
    table.add("card.total", alike_words[card] * best / total_words)
    table.add("card.blocks", log(blocks[card]))
    table.add("card.rank", log(alike_rank[card]))
    table.add("card.place", place - first[card])
    table.add("card.spread", alike_spread[card])
    card_size = np.maximum(sum_chars[last[card]] - sum_chars[first[card]], 1)
    table.add("card.money", log(sum_money[last[card]] - sum_money[first[card]]))
    table.add("card.images", log(sum_images[last[card]] - sum_images[first[card]]))
    table.add("card.digits", (sum_digits[last[card]] - sum_digits[first[card]]) / card_size)
    table.add_bits("card", named[card], names.NAMES)

    # Sections: the largest element above that has less than a share of the page's words.
    for share in _SECTIONS:
        at = owner.copy()
        for _ in range(60):
            above_it = parent[at]
            climbs = (inside[above_it] < share * total_words) & (above_it != at)
            if not climbs.any():
                break
            at = np.where(climbs, above_it, at)
        label = f"section{share}"
        size = np.maximum(inside[at], 1)
        table.add(f"{label}.words", inside[at] / total_words)
        table.add(f"{label}.linked", density[at])
        table.add(f"{label}.good", inside_good[at] / total_good)
        table.add(f"{label}.goodness", inside_good[at] / size)
        table.add(f"{label}.mean", log(size / np.maximum(blocks[at], 1)))
        table.add(f"{label}.stops", (sum_stops[last[at]] - sum_stops[first[at]]) / size)
        table.add(f"{label}.money", (sum_money[last[at]] - sum_money[first[at]]) / size)
        table.add(f"{label}.images", (sum_images[last[at]] - sum_images[first[at]]) / size)
        table.add(f"{label}.headings", (sum_headings[last[at]] - sum_headings[first[at]]) / size)
        table.add(f"{label}.start", first[at] / count)
        table.add(f"{label}.end", last[at] / count)
        table.add(f"{label}.place", (place - first[at]) / np.maximum(blocks[at], 1))
        table.add(f"{label}.alike", log(alike[at]))
        table.add(f"{label}.rank", log(alike_rank[at]))
        table.add(f"{label}.levels", depth[owner] - depth[at])
        # What the section's first heading stands over.
        if share == 0.2:
            table.add_bits(label, named[at], names.NAMES)

    # How far up the element with most paragraphs is.
    for share in (0.5, 0.9):
        at = owner.copy()
        for _ in range(60):
            climbs = (inside_good[at] < share * total_good) & (parent[at] != at)
            if not climbs.any():
                break
            at = np.where(climbs, parent[at], at)
        table.add(f"main{share}.levels", depth[owner] - depth[at])
        table.add(f"main{share}.words", inside[at] / total_words)
        table.add(f"main{share}.linked", density[at])
        table.add(f"main{share}.depth", depth[at])
        table.add(f"main{share}.goodness", inside_good[at] / np.maximum(inside[at], 1))

    # Blocks of the same make on the page.
    path = signature[owner] * 1_000_003 + signature[up] * 1009 + signature[parent[up]]
    _, same = np.unique(path, return_inverse=True)
    number = np.bincount(same)
    table.add("same.blocks", log(number[same]))
    table.add("same.words", log((np.bincount(same, words) / number)[same]))
    table.add("same.linked", (np.bincount(same, link_share) / number)[same])
    table.add("same.rank", _rank(same) / number[same])
    table.add("same.share", (np.bincount(same, words))[same] / total_words)

    # The page.
    bits = around[owner]
    whole = {
        "words": np.log1p(total_words),
        "blocks": np.log1p(count),
        "linked": linked_words.sum() / total_words,
        "good": total_good / total_words,
        "long": np.log1p(long.sum()),
        "longest": np.log1p(words.max()),
        "mean": np.log1p(total_words / count),
        "h1": np.log1p(h1.sum()),
        "headings": np.log1p(heading.sum()),
        "money": np.log1p(counts[:, _MONEY].sum()),
        "images": np.log1p(sum(page.images)),
        "h1_place": first_h1 / count,
        "stops": counts[:, _STOP].sum() / total_words,
        "digits": counts[:, _DIGIT].sum() / max(int(chars.sum()), 1),
        "declared": np.log1p(declared),
        "max_alike": np.log1p(alike.max()),
        "elements": np.log1p(len(parent)),
        "is_article": "article" in page.kind,
        "is_product": "product" in page.kind,
        "is_website": "website" in page.kind,
    }
    for kind_name in ("p", "li", "td", "div", "h2", "h3", "pre", "dd"):
        of_kind = own_kind == KINDS.index(kind_name)
        whole[f"{kind_name}_words"] = words[of_kind].sum() / total_words
    for name in ("article", "main", "table", "form", "nav", "itemprop"):
        inside_it = (bits >> AROUND.index(name)) & 1
        whole[f"in_{name}"] = words[inside_it == 1].sum() / total_words
    for name in ("comment", "product", "price", "thread", "faq", "card", "review", "docs"):
        group = next(n for n, words_of in enumerate(names.GROUPS) if name in words_of)
        inside_it = (chain >> group) & 1
        whole[f"named_{name}"] = words[inside_it == 1].sum() / total_words
    data = " ".join(page.linked_data)[: 1 << 16]
    for name in ("Product", "Article", "NewsArticle", "BlogPosting", "ItemList", "FAQPage",
                 "DiscussionForumPosting", "QAPage", "CollectionPage", "Organization",
                 "LocalBusiness", "Service"):
        whole[f"type_{name}"] = f'"{name}"' in data
    for name, value in whole.items():
        table.add(f"page.{name}", np.full(count, float(value)))
    return table.array(), words, table.names


def _count(texts: list[str]) -> tuple[Ints, Ints, Ints]:
    """Characters of each class (blocks, classes), `\\w+` words and characters of each text."""
    chars = np.array([len(text) for text in texts], np.int64)
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _CLASS[np.minimum(codes, 0xFFFF)]
    block = np.repeat(np.arange(len(texts)), chars)
    counts = np.bincount(block * _CLASSES + kinds, minlength=len(texts) * _CLASSES)
    word = (kinds >= _LOWER) & (kinds <= _DIGIT) | (codes > 0xFFFF) | (codes == 95)
    starts = word.copy()
    starts[1:] &= ~(word[:-1] & (block[1:] == block[:-1]))
    words = np.bincount(block[starts], minlength=len(texts))
    return counts.reshape(-1, _CLASSES), words, chars


def _class_of(chars: list[str]) -> NDArray[np.int8]:
    return _CLASS[[min(ord(char), 0xFFFF) for char in chars]]


def _sums(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Sum of all values before each place; one more than the values."""
    out = np.zeros(len(values) + 1, np.float64 if values.dtype.kind == "f" else np.int64)
    np.cumsum(values, out=out[1:])
    return out


def _shift(values: NDArray[np.generic], step: int) -> NDArray[np.generic]:
    out = np.full(len(values), -1, np.float64)
    if abs(step) < len(values):
        if step > 0:
            out[:-step] = values[step:]
        else:
            out[-step:] = values[:step]
    return out


def _latest(flags: NDArray[np.bool_]) -> Ints:
    """Place of the latest flag at or before each place, -1 if there is none."""
    return np.maximum.accumulate(np.where(flags, np.arange(len(flags)), -1))


def _since(flags: NDArray[np.bool_]) -> Ints:
    latest = _latest(flags)
    return np.where(latest >= 0, np.arange(len(flags)) - latest, 1000)


def _until(flags: NDArray[np.bool_], sums: NDArray[np.generic]) -> NDArray[np.generic]:
    """Sum up to the next flag after each place."""
    count = len(flags)
    following = count - 1 - _latest(flags[::-1])[::-1]  # at or after each place
    following = np.append(following[1:], count)
    return sums[np.minimum(following, count)]


def _rank(values: Ints) -> Ints:
    """How many equal values stand before each."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    lengths = np.diff(np.append(starts, len(values)))
    out = np.empty(len(values), np.int64)
    out[order] = np.arange(len(values)) - np.repeat(starts, lengths)
    return out


def _repetition(parent: Ints, signature: Ints, inside: Ints) -> tuple[Ints, Ints, NDArray[np.float64], NDArray[np.float64]]:
    """For each element its like under the same parent: number, rank, mean words, spread."""
    key = parent * (int(signature.max()) + 1) + signature
    _, group = np.unique(key, return_inverse=True)
    number = np.bincount(group)
    mean = np.bincount(group, inside) / number
    square = np.bincount(group, inside.astype(np.float64) ** 2) / number
    spread = np.sqrt(np.maximum(square - mean**2, 0)) / np.maximum(mean, 1)
    return number[group], _rank(group), mean[group], spread[group]


def _declared(page: Page) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Words that the page declares of itself; how much of each block is its title, and in them."""
    title = set(page.title.lower().split())
    description = set((page.description + " " + " ".join(page.linked_data)).lower().split())
    is_title = np.zeros(len(page.texts))
    inside = np.zeros(len(page.texts))
    for number, text in enumerate(page.texts):
        words = text[:2000].lower().split()
        if title and len(words) <= 40:
            is_title[number] = len(title.intersection(words)) / max(len(title), len(words))
        if description:
            inside[number] = len(description.intersection(words)) / len(words)
    return len(description), is_title, inside
