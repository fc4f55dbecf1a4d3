"""Classifiers of documents: fastText models, lists of bad words, KenLM's perplexity.

All give a score to each text. A fastText model fitted here reads more than words: case is dropped,
spelling that hides a word is undone, and statistics of the text and hits of the bad-word lists
join it as words of their own (`features`). What that gains, by data set: curation/models/README.md.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import math
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from curation import fasttext_model, fitting
from curation.fasttext_model import LABEL
from curation.language import canonical, words_only
from curation.measures.bad_words import listed, pattern
from curation.measures.ccnet import bucket
from curation.measures.signals import Measure, ratio
from curation.measures.view import View
from schemas.errors import UserError
from schemas.recipe import Classifier as Spec
from schemas.recipe import ModelFile

FAMILY = "classifier"
VERSION = 1  # bump when a signal of the family changes
FEATURES = 1  # bump when `features` changes: a model's card says which it was fitted on

_DECIMALS = 6  # of a score, as fastText sums in another order on another CPU
Span = tuple[int, int, float]


class Scorer(Protocol):
    """Gives texts a score."""

    def score(self, texts: list[str]) -> list[float]:
        """The score of each text."""

    def spans(self, text: str, threshold: float) -> list[Span]:
        """Start and end in characters, and score, of what in a text reaches the threshold."""


# What a text is to a model.

_TOKEN = re.compile(r"[^\W_]+|[^\w\s\ue000-\uf8ff]|_")
_LONG = re.compile(r"(\w)\1{2,}")
_HIDDEN = re.compile(r"(?<=[a-z])[@$013457*]+(?=[a-z])")
_MEANT = str.maketrans({"@": "a", "$": "s", "0": "o", "1": "i", "3": "e", "4": "a", "5": "s"})
_MEANT |= str.maketrans({"7": "t", "*": ""})
_LETTERS, _DIGITS = re.compile(r"[\W\d_]+"), re.compile(r"\D+")
_ENDED = re.compile(r"[.!?。！？…][\"'”’)\]]*\s*$", re.MULTILINE)
_CAPITAL = re.compile(r"(?<!\S)[A-Z]")
# Bins of a share, of characters a word, words a line, and words.
_SHARES = np.array([0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.95])
_WORD = np.array([4, 4.5, 5, 5.5, 6, 7, 8])
_LINE = np.array([2, 4, 6, 8, 12, 20, 40])
_LENGTH = np.array([5, 10, 20, 40, 80, 160, 320, 1000])


def features(text: str, lists: Sequence[str] = ("en",)) -> str:
    """What a model fitted here reads of a text: one line of words, marks and statistics.

    Lower-case words and punctuation marks; a letter three times or more is twice; digits and
    signs inside a word are the letters they stand for (`sh1t`). Then a character of Unicode's
    private use, which no word has here, for each statistic and bin: shares of capitals, digits,
    punctuation, exclamation and question marks, commas, ended lines and capitalised words;
    lengths of words, of lines, of the text; how many words are in the bad-word lists of these
    languages.
    """
    low = text.lower()
    plain = _LONG.sub(r"\1\1", _HIDDEN.sub(lambda found: found[0].translate(_MEANT), low))
    words = _TOKEN.findall(plain)
    hits = sum(sum(map(listed(language)[0].__contains__, words)) for language in lists)
    bins = [*_statistics(text, low), min(hits, 3)]
    # One character, as a longer name would weigh more: all its parts count.
    return " ".join([*words, *(chr(0xE000 + 16 * which + at) for which, at in enumerate(bins))])


def _statistics(text: str, low: str) -> list[int]:
    """The bins of the statistics, each below 16."""
    size = len(text)
    words = len(text.split())
    lines = sum(1 for line in text.splitlines() if line.strip())
    letters = len(_LETTERS.sub("", text))
    digits = len(_DIGITS.sub("", text))
    capitals = int(np.count_nonzero(_codes(text) != _codes(low))) if len(low) == size else 0
    shares = (
        ratio(capitals, letters),
        ratio(digits, size),
        ratio(max(0, size - letters - digits - words), size),
        ratio(text.count("!"), words),
        ratio(text.count("?"), words),
        ratio(text.count(","), words),
        ratio(len(_ENDED.findall(text)), lines),
        ratio(len(_CAPITAL.findall(text)), words),
    )
    return [
        *_SHARES.searchsorted(shares).tolist(),
        int(_WORD.searchsorted(ratio(size, words))),
        int(_LINE.searchsorted(ratio(words, lines))),
        int(_LENGTH.searchsorted(words)),
    ]


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


# Fitting.


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


# The input matrix must be a block of its own in memory, see `curation.fitting`.
_ZEROED = 33 << 20


def fit_lines(lines: Iterable[tuple[str, str]], path: str | Path, settings: Settings) -> None:
    """Fit a fastText model on (label, line) pairs and write it to `path`.

    The same pairs and settings give the same bytes on the same kind of CPU: one thread, a seed,
    and the order of a keyed hash of the lines. Raises UserError if it does not converge.
    """
    ordered = sorted(lines, key=lambda pair: _key("fit", *pair))
    epoch = settings.epoch or min(30, max(5, round(80_000 / max(1, len(ordered)))))
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        source = Path(scratch) / "lines.txt"
        with source.open("w", encoding="utf-8") as out:
            out.writelines(f"{LABEL}{label} {line}\n" for label, line in ordered)
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
        fitting.fit(str(path), str(source), settings.kept, asked)


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
) -> dict[str, Any]:
    """Fit a classifier; write the model to `path` and its card beside it; return the card.

    The score will be that of the first example's label. The figures are of a share `held_out` of
    the groups, never seen in fitting. `survival`: the card's threshold lets through this share of
    `pool`, or of the held-out texts of the other labels (DCLM kept a tenth of its pool). `data`
    describes the sets in the card. Raises UserError if a side of the split has one label only.
    """
    settings = settings or Settings()
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
            raise UserError(
                f"{path}: {len(side)} texts for {name}, of one label only: give more texts or "
                "groups, or another held-out share"
            )
    path = Path(path)
    lines = [(each.label, features(each.text, settings.lists)) for each in rest]
    fit_lines(lines, path, settings)
    card: dict[str, Any] = {
        "model": path.name,
        "sha256": _sha256(path),
        "bytes": path.stat().st_size,
        "label": label,
        "features": FEATURES,
        "settings": {**asdict(settings), "lists": list(settings.lists)},
        "data": list(data),
        "fitted_on": _counts(rest),
    }
    card_path(path).write_text(_json(card), "utf-8")
    model = Classifier(path)
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
            "recall": _share(right, scores, threshold),
        }
    card_path(path).write_text(_json(card), "utf-8")
    return card


def card_path(model: str | Path) -> Path:
    """Where the card of a model is: `quality.ftz` has `quality.json`."""
    return Path(model).with_suffix(".json")


def read_card(data: bytes, digest: str, model: str) -> dict[str, Any] | None:
    """The card beside a model with this SHA-256; None for a file that is no card of ours.

    Raises UserError, naming `model`, if the card is of another file or of other features.
    """
    try:
        told: dict[str, Any] = json.loads(data)
        version, own = told["features"], told["sha256"]
        found = told["label"], told["settings"]["lists"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(found[0], str) or not isinstance(found[1], list):
        return None
    if version != FEATURES:
        raise UserError(f"{model}: fitted on features {version}, these are {FEATURES}: fit anew")
    if own != digest:
        raise UserError(
            f"{model}: not the file that {card_path(model).name} describes: its SHA-256 differs"
        )
    return told


def _counts(examples: Sequence[Example]) -> dict[str, int]:
    labels = [each.label for each in examples]
    return {label: labels.count(label) for label in dict.fromkeys(labels)}


def _json(card: Mapping[str, Any]) -> str:
    return json.dumps(card, indent=1, ensure_ascii=False) + "\n"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# Figures.


def evaluate(right: Sequence[bool], scores: Sequence[float]) -> dict[str, Any]:
    """Area under ROC, average precision, and the recall at thresholds by survival of the others.

    The area is the chance that a right text scores above another one, ties half (Mann-Whitney).
    """
    truth, values = np.asarray(right, bool), np.asarray(scores, float)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        raise UserError("figures need texts of two labels")
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
                "recall": _share(right, scores, threshold),
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
        raise UserError(f"survival {survival}: a share above 0, of at least one text")
    values = np.sort(np.asarray(scores, float))[::-1]
    allowed = math.floor(survival * len(values) + 1e-9)
    if allowed >= len(values):
        return float(values[-1])
    above = values[values > values[allowed]]
    step = 10.0**-_DECIMALS
    return float(above[-1]) if len(above) else round(float(values[0]) + step, _DECIMALS)


def _share(right: Sequence[bool], scores: Sequence[float], threshold: float) -> float:
    chosen = [score for score, is_right in zip(scores, right, strict=True) if is_right]
    return round(ratio(sum(score >= threshold for score in chosen), len(chosen)), 4)


# Scoring.

# A sentence, or as much of one as is read at once.
_SENTENCE = re.compile(r"[^\s.!?。！？][^.!?。！？\n]{0,999}[.!?。！？]*[\"'”’)\]]*")


def sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence in characters; of a longer one 1,000 at a time."""
    return [match.span() for match in _SENTENCE.finditer(text)]


