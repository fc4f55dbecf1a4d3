"""Two runs side by side: recipes, survival, mixture, and the documents that changed sides."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import yaml

from pipelines.look.changes import KEPT, Move, changes, told
from pipelines.look.display import redacting, visible
from pipelines.recipes.comparison import Standing, compare
from pipelines.report import shape
from pipelines.report.reading import find_pages
from pipelines.report.samples import as_sample
from pipelines.run import Run
from pipelines.runs.documents import has_raw
from pipelines.runs.ledger import balance

MOVES = 40
SAMPLES = 3
_SAMPLED = 15  # moves of which there are samples


def comparison(left: Run, right: Run) -> shape.Comparison:
    """What differs between two runs. Raises Problem if one has not filtered yet."""
    names = _names(left, right)
    recipes = compare(left.recipe, right.recipe, names)
    found = changes(left, right, SAMPLES)
    # documents that changed sides first: those that only other reasons reject are no news
    sides = sorted(found.moves, key=lambda move: KEPT not in (move.left, move.right))
    return shape.Comparison(
        left=names[0],
        right=names[1],
        steps=recipes.steps,
        rules=[
            shape.RuleChange(
                reason=" / ".join(
                    dict.fromkeys(side.reason for side in (pair.left, pair.right) if side)
                ),
                left=_rule(pair.left),
                right=_rule(pair.right),
            )
            for pair in recipes.rules
            if pair.kind != "equal"
        ],
        keys=[
            shape.KeyChange(key=path, left=_yaml(one), right=_yaml(other))
            for path, one, other in recipes.keys
        ],
        losses=list(_losses(balance(left.stages), balance(right.stages))),
        mixture=_mixture(left, right),
        stages=list(found.stages),
        one_in=found.one_in,
        same=found.same,
        only_left=found.only_left,
        only_right=found.only_right,
        moves=[_move(left, right, move, at < _SAMPLED) for at, move in enumerate(sides[:MOVES])],
        more_moves=sum(move.count for move in sides[MOVES:]),
    )


def _names(left: Run, right: Run) -> tuple[str, str]:
    """The names of the folders, unless they are equal."""
    one, other = (posixpath.basename(run.folder.url.rstrip("/")) for run in (left, right))
    return (one, other) if one != other else (f"{one} (this)", f"{other} (the other)")


def _rule(item: Standing | None) -> str:
    return "" if item is None else f"{item.what} {item.asks}{item.scope}".strip()


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False)
    return visible(text.strip().removesuffix("...").strip())


def _losses(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[shape.LossChange]:
    found = []
    for stage in dict.fromkeys([*left, *right]):
        one, other = (each.get(stage, {"kept": 0, "rejected": {}}) for each in (left, right))
        found.append(
            shape.LossChange(stage=stage, reason="", left=one["kept"], right=other["kept"])
        )
        for reason in sorted({*one["rejected"], *other["rejected"]}):
            sides = (each["rejected"].get(reason, 0) for each in (one, other))
            found.append(
                shape.LossChange(stage=stage, reason=reason, left=next(sides), right=next(sides))
            )
    return found


def _mixture(left: Run, right: Run) -> list[shape.MixChange]:
    sides: list[dict[str, int] | None] = []
    for run in (left, right):
        tokens: dict[str, int] = {}
        for portion in run.mixture() if "mix" in run.stages else ():
            tokens[portion.source] = tokens.get(portion.source, 0) + portion.tokens
        sides.append(tokens if "mix" in run.stages else None)
    one, other = sides
    return [
        shape.MixChange(
            source=source,
            left=None if one is None else one.get(source, 0),
            right=None if other is None else other.get(source, 0),
        )
        for source in sorted({*(one or ()), *(other or ())})
    ]


def _move(left: Run, right: Run, move: Move, sampled: bool) -> shape.Move:
    """A move with samples, whose texts are those of the run that has them."""
    run = left if move.on_left else right
    samples = []
    if sampled and has_raw(run.context):
        with redacting(run.context):
            pages = find_pages(run.context, move.chosen)
            for task, ids in move.chosen.items():
                own = told(run.context, move.left if move.on_left else move.right, task, ids)
                for id_ in ids:
                    why = (own[id_], move.right) if move.on_left else (move.left, own[id_])
                    samples.append(as_sample(pages[id_], " → ".join(why)))
    return shape.Move(left=move.left, right=move.right, documents=move.count, samples=samples)
