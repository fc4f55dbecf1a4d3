import numpy as np
from numpy.typing import NDArray

from curation.extraction.blocks.features import Table

COLUMNS: int

def context(
    table: Table, likely: NDArray[np.int64], blocks: NDArray[np.int64]
) -> NDArray[np.float32]: ...