class Classifier:
    """A fastText model, fitted here or by anyone."""

    def __init__(
        self, path: str | Path, label: str | None = None, lists: tuple[str, ...] | None = None
    ) -> None:
        """Load a model, with its card if there is one beside it. Raises UserError.

        `label`: whose score to give, without `__label__`; default the card's. `lists`: see
        `features`, default the card's. Without either a model reads the text as it is, line breaks
        as spaces, as DCLM gives it to its own.
        """
        path = Path(path)
        self.card: dict[str, Any] = {}
        self._lists = lists
        card = card_path(path)
        if card.exists() and card != path:
            self.card = read_card(card.read_bytes(), _sha256(path), str(path)) or {}
        if self.card:
            self._lists = tuple(self.card["settings"]["lists"])
            label = label or str(self.card["label"])
        self._model = fasttext_model.load(path)
        labels = fasttext_model.labels(self._model)
        if label is None or label not in labels:
            what = (
                f"has no label `{label}`" if label else "has no card that says whose score to give"
            )
            raise UserError(f"{path}: {what}: name one of {', '.join(sorted(labels)[:20])}")
        self._label, self._count = LABEL + label, len(labels)

    def score(self, texts: list[str]) -> list[float]:
        """The label's share of each text, in [0, 1], rounded; 0 of a text without a word."""
        if self._lists is None:
            lines = [text.replace("\n", " ") for text in texts]
        else:
            lines = [features(text, self._lists) if text.strip() else "" for text in texts]
        found = [0.0] * len(lines)
        known = [at for at, line in enumerate(lines) if line.strip()]
        if known:
            labels, scores = self._model.multilinePredict(
                [lines[at] + "\n" for at in known], self._count, 0.0, "strict"
            )
            for at, names, values in zip(known, labels, scores, strict=True):
                share = dict(zip(names, values, strict=True)).get(self._label, 0.0)
                found[at] = round(min(1.0, float(share)), _DECIMALS)
        return found

    def spans(self, text: str, threshold: float) -> list[Span]:
        """The sentences that reach the threshold; of a longer one 1,000 characters at a time."""
        spans = sentences(text)
        scores = self.score([text[start:end] for start, end in spans])
        return [
            (start, end, score)
            for (start, end), score in zip(spans, scores, strict=True)
            if score >= threshold
        ]


