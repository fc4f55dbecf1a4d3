# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Features for a second look at the blocks, compiled: what the first look found around each."""

import numpy as np

from libc.stdint cimport int32_t, int64_t

cdef enum:
    LIKELY = 500  # thousandths
    SECTIONS = 6  # around a block
    INSIDE = 4  # of these, where what is before and after it is looked at
    WEIGHT, SIZE, TAKEN_SIZE, TAKEN, SUMS  # rows of the sums over blocks

cdef int[6] SHIFTS = [-3, -2, -1, 1, 2, 3]  # neighbours
cdef int[4] REACHES = [2, 5, 12, 30]  # blocks on each side
COLUMNS = 76


cdef inline double ratio(double part, double whole) noexcept nogil:
    return part / (whole if whole > 1 else 1)


def context(table, const int64_t[::1] likely, const int64_t[::1] blocks):
    """Features by how likely each block of a page is main text, in thousandths: a row for each of
    `blocks`, which are numbers of blocks."""
    cdef Py_ssize_t many = likely.shape[0], b, at, low, high, k, best, before, place
    cdef const int32_t[::1] sizes = table.sizes, headings = table.headings
    cdef const int32_t[:, ::1] lows = table.low, highs = table.high
    cdef int64_t[:, ::1] sums = np.zeros((SUMS, many + 1), np.int64)
    cdef int32_t[:, ::1] found = np.empty((3, many), np.int32)
    cdef int32_t[::1] last = found[0], following = found[1], rank = found[2]
    cdef int64_t weight, right = 0, taken = 0, most = 0, taken_weight = 0
    cdef int which
    for b in range(many):
        weight = likely[b] * sizes[b]
        sums[WEIGHT, b + 1] = sums[WEIGHT, b] + weight
        sums[SIZE, b + 1] = sums[SIZE, b] + sizes[b]
        sums[TAKEN_SIZE, b + 1] = sums[TAKEN_SIZE, b] + (sizes[b] if likely[b] >= LIKELY else 0)
        sums[TAKEN, b + 1] = sums[TAKEN, b] + (likely[b] >= LIKELY)
        last[b] = <int32_t>b if likely[b] >= LIKELY else (last[b - 1] if b else -1)
        taken_weight += weight if likely[b] >= LIKELY else 0
        most = max(most, likely[b])
    for b in range(many - 1, -1, -1):
        following[b] = <int32_t>b if likely[b] >= LIKELY else (
            following[b + 1] if b + 1 < many else <int32_t>many
        )

    # What F1 would be if the blocks at least as likely were taken.
    order_ = np.argsort(-np.asarray(likely), kind="stable")
    cdef const int64_t[::1] order = order_
    cdef double[::1] expected = np.empty(many)
    best = 0
    for at in range(many):
        b = order[at]
        rank[b] = <int32_t>at
        right += likely[b] * sizes[b]
        taken += sizes[b]
        expected[at] = 2 * right / <double>(taken * 1000 + sums[WEIGHT, many] + 1)
        if expected[at] > expected[best]:
            best = at

    # Groups: equal markup, equal sections, the same heading.
    cdef list groups = [table.paths, *table.signatures[1:5], table.headings + 1]
    cdef int n_groups = len(groups)
    shares_ = np.empty((2 * n_groups, many))
    cdef double[:, ::1] shares = shares_
    cdef const int32_t[::1] group
    cdef int64_t[:, ::1] of_group
    for which in range(n_groups):
        group = groups[which]
        of_group = np.zeros((4, groups[which].max() + 1), np.int64)
        for b in range(many):
            at = group[b]
            of_group[0, at] += likely[b] * sizes[b]
            of_group[1, at] += sizes[b]
            of_group[2, at] += likely[b] >= LIKELY
            of_group[3, at] += 1
        for b in range(many):
            at = group[b]
            shares[2 * which, b] = ratio(of_group[0, at], of_group[1, at])
            shares[2 * which + 1, b] = ratio(of_group[2, at], of_group[3, at])

    cdef double words = sums[SIZE, many]
    cdef int64_t threshold = likely[order[best]]
    page = np.array(
        [
            *(ratio(sums[WEIGHT, many], words), sums[TAKEN_SIZE, many], sums[TAKEN, many]),
            *(expected[best], ratio(sums[TAKEN_SIZE, many], words), most, threshold),
            *(last[many - 1], following[0]),
            sums[WEIGHT, many] - taken_weight,
        ],
        np.float32,
    )
    cdef const float[::1] of_page = page
    features = np.empty((blocks.shape[0], COLUMNS), np.float32)
    cdef float[:, ::1] out = features
    cdef float* row
    k = COLUMNS
    for place in range(blocks.shape[0]):
        b = blocks[place]
        if not 0 <= b < many:
            raise IndexError(f"block {b} of {many}")
        row = &out[place, 0]
        row[0] = likely[b]
        k = 1
        for which in range(6):
            at = b + SHIFTS[which]
            row[k + which] = likely[at] if 0 <= at < many else -1
        k += 6
        for which in range(4):
            low, high = max(b - REACHES[which], 0), min(b + REACHES[which] + 1, many)
            row[k + which] = ratio(
                sums[WEIGHT, high] - sums[WEIGHT, low], sums[SIZE, high] - sums[SIZE, low]
            )
            row[k + 4 + which] = ratio(sums[TAKEN, high] - sums[TAKEN, low], high - low)
        k += 8
        for which in range(SECTIONS):
            low, high = lows[which + 1, b], highs[which + 1, b]
            row[k + which] = ratio(
                sums[WEIGHT, high] - sums[WEIGHT, low], sums[SIZE, high] - sums[SIZE, low]
            )
            row[k + SECTIONS + which] = ratio(sums[TAKEN, high] - sums[TAKEN, low], high - low)
        k += 2 * SECTIONS
        for which in range(INSIDE):
            low, high = lows[which + 1, b], highs[which + 1, b]
            row[k + which] = ratio(
                sums[WEIGHT, b] - sums[WEIGHT, low], sums[SIZE, b] - sums[SIZE, low]
            )
            row[k + INSIDE + which] = ratio(
                sums[WEIGHT, high] - sums[WEIGHT, b + 1], sums[SIZE, high] - sums[SIZE, b + 1]
            )
            row[k + 2 * INSIDE + which] = sums[TAKEN_SIZE, b] - sums[TAKEN_SIZE, low]
            row[k + 3 * INSIDE + which] = sums[TAKEN_SIZE, high] - sums[TAKEN_SIZE, b + 1]
        k += 4 * INSIDE
        for which in range(2 * n_groups):
            row[k + which] = shares[which, b]
        k += 2 * n_groups
        before = last[b]
        row[k] = likely[headings[b]] if headings[b] >= 0 else -1
        row[k + 1] = b - before
        row[k + 2] = following[b] - b
        row[k + 3] = sums[TAKEN_SIZE, b]
        row[k + 4] = sums[TAKEN_SIZE, many] - sums[TAKEN_SIZE, b + 1]
        row[k + 5] = sums[SIZE, b] - sums[SIZE, before + 1]
        row[k + 6] = sums[SIZE, following[b]] - sums[SIZE, b + 1]
        row[k + 7] = rank[b] / <double>many
        row[k + 8] = rank[b] - best
        row[k + 9] = expected[rank[b]]
        row[k + 10] = likely[b] - threshold
        k += 11
        for at in range(of_page.shape[0]):
            row[k + at] = of_page[at]
        k += of_page.shape[0]
    if k != COLUMNS:
        raise AssertionError(f"{k} features, not {COLUMNS}")
    return features
