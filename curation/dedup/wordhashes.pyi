import numpy as np
import numpy.typing as npt

from curation.dedup.nodes import Array, Words

def of_words(
    codes: Array, ends: npt.NDArray[np.int64], base: int, separator: int, alone: int
) -> tuple[Words, npt.NDArray[np.int64]]: ...
