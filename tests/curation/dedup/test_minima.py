"""The compiled minima are those of numpy."""

import numpy as np
import pytest

from curation.dedup.minima import lower

RNG = np.random.default_rng(3)


def random(*shape: int) -> np.ndarray:
    return RNG.integers(0, 1 << 64, shape, np.uint64)


@pytest.mark.parametrize("permutations", [1, 7, 112])
def test_minima_are_those_of_numpy(permutations):
    hashes, factors, shifts = random(3000), random(permutations), random(permutations)
    # of every length up to some vectors, none and less than none, overlapping and far apart
    firsts = np.array([*range(80), 0, 5, 2990, 700, 3000])
    lasts = np.array([*range(0, 160, 2), 3000, 5, 3000, 699, 3000])
    minima = random(len(firsts), permutations) | np.uint64(1 << 63)
    expected = minima.copy()
    for row, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        for hash_ in hashes[first:last]:
            expected[row] = np.minimum(expected[row], hash_ * factors + shifts)
    lower(hashes, firsts, lasts, factors, shifts, minima)
    assert (minima == expected).all()
    lower(hashes[:0], firsts * 0, lasts * 0, factors, shifts, minima)
    assert (minima == expected).all()


@pytest.mark.parametrize(
    ("first", "last", "rows", "columns"),
    [(0, 11, 1, 2), (-1, 5, 1, 2), (9, 11, 1, 2), (0, 1, 2, 2), (0, 1, 1, 3)],
)
def test_what_does_not_fit_is_refused(first, last, rows, columns):
    minima = random(rows, columns)
    before = minima.copy()
    with pytest.raises(ValueError, match=r"no such hashes|one for each"):
        lower(random(10), np.array([first]), np.array([last]), random(2), random(2), minima)
    assert (minima == before).all()
