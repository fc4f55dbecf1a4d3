# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The labels that a quantised fastText model of a tree gives a line, compiled.

They are fastText's own, to the last bit of a score: the same numbers are added in the same order.
It looks every few letters of a text up in a hash table, twice, and puts a vector together from
codes each time. Here most letters are found not to be in the model by one bit, and the vectors
are there. Source of the formulas: facebookresearch/fastText 1142dc4, `Dictionary::computeSubwords`,
`QuantMatrix::addRowToVector`, `HierarchicalSoftmaxLoss::buildTree` and `dfs`.
"""

import numpy as np

from libc.math cimport expf, log
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from *:
    int __builtin_popcountll(uint64_t bits) nogil

cdef enum:
    OFFSET = 2166136261  # of the hash FNV-1a
    PRIME = 16777619

_UNSEEN = 10**15  # count of what is not joined yet


cdef inline uint32_t hashed(uint32_t found, unsigned char byte) noexcept nogil:
    """With a byte more; fastText takes it for a signed one."""
    return (found ^ <uint32_t><int32_t><signed char>byte) * <uint32_t>PRIME


cdef inline bint parts(unsigned char byte) noexcept nogil:
    """Whether a byte stands between words."""
    return byte == 32 or 9 <= byte <= 13 or byte == 0


cdef inline float logarithm(float share) noexcept nogil:
    return <float>log(share + 1e-5)


cdef class Quantised:
    """A model whose input alone is quantised, and pruned, and whose labels are leaves of a tree."""

    cdef readonly list labels
    cdef int32_t _least, _most, _buckets, _end
    cdef int32_t _dim, _words, _leaves
    cdef bytes _spelled
    cdef const int64_t[::1] _starts  # of each word in `_spelled`
    cdef int32_t[::1] _slots  # words by their hashes; -1 for none
    cdef uint64_t[::1] _bits  # of each bucket: whether it was kept
    cdef uint32_t[::1] _ranks  # of each 64 buckets: how many before them were kept
    cdef const float[:, ::1] _rows, _output
    cdef int32_t[:, ::1] _tree

    def __init__(self, words, labels, counts, lengths, buckets, kept, rows, output):
        """words: bytes. labels: strings, with how often each was seen, from the most frequent on.
        lengths: least and most characters of a part of a word. kept: numbers of the buckets that
        have a row, int64 [k], ascending. rows: float32 [words + k, d]. output: float32
        [labels - 1, d] at least."""
        cdef Py_ssize_t at, slot
        cdef uint32_t found
        cdef bytes word
        cdef unsigned char byte
        self.labels = labels
        self._least, self._most = lengths
        self._buckets, self._rows, self._output = buckets, rows, output
        self._words, self._leaves, self._dim = len(words), len(labels), rows.shape[1]
        self._spelled = b"".join(words)
        self._starts = np.cumsum([0, *map(len, words)], dtype=np.int64)
        self._slots = np.full(4 << max(len(words), 1).bit_length(), -1, np.int32)
        self._end = words.index(b"</s>") if b"</s>" in words else -1
        for at, word in enumerate(words):
            found = <uint32_t>OFFSET
            for byte in word:
                found = hashed(found, byte)
            slot = found & (self._slots.shape[0] - 1)
            while self._slots[slot] >= 0:
                slot = (slot + 1) & (self._slots.shape[0] - 1)
            self._slots[slot] = at
        whole = np.zeros(-(-buckets // 64) * 64, np.uint8)
        whole[kept] = 1
        self._bits = np.packbits(whole, bitorder="little").view("<u8").astype(np.uint64)
        amounts = whole.reshape(-1, 64).sum(1, dtype=np.uint32)
        self._ranks = np.cumsum(amounts, dtype=np.uint32) - amounts
        self._grow(counts)

    cdef _grow(self, counts):
        """The tree of Huffman: of each node the two below, -1 for none."""
        cdef int32_t leaf = self._leaves - 1, node = self._leaves, at, side
        cdef int64_t[::1] amounts = np.full(2 * self._leaves, _UNSEEN, np.int64)
        amounts.base[: self._leaves] = counts
        self._tree = np.full((2 * self._leaves - 1, 2), -1, np.int32)
        for at in range(self._leaves, 2 * self._leaves - 1):
            for side in range(2):
                if leaf >= 0 and amounts[leaf] < amounts[node]:
                    self._tree[at, side] = leaf
                    leaf -= 1
                else:
                    self._tree[at, side] = node
                    node += 1
            amounts[at] = amounts[self._tree[at, 0]] + amounts[self._tree[at, 1]]

    cdef inline void _add(self, Py_ssize_t row, float* hidden) noexcept nogil:
        cdef const float* own = &self._rows[row, 0]
        cdef int32_t at
        for at in range(self._dim):
            hidden[at] += own[at]

    cdef int64_t _word(
        self, unsigned char* word, Py_ssize_t size, uint32_t found, float* hidden
    ) noexcept:
        """Add the rows of a word and its parts; how many. `word` stands between `<` and `>`."""
        cdef const char* spelled = self._spelled
        cdef Py_ssize_t slot = found & (self._slots.shape[0] - 1), start, end
        cdef int64_t added = 0
        cdef int32_t at, length
        cdef uint32_t bucket
        cdef uint64_t bits
        while self._slots[slot] >= 0:
            at = self._slots[slot]
            if (
                self._starts[at + 1] - self._starts[at] == size
                and memcmp(spelled + self._starts[at], word + 1, size) == 0
            ):
                self._add(at, hidden)
                added = 1
                break
            slot = (slot + 1) & (self._slots.shape[0] - 1)
        size += 2
        for start in range(size):
            if word[start] & 0xC0 == 0x80:
                continue
            found = <uint32_t>OFFSET
            end = start
            length = 1
            while end < size and length <= self._most:
                found = hashed(found, word[end])
                end += 1
                while end < size and word[end] & 0xC0 == 0x80:
                    found = hashed(found, word[end])
                    end += 1
                if length >= self._least and not (length == 1 and (start == 0 or end == size)):
                    bucket = found % <uint32_t>self._buckets
                    bits = self._bits[bucket >> 6]
                    if bits >> (bucket & 63) & 1:
                        bits &= (<uint64_t>1 << (bucket & 63)) - 1
                        at = self._ranks[bucket >> 6] + __builtin_popcountll(bits)
                        self._add(self._words + at, hidden)
                        added += 1
                length += 1
        return added

    cdef int64_t _line(self, bytes line, float* hidden):
        """Add the rows of a line, which ends with a line break; how many."""
        cdef Py_ssize_t size = len(line), start, at = 0
        cdef const unsigned char* text = line
        cdef unsigned char[::1] around = bytearray(size + 2)
        cdef unsigned char* word = &around[0]
        cdef uint32_t found
        cdef int64_t added = 0
        word[0] = b"<"
        while at < size:
            start = at
            found = <uint32_t>OFFSET
            while at < size and not parts(text[at]):
                found = hashed(found, text[at])
                at += 1
            if at > start:
                memcpy(word + 1, text + start, at - start)
                word[at - start + 1] = b">"
                added += self._word(word, at - start, found, hidden)
            at += 1
        if self._end >= 0:
            self._add(self._end, hidden)
            added += 1
        return added

    def best(self, bytes line, int count):
        """The `count` likeliest labels of a line, best first, with their shares of 1. The line has
        one line break, at its end, and neither a label in it nor `</s>`."""
        cdef float[::1] hidden = np.zeros(self._dim, np.float32)
        cdef int64_t added = self._line(line, &hidden[0])
        cdef int32_t[::1] nodes = np.empty(2 * self._leaves, np.int32)
        cdef float[::1] scores = np.empty(2 * self._leaves, np.float32)
        cdef float mean, score, share, one = 1
        cdef int32_t at, node, waiting = 1
        cdef list found = []
        if not added:
            return found
        mean = <float>(1.0 / added)
        for at in range(self._dim):
            hidden[at] *= mean
        nodes[0], scores[0] = 2 * self._leaves - 2, 0
        while waiting:
            waiting -= 1
            node, score = nodes[waiting], scores[waiting]
            if score < logarithm(0) or (len(found) == count and score < found[count - 1][0]):
                continue
            if node < self._leaves:
                found.append((score, node))
                found.sort(key=_by_score, reverse=True)
                del found[count:]
                continue
            share = 0
            for at in range(self._dim):
                share += self._output[node - self._leaves, at] * hidden[at]
            share = one / (one + expf(-share))
            nodes[waiting], scores[waiting] = self._tree[node, 1], score + logarithm(share)
            waiting += 1
            nodes[waiting] = self._tree[node, 0]
            scores[waiting] = score + logarithm(one - share)
            waiting += 1
        return [(self.labels[node], expf(score)) for score, node in found]


def _by_score(pair):
    return pair[0]
