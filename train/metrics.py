"""The log of a run (`steps.jsonl`), utilisation, and the line of progress."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from train.files import write_text
from train.plan import GPUS


def peak_flops(device: str) -> float | None:
    """Dense bf16 peak in FLOP/s by the name the driver gives.

    A GPU that is not in the planner's table has none, and its MFU is null rather than a guess.
    """
    return next((gpu.flops for gpu in GPUS.values() if device in gpu.names), None)


def finite(value: float) -> float | None:
    """The value, or None (null in JSON) where it is no finite number."""
    return value if math.isfinite(value) else None


def mfu(tokens_per_second: float, flops_per_token: int, peak: float | None) -> float | None:
    """Model FLOPs utilisation: work of the model's formula over what the GPUs could do.

    tokens_per_second: over all processes. peak: FLOP/s of all GPUs together, or None.
    """
    return tokens_per_second * flops_per_token / peak if peak else None


class Log:
    """Lines of JSON, flushed as they are written; each step is told once.

    skipped: how many of the steps in it left the weights as they were.
    """

    def __init__(self, path: Path, *, resumed_step: int) -> None:
        """Open the log; what a lost process wrote after step `resumed_step` is dropped."""
        self._path = path
        self._open([line for line in read(path) if resumed_step and line["step"] <= resumed_step])

    def write(self, kind: str, **fields: Any) -> None:
        """Append one line of a kind (start, step, validation, checkpoint), with the time of day."""
        self._file.write(_line({"kind": kind, "time": round(time.time(), 3), **fields}))
        self._file.flush()
        self.skipped += fields.get("skipped", False)

    def go_back(self, step: int) -> None:
        """Move what was written after a step to `rolled-back.jsonl`."""
        self._file.close()
        lines = read(self._path)
        with self._path.with_name("rolled-back.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(_line(line) for line in lines if line["step"] > step)
        self._open([line for line in lines if line["step"] <= step])

    def close(self) -> None:
        """End the log."""
        self._file.close()

    def _open(self, kept: list[dict[str, Any]]) -> None:
        write_text(self._path, "".join(map(_line, kept)))
        self.skipped = sum(line.get("skipped", False) for line in kept)
        self._file = self._path.open("a", encoding="utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """Lines of a log; a last line that was cut off is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text("utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def show_progress(text: str, *, last: bool = False, to: TextIO | None = None) -> None:
    """Show one line on stderr: over the line before on a terminal, else below it."""
    to = to or sys.stderr
    if to.isatty():
        print(f"\r\x1b[K{text}", end="\n" if last else "", file=to, flush=True)
    else:
        print(text, file=to, flush=True)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False) + "\n"
