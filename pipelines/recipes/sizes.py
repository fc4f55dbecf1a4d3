"""Whether sources can reach their shares of a mixture, by the sizes of their files alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pipelines.runs.events import Warned
from pipelines.runs.receipts import Task
from pipelines.runs.splits import range_bytes
from schemas.recipe import Recipe

_PACKED = (".gz", ".zst", ".lz4", ".bz2", ".xz", ".parquet", ".zip")
# Generous, so that only what is surely too small is named: compression of text, the share of text
# in pages of HTML, and bytes of a token.
_UNPACKED = 6
_TEXT_OF_PAGES = 0.3
_TOKEN_BYTES = 3
_PAGES = ("warc", "arc", "html")


def most_tokens(splits: Sequence[Task]) -> Counter[str]:
    """By source, about as many tokens as its files can hold at most."""
    found: Counter[str] = Counter()
    for task in splits:
        for piece in task.spec["ranges"]:
            size = float(range_bytes(piece))
            size *= _UNPACKED if piece["file"].endswith(_PACKED) else 1
            size *= _TEXT_OF_PAGES if piece.get("format") in _PAGES else 1
            found[task.spec["source"]] += int(size / _TOKEN_BYTES)
    return found


def too_small(recipe: Recipe, splits: Sequence[Task]) -> Iterator[Warned]:
    """The sources whose share of the budget is beyond their size, as often as they may be read."""
    mix = recipe.mix
    wanted: Counter[str] = Counter()
    for _, mixture in mix.curriculum():
        if mixture.tokens is not None and mixture.weights is not None:
            whole = sum(mixture.weights.values())
            for source, weight in mixture.weights.items():
                wanted[source] += round(mixture.tokens * weight / whole)
    for source, there in most_tokens(splits).items():
        reach = int(there * mix.epochs(source))
        if wanted[source] > reach:
            epochs = float(mix.epochs(source))
            yield Warned(
                f"cannot reach its share: {wanted[source]:,} tokens are asked of it, and files of "
                f"its size hold about {there:,} at most, {reach:,} in {epochs:g} epochs",
                f"source {source}",
                "add files to it, lower `mix.tokens` or its weight, or say by `mix.shortfall` what "
                "is to be done",
            )
