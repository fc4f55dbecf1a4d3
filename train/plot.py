"""The loss curve of a run as a picture."""

from __future__ import annotations

from pathlib import Path

from train import metrics


def plot_loss(output: Path) -> Path | None:
    """Draw train and validation loss against tokens seen, from `output/steps.jsonl`.

    Writes `output/loss.png` and returns its path; None if no step is logged.
    """
    from matplotlib.figure import Figure

    lines = metrics.read(output / "steps.jsonl")
    curves = {
        kind: [
            (line["tokens_seen"], line["loss"])
            for line in lines
            if line["kind"] == kind and line["loss"] is not None
        ]
        for kind in ("step", "validation")
    }
    if not curves["step"]:
        return None
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*zip(*curves["step"], strict=True), linewidth=1, label="train")
    if curves["validation"]:
        axes.plot(*zip(*curves["validation"], strict=True), marker="o", label="validation")
    axes.set_xlabel("tokens seen")
    axes.set_ylabel("loss (nats a token)")
    axes.grid(alpha=0.3)
    axes.legend()
    path = output / "loss.png"
    figure.savefig(path)
    return path
