"""Arithmetic modulo 2**61 - 1, for hashes: the sum of a string's codes x base**place.

Each process draws the base, and the factor that spreads hashes over slots, so that nobody can write
a text whose hashes all fall into one slot. No result depends on them.
"""

from libc.stdint cimport uint64_t

cdef extern from *:
    """
    typedef unsigned __int128 wide;
    #define PRIME ((1ULL << 61) - 1)
    """
    ctypedef unsigned long long wide
    const uint64_t PRIME


cdef inline uint64_t times(uint64_t one, uint64_t other) noexcept nogil:
    """A product modulo 2**61 - 1."""
    cdef wide product = <wide>one * other
    cdef uint64_t low = (<uint64_t>product & PRIME) + <uint64_t>(product >> 61)
    return low - PRIME if low >= PRIME else low


cdef inline uint64_t plus(uint64_t one, uint64_t other) noexcept nogil:
    """A sum modulo 2**61 - 1."""
    cdef uint64_t total = one + other
    return total - PRIME if total >= PRIME else total
