"""All that is wrong with a recipe in one round, with lines, in words for its author."""

import re
from pathlib import Path

import pytest

from pipelines.recipes.loading import load
from pipelines.recipes.mistakes import RecipeError
from schemas.problems import Problem
from schemas.recipe import Recipe
from tests.runs import gristmill

# words of the validator, and of Python
FOREIGN = re.compile(
    r"valid (tuple|string|number|integer|dict|bool)|literal\[|[Ii]nput should|Tuple|union|pydantic"
    r"|NoneType|RulesStep|function-|Model"
)


def told(folder: Path, text: str, **how: bool) -> list[str]:
    """The lines that say what is wrong with a recipe."""
    (folder / "r.yaml").write_text(text)
    with pytest.raises(RecipeError) as error:
        load(str(folder / "r.yaml"), **how)
    lines = str(error.value).splitlines()
    assert not FOREIGN.search(str(error.value)), lines
    return [line.strip() for line in lines[1:]]


def test_shape_names_and_files_are_told_in_one_round(tmp_path: Path) -> None:
    (tmp_path / "there.jsonl").write_text('{"text": "x"}\n')
    lines = told(
        tmp_path,
        """\
name: x
sede: 3
inputs:
- {source: web, root: gone, files: ["*"]}
- {source: books, root: ., files: ["none*.jsonl", "*.jsonl"]}
filter:
  classifiers: {good: {model: {file: quality.ftz}}}
  chain:
  - {rules: gopher_qualty}
  - {rules: gopher_quality, sources: [bokks]}
  - {languages: {englsh: 0.5}, sources: [web]}
  - {edit: c4_line}
  - {chain: mc4, sources: [books], languages: {xx: 0.5}}
deduplicate: {spans: {lines: true}}
curate:
  chain: [{redact: [EMIAL_ADDRESS]}]
mix:
  max_epochs: true
""",
        files=True,
    )
    starts = [line.split(": ")[0:2] for line in lines]
    assert starts == [
        ["line 2", "sede"],
        ["line 4", "inputs[0].root"],
        ["line 5", "inputs[1].files[0]"],
        ["line 7", "filter.classifiers.good.model.file"],
        ["line 9", "filter.chain[0].rules"],
        ["line 10", "filter.chain[1].sources[0]"],
        ["line 11", "filter.chain[2].languages.englsh"],
        ["line 12", "filter.chain[3].edit"],
        ["line 13", "filter.chain[4].chain[0].languages.xx"],
        ["line 16", "curate.chain[0].redact[0]"],
        ["line 18", "mix.max_epochs"],
    ]
    assert "did you mean `seed`" in lines[0]
    assert "did you mean `gopher_quality`" in lines[4]


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("mix: {weights: {web: yes}}", "mix.weights.web", "must be a number; this is true. YAML"),
        ("mix: {max_epochs: true}", "mix.max_epochs", "put quotes around it"),
        ("mix: {tokens: off}", "mix.tokens", "must be a whole number or null; this is false"),
        ("seed: on", "seed", "put quotes around it"),
        ("name: no", "name", "must be a text; this is false. YAML reads"),
        ("filter: {chain: [{languages: {en: on}}]}", "filter.chain[0].languages.en", "put quotes"),
        ("filter: {chain: [{languages: {no: 0.2}}]}", "filter.chain[0].languages", "has the key"),
        ("filter: {chain: [{edit: yes}]}", "filter.chain[0].edit", "must be a text"),
        ("deduplicate: {near: yes}", "deduplicate.near", "must be a mapping or null; this is true"),
        ("name: 5", "name", "must be a text; this is 5: put quotes around it"),
        ("seed: much", "seed", "must be a whole number; this is much"),
        ("seed: 2.5", "seed", "must be a whole number; this is 2.5"),
        ("inputs: web", "inputs", "must be a list; this is web"),
        ("inputs: [{source: a, root: ., files: x.jsonl}]", "inputs[0].files", "must be a list"),
        ("inputs: [{source: a, root: ., files: []}]", "inputs[0].files", "at least 1 entry"),
        (
            "inputs: [{source: a, root: ., files: [x], columns: finweb}]",
            "inputs[0].columns",
            "did you mean `fineweb`",
        ),
        (
            "inputs: [{source: a, root: ., files: [x], columns: {txt: x}}]",
            "inputs[0].columns.txt",
            "unknown key; did you mean `text`?",
        ),
        ("inputs: [{source: a, root: ., files: [x], kind: code1}]", "inputs[0].kind", "`code`"),
        ("filter: {languages: {en: 0.5}}", "filter.languages", "is called `chain: [{languages"),
        ("extends: finweb", "extends", "did you mean `fineweb`"),
        ("extends: [a]", "extends", "is the name or file of one recipe"),
        ("filter: finweb", "filter", "did you mean `fineweb`"),
    ],
)
def test_words_of_the_field_and_the_right_path(
    tmp_path: Path, text: str, path: str, said: str
) -> None:
    text = text if text.startswith("name") else f"name: x\n{text}"
    (line,) = told(tmp_path, f"{text}\n")
    number = 1 if text.startswith("name:") and "\n" not in text else 2
    assert line.startswith(f"line {number}: {path}: ")
    assert said in line


