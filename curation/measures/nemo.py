r"""The measures of NeMo Curator's heuristic filters.

Source: NVIDIA-NeMo/Curator 1e2e4275, `stages/text/filters/heuristic`. Words are chunks between
white space, lines stand between `\n` and are not blank, paragraphs between `\n\n`. Shares of
nothing are the ones that fail, where the reference raises ZeroDivisionError too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from curation.measures.ngrams import Repeated, repeated
from curation.measures.signals import Measure, ratio
from curation.measures.tokens import Tokens
from curation.measures.view import View
from curation.measures.words import ELLIPSES, MOSTLY_SYMBOLS, STOP_WORD, UNICODE_ALPHABETIC

_URL = re.compile(r"https?://[a-zA-Z0-9._/?=&#~:@$+!*(),%-]+")
_BULLETS = tuple("•‣⁃⁌⁍∙○●◘◦⦾⦿")
_END_MARKS = (".", "?", "!", '"', "'")
# The reference lists three notices in full length, which are known by their first words here.
_POLICY = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "privacy overview",
    "use of cookies",
    "use cookies",
    "privacy & cookies policy",
    "privacy and cookies policy",
    "necessary cookies are absolutely essential for the website to",
    "any cookies that may not be particularly necessary for the website to function and is used",
    "if you continue to browse this site without changing your cookie",
)
_OTHER = np.ones(128, np.bool_)  # what is neither of a-z, A-Z, 0-9, line end, `? ! , .`
_OTHER[[c for c in range(128) if chr(c).isalnum() or chr(c) in "\n?!,."]] = False
_BLANK = np.zeros(128, np.bool_)
_BLANK[[ord(mark) for mark in "\t\n\r\b "]] = True
_DIGIT = np.zeros(128, np.bool_)
_DIGIT[ord("0") : ord("9") + 1] = True
_TOP = (2, 3, 4)


def nemo(view: View) -> dict[str, float]:
    """The scores by the reference's names.

    Of several most frequent n-grams the first counts; in the reference Python's hash seed decides.
    """
    text, size = view.text, len(view.text)
    ascii_codes = np.minimum(view.codes, 127)
    high = view.codes > 126
    other = int(np.count_nonzero(_OTHER[ascii_codes] | high))
    blank = int(np.count_nonzero(_BLANK[ascii_codes] & ~high))
    digits = int(np.count_nonzero(_DIGIT[ascii_codes]))
    words = view.cut("space")
    lines = [row for row in view.rows if row and not row.isspace()]
    stripped = list(map(str.strip, lines))
    paragraphs = text.split("\n\n")
    found = {
        "alpha_numeric": other / size if size else 1.0,
        "symbol_to_word": _share(words.amount(MOSTLY_SYMBOLS), len(words), 1.0),
        "numbers_ratio": digits / size if size else 1.0,
        "urls_ratio": sum(map(len, _URL.findall(text))) / size if size else 1.0,
        "white_space": blank / size if size else 1.0,
        "parentheses_ratio": sum(map(text.count, "{}⟨⟩[]()")) / size if size else 1.0,
        "boilerplate_string_ratio": _boilerplate(text, paragraphs),
        "repeated_lines": ratio(len(set(lines)), len(lines)),
        "repeated_paragraphs": ratio(len(set(paragraphs)), len(paragraphs)),
        "repeated_lines_char": ratio(_characters(set(lines)), _characters(lines)),
        "repeated_paragraphs_char": ratio(_characters(set(paragraphs)), _characters(paragraphs)),
        "word_count": len(words),
        "punctuation": _share(
            sum(not line.endswith(_END_MARKS) for line in stripped), len(lines), 1.0
        ),
        "words_without_alphabets": ratio(words.amount(UNICODE_ALPHABETIC), len(words)),
        "common_english_words": words.amount(STOP_WORD),
        "mean_word_length": ratio(int(words.lengths.sum()), len(words)),
        "max_word_length": int(words.lengths.max()) if len(words) else 1001,
        "ellipsis": _share(
            sum(line.lower().endswith(ELLIPSES) for line in stripped), len(lines), 1.0
        ),
        "bullet_ratio": _share(
            sum(line.startswith(_BULLETS) for line in stripped), len(lines), 1.0
        ),
    }
    return found | _ngrams(view, words)


def _share(part: int, whole: int, nothing: float) -> float:
    return part / whole if whole else nothing


def _characters(pieces: Sequence[str] | set[str]) -> int:
    return sum(map(len, pieces))


def _boilerplate(text: str, paragraphs: list[str]) -> float:
    lower = text.lower()
    if "lorem ipsum" in lower and any("lorem ipsum" in piece.lower() for piece in paragraphs):
        return 1.0
    phrases = [phrase for phrase in _POLICY if phrase in lower]
    if not phrases:
        return 0.0
    lowered = (paragraph.lower() for paragraph in paragraphs)
    found = sum(any(phrase in piece for phrase in phrases) for piece in lowered)
    return found / len(paragraphs)


def _ngrams(view: View, words: Tokens) -> dict[str, float]:
    found = {}
    size = len(view.text)
    for item in repeated(words.ids):
        n = item.n
        name = f"repeating_top_{n}grams" if n in _TOP else f"repeating_dup_{n}gram"
        if len(words) < n:
            found[name] = 1.0
        elif n in _TOP:
            first = 0
            if len(item.places):
                first = int(item.places[(item.counts == item.counts.max()).argmax()])
            gram = " ".join(view.chunks[first : first + n])
            found[name] = view.text.count(gram) * len(gram) / size
        else:
            found[name] = _again(item, words) / size
    return found


def _again(item: Repeated, words: Tokens) -> int:
    if not len(item.places):
        return 0
    _, firsts = np.unique(item.groups, return_index=True)
    places = np.delete(item.places, firsts)
    inside = np.zeros(len(words) + 1, np.int32)
    inside[places] += 1
    inside[places + item.n] -= 1
    covered = np.cumsum(inside)[:-1] > 0
    runs = 1 + int(np.count_nonzero(np.diff(places) >= item.n))
    return int(words.lengths[covered].sum()) + int(covered.sum()) - runs


NEMO = (
    Measure(
        "nemo",
        1,
        {
            "alpha_numeric": r"Share of characters that are none of a-z, A-Z, 0-9, `\n` and "
            "`? ! , .`; 1 of an empty text.",
            "symbol_to_word": "Share of words (between white space) that are mostly symbols; 1 "
            "without words.",
            "numbers_ratio": "Share of characters that are 0-9; 1 of an empty text.",
            "urls_ratio": "Share of characters that are in addresses (`http://`, `https://`); 1 of "
            "an empty text.",
            "white_space": r"Share of characters that are a blank, `\t`, `\n`, `\r` or `\b`; 1 of "
            "an empty text.",
            "parentheses_ratio": "Share of characters that are one of `{}⟨⟩[]()`; 1 of an empty "
            "text.",
            "boilerplate_string_ratio": r"Share of paragraphs (between `\n\n`) with a phrase on "
            'terms of use or cookies; 1 if one has "lorem ipsum".',
            "repeated_lines": "Distinct lines / lines (not blank): less is worse.",
            "repeated_paragraphs": r"Distinct paragraphs / paragraphs (between `\n\n`): less is "
            "worse.",
            "repeated_lines_char": "Characters of the distinct lines / those of all lines (not "
            "blank): less is worse.",
            "repeated_paragraphs_char": r"Characters of the distinct paragraphs / those of all "
            r"(between `\n\n`): less is worse.",
            "word_count": "Words (between white space).",
            "punctuation": "Share of lines (not blank) that end with none of `. ? ! \" '`; 1 "
            "without lines.",
            "words_without_alphabets": "Share of words (between white space) with a letter.",
            "common_english_words": "Occurrences of the, be, to, of, and, that, have, with, as "
            "written here.",
            "mean_word_length": "Mean characters of the words (between white space).",
            "max_word_length": "Characters of the longest word (between white space); 1,001 "
            "without words.",
            "ellipsis": "Share of lines (not blank) that end with an ellipsis; 1 without lines.",
            **{
                f"repeating_top_{n}grams": f"Characters of the most frequent run of {n} words "
                "(between white space), the first of several, x its occurrences anywhere in the "
                f"text / characters of the text; 1 under {n} words."
                for n in _TOP
            },
            **{
                f"repeating_dup_{n}gram": f"Characters of runs of {n} words (between white space) "
                "that occurred before, blanks between them too / characters of the text; 1 under "
                f"{n} words."
                for n in range(5, 11)
            },
            "bullet_ratio": "Share of lines (not blank) that start with one of `•‣⁃⁌⁍∙○●◘◦⦾⦿`; 1 "
            "without lines.",
        },
        nemo,
        ("regex",),
        "NVIDIA-NeMo/Curator 1e2e4275, stages/text/filters/heuristic",
    ),
)
