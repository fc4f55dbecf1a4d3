import numpy as np
import numpy.typing as npt

from curation.dedup.nodes import Words

def lower(
    hashes: Words,
    firsts: npt.NDArray[np.int64],
    lasts: npt.NDArray[np.int64],
    factors: Words,
    shifts: Words,
    minima: Words,
) -> None: ...
