# cython: language_level=3
"""The words of spaCy's blank English pipeline, which datatrove and so FineWeb count by. Compiled.

The rules are spaCy's own (`English.Defaults`). Only the walk over a chunk, a piece of text
without white space, is ours: spaCy searches the rest of a chunk again for every mark it takes
off an end, so that a thousand brackets cost it a quarter of a second. Here an end is matched in
a window, and the time grows with the length of the chunk. The words are the same.

What the rules make of a mark between others is asked once and kept by the classes of the
characters: a letter of `a-z`, one of `A-Z`, a digit of `0-9`, each of `MARKS`, and any other
character, beside which the rules are asked every time. That holds because, of the characters of
these classes,

- a mark is taken off the start of a chunk whatever follows it, save `.` and `+`;
- a mark is taken off the end of a chunk whatever stands before it, save `$`, `%`, `+` and `.`,
  and of what stands before a `.` two characters decide;
- nothing that starts with a letter or digit is taken off the start but a currency (`US$`), and
  nothing that ends with one off the end but units after a digit (`km/h`) and `'s`;
- whether a mark inside cuts is decided by the characters beside it, unless one is the same mark;
- letters of one case are alike in all this, and so are digits.

Two differences are known, both outside anything seen in real pages. spaCy's special cases
(`:)`, `10a.m.`) also match across one blank, where they change nothing themselves but can keep
an overlapping special case from being found; here a chunk never sees its neighbours. And a URL
of more than 1,024 characters is cut as if it were none, because spaCy's pattern for URLs takes
quadratic time.
"""

import functools
import re
import string
from itertools import groupby, pairwise

from cpython.unicode cimport PyUnicode_DATA, PyUnicode_KIND
from libc.stdint cimport uint8_t
from libc.string cimport memset

from curation.imports import only_spacys_rules

cdef extern from "Python.h":
    Py_UCS4 PyUnicode_READ(int kind, const void* data, Py_ssize_t index) nogil
    bint Py_UNICODE_ISALPHA(Py_UCS4 ch) nogil

# No mark that a prefix or suffix rule takes off is longer than this, with what it looks at
# around it, except a run of dots.
cdef enum:
    WINDOW = 8

LONGEST_URL = 1024
MARKS = string.punctuation + "“”‘’„«»—–"

# Classes of characters; each of MARKS is a class, from FIRST_MARK.
cdef enum:
    OTHER = 0
    NOTHING = 1  # before the first and behind the last
    LOWER = 2
    UPPER = 3
    DIGIT = 4
    FIRST_MARK = 5
    CLASSES = 64
    CODES = 0x2040  # a character from here on is OTHER

# What a rule makes of a mark.
cdef enum:
    UNASKED = 0
    STAYS = 1
    GOES = 2  # it alone
    ASK = 3  # other characters have a say


def _one_of(rules):
    """One expression for a list of rules, the first that matches wins. Neighbours of one
    character become a class, because trying a hundred rules at every place takes the time."""
    branches = []
    filled = filter(str.strip, map(str, rules))
    for single, group in groupby(filled, lambda rule: len(rule.lstrip("\\")) == 1):
        if single:
            branches.append("[" + "".join(re.escape(rule[-1]) for rule in group) + "]")
        else:
            branches.extend(group)
    return "(?:" + "|".join(branches) + ")"


