import pytest
from pydantic import ValidationError

from pipelines.recipes.mistakes import validate
from schemas.docs import FILE, markdown
from schemas.recipe import Recipe

INPUT = {"source": "web", "root": "x", "files": ["*.warc.gz"]}


def test_the_reference_is_up_to_date() -> None:
    assert FILE.read_text("utf-8") == markdown(), "run `python -m schemas.docs`"


def test_the_reference_names_every_key() -> None:
    text = markdown()
    schema = Recipe.model_json_schema()
    for model in [schema, *schema["$defs"].values()]:
        for key, value in model["properties"].items():
            assert f"| `{key}` |" in text
            assert value.get("description"), f"{model['title']}.{key} has no description"


@pytest.mark.parametrize(
    ("over", "path", "said"),
    [
        ({"inputs": [INPUT, INPUT]}, "", "two inputs have the source `web`"),
        ({"inputs": [INPUT], "mix": {"tokens": 5, "weights": {"book": 1}}}, "", "names `book`"),
        ({"mix": {"weights": {"web": 1}}}, "mix", "give the number of tokens too"),
        ({"mix": {"weights": {"web": -1}, "tokens": 5}}, "mix.weights.web", "equal to 0"),
        ({"tokenizer": {}}, "tokenizer", "either `train` or `load`"),
        ({"tokenizer": {"load": {"file": "https://x/y"}}}, "tokenizer.load", "needs `sha256`"),
        ({"tokenizer": {"train": {"vocabulary": 1000}}}, "tokenizer.train", "896 or 1024"),
        (
            {"filter": {"chain": [{"languages": {"English": 0.5}}]}},
            "filter.chain[0].languages.English",
            "match pattern",
        ),
        ({"filter": {"chain": [{}]}}, "filter.chain[0].rules", "is missing"),
        ({"filter": {"chain": ["x"]}}, "filter.chain[0]", "must be a mapping; this is x"),
        ({"extract": {"engin": "x"}}, "extract.engin", "did you mean `engine`?"),
        ({"nam": "x"}, "nam", "did you mean `name`?"),
    ],
)
def test_a_mistake_is_told_with_its_path_and_its_mend(over: dict, path: str, said: str) -> None:
    _, mistakes = validate({"name": "x", **over})
    assert [p for p, _ in mistakes] == [path]
    assert said in mistakes[0][1]


def test_a_mistake_does_not_hide_one_that_spans_keys() -> None:
    _, mistakes = validate({"name": "X!", "mix": {"weights": {"web": 1}}})
    assert sorted(path for path, _ in mistakes) == ["mix", "name"]


def test_recipes_cannot_be_changed() -> None:
    recipe = Recipe.model_validate({"name": "x", "inputs": [INPUT]})
    with pytest.raises(ValidationError):
        recipe.seed = 2  # type: ignore[misc]
