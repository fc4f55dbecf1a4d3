# cython: language_level=3, boundscheck=False, wraparound=False
"""Hashes of words from folded code points, compiled; see `words` for what these are."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

ctypedef fused code:
    uint8_t
    uint32_t


cdef inline uint64_t mixed(uint64_t value) noexcept nogil:
    """`words.mix` of one value."""
    value = (value ^ (value >> 33)) * <uint64_t>0xFF51AFD7ED558CCD
    value = (value ^ (value >> 33)) * <uint64_t>0xC4CEB9FE1A85EC53
    return value ^ (value >> 33)


def of_words(
    const code[::1] codes, const int64_t[::1] ends, uint64_t base, code separator, uint32_t alone
):
    """Hashes of the words of texts, uint64 [words], and how many each text has, int64 [texts].

    `codes`: of all texts, each closed by a `separator`; `ends`: where each ends, after it. A code
    of `alone` or more is a word by itself. The hash of a word c is mix(sum c[i] x base^i mod 2^64).
    """
    hashes_ = np.empty(len(codes), np.uint64)
    counts_ = np.zeros(len(ends), np.int64)
    cdef uint64_t[::1] hashes = hashes_
    cdef int64_t[::1] counts = counts_
    cdef Py_ssize_t text, at = 0, found = 0, before
    cdef uint64_t value = 0, power = 1  # no word is so long that its power is 1 again
    for text in range(ends.shape[0]):
        if ends[text] > codes.shape[0]:
            raise ValueError("ends: beyond the codes")
    with nogil:
        for text in range(ends.shape[0]):
            before = found
            while at < ends[text]:
                if codes[at] == separator or codes[at] >= alone:
                    if power != 1:
                        hashes[found] = mixed(value)
                        found += 1
                        value = 0
                        power = 1
                    if codes[at] != separator:
                        hashes[found] = mixed(codes[at])
                        found += 1
                else:
                    value += codes[at] * power
                    power *= base
                at += 1
            counts[text] = found - before
    return hashes_[:found].copy(), counts_
