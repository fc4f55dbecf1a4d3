"""What a sample says of the whole: how much stays after deduplication, and how sure that is.

Duplicates hardly show in a small sample: of a pair, a sample at the rate p holds both with the
probability p². So the share that stays falls as samples grow. How it falls within a sample, over
nested smaller ones, says how many copies there are: a mixture of binomials over the sizes of
clusters, fitted by expectation maximisation (Norris & Pollock 1998, doi:10.1023/A:1009659922745,
for numbers of species), gives the share at the rate 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

Numbers = npt.NDArray[np.float64]

_STEPS = 300
# Of what the fit adds, seen on synthetic clusters: samples at rates of 2 to 30%.
_ERROR = 0.12
_RATIO = 1.2  # of neighbouring cluster sizes above ten


def kept_share(seen: Numbers, rate: float, of: float = 1.0) -> float:
    """Share of the units that stay, one a cluster, in a sample at the rate `of`.

    `seen` (float64[m]): how many clusters have 1, 2, ... m units in a sample at the rate `rate`.
    Up to that rate it follows from them, above it from the fitted sizes of clusters.
    """
    units = np.arange(1, len(seen) + 1)
    if not seen.sum():
        return 1.0
    if of <= rate:
        return _clusters(seen, units, of / rate) / (of / rate * float(seen @ units))
    sizes, counts = _fit(seen, rate)
    return _clusters(counts, sizes, of) / (of * float(counts @ sizes))


def _clusters(counts: Numbers, sizes: npt.NDArray[np.int64], rate: float) -> float:
    """Clusters of which a sample has something."""
    return float(counts @ (1 - (1 - rate) ** sizes))


def _fit(seen: Numbers, rate: float) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Sizes of clusters in the whole, and how many have each."""
    largest = max(12, round(2 * len(seen) / rate))
    steps = np.arange(np.ceil(np.log(largest / 10) / np.log(_RATIO)) + 1)
    sizes = np.unique([*range(1, 11), *np.round(10 * _RATIO**steps)]).astype(np.int64)
    units = np.arange(1, len(seen) + 1)
    is_seen = 1 - (1 - rate) ** sizes
    chances = binom.pmf(units[:, None], sizes, rate) / is_seen
    weights = 1 / sizes**2.0  # most clusters are small: what the sample does not tell stays so
    for _ in range(_STEPS):
        joint = chances * weights + 1e-300
        weights = (seen / joint.sum(1)) @ joint / seen.sum()
    return sizes, seen.sum() * weights / is_seen


def share_draws(seen: Numbers, rate: float, draws: int, chance: np.random.Generator) -> Numbers:
    """`kept_share` of the whole, and of what other samples of it may show, float64[1 + draws].

    Counts of clusters are drawn as of a Poisson process, pairs (half of one, as Jeffreys' prior has
    it) also where none was seen; and to what a fit adds to the sample comes an error of its own.
    """
    shape = np.append(seen, np.zeros(max(0, 2 - len(seen))))
    shape[1] = max(shape[1], 0.5)
    found = [kept_share(seen, rate)]
    for each in chance.gamma(shape, 1.0, (draws, len(shape))):
        whole = kept_share(each, rate)
        added = kept_share(each, rate, rate) - whole
        found.append(min(1.0, max(0.0, whole + chance.normal(0, _ERROR) * added)))
    return np.array(found)
