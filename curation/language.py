"""The language of a text, by a fastText model such as lid.176, and by a second one where it is
unsure.

Accuracy, by language and by length, and the second model's data: curation/models/README.md.
"""

from __future__ import annotations

import copy
import functools
import math
import re
from collections.abc import Callable, Collection
from importlib import resources
from pathlib import Path

from curation.fasttext_model import Model, labels, load, predict, without_marks
from schemas.base import ModelFile
from schemas.extract import LANGUAGE_MODEL, Extract
from schemas.problems import Problem, close_to

UNDETERMINED = "und"  # ISO 639-2

FIRST = LANGUAGE_MODEL
SECOND = "lid.75.ftz"

# A language and its score in [0, 1].
Opinion = tuple[str, float]

# The second is asked below this score, and whenever lid.176 names one of the languages that it
# takes for each other whatever its score. It is above the score on 19 of 20 pages of English.
_SURE = 0.8
_CONFUSED = frozenset({"bs", "da", "hr", "id", "ms", "nn", "no", "sh", "sr"})
# The combined score of a language is (p1 + _FLOOR) * (p2 + _FLOOR_2) ** w, normalised at the end;
# w is n / (n + _HALF) for n characters, as the second is too sure of single words.
# Of a language that lid.176 does not know or hardly ever finds (it finds 3% of Yoruba sentences,
# 8% of Somali), p1 is _BLIND at least; of one that the second does not know, p2 is _OUTSIDE.
_FLOOR, _FLOOR_2, _BLIND, _OUTSIDE = 0.01, 0.001, 0.2, 0.5
_HALF = 10
_HARDLY_FOUND = frozenset({"so", "yo"})
# lid.176 writes Bokmål as Norwegian, and what could be any of three as Serbo-Croatian.
_MEANS = {"no": ("nb",), "sh": ("bs", "hr", "sr")}
_TOP = 5
# The second opinion reads this many characters, from the middle.
_READ = 1_000

# Of n characters a score counts n / (n + _FEW), up to _SHORT of them: of parts of held-out
# sentences about as many answers as that were right. Where lid.176 itself gives a language less
# than _HALF_SURE, a score is n / (n + _UNSURE) at most: names and single words are most like
# small languages that lid.176 does not know.
_SHORT, _FEW, _HALF_SURE, _UNSURE = 30, 2, 0.5, 30
_SAMPLE = 64  # characters, of which few are capitals in nearly every text

_NO_WORD = re.compile(r"[^\w\s'’ʻ-]|\d+")


def words_only(text: str) -> str:
    """What the second model reads: lower case, no digits, no punctuation, one line."""
    return " ".join(_NO_WORD.sub(" ", text.lower()).split())


