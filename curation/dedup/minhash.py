"""MinHash signatures of word shingles, and the keys of their bands.

A shingle is `shingle_words` consecutive words (see `curation.dedup.words`); its 64-bit hash is a
polynomial of the words' hashes. The permutations are datasketch's scheme `affine64`: a fixed
mixing, then h -> a h + b mod 2^64 with odd a, a bijection of 64-bit values. So a signature is
what `datasketch.MinHash(bands * rows, seed=seed, scheme="affine64")` gives for the hashes.

Reference: A. Z. Broder, "On the resemblance and containment of documents" (1997).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.dedup import words
from curation.dedup.nodes import Array, Words
from schemas.recipe import Near

# Odd factor of the polynomials over word hashes and over the rows of a band (that of PCG64's
# "cheap" multiplier).
_FACTOR = np.uint64(0xDA942042E4DD58B5)
_EMPTY = np.uint64((1 << 64) - 1)
# Shingles permuted at once: with the buffer they stay in a processor's second-level cache.
_SLICE = 1 << 15


class Signer:
    """Signs texts with the parameters of a recipe's `deduplicate.near`."""

    def __init__(self, near: Near) -> None:
        """`near`: bands, rows, shingles and seed."""
        self.near = near
        self._factors, self._shifts = self.datasketch().permutations

    @property
    def permutations(self) -> int:
        """Values of a signature."""
        return self.near.bands * self.near.rows

    def sign(self, texts: Sequence[str]) -> tuple[Words, npt.NDArray[np.bool_]]:
        """Signatures uint64 [n, permutations], and which texts are signed, bool [n].

        A text with fewer words than a shingle is not signed; its row is all 2^64 - 1, the
        signature of the empty set. Memory beyond the result: some 10 MB, and 8 bytes a word of
        the longest text.
        """
        signatures = np.full((len(texts), self.permutations), _EMPTY)
        signed = np.zeros(len(texts), np.bool_)
        first = 0
        for batch in words.batches(texts):
            hashes, counts = words.hashes(batch)
            counts = counts - (self.near.shingle_words - 1)
            long_enough = np.flatnonzero(counts > 0)
            signed[first + long_enough] = True
            self._permute(hashes, counts, signatures[first : first + len(batch)].T)
            first += len(batch)
        return signatures, signed

    def shingles(self, text: str) -> Words:
        """Hashes of the shingles of a text, uint64 [words - shingle_words + 1], with repeats."""
        (batch,) = words.batches([text])
        return self._shingles(words.hashes(batch)[0])

    def datasketch(self, signature: Words | None = None) -> Any:
        """A `datasketch.MinHash` with this signer's permutations: empty, or with a signature.

        It can be updated with values of `shingles`, and compared with any other MinHash of
        the same number of permutations, seed and scheme.
        """
        # Imported here because it takes two seconds, and clustering does not need it.
        from datasketch import MinHash

        return MinHash(
            self.permutations,
            seed=self.near.seed,
            hashfunc=int,
            hashvalues=signature,
            scheme="affine64",
        )

    def _shingles(self, hashes: Words) -> Words:
        """Hashes of every run of `shingle_words` words, the borders of texts not minded."""
        size = self.near.shingle_words
        count = max(len(hashes) - size + 1, 0)
        result = hashes[:count].copy()
        for word in range(1, size):
            result *= _FACTOR
            result += hashes[word : word + count]
        return result

    def _permute(self, hashes: Words, counts: npt.NDArray[np.int64], minima: Words) -> None:
        """Lower `minima` [permutations, n] to those of the shingles of n consecutive texts.

        `hashes` are of their words, `counts` their shingles, which may be less than none.
        """
        overlap = self.near.shingle_words - 1
        starts = np.cumsum(counts + overlap) - (counts + overlap)
        for offset in range(0, len(hashes) - overlap, _SLICE):
            shingles = words.mix(self._shingles(hashes[offset : offset + _SLICE + overlap]))
            first = np.maximum(starts - offset, 0)
            last = np.minimum(starts + counts - offset, len(shingles))
            inside = np.flatnonzero(first < last)
            if not len(inside):
                continue
            first, last = first[inside], last[inside]
            spans = zip(first, last, strict=True)
            shingles = np.concatenate([shingles[start:end] for start, end in spans])
            borders = np.cumsum(last - first) - (last - first)
            values = np.empty_like(shingles)
            lowest = np.empty((len(minima), len(inside)), np.uint64)
            for row, factor, shift in zip(lowest, self._factors, self._shifts, strict=True):
                np.multiply(shingles, factor, out=values)
                np.add(values, shift, out=values)
                np.minimum.reduceat(values, borders, out=row)
            minima[:, inside] = np.minimum(minima[:, inside], lowest)


def band_keys(signatures: Words, bands: int, rows: int, scope: str | Iterable[str] = "") -> Words:
    """Keys of the bands of signatures [n, bands * rows], uint64 [n, bands].

    Two documents that agree in a band have its key in common when they have one scope, a label
    (for all of them, or one each); other keys agree by chance only, once in 2^64 pairs, which
    verification finds out. Rows of unsigned documents have no meaning.
    """
    labels = [scope] if isinstance(scope, str) else list(scope)
    by_label = {label: _label_hash(label) for label in labels}
    scopes = np.array([by_label[label] for label in labels], np.uint64)
    keys: Words = words.mix(np.add.outer(scopes, np.arange(bands, dtype=np.uint64)))
    values = signatures.reshape(len(signatures), bands, rows)
    for row in range(rows):
        keys = keys * _FACTOR + values[:, :, row]
    return words.mix(keys)


def _label_hash(label: str) -> int:
    return int.from_bytes(blake2b(label.encode(), digest_size=8).digest(), "little")


def similarity(a: Array, b: Array) -> npt.NDArray[np.float64]:
    """Estimated Jaccard similarity of signatures: the share of equal values, float64 [n].

    `a` and `b` are [n, permutations]; one of them may be a single signature [permutations].
    The standard error for a similarity s is sqrt(s (1 - s) / permutations).
    """
    equal = a == b
    return np.asarray(np.count_nonzero(equal, axis=-1) / equal.shape[-1])
