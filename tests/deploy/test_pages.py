"""What the pages of `deploy/` tell to type: commands, options and files that exist."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipelines.commands.main import parser
from schemas.engine import EngineSettings
from tests.runs import REPOSITORY
from train.options import parser as train_parser

DEPLOY = REPOSITORY / "deploy"
PAGES = sorted(DEPLOY.rglob("*.md"))
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
CODE = re.compile(r"```(\w*)\n(.*?)```|`([^`\n]+)`", re.DOTALL)


def code(page: Path) -> Iterator[tuple[str, str]]:
    """The kind of each block of a page, "inline" within a line, and what stands in it."""
    for kind, block, inline in CODE.findall(page.read_text("utf-8")):
        yield ("inline", inline) if inline else (kind, block)


def commands(page: Path) -> Iterator[list[str]]:
    """Commands of a page, as a shell takes them apart."""
    for kind, text in code(page):
        if kind in ("sh", "inline"):
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and not words[-1].startswith("..."):
                    yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_commands_of_the_pages_exist(page: Path) -> None:
    for words in commands(page):
        if words[0] != "gristmill" or len(words) < 3:
            continue
        if words[1:3] == ["plan", "train"]:
            train_parser("plan train").parse_args(words[3:])
        else:
            parser().parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_engines_of_the_pages_are_valid(page: Path) -> None:
    for kind, text in code(page):
        if kind == "yaml" and "engine:" in text:
            EngineSettings.model_validate(yaml.safe_load(text)["engine"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_links_and_files_of_the_pages_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert link.startswith("https://") or (page.parent / link).exists(), link
    for file in re.findall(r"(?<![\w/])deploy/[\w./-]+\w", text):
        assert (REPOSITORY / file).exists(), file


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(script: Path) -> None:
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert script.stat().st_mode & 0o111, "not executable"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck: Debian's package shellcheck has it")
    checked = subprocess.run(["shellcheck", script], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