cdef class English:
    """Splits a chunk into words as `spacy.blank("en")` does."""

    cdef object _prefix, _suffix, _infix, _url
    cdef dict _special, _cut
    cdef set _cut_firsts
    cdef Py_ssize_t _longest_special
    cdef list _of_class  # a character of each class
    cdef uint8_t[CODES] _classes
    cdef uint8_t[CLASSES] _first  # of a mark at the start
    cdef uint8_t[CLASSES] _last  # of a mark at the end
    cdef uint8_t[CLASSES][CLASSES] _last_dot  # of a `.` at the end, by the two before it
    cdef uint8_t[CLASSES][CLASSES][CLASSES] _inside  # of the one between

    def __init__(self):
        """Take over spaCy's rules."""
        with only_spacys_rules():
            from spacy.lang.en.punctuation import TOKENIZER_INFIXES
            from spacy.lang.en.tokenizer_exceptions import TOKENIZER_EXCEPTIONS
            from spacy.lang.punctuation import TOKENIZER_PREFIXES, TOKENIZER_SUFFIXES
            from spacy.lang.tokenizer_exceptions import URL_MATCH
            from spacy.symbols import ORTH

        self._prefix = re.compile(_one_of(TOKENIZER_PREFIXES))
        self._suffix = re.compile(_one_of(TOKENIZER_SUFFIXES) + "$")
        self._infix = re.compile(_one_of(TOKENIZER_INFIXES))
        self._url = URL_MATCH
        self._special = {
            chunk: [str(word[ORTH]) for word in words]
            for chunk, words in TOKENIZER_EXCEPTIONS.items()
        }
        self._longest_special = max(map(len, self._special))
        self._tabulate()
        # special cases that the rules above would cut: looked for in what they have cut
        self._cut = {}  # by their first two pieces
        for chunk in self._special:
            pieces = self._split(chunk, False)
            if len(pieces) > 1:
                self._cut.setdefault((pieces[0], pieces[1]), []).append(pieces)
        self._cut_firsts = {first for first, _ in self._cut}

    cdef _tabulate(self):
        cdef int code
        self._of_class = ["", "", "a", "A", "0", *MARKS]
        memset(self._classes, OTHER, sizeof(self._classes))
        for code in range(26):
            self._classes[97 + code], self._classes[65 + code] = LOWER, UPPER
        for code in range(10):
            self._classes[48 + code] = DIGIT
        memset(self._first, ASK, sizeof(self._first))
        memset(self._last, ASK, sizeof(self._last))
        memset(self._last_dot, UNASKED, sizeof(self._last_dot))
        memset(self._inside, UNASKED, sizeof(self._inside))
        for code, mark in enumerate(MARKS, FIRST_MARK):
            self._classes[ord(mark)] = code
            if mark not in ".+":
                self._first[code] = GOES if self._prefix.match(mark) else STAYS
            if mark not in "$%+.":
                self._last[code] = GOES if self._suffix.search(mark) else STAYS

    def words(self, str chunk not None):
        """The words of a chunk, which holds no white space; joined they are the chunk."""
        special = self._special.get(chunk)
        if special is not None:
            return special
        pieces = self._split(chunk, True)
        return self._mend(pieces) if len(pieces) > 1 else pieces

    cdef inline int _class(self, Py_UCS4 character) noexcept:
        return self._classes[character] if character < CODES else OTHER

    cdef bint _is_special(self, str chunk, Py_ssize_t start, Py_ssize_t end) except -1:
        return end - start <= self._longest_special and chunk[start:end] in self._special

    cdef Py_ssize_t _prefix_length(self, str chunk, Py_ssize_t start, Py_ssize_t end) except -1:
        cdef int kind = PyUnicode_KIND(chunk), its
        cdef const void* data = PyUnicode_DATA(chunk)
        cdef Py_UCS4 first = PyUnicode_READ(kind, data, start)
        cdef Py_ssize_t at
        its = self._class(first)
        if its >= FIRST_MARK:
            if self._first[its] != ASK:
                return self._first[its] == GOES
        elif its == DIGIT or Py_UNICODE_ISALPHA(first):
            for at in range(start + 1, min(end, start + WINDOW)):
                if PyUnicode_READ(kind, data, at) == "$":
                    break
            else:
                return 0
        near = chunk[start : min(end, start + WINDOW)]
        match = self._prefix.match(near)
        if match is not None and match.end() == WINDOW < end - start:  # a long run of dots
            match = self._prefix.match(chunk[start:end])
        return match.end() if match is not None else 0

    cdef Py_ssize_t _suffix_length(self, str chunk, Py_ssize_t start, Py_ssize_t end) except -1:
        cdef int kind = PyUnicode_KIND(chunk), its, before, two
        cdef const void* data = PyUnicode_DATA(chunk)
        cdef Py_UCS4 character
        cdef Py_ssize_t at
        cdef uint8_t known
        if start == end:
            return 0
        character = PyUnicode_READ(kind, data, end - 1)
        its = self._class(character)
        if its == DIGIT:
            return 0
        if its >= FIRST_MARK:
            if self._last[its] != ASK:
                return self._last[its] == GOES
            if character == ".":
                before = two = NOTHING
                if end - 2 >= start:
                    before = self._class(PyUnicode_READ(kind, data, end - 2))
                if end - 3 >= start:
                    two = self._class(PyUnicode_READ(kind, data, end - 3))
                if before != OTHER and two != OTHER:
                    known = self._last_dot[two][before]
                    if known == UNASKED:
                        known = self._asked_of_dot(two, before)
                    if known != ASK:
                        return known == GOES
        else:
            for at in range(end - 1, max(start, end - WINDOW) - 1, -1):
                character = PyUnicode_READ(kind, data, at)
                if not Py_UNICODE_ISALPHA(character):
                    its = self._class(character)
                    if its < FIRST_MARK or character in "'’/":
                        break
                    return 0
            else:
                return 0
        near = chunk[max(start, end - WINDOW) : end]
        match = self._suffix.search(near)
        if match is not None and match.end() - match.start() == WINDOW < end - start:
            match = self._suffix.search(chunk[start:end])
        return match.end() - match.start() if match is not None else 0

    cdef uint8_t _asked_of_dot(self, int two, int before) except 255:
        match = self._suffix.search(f"{self._of_class[two]}{self._of_class[before]}.")
        if match is None:
            self._last_dot[two][before] = STAYS
        else:
            self._last_dot[two][before] = GOES if len(match.group()) == 1 else ASK
        return self._last_dot[two][before]

    cdef list _split(self, str chunk, bint special):
        """spaCy's `_split_affixes` and `_attach_tokens`: marks off both ends, then the rest."""
        cdef Py_ssize_t start = 0, end = len(chunk), prefix, suffix
        cdef list before = [], after = []
        while start < end and not (special and self._is_special(chunk, start, end)):
            prefix = self._prefix_length(chunk, start, end)
            if prefix and special and self._is_special(chunk, start + prefix, end):
                before.append(chunk[start : start + prefix])
                start += prefix
                break
            suffix = self._suffix_length(chunk, start + prefix, end)
            if suffix and special and self._is_special(chunk, start, end - suffix):
                after.append(chunk[end - suffix : end])
                end -= suffix
                break
            if not prefix and not suffix:
                break
            if prefix:
                before.append(chunk[start : start + prefix])
            if suffix:
                after.append(chunk[end - suffix : end])
            start, end = start + prefix, end - suffix
        if start < end:
            self._rest(before, chunk[start:end], special)
        after.reverse()
        return before + after if after else before

    cdef int _rest(self, list into, str rest, bint special) except -1:
        """Add the words of what is left between the marks."""
        cdef int kind = PyUnicode_KIND(rest), its, before, behind
        cdef const void* data = PyUnicode_DATA(rest)
        cdef Py_ssize_t at, start = 0, size = len(rest)
        cdef bint letters = True, dots = False, known = True
        cdef Py_UCS4 character
        cdef uint8_t cut
        if special and rest in self._special:
            into.extend(self._special[rest])
            return 0
        for at in range(size):
            character = PyUnicode_READ(kind, data, at)
            letters = letters and Py_UNICODE_ISALPHA(character)
            dots = dots or character == "."
        if letters:  # every rule needs something else
            into.append(rest)
            return 0
        # spaCy knows no URL without a dot
        if dots and size <= LONGEST_URL and self._url is not None and self._url(rest):
            into.append(rest)
            return 0
        cdef Py_ssize_t many = len(into)
        before, its = NOTHING, self._class(PyUnicode_READ(kind, data, 0))
        for at in range(size):
            behind = NOTHING
            if at + 1 < size:
                behind = self._class(PyUnicode_READ(kind, data, at + 1))
            if its >= FIRST_MARK:
                cut = ASK
                if before != OTHER and behind != OTHER and its != before and its != behind:
                    cut = self._inside[before][its][behind]
                    if cut == UNASKED:
                        cut = self._asked_of_inside(before, its, behind)
                if cut == ASK:
                    known = False
                    break
                if cut == GOES and at:
                    if start < at:
                        into.append(rest[start:at])
                    into.append(rest[at : at + 1])
                    start = at + 1
            elif its == OTHER and not Py_UNICODE_ISALPHA(PyUnicode_READ(kind, data, at)):
                known = False
                break
            before, its = its, behind
        if not known:
            del into[many:]
            start = 0
            for match in self._infix.finditer(rest):
                if match.start() == 0:
                    continue
                if start < match.start():
                    into.append(rest[start : match.start()])
                into.append(match.group())
                start = match.end()
        if start < size:
            into.append(rest[start:])
        return 0

    cdef uint8_t _asked_of_inside(self, int before, int its, int behind) except 255:
        place = 0 if before == NOTHING else 1
        found = STAYS
        text = f"{self._of_class[before]}{self._of_class[its]}{self._of_class[behind]}"
        for match in self._infix.finditer(text):
            if match.start() <= place < match.end():
                found = GOES if match.end() - match.start() == 1 else ASK
        self._inside[before][its][behind] = found
        return found

    cdef list _mend(self, list pieces):
        """spaCy's `_apply_special_cases`: special cases that were cut, longest first, then
        leftmost; one that lost to a longer one still blocks its own pieces."""
        for first in pieces:
            if first in self._cut_firsts:
                break
        else:
            return pieces
        found = [
            (-len(case), start)
            for start, pair in enumerate(pairwise(pieces))
            for case in self._cut.get(pair, ())
            if pieces[start : start + len(case)] == case
        ]
        if not found:
            return pieces
        taken = set()
        chosen = {}
        for negative_length, start in sorted(found):
            end = start - negative_length
            if start not in taken and end - 1 not in taken:
                chosen[start] = end
            taken.update(range(start, end))
        mended = []
        position = 0
        while position < len(pieces):
            end = chosen.get(position, position)
            if end > position:
                mended.extend(self._special["".join(pieces[position:end])])
                position = end
            else:
                mended.append(pieces[position])
                position += 1
        return mended


@functools.cache
def english():
    """The rules, made once a process."""
    return English()


# Code points, or first and last, of what datatrove's sentencizer ends a sentence at:
# `Sentencizer.default_punct_chars` of spaCy.
_ENDS = (
    "21 2e 3f 589 61f 6d4 700-702 7f9 964-965 104a-104b 1362 1367-1368 166e 1735-1736 1803 "
    "1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 "
    "2e2e 2e3c 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f "
    "aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57 11047-11048 110be-110c1 "
    "11141-11143 111c5-111c6 111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c "
    "115c2-115c3 115c9-115d7 11641-11642 1173c-1173e 11a42-11a43 11a9b-11a9c 11c41-11c42 "
    "16a6e-16a6f 16af5 16b37-16b38 16b44 1bc9f 1da88 "
)


@functools.cache
def sentence_ends():
    """Words that end a sentence for spaCy's `Sentencizer`."""
    runs = [word.split("-") for word in _ENDS.split()]
    return frozenset(
        chr(code) for run in runs for code in range(int(run[0], 16), int(run[-1], 16) + 1)
    )
