# cython: language_level=3, boundscheck=False, wraparound=False
"""The smallest values of permuted hashes, compiled; see `minhash` for what they are."""

from libc.stdint cimport int64_t, uint64_t

# The same loop for processors with vectors of 512 bits (six times as fast as without), 256, none.
cdef extern from *:
    """
    #include <stdint.h>
    #define LOWER const uint64_t *hashes, int64_t count, const uint64_t *factors, \\
        const uint64_t *shifts, int64_t permutations, uint64_t *minima
    #define GIVEN hashes, count, factors, shifts, permutations, minima

    #if defined(__GNUC__)
    __attribute__((always_inline))
    #endif
    static inline void lower_by(LOWER) {
        for (int64_t each = 0; each < permutations; each++) {
            uint64_t factor = factors[each], shift = shifts[each], lowest = minima[each];
            for (int64_t at = 0; at < count; at++) {
                uint64_t value = hashes[at] * factor + shift;
                lowest = value < lowest ? value : lowest;
            }
            minima[each] = lowest;
        }
    }

    #if defined(__GNUC__) && defined(__x86_64__)
    __attribute__((target("avx512f,avx512dq"), optimize("O3")))
    static void lower_512(LOWER) { lower_by(GIVEN); }
    __attribute__((target("avx2"), optimize("O3")))
    static void lower_256(LOWER) { lower_by(GIVEN); }
    static void lower_to(LOWER) {
        if (__builtin_cpu_supports("avx512dq")) lower_512(GIVEN);
        else if (__builtin_cpu_supports("avx2")) lower_256(GIVEN);
        else lower_by(GIVEN);
    }
    #else
    static void lower_to(LOWER) { lower_by(GIVEN); }
    #endif
    """
    void lower_to(
        const uint64_t *hashes, int64_t count, const uint64_t *factors, const uint64_t *shifts,
        int64_t permutations, uint64_t *minima
    ) noexcept nogil


def lower(
    const uint64_t[::1] hashes,
    const int64_t[::1] firsts,
    const int64_t[::1] lasts,
    const uint64_t[::1] factors,
    const uint64_t[::1] shifts,
    uint64_t[:, ::1] minima,
):
    """Lower each row of `minima` [n, permutations] to the smallest of `hashes * factor + shift`
    mod 2^64 over its own hashes, by permutation; row i has those of [firsts[i], lasts[i]), which
    may be none."""
    cdef Py_ssize_t rows = minima.shape[0], row
    cdef int64_t permutations = minima.shape[1]
    if not (firsts.shape[0] == lasts.shape[0] == rows):
        raise ValueError("firsts and lasts: one for each row of minima")
    if not (factors.shape[0] == shifts.shape[0] == permutations):
        raise ValueError("factors and shifts: one for each column of minima")
    if not permutations or not hashes.shape[0]:
        return
    for row in range(rows):
        if firsts[row] < lasts[row] and not 0 <= firsts[row] < lasts[row] <= hashes.shape[0]:
            raise ValueError(f"row {row}: no such hashes")
    with nogil:
        for row in range(rows):
            if firsts[row] < lasts[row]:
                lower_to(
                    &hashes[firsts[row]], lasts[row] - firsts[row], &factors[0], &shifts[0],
                    permutations, &minima[row, 0],
                )
