"""What all tests share."""

import os
from pathlib import Path

import pytest

from tests.runs import mill

REPOSITORY = Path(__file__).resolve().parents[1]
SAMPLE = REPOSITORY / "tests" / "data" / "sample"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder with the larger data sets, or a skip that says what is missing."""
    folder = Path(os.environ.get("GRISTMILL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the larger data sets are not at {folder}: set GRISTMILL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder with the sample of real pages."""
    return SAMPLE


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the demo recipe, made with one worker. Tests only read it."""
    output = tmp_path_factory.mktemp("runs") / "finished"
    mill(output)
    return output
