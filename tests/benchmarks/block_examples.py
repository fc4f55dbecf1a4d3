"""Pages with known main text as examples for the choice of blocks."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from selectolax.lexbor import LexborHTMLParser

from curation.extraction.blocks import declared, dom, features
from tests.benchmarks.web_pages import Labelled, pages, tokens

FOLDS = 5
REACH = 40  # tokens between two that are neighbours in the gold text


def subsequence(one: list[str], two: list[str]) -> list[tuple[int, int]]:
    """Places of a longest common subsequence, by Hyyro's bit-parallel algorithm (2004)."""
    masks: dict[str, int] = {}
    for at, token in enumerate(two):
        masks[token] = masks.get(token, 0) | 1 << at
    row = full = (1 << len(two)) - 1
    rows, places = [], []
    for at, token in enumerate(one):
        if mask := masks.get(token):
            both = row & mask
            row = (row + both | row - both) & full
            rows.append(row)
            places.append(at)
    pairs = []
    left, right = len(rows), len(two)
    while left and right:
        if rows[left - 1] >> right - 1 & 1:
            right -= 1
            continue
        left -= 1
        if not left or rows[left - 1] >> right - 1 & 1:
            right -= 1
            pairs.append((places[left], right))
    return pairs[::-1]


def aligned(one: list[str], two: list[str]) -> list[tuple[int, int]]:
    """The pairs of a common subsequence that have a neighbour close by, so no single words."""
    pairs = subsequence(one, two)
    place = {right: left for left, right in pairs}
    far = -REACH - 1
    return [
        (left, right)
        for left, right in pairs
        if left - place.get(right - 1, far) <= REACH
        or place.get(right + 1, left + REACH + 1) - left <= REACH
    ]


def labels(texts: list[list[str]], gold: list[str]) -> NDArray[np.float64]:
    """The share of each block's tokens that are in the gold text.

    First in order; then blocks that are whole in what is left, as gold is not always in the
    page's order.
    """
    share = np.zeros(len(texts))
    used: set[int] = set()
    for least in (0.5, 0.8):
        rest = [at for at in range(len(texts)) if share[at] < 0.5]
        if least > 0.5:
            rest = [at for at in rest if len(texts[at]) >= 4]
        wanted = [at for at in range(len(gold)) if at not in used]
        owner = [at for at in rest for _ in texts[at]]
        found: dict[int, list[int]] = defaultdict(list)
        flat = [token for at in rest for token in texts[at]]
        for left, right in aligned(flat, [gold[at] for at in wanted]):
            found[owner[left]].append(wanted[right])
        for at, places in found.items():
            part = len(places) / len(texts[at])
            if least == 0.5 or part >= least:
                share[at] = part
            if part >= least:
                used.update(places)
    return share


@dataclass(slots=True)
class Example:
    """A page to learn from, or to be judged by.

    A value a block: features (a row), sizes (words), tags and around (as `repeats.once` takes
    them), texts, labels (the share of it that is main text), known (whether that is known), counts
    (how many of tokens are its own), and trees and net (how likely it is main text, in
    thousandths). tokens, gold: numbers of the words of the page and of the gold text. weight: of
    the page.
    """

    page: Labelled
    fold: int
    features: NDArray[np.float32]
    sizes: NDArray[np.int32]
    tags: NDArray[np.int32]
    around: NDArray[np.int32]
    texts: list[str]
    labels: NDArray[np.float64]
    known: NDArray[np.bool_]
    counts: NDArray[np.int64]
    tokens: NDArray[np.int64]
    gold: NDArray[np.int64]
    weight: float = 0.0
    trees: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    net: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def teaches(self) -> bool:
        """Whether there is something to learn from it."""
        return self.weight > 0 and bool(self.known.any())

    def f1(self, chosen: NDArray[np.bool_]) -> float:
        """F1 of the words of the chosen blocks."""
        size = 1 + max(self.tokens.max(initial=0), self.gold.max(initial=0))
        found = np.bincount(self.tokens[np.repeat(chosen, self.counts)], minlength=size)
        gold = np.bincount(self.gold, minlength=size)
        return 2 * np.minimum(found, gold).sum() / max(found.sum() + gold.sum(), 1)


def snippets(page: Labelled, texts: list[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Labels of the blocks that hold a snippet of the page, and which these are."""
    found = np.full(len(texts), np.nan)
    for some, value in ((page.unwanted, 0), (page.wanted, 1)):
        for snippet in some:
            sought = " ".join(snippet.lower().split())
            for at, text in enumerate(texts):
                # What must not be there may be a word that is also in a paragraph.
                if sought and sought in text and (value or len(text) < 4 * len(sought) + 40):
                    found[at] = value
    known = ~np.isnan(found)
    return np.where(known, found, 0.0), known


def fold(site: str) -> int:
    """The fold of a site, by its name alone."""
    return zlib.crc32(f"fold {site}".encode()) % FOLDS


def example(page: Labelled) -> Example | Labelled:
    """What a page teaches; the page itself if it has no text."""
    tree = LexborHTMLParser(page.html())
    read = dom.read(tree)
    table = read and features.table(read, declared.read(tree))
    if not read or not table:
        return page
    ranges = zip(table.first.tolist(), table.last.tolist(), strict=True)
    texts = [dom.lines(read.texts[a:b]) for a, b in ranges]
    lowered = [text.lower() for text in texts]
    words = [tokens(text) for text in lowered]
    gold = tokens(page.gold or "")
    numbers: dict[str, int] = {}
    if gold:
        share, known = labels(words, gold), np.ones(len(words), np.bool_)
    else:
        share, known = snippets(page, lowered)
    made = Example(
        page,
        fold(page.site),
        table.features,
        table.sizes,
        read.tags[table.elements],
        read.parents[read.parents[table.elements]],
        texts,
        share,
        known,
        np.array([len(block) for block in words]),
        np.array([numbers.setdefault(w, len(numbers)) for block in words for w in block], np.int64),
        np.array([numbers.setdefault(w, len(numbers)) for w in gold], np.int64),
    )
    best = made.f1(share >= 0.5) if gold else 0.0
    match page.name:
        # Gold that no choice of blocks comes near is of another page, or cut short.
        case "wcxb" if gold:
            made.weight = 1.0 if best >= 0.6 else 0.2
        case "articles" if best >= 0.85 and len(gold) >= 40:
            made.weight = 1.0
        case "trafilatura-eval":
            made.weight = 0.2
    return made


def load(folder: Path, processes: int) -> Iterator[Example | Labelled]:
    """The labelled pages as examples; those without any text as they are."""
    sets = ("articles", "trafilatura-eval", "wcxb")
    with get_context("fork").Pool(processes) as pool:
        yield from pool.imap(example, pages(folder, sets), chunksize=8)
