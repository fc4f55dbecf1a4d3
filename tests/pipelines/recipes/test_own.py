"""Parts of the user's own: the examples of curation/OWN.md run, and what is refused."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation import own
from pipelines.engines.runners import Engine
from pipelines.recipes.loading import load, resolve
from pipelines.recipes.mistakes import RecipeError
from pipelines.recipes.trial import try_out
from pipelines.run import Run
from pipelines.runs.events import Event, Warned
from pipelines.runs.store import Folder
from schemas.problems import Problem
from tests.conftest import REPOSITORY
from tests.runs import gristmill

PAGE = (REPOSITORY / "curation" / "OWN.md").read_text("utf-8")
MODULES = {
    code.splitlines()[0].removeprefix("# "): code
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
}
RECIPES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
HTML = (
    "<html><body><nav>Share</nav><article><p>The miller opens the sluice before dawn.</p>"
    "<p>Share</p><p>He lets the water run over the wheel.</p></article></body></html>"
)
ROWS = [
    {"id": 7, "text": "Rye is ground. By stones.", "topic": "mills", "score": 0.75, "url": "a/b"},
    {"text": "Why? Why? Who?", "topic": "mills", "score": 1},
    {"text": "A river.", "topic": "trees", "score": 0.9, "language": "en"},
    {"text": "A brook.", "topic": "rivers", "score": "0.9"},
    {"text": "A weir.", "score": 0.9},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules and data; the modules are forgotten at the end."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "data").mkdir()
    for name, code in MODULES.items():
        write(tmp_path, name, code)
    (tmp_path / "data" / "a.fortune").write_text("Share\n%\nA mill is a mill.\n%\nWhy?\n")
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "data" / "notes.jsonl").write_text(lines)
    (tmp_path / "data" / "page.html").write_text(HTML)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    own.load.cache_clear()


def write(folder: Path, name: str, code: str) -> None:
    (folder / "modules" / name).write_text(code)


def whole() -> dict[str, Any]:
    """The page's recipes in one, with the page's engine."""
    measure, edit, reader, engine, columns = RECIPES
    page = {"source": "pages", "root": "data", "files": ["*.html"]}
    chains = [*edit["filter"]["chain"], *measure["filter"]["chain"], *columns["filter"]["chain"]]
    chains[2]["sources"] = ["notes"]
    return {
        "inputs": [*reader["inputs"], *columns["inputs"], page],
        "extract": engine["extract"],
        "filter": {"measures": measure["filter"]["measures"], "chain": chains},
        "deduplicate": {"near": None},
    }


def test_the_page_shows_each_in_under_20_lines() -> None:
    assert len(MODULES) == 4
    assert all(len(code.splitlines()) < 20 for code in MODULES.values())


def test_the_examples_of_the_page_run_on_two_workers(folder: Path) -> None:
    recipe = resolve("own", whole(), folder)
    assert try_out(recipe) == []
    events: list[Event] = []
    run = Run.create(recipe, str(folder / "run"))
    run.go(Engine(workers=2), events.append, until="curate")
    kept = {
        row["text"]: row
        for batch in run.documents("curate", ["source", "text", "url", "user_id", "topic", "score"])
        for row in batch.to_pylist()
    }
    assert set(kept) == {
        "Rye is ground. By stones.",
        "A mill is a mill.",
        "Share",  # a row, which is not of the web
        "The miller opens the sluice before dawn.\n\n\nHe lets the water run over the wheel.",
    }
    note = kept["Rye is ground. By stones."]
    assert (note["user_id"], note["url"], note["topic"], note["score"]) == (
        "7",
        "a/b",
        "mills",
        0.75,
    )
    assert kept["A mill is a mill."]["user_id"] == "1"
    lost = {
        (row["reason"], row["value"])
        for batch in run.rejections("filter")
        for row in batch.to_pylist()
    }
    assert lost == {
        ("asks", "1"), ("other_topic", "trees"), ("low_score", "null"), ("other_topic", "null"),
    }  # fmt: skip
    (warned,) = [event for event in events if isinstance(event, Warned)]
    assert warned.what == "1 documents have a `score` that is no float, and is null now"
    assert set(run.recipe.code) == {
        "measure mill_signals:QUESTIONS", "edit mill_edits:SHARES", "reader mill_readers:fortunes",
        "engine mill_engines:articles",
    }  # fmt: skip


def test_another_module_is_another_run(folder: Path) -> None:
    Run.create(resolve("own", whole(), folder), str(folder / "run"))
    changed = MODULES["mill_signals.py"] + "# changed\n"
    write(folder, "mill_signals.py", changed)
    del sys.modules["mill_signals"]
    own.load.cache_clear()
    with pytest.raises(Problem, match=r"code\.measure mill_signals:QUESTIONS"):
        Run.create(resolve("own", whole(), folder), str(folder / "run"))
    # a worker that has another one fails before it does anything
    run = Run.open(str(folder / "run"))
    inputs = resolve("own", whole(), folder).inputs
    with pytest.raises(Problem, match="is another one here"):
        Run(run.folder, run.recipe.model_copy(update={"inputs": inputs})).go()
    assert not Folder(str(folder / "run")).exists("extract/manifest.json")


def test_only_what_runs_it_imports_it(folder: Path) -> None:
    run = Run.create(resolve("own", whole(), folder), str(folder / "run"))
    run.go(until="curate")
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": "own", **whole()}))
    recipe = str(folder / "recipe.yaml")
    for words in (
        ("recipe", "show", recipe),
        ("recipe", "diff", recipe, "gopher"),
        ("report", str(folder / "run")),
    ):
        assert gristmill(*words).returncode == 0, words
    result = gristmill("recipe", "validate", recipe)
    assert result.returncode == 2
    for path in (
        "filter.measures[0]",
        "filter.chain[0].edit",
        "inputs[0].reader",
        "extract.engine",
    ):
        assert path in result.stderr
    assert "PYTHONPATH" in result.stderr
    path = f"{folder / 'modules'}:{REPOSITORY}"
    assert gristmill("recipe", "validate", recipe, PYTHONPATH=path).returncode == 0


UNSOUND = {
    "remembers": "SEEN = []\n\ndef f(view):\n    SEEN.append(view)\n    return {'a': len(SEEN)}\n",
    "batch": "def f(views):\n    return [{'a': len(views)} for view in views]\n",
    "order": "def f(views):\n    return [{'a': at} for at, view in enumerate(views)]\n",
    "few": "def f(views):\n    return [{'a': 1}]\n",
    "no number": "def f(views):\n    return [{'a': float('nan')} for view in views]\n",
    "raises": "def f(views):\n    return [{'a': 1 / len(view.text)} for view in views]\n",
    "other name": "def f(views):\n    return [{'b': 1} for view in views]\n",
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_is_not_of_the_document_alone_is_refused(folder: Path, name: str) -> None:
    batched = name != "remembers"
    module = f"unsound_{name.replace(' ', '_')}"
    code = f"{UNSOUND[name]}\nM = Measure('unsound', 1, {{'a': 'A.'}}, f, batched={batched})\n"
    write(folder, f"{module}.py", f"from curation.measures import Measure\n\n{code}")
    recipe = resolve("own", {"filter": {"measures": [f"{module}:M"]}}, folder)
    ((path, message),) = try_out(recipe)
    assert path == "filter.measures[0]"
    assert re.search("another value|gives 1 values|a signal is a number|fails: ", message)


@pytest.mark.parametrize(
    ("filtering", "path", "told"),
    [
        ({"measures": ["no_such_module:M"]}, "filter.measures[0]", "cannot be imported"),
        ({"measures": ["mill_signals:NONE"]}, "filter.measures[0]", "has no `NONE`"),
        ({"measures": ["mill_signals:questions"]}, "filter.measures[0]", "is no Measure"),
        ({"measures": ["mine"]}, "filter.measures[0]", "no measure is called `mine`"),
        ({"chain": [{"edit": "mill_signals:QUESTIONS"}]}, "filter.chain[0].edit", "is no Edit"),
        ({"measures": ["mill_signals:QUESTIONS"] * 2}, "filter.measures[1]", "already"),
    ],
)
def test_what_is_no_part_is_told_with_its_place(
    folder: Path, filtering: dict[str, Any], path: str, told: str
) -> None:
    with pytest.raises(RecipeError) as error:
        resolve("own", {"filter": filtering}, folder)
    (mistake,) = error.value.mistakes
    assert mistake[0] == path
    assert told in mistake[1]


@pytest.mark.parametrize(
    "given", [{"extract": {"engine": "bloks"}}, {"extract": {"engine": "a:b"}}]
)
def test_an_engine_that_there_is_not(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"extract\.engine: "):
        resolve("own", given, tmp_path)


def test_columns_that_documents_have_already_or_with_two_types(tmp_path: Path) -> None:
    def inputs(*keep: dict[str, str]) -> dict[str, Any]:
        return {
            "inputs": [
                {"source": f"s{at}", "root": ".", "files": ["*"], "columns": {"keep": each}}
                for at, each in enumerate(keep)
            ]
        }

    with pytest.raises(RecipeError, match="documents have a `url` of their own"):
        resolve("own", inputs({"url": "string"}), tmp_path)
    with pytest.raises(RecipeError, match=r"`a` is .* in another input: give one type"):
        resolve("own", inputs({"a": "float"}, {"a": "string"}), tmp_path)


def test_entry_points_are_names(folder: Path) -> None:
    info = folder / "modules" / "mill-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mill\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gristmill.measures]\nquestions = mill_signals:QUESTIONS\n"
        "[gristmill.edits]\nshares = mill_edits:SHARES\n"
    )
    spec = {"measures": ["questions"], "chain": [{"edit": "shares"}]}
    recipe = resolve("own", {"filter": spec}, folder)
    assert try_out(recipe) == []
    assert own.names("edit") == ["shares"]
    assert load("gopher").code == {}