class BadWords:
    """A list of bad words, as C4 used it: the score is how many a text has."""

    def __init__(self, language: str) -> None:
        """`language`: as in LDNOOBW's lists. Raises UserError if there is none."""
        try:
            self._pattern = pattern(language)
        except KeyError:
            raise UserError(f"bad_words:{language}: there is no list of this language") from None

    def score(self, texts: list[str]) -> list[float]:
        """How many words of the list each text has."""
        return [float(len(self._pattern.findall(text.lower()))) for text in texts]

    def spans(self, text: str, threshold: float = 1) -> list[Span]:
        """The words, if they are as many as the threshold."""
        low = text.lower()
        if len(low) != len(text):  # a few capitals are two characters in lower case
            low = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
        found = [(*match.span(), 1.0) for match in self._pattern.finditer(low)]
        return found if len(found) >= threshold else []


def need_kenlm(name: str) -> None:
    """Raise UserError if `kenlm`, which is an extra, is not installed."""
    if importlib.util.find_spec("kenlm") is None:
        raise UserError(f"{name}: needs kenlm: pip install 'gristmill[kenlm]'")


class Perplexity:
    """A KenLM model: the score is the perplexity of a text, low for text like the model's."""

    def __init__(self, path: str | Path) -> None:
        """Load an ARPA or binary model. Raises UserError, also if `kenlm` is not installed."""
        need_kenlm(str(path))
        kenlm: Any = importlib.import_module("kenlm")
        quiet = kenlm.Config()
        quiet.show_progress, quiet.arpa_complain = False, kenlm.ARPALoadComplain.NONE
        try:
            self._model = kenlm.Model(str(path), quiet)
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path}: not a KenLM model: {error}") from None

    def score(self, texts: list[str]) -> list[float]:
        """10 ** (-log10 likelihood / (words + lines)) of each text, rounded; 0 without a word.

        As CCNet's `perplexity.py` (facebookresearch/cc_net bda555b), a line is a sentence with
        its end; words are lower case, without digits and punctuation.
        """
        return [self._perplexity(list(map(words_only, text.splitlines()))) for text in texts]

    def spans(self, text: str, threshold: float) -> list[Span]:
        """The lines whose perplexity reaches the threshold."""
        spans = [match.span() for match in re.finditer(r"\S[^\n]*", text)]
        scores = [self._perplexity([words_only(text[start:end])]) for start, end in spans]
        return [
            (*span, score) for span, score in zip(spans, scores, strict=True) if score >= threshold
        ]

    def _perplexity(self, lines: list[str]) -> float:
        lines = list(filter(None, lines))
        likelihood = math.fsum(self._model.score(line) for line in lines)
        size = sum(line.count(" ") + 2 for line in lines)
        # float32 sums: a bound, for a text of nothing but unknown words
        return round(10.0 ** min(300.0, -likelihood / size), 3) if size else 0.0


