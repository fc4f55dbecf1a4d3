"""Where a run's numbers also go: TensorBoard, Weights & Biases. `log.to` names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from schemas.problems import Problem
from train.config import flat
from train.job import Job


class Sink(Protocol):
    """Takes the numbers of steps."""

    def write(self, step: int, group: str, values: Mapping[str, Any]) -> None:
        """Numbers of a group at a step; what is no number is passed over."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files in `output/tensorboard`."""

    def __init__(self, job: Job, resumed_step: int) -> None:
        """Hide what a lost process wrote after the step. Raises ImportError."""
        from torch.utils.tensorboard.writer import SummaryWriter

        folder = str(job.output / "tensorboard")
        self._writer = SummaryWriter(folder, purge_step=resumed_step + 1)

    def write(self, step: int, group: str, values: Mapping[str, Any]) -> None:
        """See Sink."""
        for name, value in numbers(values).items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """See Sink."""
        self._writer.close()


class WeightsAndBiases:
    """A run in `output/wandb`; offline unless WANDB_MODE says otherwise."""

    def __init__(self, job: Job, resumed_step: int) -> None:
        """Begin, or go on with, the run. Raises ImportError."""
        import os

        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project="gristmill",
            name=job.output.name,
            dir=str(job.output),
            config={**flat(job.config), "resumed_step": resumed_step},
            mode=mode,
            settings=wandb.Settings(silent=True, console="off"),
        )

    def write(self, step: int, group: str, values: Mapping[str, Any]) -> None:
        """See Sink."""
        named = {f"{group}/{name}": value for name, value in numbers(values).items()}
        self._run.log(named, step=step)

    def close(self) -> None:
        """See Sink."""
        self._run.finish()


KINDS: dict[str, type[TensorBoard] | type[WeightsAndBiases]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}


def open_all(job: Job, resumed_step: int) -> list[Sink]:
    """What `log_to` names. Raises Problem if a package is missing."""
    found: list[Sink] = []
    for name in job.config.log_to:
        try:
            found.append(KINDS[name](job, resumed_step))
        except ImportError:
            raise Problem(
                f"log_to {name}: not installed: pip install 'gristmill[{name}]'"
            ) from None
    return found


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among some values; those of a mapping in it by both names."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update({f"{name}/{key}": number for key, number in numbers(value).items()})
        elif isinstance(value, int | float) and name != "step":
            found[name] = float(value)
    return found
