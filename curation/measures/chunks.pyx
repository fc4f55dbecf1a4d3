# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Chunks, the pieces of a text without white space (`str.split()`), numbered without making a
string of each; and other walks over the characters or words of a text, compiled."""

import os

import numpy as np

from cpython.list cimport PyList_GET_ITEM
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_KIND
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from curation.measures.hashing cimport PRIME, plus, times

cdef extern from "Python.h":
    void __builtin_prefetch(const void* address) nogil
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 highest)
    Py_UCS4 PyUnicode_READ(int kind, const void* data, Py_ssize_t index) nogil
    void PyUnicode_WRITE(int kind, void* data, Py_ssize_t index, Py_UCS4 value) nogil
    bint Py_UNICODE_ISSPACE(Py_UCS4 ch) nogil
    bint Py_UNICODE_ISLINEBREAK(Py_UCS4 ch) nogil

cdef uint64_t BASE = (int.from_bytes(os.urandom(7), "little") << 4 | 1) % PRIME
cdef uint64_t SPREAD = int.from_bytes(os.urandom(8), "little") | 1
cdef enum:
    LEAST_BITS = 10
    BATCH = 64


cdef inline uint32_t mark_of(uint64_t hashed) noexcept nogil:
    """The bits of a hash by which `Numbers` looks."""
    return <uint32_t>(hashed * SPREAD >> 32)


cdef inline Py_ssize_t number_in(uint64_t slot) noexcept nogil:
    """The number that a slot of `Numbers` holds, -1 in a free one."""
    return <Py_ssize_t><uint32_t>slot - 1


cdef class Numbers:
    """Numbers strings in the order in which they are first met.

    `strings` are those met, by number; `characters` is their length, added up.
    """

    cdef readonly list strings
    cdef readonly Py_ssize_t characters
    # an open hash table of half as many strings as slots: 32 bits of the hash, the number + 1
    cdef uint64_t[::1] _slots
    cdef int _bits

    def __init__(self):
        """None are met yet."""
        self.strings = []
        self._bits = LEAST_BITS
        self._slots = np.zeros(1 << LEAST_BITS, np.uint64)

    def __len__(self):
        return len(self.strings)

    def of_chunks(self, str text not None):
        """The numbers of a text's chunks: int32 [chunks]."""
        cdef int kind = PyUnicode_KIND(text)
        cdef const void* data = PyUnicode_DATA(text)
        cdef Py_ssize_t size = len(text), at = 0, many = 0, place
        cdef Py_ssize_t[BATCH] begins, ends
        cdef uint32_t[BATCH] marks
        cdef uint64_t hashed
        cdef Py_UCS4 character
        cdef int found, one
        numbers_ = np.empty(size // 2 + 1, np.int32)
        cdef int32_t[::1] numbers = numbers_
        while at < size:
            # The table is too large for the cache: fetch what many look-ups need at a time.
            found = 0
            while at < size and found < BATCH:
                if Py_UNICODE_ISSPACE(PyUnicode_READ(kind, data, at)):
                    at += 1
                    continue
                begins[found], hashed = at, 0
                while at < size:
                    character = PyUnicode_READ(kind, data, at)
                    if Py_UNICODE_ISSPACE(character):
                        break
                    hashed = plus(times(hashed, BASE), <uint64_t>character + 1)
                    at += 1
                ends[found], marks[found] = at, mark_of(hashed)
                __builtin_prefetch(&self._slots[marks[found] >> (32 - self._bits)])
                found += 1
            for one in range(found):
                place = number_in(self._slots[marks[one] >> (32 - self._bits)])
                if place >= 0:
                    __builtin_prefetch(PyList_GET_ITEM(self.strings, place))
            for one in range(found):
                numbers[many] = self._number(text, kind, data, begins[one], ends[one], marks[one])
                many += 1
        return numbers_[:many].copy()

    def of(self, strings):
        """The numbers of strings: int32 [strings]."""
        numbers_ = np.empty(len(strings), np.int32)
        cdef int32_t[::1] numbers = numbers_
        cdef Py_ssize_t at = 0
        cdef str string
        for item in strings:
            string = <str?>item
            numbers[at] = self._number(
                string, PyUnicode_KIND(string), PyUnicode_DATA(string), 0, len(string),
                mark_of(hash_of(string)),
            )
            at += 1
        return numbers_

    def get(self, str string not None):
        """The number of a string, -1 if it is not met yet."""
        cdef Py_ssize_t slot = self._slot(
            PyUnicode_KIND(string), PyUnicode_DATA(string), 0, len(string),
            mark_of(hash_of(string)),
        )
        return number_in(self._slots[slot])

    cdef Py_ssize_t _slot(
        self, int kind, const void* data, Py_ssize_t begin, Py_ssize_t end, uint32_t mark
    ):
        """The slot of a string, or the free one where it would be."""
        cdef Py_ssize_t slot = mark >> (32 - self._bits), mask = (<Py_ssize_t>1 << self._bits) - 1
        cdef uint64_t held
        while True:
            held = self._slots[slot]
            if held == 0 or held >> 32 == mark and is_same(
                <str>PyList_GET_ITEM(self.strings, number_in(held)), kind, data, begin, end
            ):
                return slot
            slot = (slot + 1) & mask

    cdef int32_t _number(
        self,
        str text,
        int kind,
        const void* data,
        Py_ssize_t begin,
        Py_ssize_t end,
        uint32_t mark,
    ) except -1:
        cdef Py_ssize_t slot = self._slot(kind, data, begin, end, mark)
        cdef uint64_t held = self._slots[slot]
        if held:
            return <int32_t>number_in(held)
        if 2 * len(self.strings) >= len(self._slots):
            self._grow()
            slot = self._slot(kind, data, begin, end, mark)
        self.strings.append(text[begin:end])
        self.characters += end - begin
        self._slots[slot] = <uint64_t>mark << 32 | <uint64_t>len(self.strings)
        return <int32_t>(len(self.strings) - 1)

    cdef int _grow(self) except -1:
        cdef uint64_t[::1] old = self._slots, slots = np.zeros(2 * len(self._slots), np.uint64)
        cdef Py_ssize_t at, slot, mask = len(slots) - 1
        cdef int bits = self._bits + 1
        for at in range(len(old)):
            if old[at]:
                slot = old[at] >> (64 - bits)
                while slots[slot]:
                    slot = (slot + 1) & mask
                slots[slot] = old[at]
        self._slots, self._bits = slots, bits
        return 0


cdef uint64_t hash_of(str string):
    cdef int kind = PyUnicode_KIND(string)
    cdef const void* data = PyUnicode_DATA(string)
    cdef uint64_t hashed = 0
    cdef Py_ssize_t at
    for at in range(len(string)):
        hashed = plus(times(hashed, BASE), <uint64_t>PyUnicode_READ(kind, data, at) + 1)
    return hashed


cdef inline bint is_same(
    str known, int kind, const void* data, Py_ssize_t begin, Py_ssize_t end
):
    """Whether a string is what stands at a place of a text, of that kind and data."""
    cdef Py_ssize_t size = end - begin, at
    cdef int its = PyUnicode_KIND(known)
    cdef const void* held = PyUnicode_DATA(known)
    if len(known) != size:
        return False
    if its == kind:
        return memcmp(held, <const char*>data + begin * kind, size * kind) == 0
    for at in range(size):
        if PyUnicode_READ(its, held, at) != PyUnicode_READ(kind, data, begin + at):
            return False
    return True


def gather(
    const int32_t[::1] numbers,
    const int64_t[::1] chunks,
    const int32_t[::1] words,
    const int64_t[::1] looks,
):
    """The words of chunks: the fields `ids`, `lengths`, `kinds` and `counts` of `tokens.Tokens`.

    `numbers` of the chunks; by number a chunk's first place in `words` << 32 | how many it has;
    the ids of words; by id a word's characters << 8 | its kind.
    """
    cdef Py_ssize_t many = len(numbers), at, place, first, total = 0
    counts_ = np.empty(many, np.int64)
    cdef int64_t[::1] counts = counts_
    for at in range(many):
        counts[at] = <uint32_t>chunks[numbers[at]]
        total += counts[at]
    ids_, lengths_ = np.empty(total, np.int32), np.empty(total, np.int64)
    kinds_ = np.empty(total, np.uint8)
    cdef int32_t[::1] ids = ids_
    cdef int64_t[::1] lengths = lengths_
    cdef uint8_t[::1] kinds = kinds_
    cdef int64_t look
    total = 0
    for at in range(many):
        first = chunks[numbers[at]] >> 32
        for place in range(first, first + counts[at]):
            look = looks[words[place]]
            ids[total], lengths[total], kinds[total] = words[place], look >> 8, <uint8_t>look
            total += 1
    return ids_, lengths_, kinds_, counts_


def starts_in_lines(
    const uint8_t[::1] kinds, const int64_t[::1] counts, list chunks, int stop, int mark
):
    """How many words of each line follow one that ends a sentence and end none: int64 [lines].

    `kinds` of the words, `counts` of words of each chunk, and of `chunks` of each line; the bits
    `stop`, of a word that ends a sentence, and `mark`, of one that is passed over.
    """
    found_ = np.zeros(len(chunks), np.int64)
    cdef int64_t[::1] found = found_
    cdef Py_ssize_t line, many, chunk, chunks_before = 0, word, begin, end = 0
    cdef bint stopped
    for line, many in enumerate(chunks):
        begin = end
        for chunk in range(chunks_before, chunks_before + many):
            end += counts[chunk]
        chunks_before += many
        stopped = False
        for word in range(begin, end):
            if not kinds[word] & mark:
                found[line] += stopped and not kinds[word] & stop
                stopped = kinds[word] & stop
    return found_


def without_space(str text not None):
    """A text's chunks joined."""
    cdef int kind = PyUnicode_KIND(text)
    cdef const void* data = PyUnicode_DATA(text)
    cdef Py_ssize_t at, solid = 0, size = len(text)
    cdef Py_UCS4 character
    cdef uint32_t highest = 0  # or higher, but of the same kind
    for at in range(size):
        character = PyUnicode_READ(kind, data, at)
        if not Py_UNICODE_ISSPACE(character):
            solid += 1
            highest |= <uint32_t>character
    cdef str found = PyUnicode_New(solid, <Py_UCS4>min(highest, 0x10FFFF))
    cdef int its = PyUnicode_KIND(found)
    cdef void* into = PyUnicode_DATA(found)
    solid = 0
    for at in range(size):
        character = PyUnicode_READ(kind, data, at)
        if not Py_UNICODE_ISSPACE(character):
            PyUnicode_WRITE(its, into, solid, character)
            solid += 1
    return found


def in_lines(str text not None):
    """How many chunks each of the lines (`str.splitlines()`) has."""
    cdef int kind = PyUnicode_KIND(text)
    cdef const void* data = PyUnicode_DATA(text)
    cdef Py_ssize_t at, size = len(text), chunks = 0
    cdef bint inside = False, open = False
    cdef Py_UCS4 character, before = 0
    cdef list found = []
    for at in range(size):
        character = PyUnicode_READ(kind, data, at)
        if not Py_UNICODE_ISSPACE(character):
            chunks += not inside
            inside = open = True
        else:
            inside = False
            if not Py_UNICODE_ISLINEBREAK(character):
                open = True
            elif character != 10 or before != 13:  # \r\n is one end
                found.append(chunks)
                chunks, open = 0, False
        before = character
    if open:
        found.append(chunks)
    return found