def is_kenlm(name: str) -> bool:
    """Whether a file is meant to be a KenLM model: .arpa, .arpa.gz, .arpa.bin, .klm."""
    return name.endswith((".arpa", ".arpa.gz", ".arpa.bin", ".klm"))


def scorer(name: str, label: str | None = None, lists: tuple[str, ...] | None = None) -> Scorer:
    """`bad_words:LANGUAGE`, a KenLM model (`is_kenlm`), or a fastText model's path."""
    kind, colon, rest = name.partition(":")
    if kind == "bad_words" and colon:
        return BadWords(rest)
    if not is_kenlm(name):
        return Classifier(name, label, lists)
    if label is not None or lists is not None:
        raise UserError(f"{name}: a KenLM model has neither a label nor features")
    return Perplexity(name)


# Signals.


def measures(
    classifiers: Mapping[str, Spec], find: Callable[[ModelFile], Path]
) -> dict[str, Measure]:
    """The measures of a recipe's `judge.classifiers`, by `classifier.NAME`.

    `find`: where the file of a model is. A model is loaded when its first text is scored; what is
    wrong with it is told then, by UserError. The language of a view is `canonical`.
    """
    return {
        f"{FAMILY}.{name}": _measure(name, classifier, find)
        for name, classifier in classifiers.items()
    }


def formulas(name: str, classifier: Spec) -> dict[str, str]:
    """A classifier's signals, without the family, and what each is."""
    file = classifier.model.file.rpartition("/")[2]
    what = "Perplexity" if is_kenlm(file) else f"Probability of {classifier.label or 'the label'}"
    over = {
        "document": f"{what} of the text, by {file}.",
        "highest_sentence": f"{what} of the sentence that has most of it, by {file}.",
        "share_of_sentences": f"Share of sentences whose {what[0].lower()}{what[1:]}, by {file}, "
        f"is {classifier.threshold} or more.",
    }
    found = {name: over[classifier.over]}
    if classifier.cutoffs:
        found[f"{name}.bucket"] = "0 head, 1 middle, 2 tail, 3 a language without cut-offs."
    return found


def _measure(name: str, classifier: Spec, find: Callable[[ModelFile], Path]) -> Measure:
    file = classifier.model.file
    if is_kenlm(file):
        need_kenlm(file)
    of = functools.cache(
        lambda: scorer(str(find(classifier.model)), classifier.label, classifier.features)
    )

    cutoffs = {canonical(code): each for code, each in classifier.cutoffs.items()}

    def measured(view: View) -> dict[str, float]:
        score = _score(of(), classifier, view.text)
        found = {name: score}
        if cutoffs:
            found[f"{name}.bucket"] = bucket(score, view.language, cutoffs)
        return found

    library = "kenlm" if is_kenlm(file) else "fasttext"
    # both only ever rise, so that the sum is another one whichever does
    return Measure(
        FAMILY,
        VERSION + FEATURES,
        formulas(name, classifier),
        measured,
        (library,),
        by_language=bool(classifier.cutoffs),
    )


def _score(of: Scorer, classifier: Spec, text: str) -> float:
    if classifier.over == "document":
        return of.score([text])[0]
    scores = of.score([text[start:end] for start, end in sentences(text)])
    if classifier.threshold is None:
        return max(scores, default=0.0)
    return ratio(sum(score >= classifier.threshold for score in scores), len(scores))


def local_file(model: ModelFile) -> Path:
    """A model's file on this machine, checked against its checksum. Raises UserError."""
    path = Path(model.file)
    try:
        digest = _sha256(path) if model.sha256 else None
    except OSError as error:
        raise UserError(f"{model.file}: cannot be read: {error}") from None
    if digest != model.sha256:
        raise UserError(f"{model.file}: has the checksum {digest}, not {model.sha256}")
    return path
