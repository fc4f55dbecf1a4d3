"""MinHash signatures of shingles, and the keys of their bands.

A shingle is a run of words, or of characters, of the normalised text (see
`curation.dedup.words`); its 64-bit hash is a polynomial of the hashes of these. A text shorter
than a shingle is one shingle as a whole. The permutations are datasketch's scheme `affine64`: a
fixed mixing, then h -> a h + b mod 2^64 with odd a, a bijection of 64-bit values. So a signature
is what `datasketch.MinHash(bands * rows, seed=seed, scheme="affine64")` gives for the hashes.

References: A. Z. Broder, "On the resemblance and containment of documents" (1997); P. Li and
A. C. König, "b-Bit Minwise Hashing" (2010).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from curation.dedup import words
from curation.dedup.minima import lower
from curation.dedup.nodes import Array, Words
from schemas.deduplicate import Near

if TYPE_CHECKING:
    from datasketch import LeanMinHash, MinHash

_EMPTY = np.uint64((1 << 64) - 1)
# Shingles hashed at once: with the buffers they stay in a processor's second-level cache.
_SLICE = 1 << 15
# Values of a signature that its sketch has at most: a standard error below .016.
SKETCH_VALUES = 1024
SCHEME = "affine64"  # what datasketch calls the permutations


class Signer:
    """Signs texts with the parameters of a recipe's `deduplicate.near`."""

    def __init__(self, near: Near) -> None:
        """`near`: bands, rows, shingles and seed."""
        self.near = near
        self.size = near.shingle_characters or near.shingle_words
        self._hashes = words.characters if near.shingle_characters else words.hashes
        # as datasketch draws them: odd factors, then shifts
        draws = np.random.RandomState(near.seed)
        odd = draws.randint(0, 1 << 63, self.permutations, np.uint64) * np.uint64(2) + np.uint64(1)
        self._factors = odd
        self._shifts = draws.randint(0, 1 << 64, self.permutations, np.uint64)

    @property
    def permutations(self) -> int:
        """Values of a signature."""
        return self.near.bands * self.near.rows

    def sign(self, texts: Sequence[str]) -> Words:
        """Signatures of texts, uint64 [n, permutations].

        Memory for the work is bounded, but for the hashes of the longest text.
        """
        signatures = np.full((len(texts), self.permutations), _EMPTY)
        first = 0
        for batch in words.batches(texts):
            hashes, counts = self._hashes(batch)
            own = signatures[first : first + len(batch)]
            self._permute(hashes, counts - (self.size - 1), own)
            short = np.flatnonzero(counts < self.size)
            if len(short):
                own[short] = self._whole(batch, hashes, counts, short)
            first += len(batch)
        return signatures

    def shingles(self, text: str) -> Words:
        """Hashes of the shingles of a text, uint64 [shingles], with repeats; at least one."""
        (batch,) = words.batches([text])
        hashes, counts = self._hashes(batch)
        if counts[0] < self.size:
            return np.array([_whole(text, hashes)], np.uint64)
        return self._shingles(hashes)

    def sketch_of(self, shingles: Sequence[Words]) -> npt.NDArray[np.uint16]:
        """The sketches of texts by hashes of their shingles, [n, values]; in each at least one."""
        values = slice(min(self.permutations, SKETCH_VALUES))
        factors, shifts = self._factors[values], self._shifts[values]
        minima = np.full((len(shingles), len(factors)), _EMPTY)
        ends = np.cumsum([len(own) for own in shingles], dtype=np.int64)
        hashes = words.mix(np.concatenate([np.empty(0, np.uint64), *shingles]))
        lower(hashes, np.concatenate((ends[:0], [0], ends))[:-1], ends, factors, shifts, minima)
        return sketch(minima)

    def to_datasketch(self, signatures: Words) -> list[LeanMinHash]:
        """`datasketch.LeanMinHash` of signatures [n, permutations], for its indexes."""
        from datasketch import LeanMinHash

        return [
            LeanMinHash(seed=self.near.seed, hashvalues=signature, scheme=SCHEME)
            for signature in signatures
        ]

    def from_datasketch(self, sketches: Sequence[LeanMinHash | MinHash]) -> Words:
        """Signatures [n, permutations] of datasketch's, lean or not, of hashes of this signer's
        shingles. Raises ValueError for one with another scheme, seed or number of permutations."""
        for each in sketches:
            own = (each.scheme, each.seed, len(each.hashvalues))
            if own != (SCHEME, self.near.seed, self.permutations):
                raise ValueError(
                    f"a sketch has scheme, seed and permutations {own}; these are "
                    f"{(SCHEME, self.near.seed, self.permutations)}"
                )
        values = [np.asarray(each.hashvalues, np.uint64) for each in sketches]
        return np.stack(values) if values else np.empty((0, self.permutations), np.uint64)

    def _shingles(self, hashes: Words) -> Words:
        """Hashes of every run of words or characters, the borders of texts not minded."""
        size = self.size
        count = max(len(hashes) - size + 1, 0)
        result = hashes[:count].copy()
        for word in range(1, size):
            result *= words.FACTOR
            result += hashes[word : word + count]
        return result

    def _permute(self, hashes: Words, counts: npt.NDArray[np.int64], minima: Words) -> None:
        """Lower `minima` [n, permutations] to those of the shingles of n consecutive texts.

        `hashes` are of their words or characters, `counts` their shingles, which may be less
        than none.
        """
        overlap = self.size - 1
        starts = np.cumsum(counts + overlap) - (counts + overlap)
        for offset in range(0, len(hashes) - overlap, _SLICE):
            shingles = words.mix(self._shingles(hashes[offset : offset + _SLICE + overlap]))
            first = np.maximum(starts - offset, 0)
            last = np.minimum(starts + counts - offset, len(shingles))
            lower(shingles, first, last, self._factors, self._shifts, minima)

    def _whole(
        self, batch: Sequence[str], hashes: Words, counts: npt.NDArray[np.int64], short: Array
    ) -> Words:
        """Signatures of the texts of a batch that are one shingle: [short, permutations]."""
        ends = np.cumsum(counts)
        wholes = [
            _whole(batch[at], hashes[ends[at] - counts[at] : ends[at]]) for at in short.tolist()
        ]
        mixed = words.mix(np.array(wholes, np.uint64))
        return mixed[:, None] * self._factors + self._shifts


