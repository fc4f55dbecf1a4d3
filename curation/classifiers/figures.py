"""How well scores tell the right texts from the others, and thresholds that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from curation.classifiers.passages import DECIMALS
from curation.measures.signals import ratio
from schemas.problems import Problem


def evaluate(right: Sequence[bool], scores: Sequence[float]) -> dict[str, Any]:
    """Area under ROC, average precision, and the recall at thresholds by survival of the others.

    The area is the chance that a right text scores above another one, ties half (Mann-Whitney).
    """
    truth, values = np.asarray(right, bool), np.asarray(scores, float)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        raise Problem("figures need texts of two labels")
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    area = (ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    # of equal scores all are taken or none
    order = np.argsort(-values, kind="stable")
    last = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    hits = np.cumsum(truth[order])[last]
    precision = hits / (last + 1)
    gained = np.diff(hits, prepend=0) / positives
    others = values[~truth].tolist()
    table = []
    for survival in (0.01, 0.05, 0.1, 0.2):
        threshold = threshold_for(others, survival)
        table.append(
            {
                "others_kept": survival,
                "threshold": threshold,
                "recall": recall(right, scores, threshold),
            }
        )
    return {
        "area_under_roc": round(float(area), 4),
        "average_precision": round(float(precision @ gained), 4),
        "thresholds": table,
    }


def threshold_for(scores: Sequence[float], survival: float) -> float:
    """The smallest score that at most this share of `scores` reach.

    With ties fewer survive; if even the highest score has too many, it is just above that.
    """
    if not scores or not 0 < survival <= 1:
        raise Problem(f"survival {survival}: a share above 0, of at least one text")
    values = np.sort(np.asarray(scores, float))[::-1]
    allowed = math.floor(survival * len(values) + 1e-9)
    if allowed >= len(values):
        return float(values[-1])
    above = values[values > values[allowed]]
    step = 10.0**-DECIMALS
    return float(above[-1]) if len(above) else round(float(values[0]) + step, DECIMALS)


def recall(right: Sequence[bool], scores: Sequence[float], threshold: float) -> float:
    """Share of the right texts whose score reaches the threshold, rounded."""
    chosen = [score for score, is_right in zip(scores, right, strict=True) if is_right]
    return round(ratio(sum(score >= threshold for score in chosen), len(chosen)), 4)
