"""Whether a finished stage is as the recipe expects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.runs.splits import QUARANTINED
from pipelines.runs.steps import Context, Manifest
from schemas.expect import Range
from schemas.problems import Problem


def check(context: Context, stage: str, manifest: Manifest) -> None:
    """Raise Problem with every figure of a stage that is out of the range that `expect` gives."""
    wrong = []
    for path, value, (least, most) in _figures(context, stage, manifest):
        if (least is not None and value < least) or (most is not None and value > most):
            bounds = [
                *([f"at least {least:g}"] if least is not None else []),
                *([f"at most {most:g}"] if most is not None else []),
            ]
            wrong.append(f"`expect.{path}` is {value:.9g}, and must be {' and '.join(bounds)}")
    if wrong:
        raise Problem(
            f"is not as expected: {'; '.join(wrong)}",
            f"{context.run.url}/{stage}",
            "look into the report of the run; with a range that holds it goes on from here",
        )


def _figures(
    context: Context, stage: str, manifest: Manifest
) -> Iterator[tuple[str, float, Range]]:
    """The figures of a stage that something is expected of: path, value and range."""
    expect, records = context.recipe.expect, max(1, manifest.records)
    for name, asked in expect.survival.items():
        if name == stage:
            yield f"survival.{stage}", manifest.kept / records, asked
    for name, reasons in expect.reasons.items():
        for reason, asked in reasons.items() if name == stage else ():
            yield f"reasons.{stage}.{reason}", manifest.rejected.get(reason, 0) / records, asked
    names = (QUARANTINED, f"damaged_{QUARANTINED}")
    lost = sum(manifest.rejected.get(reason, 0) for reason in names)
    if lost > 1:
        yield "quarantined", lost / records, (None, expect.quarantined)
    if stage == "tokenize" and expect.tokens:
        tokens: Counter[str] = Counter()
        for receipt in context.receipts("tokenize"):
            tokens.update(receipt.counts["tokens"])
        for source, asked in expect.tokens.items():
            yield f"tokens.{source}", tokens[source], asked
