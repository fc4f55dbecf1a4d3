# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Repeated n-grams, compiled; see `ngrams` for what they are."""

import os

import numpy as np

from cpython.unicode cimport PyUnicode_DATA, PyUnicode_KIND
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcmp

from curation.measures.hashing cimport PRIME, plus, times

cdef extern from "Python.h":
    Py_UCS4 PyUnicode_READ(int kind, const void* data, Py_ssize_t index) nogil

cdef uint64_t BASE = (int.from_bytes(os.urandom(7), "little") << 4 | 1) % PRIME
cdef uint64_t SPREAD = int.from_bytes(os.urandom(8), "little") | 1


cdef inline int bits_for(Py_ssize_t number) noexcept nogil:
    """Bits of the number of slots that hold so many at half a slot each."""
    cdef int bits = 4
    while (<Py_ssize_t>1 << bits) < 2 * number:
        bits += 1
    return bits


def repeated(const int32_t[::1] ids, int most):
    """For each n from 2 to `most`: the fields of `ngrams.Repeated` but n itself.

    Only where an n-gram and the one that starts a word later are both repeated can one of n + 1
    words be: so the work shrinks as n grows.
    """
    cdef Py_ssize_t many = ids.shape[0], at, kept, slot, mask
    cdef int n, bits
    cdef int64_t key
    cdef list found = []
    keys_ = np.empty(many, np.int64)
    scratch = np.empty((2, many), np.int32)
    cdef int64_t[::1] keys = keys_, places = np.arange(many)
    cdef int32_t[::1] groups = np.array(ids, np.int32), first = scratch[0], counts = scratch[1]
    cdef int32_t[::1] slots
    for n in range(2, most + 1):
        kept = 0
        for at in range(many - 1):
            if places[at + 1] == places[at] + 1:
                keys[kept] = (<int64_t>groups[at] << 32) | groups[at + 1]
                places[kept] = places[at]
                kept += 1
        many = kept
        bits = bits_for(many)
        mask = (<Py_ssize_t>1 << bits) - 1
        slots = np.full(mask + 1, -1, np.int32)
        for at in range(many):
            key = keys[at]
            slot = <Py_ssize_t>(<uint64_t>key * SPREAD >> (64 - bits))
            while slots[slot] >= 0 and keys[slots[slot]] != key:
                slot = (slot + 1) & mask
            if slots[slot] < 0:
                slots[slot] = <int32_t>at
                counts[at] = 0
            first[at] = slots[slot]
            counts[first[at]] += 1
        kept = 0
        for at in range(many):
            if counts[first[at]] > 1:
                keys[kept] = counts[first[at]]
                places[kept] = places[at]
                groups[kept] = first[at]
                kept += 1
        many = kept
        found.append(tuple(map(np.array, (places[:many], groups[:many], keys[:many]))))
    return found


def repeated_characters(str solid, const int64_t[::1] offsets, sizes):
    """For each of `sizes`: characters of the n-grams that occurred before, see `ngrams`.

    `offsets`: of each word, and the end. n-grams are looked up by the sum of their codes x
    base**place modulo 2**61 - 1, and compared.
    """
    cdef Py_ssize_t size = len(solid), words = offsets.shape[0] - 1, at, slot, mask, length, known
    cdef Py_ssize_t begin, end, free, characters
    cdef int n, kind = PyUnicode_KIND(solid), bits
    cdef const char* data = <const char*>PyUnicode_DATA(solid)
    cdef uint64_t[::1] sums = np.empty(size + 1, np.uint64), powers
    cdef int32_t[::1] slots
    cdef uint64_t hashed
    sums[0] = 0
    for at in range(size):
        sums[at + 1] = plus(times(sums[at], BASE), <uint64_t>PyUnicode_READ(kind, data, at) + 1)
    n, length = max(sizes), 0
    for at in range(words):
        length = max(length, offsets[min(at + n, words)] - offsets[at])
    powers = np.empty(length + 1, np.uint64)
    powers[0] = 1
    for at in range(length):
        powers[at + 1] = times(powers[at], BASE)
    bits = bits_for(words)
    mask = (<Py_ssize_t>1 << bits) - 1
    found = []
    for n in sizes:
        slots = np.full(mask + 1, -1, np.int32)
        free = characters = 0
        for at in range(words + 1 - n):
            begin, end = offsets[at], offsets[at + n]
            if begin < free:
                continue
            length = end - begin
            hashed = plus(sums[end], PRIME - times(sums[begin], powers[length]))
            slot = <Py_ssize_t>(hashed * SPREAD >> (64 - bits))
            while slots[slot] >= 0:
                known = offsets[slots[slot]]
                if offsets[slots[slot] + n] - known == length and (
                    memcmp(data + known * kind, data + begin * kind, length * kind) == 0
                ):
                    break
                slot = (slot + 1) & mask
            if slots[slot] >= 0:
                characters += length
                free = end
            else:
                slots[slot] = <int32_t>at
        found.append(characters)
    return found
