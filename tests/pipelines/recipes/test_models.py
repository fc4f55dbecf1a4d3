"""Models in a recipe: languages, a second opinion, classifiers."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.chain import Chain, check_chain
from curation.classifiers.fitting import Example, Settings, fit, fit_lines
from curation.rules import load_chain
from pipelines.commands.main import parser
from pipelines.recipes.loading import load
from pipelines.recipes.mistakes import RecipeError
from pipelines.recipes.saving import read_saved, save
from pipelines.runs import steps
from pipelines.runs.receipts import Task
from pipelines.runs.store import Folder
from pipelines.stages import extract
from pipelines.stages import filter as filter_stage
from schemas.base import ModelFile
from schemas.extract import Extract
from schemas.problems import Problem
from tests.curation.judging import judge
from tests.runs import DEMO, mill

TEXTS = {
    "high": "The rate at which water number {} changes depends on temperature and pressure.",
    "low": "CLICK HERE for FREE water {}!!! Limited offer, act now!!!",
}
RULES = """
name: own
rules:
  - {signal: classifier.quality, operator: ">=", threshold: 0.53, reason: low_quality}
"""
SCORED = """
extends: {demo}
name: scored
inputs: [{{source: web, root: {sample}, files: ["*0.warc.gz"]}}]
extract: {{second_opinion: {{file: lid.75.ftz}}}}
filter:
  classifiers:
    quality: {{model: {{file: quality.ftz}}}}
    spam: {{model: {{file: quality.ftz}}, label: low, over: highest_sentence}}
    weight: {{model: {{file: weight.npz}}}}
  chain: [{{rules: gopher_quality}}, {{edit: c4_lines}}, {{rules: own.yaml}}]
deduplicate: {{keep: classifier.quality}}
"""


def made(path: Path) -> Folder:
    """A folder for a run."""
    folder = Folder(str(path))
    folder.make()
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its rules and its model."""
    path = tmp_path_factory.mktemp("scored")
    examples = [
        Example(label, text.format(at), str(at))
        for label, text in TEXTS.items()
        for at in range(60)
    ]
    fit(examples, path / "quality.ftz", Settings(kept=0, epoch=10, dim=4, bucket=1000))
    fit(examples, path / "weight.npz")
    (path / "own.yaml").write_text(RULES)
    (path / "recipe.yaml").write_text(SCORED.format(demo=DEMO, sample=DEMO.parent / "sample"))
    return path


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    output = folder / "run"
    mill(output, recipe=folder / "recipe.yaml")
    return output


