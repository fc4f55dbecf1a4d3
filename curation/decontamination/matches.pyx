# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What of test items stands in texts: seeds looked up, then compared with the item around them."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef uint64_t MULTIPLIER = <uint64_t>0x9E3779B97F4A7C15
cdef int SEED = 5        # words of a seed
cdef int GRAM = 3        # words that are compared at once
cdef int GAP = 12        # words without a match that end a passage


cdef inline uint64_t mixed(uint64_t value) noexcept nogil:
    """`curation.dedup.words.mix` of one value."""
    value = (value ^ (value >> 33)) * <uint64_t>0xFF51AFD7ED558CCD
    value = (value ^ (value >> 33)) * <uint64_t>0xC4CEB9FE1A85EC53
    return value ^ (value >> 33)


cdef inline uint64_t gram(const uint32_t* words, int size) noexcept nogil:
    """The hash of a run of words; 0 if a part of an item ends in it."""
    cdef uint64_t value = 0
    cdef int i
    for i in range(size):
        if words[i] == 0:
            return 0
        value = (value + words[i]) * MULTIPLIER
    return mixed(value) | 1


def seeds(const uint32_t[::1] words):
    """As `matches.pyi` says."""
    return _runs(words, SEED)


def grams(const uint32_t[::1] words):
    """As `matches.pyi` says."""
    return _runs(words, GRAM)


def _runs(const uint32_t[::1] words, int size):
    result = np.zeros(len(words), np.uint64)
    cdef uint64_t[::1] found = result
    cdef Py_ssize_t i
    for i in range(len(words) - size + 1):
        found[i] = gram(&words[i], size)
    return result


cdef class Matcher:
    """Compares texts with an index; holds scratch memory, so one for each thread."""

    cdef const uint32_t[::1] words, keys, seed_units, directory
    cdef const uint8_t[::1] weights
    cdef const int64_t[::1] starts
    cdef int shift
    # of a unit that was met in a text: the text, and the word up to which it was compared
    cdef int64_t[::1] seen_text, seen_to
    cdef int64_t texts
    # the grams of a unit: a hash table of the first place of each, and the next place that is equal
    cdef int64_t[::1] heads, stamps
    cdef uint64_t[::1] grams
    cdef int64_t[::1] following
    cdef uint8_t[::1] covered
    cdef int64_t stamp

    def __init__(self, words, weights, starts, keys, seed_units, directory):
        self.words, self.weights, self.starts = words, weights, starts
        self.keys, self.seed_units, self.directory = keys, seed_units, directory
        self.shift = 64 - (len(directory) - 1).bit_length() + 1
        units = len(starts) - 1
        longest = int(np.diff(starts).max(initial=1))
        self.seen_text, self.seen_to = np.full(units, -1, np.int64), np.zeros(units, np.int64)
        size = 1 << (4 * longest).bit_length()
        self.heads, self.stamps = np.zeros(size, np.int64), np.full(size, -1, np.int64)
        self.grams, self.following = np.zeros(longest, np.uint64), np.zeros(longest, np.int64)
        self.covered = np.zeros(longest, np.uint8)
        self.texts = self.stamp = 0

    def match(self, const uint32_t[::1] words, const int64_t[::1] counts, int least):
        """Matches of texts whose words are concatenated, `counts` of each: int64 [matches, 6] of
        text, unit, weight of the unit's words that are there, how many of these it begins with,
        first word in the text and the one after the last; none of less weight than `least`."""
        cdef Py_ssize_t text, start = 0, end, at, place
        cdef uint64_t value
        cdef uint64_t bucket
        cdef uint32_t key
        cdef int64_t unit, weight, leading, first, last
        found = []
        for text in range(len(counts)):
            end = start + counts[text]
            for at in range(start, end - SEED + 1):
                value = gram(&words[at], SEED)
                bucket = (value >> self.shift)
                key = <uint32_t>value
                for place in range(self.directory[bucket], self.directory[bucket + 1]):
                    if self.keys[place] != key:
                        continue
                    unit = self.seed_units[place]
                    if self.seen_text[unit] == self.texts and at < self.seen_to[unit]:
                        continue
                    weight = self.compare(&words[0], start, end, at, unit, &leading, &first, &last)
                    self.seen_text[unit] = self.texts
                    self.seen_to[unit] = last
                    if weight >= least:
                        found.append((text, unit, weight, leading, first - start, last - start))
            start = end
            self.texts += 1
        return np.array(found, np.int64).reshape(-1, 6)

    cdef int64_t compare(
        self, const uint32_t* text, Py_ssize_t start, Py_ssize_t end, Py_ssize_t seed,
        int64_t unit, int64_t* leading, int64_t* first, int64_t* last
    ) noexcept:
        """The weight of the unit's words around a seed of it, in any order of its grams."""
        cdef int64_t begin = self.starts[unit], size = self.starts[unit + 1] - begin
        cdef int64_t reach = 3 * size + 4 * GAP
        cdef int64_t i, k, place, weight = 0, there = 0
        cdef Py_ssize_t at, bound, quiet
        self.index_unit(begin, size)
        first[0], last[0] = seed, seed
        bound, quiet = min(end - GRAM + 1, seed + reach), 0
        for at in range(seed, bound):
            place = self.cover(text + at)
            if place >= 0:
                for k in range(max(0, last[0] - at), GRAM):
                    there += self.weights[begin + place + k]
                last[0], quiet = at + GRAM, 0
            else:
                quiet += 1
                if quiet > GAP:
                    break
        bound, quiet = max(start, seed - reach), 0
        for at in range(seed - 1, bound - 1, -1):
            place = self.cover(text + at)
            if place >= 0:
                for k in range(min(GRAM, first[0] - at)):
                    there += self.weights[begin + place + k]
                first[0], quiet = at, 0
            else:
                quiet += 1
                if quiet > GAP:
                    break
        leading[0] = 0
        while leading[0] < size and self.covered[leading[0]]:
            leading[0] += 1
        for i in range(size):
            if self.covered[i]:
                weight += self.weights[begin + i]
        return min(weight, there)  # what repeats in the unit is there no more often than in the text

    cdef void index_unit(self, int64_t begin, int64_t size) noexcept:
        cdef int64_t i, slot, mask = len(self.heads) - 1
        cdef uint64_t value
        self.stamp += 1
        for i in range(size):
            self.covered[i] = 0
        for i in range(size - GRAM, -1, -1):
            value = self.grams[i] = gram(&self.words[begin + i], GRAM)
            if value == 0:
                continue
            slot = <int64_t>(value >> 20) & mask
            while self.stamps[slot] == self.stamp and self.grams[self.heads[slot]] != value:
                slot = (slot + 1) & mask
            self.following[i] = self.heads[slot] if self.stamps[slot] == self.stamp else -1
            self.heads[slot], self.stamps[slot] = i, self.stamp

    cdef int64_t cover(self, const uint32_t* words) noexcept:
        """Mark where the unit has the gram that begins here; its first place, or -1."""
        cdef int64_t slot, i, first, k, mask = len(self.heads) - 1
        cdef uint64_t value = gram(words, GRAM)
        slot = <int64_t>(value >> 20) & mask
        while self.stamps[slot] == self.stamp:
            first = i = self.heads[slot]
            if self.grams[i] == value:
                while i >= 0:
                    for k in range(GRAM):
                        self.covered[i + k] = 1
                    i = self.following[i]
                return first
            slot = (slot + 1) & mask
        return -1