def _whole(text: str, hashes: Words) -> int:
    """Hash of a text by all its words or characters; by its own if it has none."""
    data = hashes.tobytes() or text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def sketch(signatures: Words) -> npt.NDArray[np.uint16]:
    """What `similarity` needs of signatures [n, p]: 16 bits of at most SKETCH_VALUES of them.

    Values that differ are taken for equal once in 65,536; that adds (1 - s) / 65,536 to an
    estimate of s, far less than its standard error.
    """
    return signatures[:, :SKETCH_VALUES].astype(np.uint16)


def band_keys(signatures: Words, bands: int, rows: int, scope: str | Iterable[str] = "") -> Words:
    """Keys of the bands of signatures [n, bands * rows], uint64 [n, bands].

    Two documents that agree in a band have its key in common when they have one scope, a label
    (for all of them, or one each); other keys agree by chance only, once in 2^64 pairs, which
    verification finds out.
    """
    labels = [scope] if isinstance(scope, str) else list(scope)
    by_label = {label: _label_hash(label) for label in set(labels)}
    scopes = np.array([by_label[label] for label in labels], np.uint64)
    keys: Words = words.mix(np.add.outer(scopes, np.arange(bands, dtype=np.uint64)))
    values = signatures.reshape(len(signatures), bands, rows)
    for row in range(rows):
        keys = keys * words.FACTOR + values[:, :, row]
    return words.mix(keys)


def _label_hash(label: str) -> int:
    return int.from_bytes(blake2b(label.encode(), digest_size=8).digest(), "little")


def similarity(a: Array, b: Array) -> npt.NDArray[np.float64]:
    """Estimated Jaccard similarity of signatures: the share of equal values, float64 [n].

    `a` and `b` are signatures or sketches [n, values]; one of them may be a single one [values].
    The standard error for a similarity s is sqrt(s (1 - s) / values).
    """
    equal = a == b
    return np.asarray(np.count_nonzero(equal, axis=-1) / equal.shape[-1])


def jaccard(shingles: Sequence[Words], a: Array, b: Array) -> npt.NDArray[np.float64]:
    """Jaccard similarity of pairs of sets, float64 [n].

    `shingles`: sets as sorted distinct hashes; `a` and `b`: int64 [n], which of them.
    """
    result = np.empty(len(a))
    for at, (left, right) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        one, other = shingles[left], shingles[right]
        common = len(np.intersect1d(one, other, assume_unique=True))
        result[at] = common / (len(one) + len(other) - common)
    return result
