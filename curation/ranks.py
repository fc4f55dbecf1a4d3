"""Encoding by tiktoken, where it gives a byte-level BPE's own ids: several times as fast.

tiktoken knows no merges: it joins whichever neighbours make a token, those of the lowest rank
first. The ids are the same if, for every token, that process on the token's own bytes ends in the
two halves that the tokenizer merges to it. For a token that comes about within a text does so
from the merges inside it alone: one across its border would have removed the border.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import tiktoken
import tokenizers

Pair = tuple[bytes, bytes]

# How our own tokenizers cut text into words that merges never cross: letters (with the marks
# that belong to them, as Indic scripts need) after at most one other sign; digits by three, so
# that numbers are cut the same everywhere; signs; line ends; spaces. No run is longer than this:
# the trainer's cost is quadratic in the length of a word, and a crawl holds "words" of megabytes.
LONGEST_WORD = 128


def words(digits: int, some: str = "{1,128}", any_: str = "{0,128}") -> str:
    """The pattern, with so many digits in a word at most; `some` and `any_` bound the others."""
    return "|".join(
        [
            rf"[^\r\n\p{{L}}\p{{M}}\p{{N}}]?[\p{{L}}\p{{M}}]{some}",
            rf"\p{{N}}{{1,{digits}}}",
            rf" ?[^\s\p{{L}}\p{{M}}\p{{N}}]{some}[\r\n]{any_}",
            rf"\s{any_}[\r\n]{some}",
            rf"\s{some}(?!\S)",
            rf"\s{some}",
        ]
    )


# Bounds make large automata: without them texts are cut in half the time.
_UNBOUNDED = {words(digits): words(digits, "+", "*") for digits in (1, 3)}
_BLANK = np.isin(np.arange(256), [*b"\t\n\v\f\r "])
_DARK = ~_BLANK & (np.arange(256) < 128)

# GPT-2's, which `ByteLevel` cuts by itself where no other step does.
_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# What patterns of words tell apart: both must cut it alike.
SAMPLE = (
    "The mill's 1234567890 grains, they'LL grind: naïve café, über-Straße.\r\n\r\n\tdef f(x):\n"
    "        return x**2  # ∑ → €\u00a0\u3000\u200b\u2028\n日本語のテキスト、中文。 ภาษาไทย "
    "हिन्दी की العربيّة עברית Ελληνικά русский 한국어 🧑🏽‍🌾🌾 Ⅷ½² ﬁ e\u0301 \x00\x7f\ufeff___---\n "
    "\n  \n   x    "
)
# The character that stands for each byte in byte-level tokens: its own, if it can be seen.
_SEEN = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)}
_CHARACTERS = {byte: byte for byte in _SEEN} | dict(
    zip(sorted(set(range(256)) - _SEEN), range(256, 512), strict=False)
)
_BYTES = {character: byte for byte, character in _CHARACTERS.items()}


@dataclass(frozen=True)
class Ranks:
    """A tokenizer as tiktoken reads it."""

    encoding: tiktoken.Encoding
    quick: tiktoken.Encoding | None
    """With the words of our own tokenizers unbounded: for texts without very long ones."""
    ids: npt.NDArray[np.uint32]
    """The tokenizer's id of each of tiktoken's."""
    normalizer: Any
    added: tuple[str, ...]
    """Tokens that are found in a text before it is cut: tiktoken finds none."""

    def encode(self, text: str) -> npt.NDArray[np.uint32] | None:
        """The ids of a text; None for one that only the tokenizer itself can encode."""
        if any(name in text for name in self.added):
            return None
        if self.normalizer is not None:
            text = self.normalizer.normalize_str(text)
        encoding = self.quick if self.quick and has_short_words(text) else self.encoding
        try:
            found = encoding.encode_to_numpy(text, disallowed_special=())
        except ValueError:  # its regular expressions' stack is full, of a million blanks
            return None
        ids: npt.NDArray[np.uint32] = self.ids[found]
        return ids


@lru_cache(4)
def ranks_of(config: str) -> Ranks | None:
    """The tokenizer of a `tokenizer.json` for tiktoken; None if it would give other ids.

    It must be a byte-level BPE, as `load_tokenizer` checks.
    """
    spec: dict[str, Any] = json.loads(config)
    pattern, ranks = _pattern(spec["pre_tokenizer"]), _ranks(spec["model"])
    if pattern is None or ranks is None:
        return None
    vocabulary = spec["model"]["vocab"]
    ids = np.array(
        [vocabulary[token.decode("latin-1").translate(_CHARACTERS)] for token in ranks], np.uint32
    )
    tokenizer = tokenizers.Tokenizer.from_str(config)
    tokenizer.encode_special_tokens = True
    try:
        encoding = _encoding(pattern, ranks)
    except ValueError:  # a pattern that is none there
        return None
    quick = _encoding(unbounded, ranks) if (unbounded := _UNBOUNDED.get(pattern)) else None
    added = tuple(item["content"] for item in spec["added_tokens"] if not item["special"])
    found = Ranks(encoding, quick, ids, tokenizer.normalizer, added)
    own = tokenizer.encode(SAMPLE, add_special_tokens=False).ids
    sampled = found.encode(SAMPLE)
    return found if sampled is not None and sampled.tolist() == own else None


def _encoding(pattern: str, ranks: dict[bytes, int]) -> tiktoken.Encoding:
    return tiktoken.Encoding("ranks", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def has_short_words(text: str) -> bool:
    """Whether no run of blanks, nor one without a blank, has more than LONGEST_WORD bytes."""
    data = np.frombuffer(text.encode(), np.uint8)
    # what is not ASCII may be either
    for kind in (_BLANK, _DARK):
        places = np.flatnonzero(kind[data])
        if np.diff(places, prepend=-1, append=len(data)).max() > LONGEST_WORD:
            return False
    return True


def _pattern(spec: dict[str, Any]) -> str | None:
    """The one pattern by which a tokenizer cuts text; None if it cuts otherwise."""
    steps = spec["pretokenizers"] if spec["type"] == "Sequence" else [spec]
    if [step["type"] for step in steps] == ["ByteLevel"] and steps[0].get("use_regex", True):
        return _GPT2
    if [step["type"] for step in steps] != ["Split", "ByteLevel"] or steps[1].get("use_regex"):
        return None
    split = steps[0]
    if split["behavior"] != "Isolated" or split["invert"] or "Regex" not in split["pattern"]:
        return None
    return str(split["pattern"]["Regex"])


def _ranks(model: dict[str, Any]) -> dict[bytes, int] | None:
    """Bytes, then tokens in the order of their merges; None if ranks alone do not tell them."""
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    spelled = [[half.translate(_BYTES).encode("latin-1") for half in pair] for pair in pairs]
    ranks = {bytes([byte]): byte for byte in range(256)}
    halves: dict[bytes, Pair] = {}
    for token, group in groupby(spelled, key=b"".join):
        # a token may have several merges, one after the other: only one can come about
        whole = [(one, two) for one, two in group if _comes_about(ranks, halves, one, two)]
        if token in ranks or len(whole) != 1:
            return None
        ranks[token], halves[token] = len(ranks), whole[0]
    if model.get("ignore_merges"):
        # tokens without a merge come about too, where they are a whole word
        made = [token for token in model["vocab"] if _BYTES.keys() >= set(map(ord, token))]
        if len(made) != len(ranks):
            return None
    return ranks


def _comes_about(
    ranks: dict[bytes, int], halves: dict[bytes, Pair], left: bytes, right: bytes
) -> bool:
    """Whether two tokens that follow each other are what their bytes become: whether no earlier
    join would have crossed the border. Takes the tokens apart, the later made first."""
    if left not in ranks or right not in ranks:
        return False
    latest = len(ranks)
    while True:
        if ranks.get(left + right, latest) < latest:
            return False
        if left in halves and (right not in halves or ranks[left] > ranks[right]):
            latest, left = ranks[left], halves[left][1]
        elif right in halves:
            # of equal ranks the left one is joined first
            latest, right = ranks[right] + 1, halves[right][0]
        else:
            return True
