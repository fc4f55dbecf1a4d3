import random
from itertools import pairwise

import numpy as np
import pytest

from curation.dedup.spans import Spans, cut, disjoint


@pytest.mark.parametrize(
    ("text", "spans", "left"),
    [
        ("a\nB\nc", ["B"], "a\nc"),
        ("B\na", ["B"], "a"),
        ("a\nB", ["B"], "a"),
        ("a\nB\nC\nd", ["B", "C"], "a\nd"),
        ("a\n\nB\n\nc", ["B"], "a\n\nc"),
        ("a\nB\n\nc", ["B"], "a\n\nc"),
        ("a\n\nB\nc", ["B"], "a\n\nc"),
        ("a\n  B  \nc", ["B"], "a\nc"),
        ("a  \nB\n  c", ["B"], "a\n  c"),
        ("a\n\nB\n  c", ["B"], "a\n\n  c"),
        ("a\nB c", ["B"], "a\nc"),
        ("One. Two. Three.", ["Two."], "One. Three."),
        ("One. Two.\nThree.", ["Two."], "One.\nThree."),
        ("一二三四", ["二三"], "一四"),
        (" a b\n", ["b"], "a"),
        ("abcdef", ["ab", "bcd", "c"], "ef"),
        ("a\nb", ["a", "b"], ""),
        (" a \n", [], " a \n"),
    ],
)
def test_cut(text: str, spans: list[str], left: str) -> None:
    starts = np.array([text.index(span) for span in spans], np.uint32)
    ends = starts + np.array(list(map(len, spans)), np.uint32)
    assert cut(text, starts, ends) == left


def test_levels_are_made_disjoint_first_come_first_served() -> None:
    rng = random.Random(3)
    for _ in range(50):
        levels, owner = [], {}
        for level in range(3):
            rows = []
            for _ in range(rng.randrange(8)):
                text, start = rng.randrange(3), rng.randrange(30)
                rows.append((text, start, start + rng.randrange(1, 8)))
            levels.append(Spans.of(*np.array(rows or np.empty((0, 3)), np.int64).T))
            for text, start, end in rows:
                for at in range(start, end):
                    owner.setdefault((text, at), level)
        for (text, at), level in sorted(owner.items()):  # small stretches are their neighbours'
            before = owner.get((text, at - 1), level)
            width = next(n for n in range(1, 99) if owner.get((text, at + n)) != level)
            if before < level and width <= 2 and owner.get((text, at + width)) == before:
                owner.update({(text, at + n): before for n in range(width)})
        found = disjoint(levels)
        covered = {}
        for level, spans in enumerate(found):
            rows = list(zip(*(column.tolist() for column in spans), strict=True))
            assert rows == sorted(rows)
            for (text, _, end), (other, start, _) in pairwise(rows):
                assert text < other or end < start  # what touches is one span
            for text, start, end in rows:
                covered.update(dict.fromkeys(((text, at) for at in range(start, end)), level))
        assert covered == owner
    assert disjoint([]) == []
