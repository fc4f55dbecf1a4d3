from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from selectolax.lexbor import LexborNode

from curation.extraction.blocks.declared import Declared
from curation.extraction.blocks.dom import Dom

_Ints = NDArray[np.int32]

def sections(
    nodes: list[LexborNode],
    tags: _Ints,
    parents: _Ints,
    ends: _Ints,
    blocks: _Ints,
    first: _Ints,
    last: _Ints,
    role_of: NDArray[np.uint64],
    groups: Callable[[str], int],
    hidden_bit: int,
) -> tuple[Any, ...]: ...
def counts(texts: list[str], classes: NDArray[np.uint8]) -> _Ints: ...
def table(
    dom: Dom,
    tree: tuple[Any, ...],
    texts_of: _Ints,
    kind_of: _Ints,
    heading_of: _Ints,
    images_of: _Ints,
    controls_of: _Ints,
    counted: list[int],
    names: int,
    roles: int,
    comment: int,
    declared: Declared,
    columns: int,
) -> tuple[Any, ...]: ...
