from typing import Any

import numpy as np
from numpy.typing import NDArray
from selectolax.lexbor import LexborNode

def walk(
    body: LexborNode, traits: NDArray[np.uint8], kinds: NDArray[np.uint8], break_id: int
) -> tuple[Any, ...]: ...
