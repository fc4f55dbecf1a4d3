"""Recipes over recipes: what is merged, replaced and taken out; and from where each value is."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.recipes.loading import load, origins
from pipelines.recipes.mistakes import RecipeError
from tests.runs import gristmill

BASE = """\
name: base
inputs:
- {source: web, root: ., files: ["*"], columns: fineweb}
- {source: books, root: ., files: ["*"]}
filter:
  classifiers:
    good: {model: {file: good.ftz}, cutoffs: {en: [1, 2], de: [1, 2]}}
  chain:
  - {chain: gopher, languages: {en: 0.65}}
deduplicate: {near: {bands: 20}, keep: newest}
mix:
  tokens: 2e6
  weights: {web: 3, books: 1}
  validation: {tokens: 5}
seed: 7
"""


def laid(folder: Path, text: str) -> dict[str, Any]:
    (folder / "base.yaml").write_text(BASE)
    (folder / "top.yaml").write_text(f"extends: base.yaml\nname: top\n{text}")
    return load(str(folder / "top.yaml")).model_dump(mode="json")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("mix: {tokens: 9}", ("mix", "weights"), {"web": 3, "books": 1}),
        ("seed: null", ("seed",), 1),
        ("mix: {weights: null}", ("mix", "weights"), None),  # a value of its own
        ("deduplicate: {near: null}", ("deduplicate", "near"), None),
        ("deduplicate: {near: {bands: null}}", ("deduplicate", "near", "bands"), 14),
        ("deduplicate: {near: {rows: 4}}", ("deduplicate", "near", "bands"), 20),
        ("deduplicate: {near: {rows: 4, replace: true}}", ("deduplicate", "near", "bands"), 14),
        ("deduplicate: {near: !replace {rows: 4}}", ("deduplicate", "near", "bands"), 14),
        ("deduplicate: {replace: true}", ("deduplicate", "keep"), "longest"),
        ("mix: {replace: true, tokens: 3}", ("mix", "validation", "tokens"), 1_000_000),
        ("filter: {classifiers: {good: null}}", ("filter", "classifiers"), {}),
        (
            "filter: {classifiers: {good: {cutoffs: {replace: true, fr: [1, 2]}}}}",
            ("filter", "classifiers", "good", "cutoffs"),
            {"fr": [1, 2]},
        ),
        (
            "filter: {classifiers: {good: {cutoffs: {en: null}}}}",
            ("filter", "classifiers", "good", "cutoffs"),
            {"de": [1, 2]},
        ),
        ("filter: mc4", ("filter", "classifiers"), {}),
        ("", ("mix", "tokens"), 2_000_000),
    ],
)
def test_mappings_are_merged_replaced_and_taken_out(
    tmp_path: Path, text: str, path: tuple[str, ...], value: object
) -> None:
    found: Any = laid(tmp_path, text)
    for key in path:
        found = found[key]
    assert found == value


def test_other_languages_than_the_chains(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: fineweb\nname: mine\nfilter: {chain: [{chain: fineweb, languages: {de: 0.7}}]}\n"
    )
    first, *rest = load(str(tmp_path / "mine.yaml")).filter.chain
    assert first.title() == "languages de > 0.7"
    assert not any(step.KEY == "languages" for step in rest)


def test_null_without_anything_inherited_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nseed: null\n")
    with pytest.raises(RecipeError, match="line 2: seed: must be a whole number; this is null"):
        load(str(tmp_path / "a.yaml"))


def test_every_value_has_its_origin(tmp_path: Path) -> None:
    laid(tmp_path, "mix: {tokens: 9}\nfilter:\n  chain:\n  - {edit: c4_lines}\n")
    found = {path: (value, at) for path, value, at in origins(str(tmp_path / "top.yaml"))}
    top, base = tmp_path / "top.yaml", tmp_path / "base.yaml"
    assert found["name"] == ("top", f"{top}, line 2")
    assert found["mix.tokens"] == (9, f"{top}, line 3")
    assert found["mix.weights.web"] == (3, f"{base}, line 13")
    assert found["mix.max_epochs"] == (4, "default")
    assert found["filter.chain[0].edit"] == ("c4_lines", f"{top}, line 6")
    assert found["deduplicate.near.bands"] == (20, f"{base}, line 10")
    result = gristmill("recipe", "show", str(top), "--origin")
    assert "mix.weights.web: 3.0" in result.stdout
    assert f"# {base}, line 13" in result.stdout
    # a replaced mapping leaves none of its places behind
    laid(tmp_path, "deduplicate: {replace: true}\nfilter: mc4\n")
    found = {path: (value, at) for path, value, at in origins(str(top))}
    assert found["deduplicate.keep"] == ("longest", "default")
    assert found["filter.chain[0].chain"] == ("mc4", f"{top}, line 4")
    assert "filter.classifiers.good.label" not in found


def test_files_of_tables_are_found_from_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    row = "{signal: gopher.words, operator: '>', threshold: 3, reason: few}"
    (tmp_path / "shared" / "own.yaml").write_text(f"name: own\nrules: [{row}]\n")
    (tmp_path / "shared" / "base.yaml").write_text(
        "name: b\nfilter: {chain: [{rules: own.yaml}]}\n"
    )
    (tmp_path / "top.yaml").write_text("extends: shared/base.yaml\nname: top\n")
    (step,) = load(str(tmp_path / "top.yaml")).filter.chain
    assert step.title() == "rules own"


def test_a_chain_within_itself_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("chain: [{chain: two.yaml}]\n")
    (tmp_path / "two.yaml").write_text("chain: [{chain: one.yaml}]\n")
    (tmp_path / "top.yaml").write_text("name: top\nfilter: one.yaml\n")
    with pytest.raises(RecipeError, match="is a part of itself"):
        load(str(tmp_path / "top.yaml"))
    (tmp_path / "top.yaml").write_text("name: top\nextends: top.yaml\n")
    with pytest.raises(RecipeError, match="extends this recipe in turn"):
        load(str(tmp_path / "top.yaml"))


def test_a_step_within_a_chain_for_other_kinds_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("chain: [{edit: c4_lines, kinds: [papers]}]\n")
    (tmp_path / "top.yaml").write_text(
        "name: t\nfilter: {chain: [{chain: one.yaml, kinds: [web]}]}\n"
    )
    with pytest.raises(RecipeError, match="no document is both"):
        load(str(tmp_path / "top.yaml"))
