"""`gristmill language`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.commands.options import No, add_texts, map_rows, tell
from pipelines.commands.parsing import Add
from schemas.problems import Problem

if TYPE_CHECKING:
    from curation.language import Languages, Opinion
    from pipelines.runs.rows import Row


def add_language(add: Add) -> None:
    """Add `language` with its options."""
    language = add(
        "language",
        "Name the languages of texts: files in, JSON lines or Parquet out.",
        "gristmill language pages.jsonl --output languages.parquet --threshold en=.65",
        _language,
    )
    add_texts(language, "id, language, language_score, runners_up, passes, paragraphs")
    language.add_argument(
        "--model",
        default="both",
        help="both (default: lid.176, and a second opinion where it is unsure), lid.176 alone, or "
        "a fastText model's file, such as GlotLID's",
    )
    language.add_argument("--top", type=int, default=3, help="languages of a text (default 3)")
    language.add_argument("--paragraphs", action="store_true", help="also name that of each line")
    language.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="[LANG=]SCORE",
        help="say whether the score exceeds this, of one language or of all others",
    )
    language.add_argument(
        "--expected",
        metavar="COLUMN",
        help="the column that says the true language: print the accuracy, by language and length",
    )


def model_of(name: str) -> Languages:
    """`both`: lid.176 and the second opinion; `lid.176` alone; or a fastText model's path."""
    from curation.language import FIRST, SECOND, Languages, bundled

    if name == "both":
        return Languages(bundled(FIRST), bundled(SECOND))
    return Languages(bundled(FIRST) if name == "lid.176" else name)


def _language(options: argparse.Namespace) -> int:
    import pyarrow as pa

    from curation.accuracy import Accuracy
    from curation.language import canonical, closest
    from curation.readers.rows import value_of

    opinion = [pa.field("language", pa.string(), False), pa.field("score", pa.float64(), False)]
    span = [pa.field("start", pa.int64(), False), pa.field("end", pa.int64(), False)]
    fields = [
        pa.field("language", pa.string(), False),
        pa.field("language_score", pa.float64(), False),
        pa.field("runners_up", pa.list_(pa.struct(opinion)), False),
        # whether the score exceeds the language's threshold; null if none was given
        pa.field("passes", pa.bool_()),
        # of each line of the text, in characters; null if not asked for
        pa.field("paragraphs", pa.list_(pa.struct([*span, *opinion]))),
    ]
    if options.top < 1:
        raise Problem("1 or more", f"top {options.top}")
    thresholds = {}
    for asked in options.threshold:
        code, _, score = asked.rpartition("=")
        try:
            thresholds[canonical(code) if code else ""] = float(score)
        except ValueError:
            raise Problem("write .65 or LANGUAGE=.65", f"threshold {asked}") from None
    languages = model_of(options.model)
    for code in filter(None, thresholds):
        if code not in map(canonical, languages.codes):
            meant = closest(code, languages.codes)
            raise Problem(f"the model names no such language{meant}", f"threshold {code}")
    accuracy = Accuracy()
    named: Counter[str] = Counter()

    def name(batch: list[Row]) -> Iterator[dict[str, Any] | No]:
        found = languages.opinions([row.text for row in batch], options.top)
        for row, (best, *others) in zip(batch, found, strict=True):
            code, score = best
            if options.expected:
                said = value_of(row.values, options.expected)
                accuracy.add(said and str(said), code, len(row.text))
            passes = _passes(best, thresholds)
            if passes is False and options.rejected:
                yield No("language_score", f"{code} {score:g}")
                continue
            named[code] += 1
            yield {
                "language": code,
                "language_score": score,
                "runners_up": list(map(_opinion, others)),
                "passes": passes,
                "paragraphs": _paragraphs(languages, row.text) if options.paragraphs else None,
            }

    def check() -> None:
        if options.expected and not accuracy.of:
            raise Problem("no row has a language in such a column", f"expected {options.expected}")

    lost = map_rows("language", options, fields, name, finish=check)
    if not options.quiet:
        tell(named + lost)
    if options.expected:
        print(accuracy.summary(), file=sys.stderr)
    return 0


def _opinion(opinion: Opinion) -> dict[str, Any]:
    return {"language": opinion[0], "score": opinion[1]}


def _passes(best: Opinion, thresholds: Mapping[str, float]) -> bool | None:
    """Nothing passes in a language without a threshold, if there are none for the others."""
    from curation.language import UNDETERMINED, canonical

    if not thresholds or best[0] == UNDETERMINED:
        return False if thresholds else None
    threshold = thresholds.get(canonical(best[0]), thresholds.get(""))
    return threshold is not None and best[1] > threshold


def _paragraphs(languages: Languages, text: str) -> list[dict[str, Any]]:
    return [
        {"start": start, "end": end, **_opinion(best)}
        for start, end, (best, *_) in languages.paragraphs(text)
    ]