def test_classifiers_in_a_run(folder: Path, run: Path) -> None:
    frozen = read_saved(Folder(str(run)))
    classifiers = frozen.filter.classifiers
    assert {name: item.label for name, item in classifiers.items()} == {
        "quality": "high",
        "spam": "low",
        "weight": None,
    }
    assert {item.features for item in classifiers.values()} == {("en",), None}
    assert frozen.extract.second_opinion is not None
    copies = sorted(path.name.partition("-")[2] for path in (run / "models").iterdir())
    assert {"lid.176.ftz", "lid.75.ftz", "quality.ftz", "weight.npz"} <= set(copies)
    assert "low_quality" in json.loads((run / "ledger.json").read_text())["filter"]["rejected"]
    # what is stored is what the chain gives on its own, on the edited text
    chain = Chain(load(str(folder / "recipe.yaml")).filter)
    found = 0
    pages = {
        row["id"]: row
        for path in sorted((run / "extract" / "documents").rglob("*.parquet"))
        for row in pq.read_table(path, columns=["id", "text", "language"]).to_pylist()
    }
    for path in sorted((run / "filter" / "signals").rglob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            page = pages[row["id"]]
            signals = judge(chain, page["text"], page["language"], 1.0, "web").signals
            for name in ("classifier.quality", "classifier.spam", "classifier.weight"):
                assert row[name] == signals[name]
                found += 1
    assert found
    report = json.loads((run / "report" / "report.json").read_text())
    shown = [panel["signal"] for panel in report["filtering"]["panels"]]
    assert "classifier.quality" in shown


def test_a_damaged_copy_is_found_before_the_first_record(folder: Path) -> None:
    run = made(folder / "damaged")
    frozen = save(load(str(folder / "recipe.yaml")), run)
    (copy,) = (folder / "damaged" / "models").glob("*quality.ftz")
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    steps._model.cache_clear()  # a worker is another process
    context = steps.Context(run, frozen)
    with pytest.raises(Problem, match="does not have the checksum of its name"):
        filter_stage.filter_parts(context, "filter", Task("000000", {"parts": []}, 0))


def test_what_decides_is_in_the_fingerprint(folder: Path, tmp_path: Path) -> None:
    one = save(load(str(folder / "recipe.yaml")), made(tmp_path / "one"))
    for name in ("quality.ftz", "quality.json", "weight.npz", "own.yaml"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "recipe.yaml").write_text((folder / "recipe.yaml").read_text())
    moved = save(load(str(tmp_path / "recipe.yaml")), made(tmp_path / "two"))
    assert filter_stage.relevant(one) == filter_stage.relevant(moved)
    assert extract.relevant(one) == extract.relevant(moved)
    quality = one.filter.classifiers["quality"].model_copy(update={"label": "low"})
    own = one.filter.classifiers | {"quality": quality}
    other = one.model_copy(update={"filter": one.filter.model_copy(update={"classifiers": own})})
    assert filter_stage.relevant(one) != filter_stage.relevant(other)
    alone = one.extract.model_copy(update={"second_opinion": None})
    assert extract.relevant(one) != extract.relevant(one.model_copy(update={"extract": alone}))


def test_a_chain_with_classifiers_in_a_file(folder: Path) -> None:
    (folder / "chain.yaml").write_text(
        "classifiers: {quality: {model: {file: quality.ftz}}}\nchain: [{rules: own.yaml}]\n"
    )
    chain = Chain(load_chain("chain.yaml", folder))
    assert chain.signals == ("classifier.quality",)
    assert judge(chain, TEXTS["high"].format(99), "en", 1.0).kept
    assert judge(chain, TEXTS["low"].format(99), "en", 1.0).reasons == ["low_quality"]


def test_a_classifier_that_is_not_there(folder: Path) -> None:
    (folder / "wrong.yaml").write_text(
        "classifiers: {qualty: {model: {file: quality.ftz}}}\nchain: [{rules: own.yaml}]\n"
    )
    ((path, said),) = check_chain(load_chain("wrong.yaml", folder))
    assert path == "filter.chain[0].rules.rules[0].signal"
    assert "did you mean `qualty`? Its model stands in `filter.classifiers`" in said
    (folder / "lost.yaml").write_text(
        f"extends: {folder / 'recipe.yaml'}\n"
        "filter: {classifiers: {quality: {model: {file: quality.ftz}, label: good}}}\n"
    )
    with pytest.raises(RecipeError, match=r"classifiers\.quality: .* has no label `good`"):
        save(load(str(folder / "lost.yaml")), made(folder / "lost"))
    # what that left is no hindrance
    save(load(str(folder / "recipe.yaml")), made(folder / "lost"))


def test_a_second_opinion_by_default_with_lid_176_alone() -> None:
    assert Extract().second_opinion == ModelFile(file="lid.75.ftz")
    assert load("fineweb").extract.second_opinion is None
    assert Extract(language_model=ModelFile(file="glotlid.bin")).second_opinion is None
    given = Extract.model_validate({"language_model": {"file": "lid.176.bin"}})
    assert given.second_opinion is None


@pytest.mark.parametrize(
    ("section", "path", "meant"),
    [
        ("extract: {languages: [en, xx]}", r"extract\.languages\[1\]: lid\.176\.ftz", "xh"),
        ("filter: {chain: [{languages: {german: 0.5}}]}", r"chain\[0\]\.languages\.german", "de"),
        ('filter: {chain: [{languages: {"no": 0.5}}]}', r"chain\[0\]\.languages\.no", "nb"),
        ("filter: {chain: [{rules: gopher_quality, languages: [spa]}]}", r"languages\[0\]", "es"),
    ],
)
def test_a_language_that_is_never_named(
    tmp_path: Path, section: str, path: str, meant: str
) -> None:
    (tmp_path / "recipe.yaml").write_text(f"name: x\n{section}\n")
    with pytest.raises(
        RecipeError, match=rf"{path}.* names no language `.*did you mean .*`{meant}`"
    ):
        load(str(tmp_path / "recipe.yaml"))


def test_languages_are_those_of_the_model_in_use(tmp_path: Path) -> None:
    lines = [("eng_Latn", f"the mill turns {at}") for at in range(30)]
    lines += [("deu_Latn", f"die Mühle dreht sich {at}") for at in range(30)]
    fit_lines(lines, tmp_path / "own.bin", Settings(dim=4, bucket=1000, epoch=5, kept=0))
    recipe = tmp_path / "recipe.yaml"
    for name, right in (("en", False), ("eng_Latn", True)):
        recipe.write_text(
            "name: x\nextract: {language_model: {file: own.bin}}\n"
            f"filter: {{chain: [{{languages: {{{name}: 0.5}}}}]}}\n"
        )
        run = made(tmp_path / name)
        if right:
            assert save(load(str(recipe)), run).filter.chain[0].languages == {name: 0.5}
            continue
        with pytest.raises(
            RecipeError, match=r"own\.bin names no language `en`; did you mean `eng_"
        ):
            save(load(str(recipe)), run)


def test_extract_alone_refuses_a_language_that_is_never_named(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>The mill turns slowly.</p>")
    words = ["extract", str(page), "--output", str(tmp_path / "out.jsonl"), "--languages", "xx"]
    options = parser().parse_args(words)
    with pytest.raises(Problem, match=r"languages\[0\]: .* names no language `xx`; did you mean"):
        options.command(options)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_model_that_is_cut_short(tmp_path: Path) -> None:
    (tmp_path / "own.bin").write_bytes(b"\xba\x16\x4f\x2f\x0c\0\0\0" + b"\1" * 50)
    (tmp_path / "recipe.yaml").write_text("name: x\nextract: {language_model: {file: own.bin}}\n")
    with pytest.raises(Problem, match=r"own\.bin: not a fastText model, or a damaged one: it ends"):
        save(load(str(tmp_path / "recipe.yaml")), made(tmp_path / "run"))
