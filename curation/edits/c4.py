"""The lines that C4 removes, in the variants of those who wrote it down.

| | `c4_lines` (FineWeb) | `c4_lines_paper` | `c4_lines_code` |
|---|---|---|---|
| source | datatrove 0.10.1 | datatrove 0.10.1 | tensorflow/datasets 3e77995, the code that ran |
| end mark asked for | no | `. ? ! " '`, no `...` | `. ? ! "`, no `...` |
| words a line | 3 | 3 | 5 |
| counted | citations too | citations too | without citations |
| sentences | spaCy's | spaCy's | Punkt's |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from itertools import compress

import numpy as np

from curation.edits.edit import Edit
from curation.measures import View
from curation.measures.punkt import punkt
from curation.measures.sentences import count_by_line

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
POLICY = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
_LONGEST_WORD = 1000


@dataclass(frozen=True, slots=True)
class _Variant:
    """What differs: end marks a line must have one of (none: it need not), its least words, whether
    citations count as words, whether Punkt counts the sentences; and whose it is."""

    end_marks: tuple[str, ...]
    words: int
    cited_words: bool
    punkt: bool
    source: str

    def formulas(self) -> dict[str, str]:
        """What the signals are."""
        marks = " ".join(self.end_marks)
        asked = f"none of `{marks}` at the end, or `...`" if marks else "never, here"
        counted = "counted with citations" if self.cited_words else "counted without citations"
        whose = "Punkt's" if self.punkt else "spaCy's"
        harm = "that got as far as this check and stay in; the reference drops the page"
        return {
            "lines": "Lines (`str.splitlines`) before the edit.",
            "too_long_word": f"Lines dropped: a word of more than {_LONGEST_WORD:,} characters.",
            "no_terminal_punctuation": f"Lines dropped: {asked}.",
            "too_few_words": f"Lines dropped: under {self.words} words, {counted}.",
            "javascript": 'Lines dropped: "javascript" in any case.',
            "policy": "Lines dropped: a mention of terms of use, privacy policy or cookies.",
            "kept_lines": "Lines kept.",
            "lorem_ipsum": f'Lines with "lorem ipsum" in any case {harm}.',
            "curly_bracket": f"Lines with a `{{` {harm}. A `{{` in a line dropped earlier is none.",
            "sentences": f"Sentences ({whose}) of the lines kept, each cut on its own.",
        }


def _lines(view: View, variant: _Variant) -> tuple[View, dict[str, float]]:
    r"""Strip lines, take citations such as `[1]` out, and drop lines in this order: a word of more
    than 1,000 characters; no end mark, or `...` (if asked for); too few words; "javascript"; a
    mention of terms of use or cookies. Every dropped line is counted once.
    """
    text = view.text
    whole = (CITATION.sub("", text) if "[" in text else text).lower()
    lorem_ipsum, javascript = "lorem ipsum" in whole, "javascript" in whole
    policies = [phrase for phrase in POLICY if phrase in whole]
    count: dict[str, float] = dict.fromkeys(_SIGNALS, 0)
    count["lines"] = len(view.lines)
    kept: list[str] = []
    keeps: list[bool] = []
    chunks = view.line_chunks
    cited = False
    for line, words in zip(map(str.strip, view.lines), chunks, strict=True):
        keeps.append(False)
        if len(line) > _LONGEST_WORD and any(len(word) > _LONGEST_WORD for word in line.split()):
            count["too_long_word"] += 1
            continue
        if "[" in line:
            line, found = CITATION.subn("", line)
            cited |= found > 0
            if found and not variant.cited_words:
                words = len(line.split())
        if variant.end_marks and (not line.endswith(variant.end_marks) or line.endswith("...")):
            count["no_terminal_punctuation"] += 1
            continue
        if words < variant.words:
            count["too_few_words"] += 1
            continue
        if lorem_ipsum and "lorem ipsum" in line.lower():
            count["lorem_ipsum"] += 1
        if javascript and "javascript" in line.lower():
            count["javascript"] += 1
            continue
        if "{" in line:
            count["curly_bracket"] += 1
        if policies and any(phrase in line.lower() for phrase in policies):
            count["policy"] += 1
            continue
        kept.append(line)
        keeps[-1] = True
    count["kept_lines"] = len(kept)
    edited = "\n".join(kept).strip()
    if cited:
        chunks = [len(line.split()) for line in kept]
        after = view.edited(edited)
    else:
        of_chunk = np.repeat(np.array(keeps, np.bool_), np.array(chunks, np.int64))
        chunks = list(compress(chunks, keeps))
        after = view.edited(edited, of_chunk)
    if variant.punkt:
        count["sentences"] = sum(map(punkt().count, kept))
    else:
        count["sentences"] = count_by_line(kept, chunks, after.tokens)
    return after, count


_VARIANTS = {
    # as FineWeb ran it, `filter_no_terminal_punct=False`
    "c4_lines": _Variant(
        (),
        3,
        cited_words=True,
        punkt=False,
        source="Raffel et al. 2020, JMLR 21(140); datatrove 0.10.1, C4QualityFilter with "
        "filter_no_terminal_punct=False",
    ),
    # as the paper says
    "c4_lines_paper": _Variant(
        (".", "?", "!", '"', "'"),
        3,
        cited_words=True,
        punkt=False,
        source="Raffel et al. 2020, JMLR 21(140), section 2.2; datatrove 0.10.1, C4QualityFilter",
    ),
    # as the code does that made C4
    "c4_lines_code": _Variant(
        (".", "?", "!", '"'),
        5,
        cited_words=False,
        punkt=True,
        source="tensorflow/datasets 3e77995, text/c4_utils.py",
    ),
}
_SIGNALS = tuple(_VARIANTS["c4_lines"].formulas())


def _edit(name: str, variant: _Variant) -> Edit:
    libraries = () if variant.punkt else ("spacy",)
    lines = partial(_lines, variant=variant)
    return Edit(name, 1, variant.formulas(), lines, libraries, variant.source)


C4 = tuple(_edit(name, variant) for name, variant in _VARIANTS.items())
