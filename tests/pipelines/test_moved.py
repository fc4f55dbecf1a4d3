"""Runs that are moved: a child finds its parent, and no file holds a path that would break."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipes.loading import resolve
from pipelines.report.collect import collect
from pipelines.run import Run
from schemas.homes import homes, way_to
from schemas.problems import Problem
from tests.runs import balanced, gristmill, shards

WORDS = ["mill", "river", "stone", "flour", "grain", "wheel", "sack", "dawn", "baker", "cart"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder `here` with inputs, a recipe, a finished parent and a child that is half done."""
    here = tmp_path / "here"
    here.mkdir()
    texts = (
        " ".join(f"{WORDS[(number * 7 + at * at) % 10]}{at % 9}" for at in range(60)) + "."
        for number in range(40)
    )
    (here / "a.jsonl").write_text("".join(json.dumps({"text": each}) + "\n" for each in texts))
    Run.create(made(here), str(here / "parent")).go()
    child = Run.create(made(here, **CHILD), str(here / "child"))
    child.go(until="filter")
    return tmp_path


CHILD = {"parent": "parent", "deduplicate": {"near": {"bands": 20}}}


def made(here: Path, **more: Any) -> Any:
    recipe = {
        "inputs": [{"source": "rows", "root": ".", "files": ["*.jsonl"]}],
        "deduplicate": {"near": None},
        "tokenizer": {"train": {"vocabulary": 512}},
        "mix": {"sequence_length": 64, "validation": {"tokens": 100}},
        **more,
    }
    if "parent" in recipe:
        recipe["parent"] = str(here / recipe["parent"])
    (here / "recipe.yaml").write_text(json.dumps({"name": "moved", **recipe}))
    return resolve("moved", recipe, here)


def test_both_are_moved_and_the_child_goes_on(place: Path) -> None:
    straight = place / "straight"
    shutil.copytree(place / "here", straight)
    Run.create(made(straight, **CHILD), str(straight / "child")).go()
    (place / "far").mkdir()
    shutil.move(place / "here", place / "far/there")
    there = place / "far/there"
    # the recipe still says where the parent was
    result = gristmill("run", str(there / "recipe.yaml"), "--output", str(there / "child"))
    assert result.returncode == 0, result.stderr
    assert shards(there / "child") == shards(straight / "child")
    assert Run.open(str(there / "child")).stages["extract"].home == str(there / "parent")
    assert collect(Run.open(str(there / "child")))["stages"][0]["from_parent"]
    assert not Run.open(str(there / "child")).verify().faults
    balanced(there / "child")


def test_no_file_of_a_run_holds_the_place_of_another(place: Path) -> None:
    """The recipe says where inputs and other runs were when it began, which decides nothing."""
    for run in ("parent", "child"):
        for path in (place / "here" / run).rglob("*"):
            # `users` tells who may have to be told of a takedown, where they were
            known = path.name in ("recipe.yaml", ".lock") or path.parent.name == "users"
            if path.is_file() and not known:
                assert str(place).encode() not in path.read_bytes(), path


def test_a_parent_is_found_beside_its_child(place: Path) -> None:
    (place / "runs").mkdir()
    shutil.move(place / "here/child", place / "runs/child")
    shutil.move(place / "here/parent", place / "lost")
    run = Run.open(str(place / "runs/child"))
    with pytest.raises(Problem, match=r"here/parent: (no run here|holds the stage `extract`)"):
        run.go()
    shutil.move(place / "lost", place / "runs/parent")
    assert "curate" in Run.open(str(place / "runs/child")).go(until="curate")


def test_a_parent_is_given_where_it_is_now(place: Path) -> None:
    here = place / "here"
    shutil.move(here / "parent", place / "elsewhere")
    words = ("run", str(here / "recipe.yaml"), "--output", str(here / "child"))
    result = gristmill(*words)
    assert result.returncode == 2
    assert "no run here" in result.stderr
    # another run is none of whose stages it took over
    result = gristmill(*words, "--parent", str(place / "elsewhere"))
    assert result.returncode == 0, result.stderr
    stages = Run.open(str(here / "child")).stages
    assert stages["extract"].home == str(place / "elsewhere")
    # and is known from now on
    assert gristmill("report", str(here / "child")).returncode == 0


@pytest.mark.parametrize(
    ("home", "run", "written", "found"),
    [
        ("/a/one", "/a/two", "../one", "/a/one"),
        ("/a/b/one", "/a/two", "../b/one", "/a/b/one"),
        ("s3://x/a/one", "s3://x/a/two", "../one", "s3://x/a/one"),
        ("s3://x/one", "s3://y/two", "../../x/one", "s3://x/one"),
        ("s3://x/one", "/a/two", "s3://x/one", "s3://x/one"),
        ("/a/one", "gs://x/two", "/a/one", "/a/one"),
    ],
)
def test_the_way_from_a_run_to_another(home: str, run: str, written: str, found: str) -> None:
    assert way_to(home, run) == written
    assert homes(written, run)[0] == found
