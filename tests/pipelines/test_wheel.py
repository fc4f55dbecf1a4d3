"""The wheel holds all that a run needs: an editable installation hides files that it lacks."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.runs import DEMO, shards

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def installed() -> Path:
    """Programs of an environment in which the wheel was installed."""
    folder = os.environ.get("GRISTMILL_WHEEL")
    if not folder:
        pytest.skip("no GRISTMILL_WHEEL: `make test-wheel` installs one")
    return Path(folder) / "bin"


def ran(program: Path, *words: str, folder: Path) -> str:
    """What a program prints, in a folder from which the sources cannot be seen."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [program, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_it_is_not_the_checkout(installed, tmp_path):
    where = "import curation, pipelines, schemas; print(curation.__file__, schemas.__file__)"
    for path in ran(installed / "python", "-c", where, folder=tmp_path).split():
        assert not Path(path).is_relative_to(REPOSITORY) or "site-packages" in path


@pytest.mark.parametrize("runner", ["local", "direct"])
def test_the_demo_is_milled_with_workers(installed, tmp_path, finished, runner):
    words = ("--output", str(tmp_path / "run"), "--workers", "2", "--runner", runner, "--quiet")
    ran(installed / "gristmill", "run", str(DEMO), *words, folder=tmp_path)
    assert shards(tmp_path / "run") == shards(finished)
    assert (tmp_path / "run" / "report" / "index.html").stat().st_size > 10_000


def test_what_a_recipe_can_name_is_there(installed, tmp_path):
    program = installed / "gristmill"
    for words in (("recipe", "list"), ("rules", "list"), ("recipe", "show", "dclm")):
        assert ran(program, *words, folder=tmp_path)
