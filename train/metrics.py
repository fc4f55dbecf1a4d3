"""The log of a run (`steps.jsonl`), utilisation, and the line of progress."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any, TextIO

# Dense bf16 peaks in FLOP/s by the name the driver gives, from NVIDIA's data sheets. A GPU that
# is not here has no known peak, and its MFU is null rather than a guess.
PEAK_FLOPS = {
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989.4e12,
    "NVIDIA B200": 2250e12,
}


def finite(value: float) -> float | None:
    """The value, or None (null in JSON) where it is no finite number."""
    return value if math.isfinite(value) else None


def mfu(tokens_per_second: float, flops_per_token: int, peak: float | None) -> float | None:
    """Model FLOPs utilisation: work of the model's formula over what the GPUs could do.

    tokens_per_second: over all processes. peak: FLOP/s of all GPUs together, or None.
    """
    return tokens_per_second * flops_per_token / peak if peak else None


class Log:
    """Lines of JSON, flushed as they are written.

    skipped: how many of the steps in it left the weights as they were.
    """

    def __init__(self, path: Path, *, resumed_step: int) -> None:
        """Open the log; what a lost process wrote after step `resumed_step` is dropped."""
        kept = [line for line in read(path) if resumed_step and line["step"] <= resumed_step]
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text("".join(map(_line, kept)), "utf-8")
        temporary.replace(path)
        self.skipped = sum(line.get("skipped", False) for line in kept)
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, **fields: Any) -> None:
        """Append one line of a kind: start, step or validation."""
        self._file.write(_line({"kind": kind, **fields}))
        self._file.flush()
        self.skipped += fields.get("skipped", False)

    def close(self) -> None:
        """End the log."""
        self._file.close()


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
