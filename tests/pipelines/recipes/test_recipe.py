import functools
import hashlib
import http.server
import importlib.resources
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.rules import load_chain
from pipelines.recipes.loading import load, names
from pipelines.recipes.mistakes import RecipeError
from pipelines.recipes.saving import differences, read_saved, save, with_models
from pipelines.runs.store import Folder
from pipelines.stages.filter import relevant
from schemas.base import ModelFile
from schemas.chain import RulesStep
from schemas.problems import Problem
from schemas.rules import RuleTable
from tests.runs import DEMO

MODEL = importlib.resources.files("curation") / "models" / "lid.176.ftz"


@pytest.mark.parametrize("name", names())
def test_bundled_recipes_are_whole(name: str) -> None:
    recipe = load(name)
    assert recipe.name == name
    assert recipe.description


def test_an_extending_recipe_is_laid_over_the_other(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: fineweb\nmix: {sequence_length: 64}\nseed: 3\n")
    (tmp_path / "top.yaml").write_text(
        "extends: base.yaml\nname: top\nmix: {validation: {by: domain}}\n"
        "filter: {chain: [{rules: gopher_quality}]}\n"
        "tokenizer: {load: {file: own/tokenizer.json}}\n"
        "inputs: [{source: a, root: crawl, files: ['*']}]\n"
    )
    recipe, fineweb = load(str(tmp_path / "top.yaml")), load("fineweb")
    assert (recipe.name, recipe.seed) == ("top", 3)
    assert recipe.mix.sequence_length == 64
    assert recipe.mix.validation.by == "domain"
    assert recipe.mix.validation.tokens == fineweb.mix.validation.tokens
    assert len(recipe.filter.chain) == 1
    assert recipe.tokenizer.train is None
    assert recipe.tokenizer.load == ModelFile(file=str(tmp_path / "own/tokenizer.json"))
    assert recipe.inputs[0].root == str(tmp_path / "crawl")


def test_a_resolved_recipe_holds_its_rules_in_full() -> None:
    chain = load("fineweb").model_dump()["filter"]["chain"]
    reasons = [r["reason"] for step in chain if "rules" in step for r in step["rules"]["rules"]]
    assert "gopher_short_doc" in reasons
    assert len(reasons) > 20


@pytest.mark.parametrize("name", sorted({*names()} - {"mixture"}))
def test_a_bundled_recipe_judges_by_the_chain_of_its_name(name: str) -> None:
    web = {"kinds": ("web",)}
    steps = [step.model_copy(update=web) for step in load_chain(name, Path()).chain]
    assert load(name).filter.chain == tuple(steps)
    path = importlib.resources.files("pipelines") / "recipes" / f"{name}.yaml"
    assert len(path.read_text("utf-8").splitlines()) <= 40


def test_the_mixture_has_a_chain_for_each_kind() -> None:
    recipe = load("mixture")
    chains = {"web": "fineweb", "code": "code", "papers": "papers", "books": "books"}
    for kind, name in chains.items():
        own = [step for step in recipe.filter.chain if step.kinds == (kind,)]
        assert [step.title() for step in own] == [
            step.title() for step in load_chain(name, Path()).chain
        ]
    assert recipe.mix.weights == {"web": 80, "code": 10, "papers": 5, "books": 5}


def test_judge_may_name_a_chain_which_replaces_what_is_below(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yaml").write_text(
        "name: own\nrules: [{signal: gopher.words, operator: '>', threshold: 3, reason: few}]\n"
    )
    (tmp_path / "rules" / "chain.yaml").write_text(
        "description: mine\nchain: [{rules: own.yaml, languages: [de]}]\n"
    )
    (tmp_path / "base.yaml").write_text("extends: fineweb\nname: b\nfilter: rules/chain.yaml\n")
    base = load(str(tmp_path / "base.yaml"))
    ((step,),) = (base.filter.chain,)
    assert isinstance(step, RulesStep)
    assert isinstance(step.rules, RuleTable)
    assert (step.rules.name, step.languages) == ("own", ("de",))
    # and a mapping is laid over it
    (tmp_path / "top.yaml").write_text("extends: base.yaml\nname: t\nfilter: {exhaustive: false}\n")
    top = load(str(tmp_path / "top.yaml"))
    assert top.filter.chain == base.filter.chain
    assert not top.filter.exhaustive


def test_all_that_is_wrong_with_a_chain_and_its_scope_is_told_with_the_rest(
    tmp_path: Path,
) -> None:
    (tmp_path / "name.yaml").write_text("name: n\nseed: x\nfilter: finweb\n")
    with pytest.raises(RecipeError) as error:
        load(str(tmp_path / "name.yaml"))
    assert [path for path, _ in error.value.mistakes] == ["seed", "filter"]
    assert "did you mean `fineweb`" in str(error.value)
    (tmp_path / "scope.yaml").write_text(
        "extends: gopher\nname: s\ninputs: [{source: news, root: ., files: ['*']}]\n"
        "filter: {chain: [{rules: gopher_quality, sources: [nws, news]}]}\n"
    )
    with pytest.raises(RecipeError) as error:
        load(str(tmp_path / "scope.yaml"))
    ((path, message),) = error.value.mistakes
    assert path == "filter.chain[0].sources[0]"
    assert "did you mean `news`" in message


def test_documents_are_chosen_by_a_signal_of_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "keep.yaml"
    path.write_text("extends: gopher\nname: k\ndeduplicate: {keep: gopher.words}\n")
    assert load(str(path)).deduplicate.keep == "gopher.words"
    # known, but none of this chain's
    path.write_text("extends: gopher\nname: k\nseed: x\ndeduplicate: {keep: c4.sentences}\n")
    with pytest.raises(RecipeError) as error:
        load(str(path))
    assert [path for path, _ in error.value.mistakes] == ["seed", "deduplicate.keep"]
    assert "`c4.sentences` is no signal of this recipe's chain" in str(error.value)
    path.write_text("name: k\nfilter: {chain: []}\ndeduplicate: {keep: gopher.words}\n")
    with pytest.raises(RecipeError, match="which measures none"):
        load(str(path))


def test_what_tables_say_of_themselves_decides_nothing() -> None:
    recipe = load("gopher")
    (first, *rest) = recipe.filter.chain
    assert isinstance(first, RulesStep)
    assert isinstance(first.rules, RuleTable)
    table = first.rules.model_copy(update={"description": "x", "source": "y"})
    other = recipe.filter.model_copy(
        update={"chain": (first.model_copy(update={"rules": table}), *rest)}
    )
    assert relevant(recipe) == relevant(recipe.model_copy(update={"filter": other}))


def test_a_frozen_recipe_is_the_same_again(tmp_path: Path) -> None:
    run = Folder(str(tmp_path / "run"))
    run.make()
    recipe = load(str(DEMO))
    frozen = save(recipe, run)
    assert read_saved(run) == frozen == save(recipe, run)
    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert frozen.extract.language_model.sha256 == digest
    (copy,) = (tmp_path / "run" / "models").glob("*.ftz")
    assert copy.read_bytes() == MODEL.read_bytes()


def test_where_inputs_and_parents_are_makes_no_difference() -> None:
    recipe = load(str(DEMO))
    moved = recipe.inputs[0].model_copy(update={"root": "/elsewhere"})
    other = recipe.model_copy(update={"inputs": (moved,), "parent": "/runs/old", "seed": 2})
    assert differences(recipe, other) == [("seed", "1", "2")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An HTTP server on this machine with the language model as `own.ftz`."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "own.ftz").write_bytes(MODEL.read_bytes())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "digest", "said"),
    [
        ("own.ftz", hashlib.sha256(MODEL.read_bytes()).hexdigest(), None),
        ("own.ftz", "0" * 64, "has the checksum"),
        ("none.ftz", "0" * 64, "cannot be read"),
    ],
)
def test_a_model_may_come_from_a_url(
    tmp_path: Path, server: str, path: str, digest: str, said: str | None
) -> None:
    recipe = load(str(DEMO))
    model = ModelFile(file=f"{server}/{path}", sha256=digest)
    extract = recipe.extract.model_copy(update={"language_model": model})
    recipe = recipe.model_copy(update={"extract": extract})
    run = Folder(str(tmp_path / "run"))
    if said is None:
        with_models(recipe, run)
        (copy,) = (tmp_path / "run" / "models").glob("*.ftz")
        assert copy.read_bytes() == MODEL.read_bytes()
    else:
        with pytest.raises(Problem, match=rf"extract.language_model.*{path}.*{said}"):
            with_models(recipe, run)
