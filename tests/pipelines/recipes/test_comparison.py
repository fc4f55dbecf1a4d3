"""`gristmill recipe diff`."""

from pathlib import Path

import pytest

from pipelines.recipes.comparison import Comparison, as_json, as_text, compare, recipe_at
from pipelines.recipes.loading import load, names
from pipelines.recipes.saving import save
from pipelines.runs.store import Folder
from schemas.problems import Problem

MINE = """
extends: fineweb
name: mine
seed: 7
filter:
  chain:
    - rules:
        name: mine
        rules:
          - {signal: gopher.words, operator: ">=", threshold: 60, reason: few}
          - {signal: gopher.words, operator: "<=", threshold: 100000, reason: many}
          - {signal: gopher_dclm.stop_words, operator: ">=", threshold: 2, reason: stop}
          - any:
              - {signal: gopher.alpha_words, operator: ">=", threshold: 0.8}
              - all:
                  - {signal: gopher.alpha_words, operator: ">=", threshold: 0.5}
                  - {signal: gopher.hash_ratio, operator: "==", threshold: 0}
            reason: alpha
      languages: [en]
      kinds: [web]
"""


def of(left: str, right: str) -> Comparison:
    return compare(recipe_at(left), recipe_at(right), (left, right))


def test_rules_are_aligned_by_signal(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    found = of("gopher", str(tmp_path / "mine.yaml"))
    pairs = {
        (pair.kind, pair.left and pair.left.what, pair.right and pair.right.what): pair
        for pair in found.rules
        if pair.right
    }
    assert {kind for kind, *_ in pairs} == {"changed", "measured", "right"}
    changed = [pair for pair in found.rules if pair.kind == "changed"]
    assert [(pair.left.asks, pair.right.asks) for pair in changed if pair.left and pair.right] == [
        (">= 50", ">= 60"),
        ("<= 100000", "<= 100000"),  # but of English only
    ]
    assert ("measured", "gopher.stop_words", "gopher_dclm.stop_words") in pairs
    group = "gopher.alpha_words >= 0.8 or (gopher.alpha_words >= 0.5 and gopher.hash_ratio == 0)"
    assert ("right", None, group) in pairs
    assert ("seed", 1, 7) in found.keys


@pytest.mark.parametrize("left", names())
@pytest.mark.parametrize("right", ["fineweb", "c4_code"])
def test_any_two_can_be_read_in_100_columns(left: str, right: str) -> None:
    found = of(left, right)
    text = as_text(found)
    assert max(map(len, text.splitlines())) <= 100
    assert ("No difference" in text) == (left == right)
    # every rule of either is somewhere
    for at, side in enumerate(("left", "right")):
        there = sum(getattr(pair, side) is not None for pair in found.rules)
        chain = load((left, right)[at]).filter.chain
        assert there == sum(len(step.rules.rules) for step in chain if hasattr(step, "rules"))
    assert as_json(found)["recipes"] == [left, right]


def test_groups_are_shown_and_compared_by_their_reason(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    (tmp_path / "yours.yaml").write_text(MINE.replace("0.5}", "0.6}"))
    found = of(str(tmp_path / "mine.yaml"), str(tmp_path / "yours.yaml"))
    (pair,) = [pair for pair in found.rules if pair.kind != "equal"]
    assert pair.kind == "changed"
    assert "alpha" in as_text(found)
    assert "Only" not in as_text(found)


def test_sets_of_rules_are_compared(tmp_path: Path) -> None:
    found = of("gopher_quality", "refinedweb_quality")
    assert found.steps == (["rules gopher_quality"], ["rules refinedweb_quality"])
    assert found.keys == []
    (tmp_path / "chain.yaml").write_text(
        "chain:\n- languages: {en: 0.5}\n"
        "- {rules: gopher_quality, kinds: [web]}\n- edit: c4_lines\n"
    )
    found = of(str(tmp_path / "chain.yaml"), "fineweb")
    assert found.keys == []
    assert [steps[0] for steps in found.steps] == [
        "languages en > 0.5",
        "languages en > 0.65 (of web)",
    ]
    assert {pair.kind for pair in found.rules} == {"equal", "right"}
    (tmp_path / "table.yaml").write_text(
        "name: own\nrules: [{signal: gopher.words, operator: '>=', threshold: 9, reason: few}]\n"
    )
    (pair, *_) = of(str(tmp_path / "table.yaml"), "gopher_quality").rules
    assert pair.kind == "changed"


def test_a_run_is_compared_by_its_frozen_recipe(tmp_path: Path) -> None:
    run = Folder(str(tmp_path / "run"))
    run.make()
    save(load("c4_paper"), run)
    found = compare(recipe_at(str(tmp_path / "run")), load("c4_code"), ("run", "c4_code"))
    assert "c4_lines_paper >= 5" in as_text(found)
    with pytest.raises(Problem, match="no run here"):
        recipe_at(str(tmp_path))
    with pytest.raises(Problem, match="no such recipe"):
        recipe_at("nosuch")