@pytest.mark.parametrize("number", ["2e6", "2E+6", "+2.e6", "2_000_000", "2000000"])
def test_numbers_as_people_write_them(tmp_path: Path, number: str) -> None:
    (tmp_path / "r.yaml").write_text(f"name: x\nmix: {{tokens: {number}}}\n")
    assert load(str(tmp_path / "r.yaml")).mix.tokens == 2_000_000


def test_quoted_words_are_words(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text('name: "no"\nfilter: {exhaustive: no}\n')
    recipe = load(str(tmp_path / "r.yaml"))
    assert (recipe.name, recipe.filter.exhaustive) == ("no", False)


def test_mistakes_of_an_extended_file_name_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("name: b\n\nseed: x\n")
    (line, other) = told(tmp_path, "extends: base.yaml\nname: x\nmix: {tokns: 1}\n")
    assert line.startswith("line 3: mix.tokns: unknown key")
    assert other == f"{tmp_path}/base.yaml, line 3: seed: must be a whole number; this is x"


def test_an_unknown_table_does_not_shift_the_others(tmp_path: Path) -> None:
    row = "{signal: gopher.wrods, operator: '>', threshold: 3, reason: few}"
    lines = told(
        tmp_path,
        f"name: x\nfilter:\n  chain:\n  - rules: nothing\n  - rules: {{name: a, rules: [{row}]}}\n",
    )
    assert [line.split(": ")[1] for line in lines] == [
        "filter.chain[0].rules",
        "filter.chain[1].rules.rules[0].signal",
    ]


def test_validate_wants_the_files_of_inputs_unless_told(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: x\ninputs: [{source: web, root: crawl, files: ['*.warc.gz']}]\n")
    result = gristmill("recipe", "validate", str(recipe))
    assert result.returncode == 2
    assert f"line 2: inputs[0].root: {tmp_path}/crawl: no such folder" in result.stderr
    assert gristmill("recipe", "validate", "--no-inputs", str(recipe)).returncode == 0
    (tmp_path / "crawl").mkdir()
    assert "no file matches" in gristmill("recipe", "validate", str(recipe)).stderr


def test_validate_says_which_sources_steps_are_not_for(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "a.html").write_text("<p>The miller opens the sluice.</p>")
    recipe = tmp_path / "r.yaml"
    inputs = "inputs:\n- {source: web, root: ., files: [a.html]}\n"
    recipe.write_text(
        f"extends: gopher\nname: x\n{inputs}- {{source: c, root: ., files: [a.py]}}\n"
    )
    result = gristmill("recipe", "validate", str(recipe))
    assert result.returncode == 0, result.stderr
    assert "filter: not for c: rules gopher_repetition; rules gopher_quality" in result.stderr
    assert "replaced by no step: web, c" in result.stderr
    recipe.write_text("extends: gopher\nname: x\ninputs: [{source: c, root: ., files: [a.py]}]\n")
    assert "applies to no input" in gristmill("recipe", "validate", str(recipe)).stderr


def test_a_recipe_that_there_is_not_has_close_names() -> None:
    with pytest.raises(Problem, match="did you mean `fineweb`"):
        load("finweb")


def test_every_key_refuses_every_foreign_kind_of_value_in_our_words() -> None:
    """Whatever stands where something else is meant, no word is the validator's own."""
    from schemas.mistakes import checked, may_be

    def walk(model, path):
        for name, field in model.model_fields.items():
            yield (*path, name)
            for each in may_be(field.annotation):
                if isinstance(each, type) and hasattr(each, "model_fields"):
                    yield from walk(each, (*path, name))

    for path in walk(Recipe, ()):
        for wrong in (True, "\0", -1.5, [[]], {"\0": {}}, None):
            value: object = wrong
            for key in reversed(path):
                value = {key: value}
            made, mistakes = checked(Recipe, {"name": "x", **value})  # type: ignore[dict-item]
            assert (made is None) == bool(mistakes)
            for each in mistakes:
                assert not FOREIGN.search(each.text), each
