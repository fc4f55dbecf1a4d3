"""Fits a fastText model in a process of its own, which is this module run by Python.

With one thread fastText initialises a tenth of its input matrix and leaves the rest to what is in
memory: models differed from run to run, or ended in NaN. In a new process whose `malloc` takes
large blocks from the system, which hands them out as zeros, there is nothing else in memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from fasttext_pybind import args, fasttext, loss_name, model_name, train

from schemas.problems import Problem

# Bytes from which glibc's `malloc` asks the system for a block, by its own setting fixed.
_BLOCK = 1 << 20


def fit(path: str, source: str, kept: int, settings: dict[str, Any]) -> None:
    """Write the model of the labelled lines in `source` to `path`.

    kept: words and parts of words that a quantised model keeps; 0 leaves it as it is. settings:
    fastText's own arguments. Raises Problem if it does not converge.
    """
    asked = {"path": path, "source": source, "kept": kept, "settings": settings}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "curation.classifiers.fasttext_process"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(_BLOCK)},
    )
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2]
        raise Problem(f"{path}: fastText: {why} Try a smaller `lr`.")


def main() -> None:
    """Fit what standard input asks for."""
    wanted = json.load(sys.stdin)
    asked = args()
    asked.model, asked.loss = model_name.supervised, loss_name.softmax
    asked.input, asked.thread, asked.verbose, asked.minCount = wanted["source"], 1, 0, 1
    for name, value in wanted["settings"].items():
        setattr(asked, name, value)
    model = fasttext()
    train(model, asked)
    if wanted["kept"]:
        again = max(1, asked.epoch // 4), asked.lr / 3
        model.quantize(wanted["source"], False, wanted["kept"], True, *again, 1, 0, 2, True)
    model.saveModel(wanted["path"])


if __name__ == "__main__":
    main()
