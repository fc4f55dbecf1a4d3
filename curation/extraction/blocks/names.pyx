# cython: language_level=3, boundscheck=False, wraparound=False
"""The words in a name of markup looked up among known ones, compiled."""

import numpy as np

from libc.stdint cimport int32_t, uint64_t

cdef enum:
    STEM = 4  # letters of a known word that others may begin with; a shorter one is one itself
    LONGEST = 200  # characters of a name that are read


cdef class Names:
    """Known words and the bits of each, as a tree by their letters."""

    cdef int32_t[:, ::1] _next  # a node a beginning; 0: no known word begins so
    cdef uint64_t[::1] _bits  # of known words

    def __init__(self, known):
        """`known`: words of the letters a to z, and their bits."""
        size = 1 + sum(map(len, known))
        self._next = np.zeros((size, 26), np.int32)
        self._bits = np.zeros(size, np.uint64)
        cdef Py_ssize_t node, letter, many = 1
        for word, bits in known.items():
            node = 0
            for character in word:
                letter = ord(character) - ord("a")
                if not self._next[node, letter]:
                    self._next[node, letter] = <int32_t>many
                    many += 1
                node = self._next[node, letter]
            self._bits[node] = bits

    def __call__(self, str name not None):
        """The bits of the words in a name, each those of the longest known word that it begins
        with.

        A word is letters of one case, or with a capital before: `navBar`, `DOMNode` and
        `nav-bar` are of two.
        """
        cdef Py_ssize_t size = min(len(name), LONGEST), at = 0, end
        cdef uint64_t found = 0
        while at < size:
            if is_upper(name[at]) and not (at + 1 < size and is_lower(name[at + 1])):
                end = at + 1
                while end < size and is_upper(name[end]):
                    end += 1
                if end < size and is_lower(name[end]):
                    end -= 1  # begins the next word
            elif is_upper(name[at]) or is_lower(name[at]):
                end = at + 1
                while end < size and is_lower(name[end]):
                    end += 1
            else:
                at += 1
                continue
            found |= self._of(name, at, end)
            at = end
        return found

    cdef uint64_t _of(self, str name, Py_ssize_t start, Py_ssize_t end):
        cdef uint64_t found = 0
        cdef Py_ssize_t at, letter, node = 0
        for at in range(start, end):
            letter = (<Py_ssize_t>name[at] | 32) - 97  # of either case
            node = self._next[node, letter]
            if not node:
                return found
            if self._bits[node] and (at - start + 1 >= STEM or at + 1 == end):
                found = self._bits[node]
        return found


cdef inline bint is_upper(Py_UCS4 character) noexcept:
    return u"A" <= character <= u"Z"


cdef inline bint is_lower(Py_UCS4 character) noexcept:
    return u"a" <= character <= u"z"
