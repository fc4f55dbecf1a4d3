"""Losses that leave their course: seen on the device, judged where the log is written.

The threshold has the form of OLMo-core's StabilityMonitor and SkipStepOptimizer (6 standard
deviations over the last 128 losses); that training returns to before a spike and passes over its
rows is PaLM's way (Chowdhery et al., 2022, section 5.1).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from train import config
from train.job import Progress
from train.order import Window

# Smallest standard deviation, as a fraction of the mean, so that a few losses that happen to lie
# close together do not make a spike of the next.
LEAST_DEVIATION = 0.02
# Of the last steps of a run, which no others follow.
LAST_PATIENCE = 2


class Diverged(Exception):
    """Training cannot go on as it is configured: the message says what was seen and done."""


class Monitor:
    """The losses that were no spikes, kept on the device, so that no step waits for the host.

    Its tensors are part of a checkpoint.
    """

    def __init__(self, settings: config.Guard, device: torch.device) -> None:
        """No losses yet."""
        self._sigmas = settings.sigmas
        self._ignores = settings.spikes == "ignore"
        self.skips = settings.spikes == "skip"
        self._losses = torch.full((settings.window,), torch.nan, device=device)
        self._count = torch.zeros((), dtype=torch.int64, device=device)

    def is_spike(self, loss: Tensor) -> Tensor:
        """Whether a loss, an fp32 scalar, leaves the course of those before: 1.0 or 0.0.

        One that is not finite does.
        """
        number = self._count.clamp(max=len(self._losses))
        mean = self._losses.nansum() / number
        deviation = ((self._losses - mean).square().nansum() / number).sqrt()
        highest = mean + self._sigmas * torch.maximum(deviation, LEAST_DEVIATION * mean)
        is_spike = ~torch.isfinite(loss)
        if not self._ignores:
            is_spike |= loss > highest  # which is NaN, and less than nothing, before the first
        places = torch.arange(len(self._losses), device=loss.device)
        enters = (places == self._count % len(self._losses)) & ~is_spike
        torch.where(enters, loss, self._losses, out=self._losses)
        self._count += ~is_spike
        return is_spike.float()

    def reset(self) -> None:
        """Forget all losses."""
        self._losses.fill_(torch.nan)
        self._count.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors themselves, which a checkpoint is loaded into."""
        return {"losses": self._losses, "count": self._count}


def judge(
    at: Progress,
    steps: Iterable[tuple[int, bool]],
    settings: config.Guard,
    last: bool,
    finite: bool,
) -> Window | None:
    """What must be passed over to train on, if anything. Notes in `at` spikes in a row.

    steps: position, and whether it was a spike, of the steps since the last call. last: the
    run ends with them. finite: all weights are, as far as it is known.
    """
    patience = min(LAST_PATIENCE, settings.patience) if last else settings.patience
    position = at.first_flag
    for position, is_spike in steps:
        if is_spike and not at.flags:
            at.first_flag = position
        at.flags = at.flags + 1 if is_spike else 0
    if finite and at.flags < patience:
        return None
    return at.first_flag if at.flags else position, at.position
