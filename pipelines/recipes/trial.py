"""Parts of the user's own, tried before a run: what they give may depend on the document alone."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from pipelines.recipes.checks import own_parts
from pipelines.recipes.files import CHAINS
from pipelines.recipes.mistakes import Mistake
from pipelines.runs.inputs import root_of
from schemas.inputs import Input
from schemas.recipe import Recipe

_ROWS = 200  # of a file that a reader is tried on
_BATCHES = (1, 3, 7)
_PLAIN = (
    "",
    " \n\n\t",
    "Flour.",
    "The miller opens the sluice before dawn and lets the water run over the wheel.\nHome\n",
    "Der Müller öffnet das Wehr vor dem Morgengrauen. Das Wasser läuft über das Rad.",
    "磨坊主在黎明前打开水闸，让水流过水轮。",
    "def grind(grain):\n\n    return {'flour': grain}  # 1234.5\n",
    "- one\n- two\n- two\n\n\n1,5\u00a0kg … ☃ e\u0301 \U0001f600\n",
    "Write to miller@mill.example.org, or see https://mill.example.org/a?b=c.",
)
TEXTS = (*_PLAIN, *("\n\n".join(_PLAIN[: size % 9 + 1] * size) for size in range(1, 24)))
PAGES = tuple(
    f"<html><head><title>{at}</title></head><body><nav>Home</nav><article>"
    + "".join(f"<p>{html.escape(line)}</p>" for line in text.splitlines())
    + "</article></body></html>"
    for at, text in enumerate(TEXTS)
)


def try_out(recipe: Recipe) -> list[Mistake]:
    """What is wrong with the parts of the user's own that a recipe names, all of which there are.

    Each is run twice, in reversed order and, if it takes batches, in others, on texts made up for
    it; a reader on the first file of its input, if there is one.
    """
    from curation import own

    found: list[tuple[str, str | None]] = []
    for section in CHAINS:
        spec = getattr(recipe, section)
        for at, name in enumerate(spec.measures):
            found.append((f"{section}.measures[{at}]", _differs(_measure(name), TEXTS)))
        for path, step in spec.steps():
            if ("edit", getattr(step, "edit", "")) in own.named_by(spec):
                found.append((f"{path}.edit", _differs(_edit(step.edit), TEXTS)))
    for path, kind, name in own_parts(recipe):
        if kind == "engine":
            found.append((path, _differs(_engine(name), PAGES)))
    for at, item in enumerate(recipe.inputs):
        if item.reader is not None:
            found.append((f"inputs[{at}].reader", _rereads(item)))
    return [(path, wrong) for path, wrong in found if wrong]


Work = Callable[[Sequence[str]], list[Any]]


def _measure(name: str) -> Work:
    from curation import own
    from curation.measures import Measure, View

    measure: Measure = own.load("measure", name)
    return lambda texts: measure.many([View(text, "en") for text in texts])


def _edit(name: str) -> Work:
    from curation import own
    from curation.measures import View

    edit = own.edit(name)
    return lambda texts: [
        (each.text, each.signals) for each in edit.many([View(text, "en") for text in texts])
    ]


def _engine(name: str) -> Work:
    from selectolax.lexbor import LexborHTMLParser

    from curation import own

    engine = own.load("engine", name)
    return lambda pages: [engine(page, LexborHTMLParser(page)) for page in pages]


def _differs(work: Work, texts: Sequence[str]) -> str | None:
    """Why what is given for a text is no value of that text alone."""
    try:
        once = work(texts)
        if len(once) != len(texts):
            return f"gives {len(once)} values for {len(texts)} documents: give one for each"
        wrong = next((at for at, value in enumerate(once) if not _sound(value)), None)
        if wrong is not None:
            return f"gives {once[wrong]!r} for {texts[wrong][:60]!r}: a signal is a number"
        others = {
            "run again": work(texts),
            "in reversed order": work(texts[::-1])[::-1],
            **{
                f"in batches of {size}": [
                    value
                    for at in range(0, len(texts), size)
                    for value in work(texts[at : at + size])
                ]
                for size in _BATCHES
            },
        }
    except Exception as error:
        return f"fails: {type(error).__name__}: {error}"
    for how, values in others.items():
        for text, first, second in zip(texts, once, values, strict=True):
            if first != second:
                return (
                    f"gives another value {how}: {first!r:.80}, then {second!r:.80}, for "
                    f"{text[:60]!r}. It may depend on the document alone; round what a network "
                    "gives"
                )
    return None


def _sound(value: Any) -> bool:
    """Whether signals are numbers and texts are texts."""
    if isinstance(value, tuple):
        return all(map(_sound, value))
    return value == value if not isinstance(value, dict) else all(map(_sound, value.values()))


def _rereads(item: Input) -> str | None:
    """Why a reader's records of a file are not the file's alone."""
    from curation import own
    from pipelines.runs.splits import columns

    root = root_of(item)
    files = sorted(name for pattern in item.files for name, _ in root.glob(pattern))
    if not files or item.reader is None:
        return None

    def records() -> list[Any]:
        with root.open(files[0]) as stream:
            rows = own.read(
                str(item.reader), stream, 0, columns=columns(item), max_record_bytes=1 << 24
            )
            return list(islice(rows, _ROWS))

    first, second = records(), records()
    if first != second:
        return f"reads {files[0]} in another way the second time"
    detail = next((each.detail for each in first if hasattr(each, "detail")), None)
    return f"{files[0]}: {detail}" if detail else None
