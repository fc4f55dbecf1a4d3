"""Where a run's numbers also go: TensorBoard, Weights & Biases. `log_to` names them."""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from schemas.problems import Problem
from train.config import flat, flatten
from train.job import Job


class Sink(NamedTuple):
    """Takes the numbers of a step, by name."""

    write: Callable[[int, dict[str, float]], object]
    close: Callable[[], object]  # writes what is left


def tensorboard(job: Job, resumed_step: int) -> Sink:
    """Event files in `output/tensorboard`; hides what a lost process wrote after the step."""
    from torch.utils.tensorboard.writer import SummaryWriter

    writer = SummaryWriter(str(job.output / "tensorboard"), purge_step=resumed_step + 1)

    def write(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return Sink(write, writer.close)


def weights_and_biases(job: Job, resumed_step: int) -> Sink:
    """A run in `output/wandb`; offline unless WANDB_MODE says otherwise."""
    import wandb

    about = {"config": {**flat(job.config), "resumed_step": resumed_step}, "dir": str(job.output)}
    quiet = wandb.Settings(silent=True, console="off")
    mode: Any = os.environ.get("WANDB_MODE", "offline")
    run = wandb.init(project="gristmill", name=job.output.name, mode=mode, settings=quiet, **about)
    return Sink(lambda step, values: run.log(values, step=step), run.finish)


KINDS = {"tensorboard": tensorboard, "wandb": weights_and_biases}


def open_all(job: Job, resumed_step: int) -> list[Sink]:
    """What `log_to` names. Raises Problem if a package is missing."""
    found = []
    for name in job.config.log_to:
        try:
            found.append(KINDS[name](job, resumed_step))
        except ImportError:
            raise Problem(
                f"log_to {name}: not installed: pip install 'gristmill[{name}]'"
            ) from None
    return found


def numbers(group: str, values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among some values, also of mappings in them, by group and name."""
    named = flatten({group: {**values, "step": None}}, "/")
    return {name: float(value) for name, value in named if isinstance(value, int | float)}