def _one_line(text: str) -> str:
    """What the models read of a text: a line without marks of fastText's, capitals in lower case.

    That is a text more than half of whose letters are capitals.
    """
    line = without_marks(text.replace("\n", " "))
    some = line[:: len(line) // _SAMPLE + 1]
    if 4 * sum(map(str.isupper, some)) <= len(some):
        return line
    if sum(map(str.isupper, line)) > sum(map(str.islower, line)):
        return line.lower().replace("i\u0307", "i")  # of a Turkish capital with a dot
    return line


def bundled(name: str) -> Path:
    """A model file that is shipped with the package: `lid.176.ftz` or `lid.75.ftz`."""
    return Path(str(resources.files("curation").joinpath("models", name)))


@functools.cache
def _short_codes() -> dict[str, str]:
    pairs = resources.files("curation").joinpath("models/iso-639.txt").read_text("utf-8").split()
    return {long: short for short, *longs in (pair.split(":") for pair in pairs) for long in longs}


def canonical(code: str) -> str:
    """The code of a language in ISO 639-1 if it has one there, else as it is, in lower case.

    `eng`, `eng_Latn` (GlotLID) and `en-GB` are `en`; what is nearly always meant by the two
    letters of several languages has them: `arb` is `ar`, `cmn` `zh`, `zsm` `ms`. `no` is `nb`.
    Source: the aliases of Unicode CLDR 47, which it departs from for `nb`, `sh` and `tl`.
    """
    first = re.split(r"[-_]", code, maxsplit=1)[0].lower()
    return _short_codes().get(first, first)


def is_asked(code: str, score: float) -> bool:
    """Whether the second model is asked where lid.176 says this."""
    return code != UNDETERMINED and (score < _SURE or code in _CONFUSED)


def closest(code: str, codes: Collection[str]) -> str:
    """`; did you mean ...?` with what a model that has these codes may call a language."""
    # `english` begins as its three letters do, which are those of most languages
    meant = {canonical(code), canonical(code[:3]), *_MEANS.get(code, ())}
    same = {each for each in codes if canonical(each) in meant}
    return close_to(code, same, least=0) or close_to(code, codes, least=0.4)


def languages_of(options: Extract, find: Callable[[ModelFile], Path]) -> Languages | None:
    """The models that a recipe's `extract` names, if it names any; `find` gives the files.

    Raises Problem.
    """
    first, second = options.language_model, options.second_opinion
    if first is None:
        return None
    return Languages(find(first), None if second is None else find(second))


class Languages:
    """A language model, or two."""

    def __init__(self, model_path: str | Path, second: str | Path | None = None) -> None:
        """Load the model. Raises Problem if a file is not a fastText model, or damaged.

        `second`: lid.75.ftz, which is asked where lid.176 is unsure; `model_path` is then
        lid.176.ftz or .bin, for which the combination is made.
        """
        self._model = load(model_path)
        self._second: Model | None = None
        self.codes = labels(self._model)
        """Every code that a best opinion may have, as the models write it."""
        if second is not None:
            if "sh" not in self.codes:
                raise Problem(
                    f"{model_path}: a second opinion goes with lid.176 only; leave one out"
                )
            self._second = load(second)
            self._known = labels(self._second)
            self._blind = tuple(
                sorted((self._known - self.codes - set(_MEANS["no"])) | _HARDLY_FOUND & self._known)
            )
            self.codes = (self.codes | self._known) - set(_MEANS)

    @functools.cached_property
    def first(self) -> Languages:
        """The first model alone, which is not loaded again."""
        if self._second is None:
            return self
        alone = copy.copy(self)
        alone._second, alone.codes = None, labels(self._model)
        return alone

    def finds(self, code: str) -> bool:
        """Whether a text in this language is named so, or by what the model writes for it."""
        meant = [each for name in _MEANS if name in self.codes for each in _MEANS[name]]
        hardly = _HARDLY_FOUND if self._second is None else ()
        return (code in self.codes or code in meant) and code not in hardly

    def identify(self, texts: list[str]) -> list[Opinion]:
        """Name the language of each text: its code, as the model has it, and a score in [0, 1].

        A text without a word is ("und", 0.0). Line breaks count as spaces, as in FineWeb; a text
        in capitals is read in lower case.
        """
        return [opinions[0] for opinions in self.opinions(texts, 1)]

    def opinions(self, texts: list[str], count: int = 3) -> list[list[Opinion]]:
        """The `count` likeliest languages of each text, best first: 1 to `count` of each.

        Scores of one model are its own. Two models' combined scores add up to 1 over at most 10
        languages, of a short text to less; they are rounded to 4 decimals.
        """
        lines = list(map(_one_line, texts))
        found = _predict(self._model, lines, max(count, _TOP) if self._second else count)
        if self._second:
            unsure = [at for at, ((code, score), *_) in enumerate(found) if is_asked(code, score)]
            asked = [words_only(_middle(lines[at])) for at in unsure]
            others = _predict(self._second, asked, max(count, _TOP))
            own = list(found)
            for at, read, opinions in zip(unsure, asked, others, strict=True):
                if read:
                    weight = len(read) / (len(read) + _HALF)
                    found[at] = self._combined(dict(found[at]), dict(opinions), weight)
            found = list(map(_tempered, found, own, lines))
        return [opinions[:count] for opinions in found]

    def paragraphs(self, text: str, count: int = 1) -> list[tuple[int, int, list[Opinion]]]:
        """Start, end and opinions of each line of a text that is not blank, in characters."""
        spans = [match.span() for match in re.finditer(r"\S[^\n]*", text)]
        found = self.opinions([text[start:end] for start, end in spans], count)
        return [(start, end, each) for (start, end), each in zip(spans, found, strict=True)]

    def _combined(
        self, first: dict[str, float], second: dict[str, float], weight: float
    ) -> list[Opinion]:
        shares = dict.fromkeys(second, 0.0)
        for code, score in first.items():
            meant = _MEANS.get(code, (code,))
            for each in meant:
                shares[each] = shares.get(each, 0.0) + score / len(meant)
        scores = {}
        for code, share in shares.items():
            one = max(share, _BLIND) if code in self._blind else share + _FLOOR
            two = second.get(code, 0.0) + _FLOOR_2 if code in self._known else _OUTSIDE
            scores[code] = one * two**weight
        total = math.fsum(scores.values())
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        return [(code, round(score / total, 4)) for code, score in best]


def _tempered(found: list[Opinion], own: list[Opinion], line: str) -> list[Opinion]:
    """Opinions of two models with scores as low as the text is short; `own`: those of the first."""
    best, score = found[0]
    share = sum(score for code, score in own if best in _MEANS.get(code, (code,)))
    if share >= _HALF_SURE and len(line) > 3 * _SHORT:
        return found
    size = len(words_only(line))
    most = 1.0 if share >= _HALF_SURE else size / (size + _UNSURE)
    factor = min(
        1.0, size / (size + _FEW) * (_SHORT + _FEW) / _SHORT, most / max(score, most, 1e-9)
    )
    return found if factor == 1 else [(code, round(score * factor, 4)) for code, score in found]


def _predict(model: Model, lines: list[str], count: int) -> list[list[Opinion]]:
    """The likeliest labels of each line; `und` alone of one without a word."""
    return [opinions or [(UNDETERMINED, 0.0)] for opinions in predict(model, lines, count)]


def _middle(text: str) -> str:
    start = max(0, (len(text) - _READ) // 2)
    return text[start : start + _READ]
