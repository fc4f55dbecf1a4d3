import numpy as np
import numpy.typing as npt

class Quantised:
    labels: list[str]
    def __init__(
        self,
        words: list[bytes],
        labels: list[str],
        counts: list[int],
        lengths: tuple[int, int],
        buckets: int,
        kept: npt.NDArray[np.int64],
        rows: npt.NDArray[np.float32],
        output: npt.NDArray[np.float32],
    ) -> None: ...
    def best(self, line: bytes, count: int) -> list[tuple[str, float]]: ...
