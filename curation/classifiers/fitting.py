"""Fits a fastText classifier, or importance weights, on labelled texts, and measures it on those it
never saw."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curation.classifiers import fasttext_process
from curation.classifiers.cards import file_sha256, write_card
from curation.classifiers.features import FEATURES, features
from curation.classifiers.figures import evaluate, recall, threshold_for
from curation.classifiers.importance import BUCKETS, fit_importance, is_importance
from curation.classifiers.scorers import scorer
from curation.fasttext_model import LABEL, without_marks
from schemas.problems import Problem


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is fitted.

    Parts of words of `minn` to `maxn` characters, `word_ngrams` words in a row, vectors of `dim`
    numbers; `epoch`: passes over the texts, 0 for as many as read 80,000 texts, 5 to 30.
    `kept`: how many words and parts of words are kept, quantised, in the file; 0 keeps
    all as they are, 30 MB and more. `lists`: languages of the bad-word lists.
    """

    dim: int = 16
    epoch: int = 0
    lr: float = 0.3
    word_ngrams: int = 2
    minn: int = 3
    maxn: int = 5
    bucket: int = 500_000
    kept: int = 100_000
    seed: int = 1
    lists: tuple[str, ...] = ("en",)

    def __post_init__(self) -> None:
        """Raises ValueError for a number below 0."""
        for name, value in asdict(self).items():
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"{name} {value}: 0 or more")


def check_name(path: str, settings: Collection[str] = (), *, with_length: bool = False) -> None:
    """Raise Problem if a model's name tells no kind of model, or one that has no such settings."""
    if not path.endswith((".ftz", ".bin")) and not is_importance(path):
        raise Problem(
            "the name of a fastText model ends in .ftz or .bin, that of importance weights in .npz",
            path,
        )
    if is_importance(path) and settings:
        raise Problem(f"importance weights know no {', '.join(settings)}", path)
    if with_length and not is_importance(path):
        raise Problem("only importance weights, in .npz, heed lengths so", path)


# The input matrix must be a block of its own in memory, see `fasttext_process`.
_ZEROED = 33 << 20


def fit_lines(lines: Iterable[tuple[str, str]], path: str | Path, settings: Settings) -> None:
    """Fit a fastText model on (label, line) pairs and write it to `path`.

    The same pairs and settings give the same bytes on the same kind of CPU: one thread, a seed,
    and the order of a keyed hash of the lines. Raises Problem if it does not converge.
    """
    ordered = sorted(lines, key=lambda pair: _key("fit", *pair))
    epoch = settings.epoch or min(30, max(5, round(80_000 / max(1, len(ordered)))))
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        source = Path(scratch) / "lines.txt"
        with source.open("w", encoding="utf-8") as out:
            out.writelines(f"{LABEL}{label} {without_marks(line)}\n" for label, line in ordered)
        asked = {
            "dim": settings.dim,
            "epoch": epoch,
            "lr": settings.lr,
            "wordNgrams": settings.word_ngrams,
            "minn": settings.minn,
            "maxn": settings.maxn,
            "seed": settings.seed,
            "bucket": max(settings.bucket, _ZEROED // (4 * settings.dim) + 1),
        }
        fasttext_process.fit(str(path), str(source), settings.kept, asked)


def _key(*parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).digest()


def is_held_out(group: str, share: float, seed: int = 1) -> bool:
    """Is a group of texts (a source, or a text itself) on the held-out side of a split?"""
    return int.from_bytes(_key("held out", str(seed), group)[:8], "big") < share * 2**64


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled text; texts of a group are never on both sides of a split."""

    label: str
    text: str
    group: str


def fit(
    examples: Sequence[Example],
    path: str | Path,
    settings: Settings | None = None,
    *,
    held_out: float = 0.2,
    survival: float | None = None,
    pool: Sequence[str] = (),
    data: Sequence[Mapping[str, Any]] = (),
    with_length: bool = False,
) -> dict[str, Any]:
    """Fit a classifier; write the model to `path` and its card beside it; return the card.

    A path that ends in .npz asks for importance weights, of the first example's label against all
    others; they heed no `settings` but the seed of the split, and lengths if `with_length`. The
    score will be that of the first example's label. The figures are of a share `held_out` of the
    groups, never seen in fitting. `survival`: the card's threshold lets through this share of
    `pool`, or of the held-out texts of the other labels (DCLM kept a tenth of its pool). `data`
    describes the sets in the card. Raises Problem if a side of the split has one label only, or
    for a share that is none.
    """
    settings = settings or Settings()
    if not 0 < held_out < 1:
        raise Problem(f"held-out share {held_out}: above 0 and below 1")
    if survival is not None and not 0 < survival <= 1:
        raise Problem(f"survival {survival}: a share above 0, at most 1")
    path = Path(path)
    if not path.parent.is_dir():
        raise Problem(f"{path}: there is no folder {path.parent}")
    label = examples[0].label if examples else ""
    held = [each for each in examples if is_held_out(each.group, held_out, settings.seed)]
    seen = {each.text for each in held}
    rest = [
        each
        for each in examples
        if not is_held_out(each.group, held_out, settings.seed) and each.text not in seen
    ]
    for side, name in ((rest, "fitting"), (held, "the held-out figures")):
        if len({each.label for each in side}) < 2:
            raise Problem(
                f"{path}: {len(side)} texts for {name}, of one label only: give more texts or "
                "groups, or another held-out share"
            )
    if is_importance(path.name):
        target = [each.text for each in rest if each.label == label]
        source = [each.text for each in rest if each.label != label]
        fit_importance(target, source, path, with_length=with_length)
        told: dict[str, Any] = {"settings": {"buckets": BUCKETS, "with_length": with_length}}
    else:
        lines = [(each.label, features(each.text, settings.lists)) for each in rest]
        fit_lines(lines, path, settings)
        told = {
            "features": FEATURES,
            "settings": asdict(settings) | {"lists": list(settings.lists)},
        }
    card: dict[str, Any] = {
        "model": path.name,
        "sha256": file_sha256(path),
        "bytes": path.stat().st_size,
        "label": label,
        **told,
        "data": list(data),
        "fitted_on": _counts(rest),
    }
    write_card(path, card)
    model = scorer(str(path))
    scores = model.score([each.text for each in held])
    right = [each.label == label for each in held]
    card["held_out"] = {"texts": _counts(held), **evaluate(right, scores)}
    if survival is not None:
        others = [score for score, is_right in zip(scores, right, strict=True) if not is_right]
        threshold = threshold_for(model.score(list(pool)) if pool else others, survival)
        card["threshold"] = {
            "survival": survival,
            "of": f"{len(pool)} texts of a pool" if pool else f"{len(others)} held-out others",
            "value": threshold,
            "recall": recall(right, scores, threshold),
        }
    write_card(path, card)
    return card


def _counts(examples: Sequence[Example]) -> dict[str, int]:
    labels = [each.label for each in examples]
    return {label: labels.count(label) for label in dict.fromkeys(labels)}
