"""The classifiers of a recipe as measures: their scores are the signals `classifier.NAME`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from curation.classifiers.cards import file_sha256
from curation.classifiers.features import FEATURES
from curation.classifiers.importance import is_importance
from curation.classifiers.passages import sentences
from curation.classifiers.scorers import Scorer, is_kenlm, need_kenlm, scorer
from curation.language import canonical
from curation.measures.ccnet import bucket
from curation.measures.signals import Measure, ratio
from curation.measures.view import View
from schemas.base import ModelFile
from schemas.chain import Classifier
from schemas.problems import Problem

FAMILY = "classifier"
VERSION = 2  # bump when a signal of the family changes


def measures(
    classifiers: Mapping[str, Classifier], find: Callable[[ModelFile], Path]
) -> dict[str, Measure]:
    """The measures of a recipe's `filter.classifiers`, by `classifier.NAME`.

    `find`: where the file of a model is. A model is loaded when its first text is scored; what is
    wrong with it is told then, by Problem. The language of a view is `canonical`.
    """
    return {
        f"{FAMILY}.{name}": _measure(name, classifier, find)
        for name, classifier in classifiers.items()
    }


def formulas(name: str, classifier: Classifier) -> dict[str, str]:
    """A classifier's signals, without the family, and what each is."""
    file = classifier.model.file.rpartition("/")[2]
    what = f"Probability of {classifier.label or 'the label'}"
    if is_kenlm(file):
        what = "Perplexity"
    if is_importance(file):
        what = "Importance (log of the ratio of likelihoods in the target and the source set)"
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


def _measure(name: str, classifier: Classifier, find: Callable[[ModelFile], Path]) -> Measure:
    file = classifier.model.file
    if is_kenlm(file):
        need_kenlm(file)
    of = functools.cache(
        lambda: scorer(str(find(classifier.model)), classifier.label, classifier.features)
    )

    cutoffs = {canonical(code): each for code, each in classifier.cutoffs.items()}

    def measured(views: Sequence[View]) -> list[dict[str, float]]:
        scores = _scores(of(), classifier, [view.text for view in views])
        found = [{name: score} for score in scores]
        if cutoffs:
            for each, view in zip(found, views, strict=True):
                each[f"{name}.bucket"] = bucket(each[name], view.language, cutoffs)
        return found

    library = "kenlm" if is_kenlm(file) else "numpy" if is_importance(file) else "fasttext"
    # both only ever rise, so that the sum is another one whichever does
    return Measure(
        FAMILY,
        VERSION + FEATURES,
        formulas(name, classifier),
        measured,
        (library,),
        by_language=bool(classifier.cutoffs),
        batched=True,
    )


def _scores(of: Scorer, classifier: Classifier, texts: Sequence[str]) -> list[float]:
    if classifier.over == "document":
        return of.score(list(texts))
    pieces = [[text[start:end] for start, end in sentences(text)] for text in texts]
    scores = iter(of.score([piece for own in pieces for piece in own]))
    return [_over(list(islice(scores, len(own))), classifier.threshold) for own in pieces]


def _over(scores: Sequence[float], threshold: float | None) -> float:
    """The highest score, or the share of scores that reach the threshold."""
    if threshold is None:
        return max(scores, default=0.0)
    return ratio(sum(score >= threshold for score in scores), len(scores))


def local_file(model: ModelFile) -> Path:
    """A model's file on this machine, checked against its checksum. Raises Problem."""
    path = Path(model.file)
    try:
        digest = file_sha256(path) if model.sha256 else None
    except OSError as error:
        raise Problem(f"{model.file}: cannot be read: {error}") from None
    if digest != model.sha256:
        raise Problem(f"{model.file}: has the checksum {digest}, not {model.sha256}")
    return path
