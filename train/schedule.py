"""The learning rate, a function of the step alone."""

import math

from train.config import Optimizer


def learning_rate(step: int, steps: int, settings: Optimizer) -> float:
    """The rate of update `step` (0 is the first) of `steps`.

    Linear from 1 / warmup steps of the peak to the peak, then by `schedule`, which reaches
    `final_lr` of the peak at the last update (constant and inverse-root never do):

    - cosine: half a cosine (Loshchilov and Hutter, 2017); linear: a straight line;
    - wsd: the peak, then a straight line over the last `decay` of all steps (Hu et al., 2024);
    - inverse-root: peak * sqrt(warmup / step) (Vaswani et al., 2017).
    """
    warmup = round(settings.warmup * steps)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    if settings.schedule == "constant":
        return settings.lr
    if settings.schedule == "inverse-root":
        return settings.lr * math.sqrt(max(1, warmup) / (step + 1))
    first = warmup
    if settings.schedule == "wsd":
        first = max(warmup, steps - 1 - round(settings.decay * steps))
    left = 1 - min(1.0, max(0, step - first) / max(1, steps - 1 - first))
    if settings.schedule == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return settings.lr * (settings.final_lr + (1 - settings.final_lr) * left)
