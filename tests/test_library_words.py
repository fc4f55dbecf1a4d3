"""The library speaks of parameters, files and keys, and prints nothing: flags are the commands'."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

FLAG = re.compile(r"--[a-z]")
FILES = sorted(
    path.relative_to(REPOSITORY)
    for folder in ("pipelines", "curation", "schemas")
    for path in (REPOSITORY / folder).rglob("*.py")
    if REPOSITORY / "pipelines" / "commands" not in path.parents
)


def words(tree: ast.AST) -> Iterator[str]:
    """Every piece of text of a syntax tree, those of f-strings too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def wrong(path: Path, source: str) -> list[str]:
    """What a file of the library should not have."""
    tree = ast.parse(source)
    said: ast.AST = tree
    if "engines" in path.parts:
        # engines are given flags of their own, but tell of none
        said = ast.Module([each for each in ast.walk(tree) if isinstance(each, ast.Raise)], [])
    found = [text for text in words(said) if FLAG.search(text)]
    calls = (each.func for each in ast.walk(tree) if isinstance(each, ast.Call))
    prints = [each for each in calls if isinstance(each, ast.Name) and each.id == "print"]
    return found + ["print("] * len(prints)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_the_library_names_no_flag_and_prints_nothing(path: Path) -> None:
    assert wrong(path, (REPOSITORY / path).read_text("utf-8")) == []


def test_the_check_sees_flags_and_prints() -> None:
    source = 'def f(x):\n    print(x)\n    raise Problem(f"--near {x}: odd")\n'
    assert wrong(Path("pipelines/run.py"), source) == ["--near ", "print("]
    assert wrong(Path("pipelines/engines/x.py"), source) == ["--near ", "print("]
    assert wrong(Path("pipelines/engines/x.py"), 'start("--runner=x")') == []


# Words that were given up, and where they may still stand: the messages that name the new ones.
OLD = re.compile(r"\bjudg|keyshuffle|\bthaw|pipelines[./]alone|deduplicate\.pieces|UserError", re.I)
MAY_HAVE = {"pipelines/commands/main.py", "pipelines/recipes/mistakes.py"}


def test_words_that_were_given_up_are_gone() -> None:
    found = []
    for folder in ("pipelines", "curation", "schemas", "deploy"):
        for path in sorted((REPOSITORY / folder).rglob("*")):
            name = str(path.relative_to(REPOSITORY))
            if path.suffix in (".py", ".pyx", ".pyi", ".md", ".yaml", ".html", ".css"):
                text = path.read_text("utf-8")
                found += [name] * (bool(OLD.search(text)) and name not in MAY_HAVE)
    assert found == []
    assert OLD.search("judge: fineweb")
