"""Imports point one way: schemas <- curation <- pipelines, and schemas <- train; and within
pipelines engines, runs <- recipes <- stages <- the run <- look <- report <- commands."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

MAY_IMPORT = {
    "schemas": {"schemas"},
    "curation": {"schemas", "curation"},
    "pipelines": {"schemas", "curation", "pipelines"},
    "train": {"schemas", "train"},
}
# the rooms of pipelines, and what each may import of the others
ROOMS: dict[str, set[str]] = {
    "engines": set(),
    "runs": {"engines"},
    "recipes": {"runs"},
    "stages": {"engines", "runs", "recipes"},
    "run": {"engines", "runs", "recipes", "stages"},
    "transforms": {"runs", "recipes", "stages"},
    "look": {"engines", "runs", "recipes", "stages", "run"},
    "report": {"runs", "recipes", "stages", "run", "look"},
    "exports": {"runs", "recipes", "stages", "run"},
    "takedown": {"runs", "recipes", "stages", "run", "look", "report"},
    "commands": {
        *("engines", "runs", "recipes", "stages", "run", "look", "report", "exports"),
        "takedown",
    },
}
# libraries that a part must do without, as it is installed without them
WITHOUT = {
    "schemas": {"apache_beam", "torch", "numpy", "trafilatura", "tokenizers", "datasketch"},
    "curation": {"apache_beam", "torch"},
    "pipelines": {"torch"},
    "train": {"apache_beam", "trafilatura", "fasttext", "datasketch", "presidio_analyzer"},
}


def imported(path: Path) -> Iterator[str]:
    """Names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_the_way_that_the_design_says(package: str) -> None:
    files = sorted((REPOSITORY / package).rglob("*.py"))
    assert files
    for path in files:
        names = {name.split(".")[0] for name in imported(path)}
        assert not names & (set(MAY_IMPORT) - MAY_IMPORT[package]), path
        assert not names & WITHOUT[package], path
        assert "tests" not in names, path


def test_every_room_of_pipelines_imports_only_those_below_it() -> None:
    folder = REPOSITORY / "pipelines"
    for path in [*sorted(folder.glob("*/**/*.py")), folder / "run.py"]:
        room = path.relative_to(folder).parts[0].removesuffix(".py")
        parts = (name.split(".") for name in imported(path) if name.startswith("pipelines."))
        others = {part[1] for part in parts} - {room}
        assert others <= ROOMS[room], f"{path} imports {sorted(others - ROOMS[room])}"


def test_the_direction_check_sees_a_wrong_import(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(
        "def f():\n    from pipelines.run import run\n    import torch.nn\n"
    )
    assert set(imported(tmp_path / "x.py")) == {"pipelines.run.run", "torch.nn"}


@pytest.mark.parametrize(
    ("module", "without"),
    [("pipelines.run", "torch"), ("train.loop", "apache_beam"), ("schemas.shard", "apache_beam")],
)
def test_a_part_loads_without_the_libraries_of_another(module: str, without: str) -> None:
    """Also not by way of a library."""
    code = f"import sys, {module}; print({without!r} in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert result.stdout.strip() == "False"
