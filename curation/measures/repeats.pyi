from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def repeated(
    ids: NDArray[np.int32], most: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]]: ...
def repeated_characters(
    solid: str, offsets: NDArray[np.int64], sizes: Sequence[int]
) -> list[int]: ...
