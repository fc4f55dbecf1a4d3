"""What gives texts a score: a fastText model, a list of bad words, a KenLM model, `importance`."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any, Protocol

from curation import fasttext_model
from curation.classifiers.cards import card_path, file_sha256, read_card
from curation.classifiers.features import features
from curation.classifiers.importance import Importance, is_importance
from curation.classifiers.passages import DECIMALS, Span, lines, reaching, sentences
from curation.language import words_only
from curation.measures.bad_words import pattern
from schemas.problems import Problem


class Scorer(Protocol):
    """Gives texts a score."""

    def score(self, texts: list[str]) -> list[float]:
        """The score of each text."""

    def spans(self, text: str, threshold: float) -> list[Span]:
        """Start and end in characters, and score, of what in a text reaches the threshold."""


class Classifier:
    """A fastText model, fitted here or by anyone."""

    def __init__(
        self, path: str | Path, label: str | None = None, lists: tuple[str, ...] | None = None
    ) -> None:
        """Load a model, with its card if there is one beside it. Raises Problem.

        `label`: whose score to give, without `__label__`; default the card's. `lists`: see
        `features`, default the card's. Without either a model reads the text as it is, line breaks
        as spaces, as DCLM gives it to its own.
        """
        path = Path(path)
        self.card: dict[str, Any] = {}
        self._lists = lists
        card = card_path(path)
        if card.exists() and card != path:
            self.card = read_card(card.read_bytes(), file_sha256(path), str(path)) or {}
        if self.card:
            self._lists = tuple(self.card["settings"]["lists"])
            label = label or str(self.card["label"])
        self._model = fasttext_model.load(path)
        labels = fasttext_model.labels(self._model)
        if label is None or label not in labels:
            what = (
                f"has no label `{label}`" if label else "has no card that says whose score to give"
            )
            raise Problem(f"{path}: {what}: name one of {', '.join(sorted(labels)[:20])}")
        self._label, self._count = label, len(labels)

    def score(self, texts: list[str]) -> list[float]:
        """The label's share of each text, in [0, 1], rounded; 0 of a text without a word."""
        if self._lists is None:
            lines = [text.replace("\n", " ") for text in texts]
        else:
            lines = [features(text, self._lists) if text.strip() else "" for text in texts]
        found = fasttext_model.predict(self._model, lines, self._count)
        return [round(dict(shares).get(self._label, 0.0), DECIMALS) for shares in found]

    def spans(self, text: str, threshold: float) -> list[Span]:
        """The sentences that reach the threshold; of a longer one 1,000 characters at a time."""
        spans = sentences(text)
        return reaching(spans, self.score([text[start:end] for start, end in spans]), threshold)


class BadWords:
    """A list of bad words, as C4 used it: the score is how many a text has."""

    def __init__(self, language: str) -> None:
        """`language`: as in LDNOOBW's lists. Raises Problem if there is none."""
        try:
            self._pattern = pattern(language)
        except KeyError:
            raise Problem(f"bad_words:{language}: there is no list of this language") from None

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
    """Raise Problem if `kenlm`, which is an extra, is not installed."""
    if importlib.util.find_spec("kenlm") is None:
        raise Problem(f"{name}: needs kenlm: pip install 'gristmill[kenlm]'")


class Perplexity:
    """A KenLM model: the score is the perplexity of a text, low for text like the model's."""

    def __init__(self, path: str | Path) -> None:
        """Load an ARPA or binary model. Raises Problem, also if `kenlm` is not installed."""
        need_kenlm(str(path))
        kenlm: Any = importlib.import_module("kenlm")
        quiet = kenlm.Config()
        quiet.show_progress, quiet.arpa_complain = False, kenlm.ARPALoadComplain.NONE
        try:
            self._model = kenlm.Model(str(path), quiet)
        except (OSError, RuntimeError) as error:
            raise Problem(f"{path}: not a KenLM model: {error}") from None

    def score(self, texts: list[str]) -> list[float]:
        """10 ** (-log10 likelihood / (words + lines)) of each text, rounded; 0 without a word.

        As CCNet's `perplexity.py` (facebookresearch/cc_net bda555b), a line is a sentence with
        its end; words are lower case, without digits and punctuation.
        """
        return [self._perplexity(list(map(words_only, text.splitlines()))) for text in texts]

    def spans(self, text: str, threshold: float) -> list[Span]:
        """The lines whose perplexity reaches the threshold."""
        spans = lines(text)
        scores = [self._perplexity([words_only(text[start:end])]) for start, end in spans]
        return reaching(spans, scores, threshold)

    def _perplexity(self, texts: list[str]) -> float:
        known = list(filter(None, texts))
        likelihood = math.fsum(self._model.score(line) for line in known)
        size = sum(line.count(" ") + 2 for line in known)
        # float32 sums: a bound, for a text of nothing but unknown words
        return round(10.0 ** min(300.0, -likelihood / size), 3) if size else 0.0


def is_kenlm(name: str) -> bool:
    """Whether a file is meant to be a KenLM model: .arpa, .arpa.gz, .arpa.bin, .klm."""
    return name.endswith((".arpa", ".arpa.gz", ".arpa.bin", ".klm"))


def scorer(name: str, label: str | None = None, lists: tuple[str, ...] | None = None) -> Scorer:
    """`bad_words:LANGUAGE`, or the path of importance weights (`is_importance`), of a KenLM model
    (`is_kenlm`), or of a fastText model."""
    kind, colon, rest = name.partition(":")
    if kind == "bad_words" and colon:
        return BadWords(rest)
    if not is_kenlm(name) and not is_importance(name):
        return Classifier(name, label, lists)
    if label is not None or lists is not None:
        raise Problem(f"{name}: only a fastText model has a label and features")
    return Perplexity(name) if is_kenlm(name) else Importance(name)
