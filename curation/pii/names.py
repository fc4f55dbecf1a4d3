"""People's names and addresses, found by a model of the user's: spaCy's, or of transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curation.pii.finding import Names
from curation.pii.spans import Span
from schemas.problems import Problem

# Labels of well-known models to Presidio's names.
_TYPES = {
    "PER": "PERSON",
    "PERSON": "PERSON",
    "LOC": "LOCATION",
    "LOCATION": "LOCATION",
    "GPE": "LOCATION",
    "FAC": "LOCATION",
    "ADDRESS": "LOCATION",
    "STREET_ADDRESS": "LOCATION",
    "ORG": "ORGANIZATION",
    "ORGANIZATION": "ORGANIZATION",
    "NORP": "NRP",
    "NRP": "NRP",
}
NAME_TYPES = frozenset(_TYPES.values())
_SURE = 0.85  # Presidio's score of what spaCy finds, which gives none
_LONGEST = 20_000  # characters that a model sees at once


def load_names(model: str, types: frozenset[str] = frozenset({"PERSON", "LOCATION"})) -> Names:
    """A model's finder of `types`. `model`: the folder of a spaCy pipeline or of a transformers
    model for token classification, or the name of a spaCy package that is installed.

    Raises Problem if there is none, or its library is not installed.
    """
    find = _transformers(model) if (Path(model) / "config.json").exists() else _spacy(model)

    def names(texts: Sequence[str]) -> list[list[Span]]:
        parts = [(index, *part) for index, text in enumerate(texts) for part in _parts(text)]
        found: list[list[Span]] = [[] for _ in texts]
        results = find([text for _, _, text in parts])
        for (index, offset, _), entities in zip(parts, results, strict=True):
            for start, end, label, score in entities:
                type_ = _TYPES.get(label.upper().split("-")[-1])
                if type_ in types and end > start:
                    found[index].append(Span(offset + start, offset + end, type_, score))
        return found

    return names


_Entity = tuple[int, int, str, float]


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """A text in parts that a model can see, cut at a line's end, else at a blank."""
    start = 0
    while len(text) - start > _LONGEST:
        end = start + _LONGEST
        cut = max(text.rfind("\n", start, end), text.rfind(" ", start + _LONGEST // 2, end)) + 1
        end = cut if cut > start else end
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def _spacy(model: str) -> Any:
    try:
        import spacy

        pipeline = spacy.load(model, exclude=["tagger", "parser", "lemmatizer", "attribute_ruler"])
    except (ImportError, OSError, ValueError) as error:
        raise Problem(
            f"{model}: holds no pipeline of spaCy ({str(error).splitlines()[0]}): give its folder, "
            "or the name of a package that is installed"
        ) from None

    def find(texts: Sequence[str]) -> Iterator[list[_Entity]]:
        for done in pipeline.pipe(texts):
            yield [(one.start_char, one.end_char, one.label_, _SURE) for one in done.ents]

    return find


def _transformers(model: str) -> Any:
    try:
        import transformers

        classify = transformers.pipeline(
            "token-classification", model=model, aggregation_strategy="simple", device="cpu"
        )
    except (ImportError, OSError, ValueError) as error:
        raise Problem(
            f"{model}: transformers cannot use it ({str(error).splitlines()[0]}): install "
            "transformers and torch, and give the folder of a model for token classification"
        ) from None

    def find(texts: Sequence[str]) -> Iterator[list[_Entity]]:
        for found in classify(list(texts)) if texts else ():
            yield [
                (int(one["start"]), int(one["end"]), one["entity_group"], float(one["score"]))
                for one in found
            ]

    return find


def libraries() -> tuple[str, ...]:
    """The libraries of models that are installed, which decide what is found."""
    return tuple(name for name in ("spacy", "torch", "transformers") if find_spec(name))
