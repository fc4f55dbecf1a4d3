"""What goes wrong around a run: a full disk, inputs that go away; one error, and it goes on."""

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.engines.runners import Engine
from pipelines.recipes.loading import load
from pipelines.run import Foreseen, Run
from pipelines.runs.store import Folder
from pipelines.stages import tokenize
from schemas.problems import Problem
from tests.conftest import SAMPLE
from tests.runs import DEMO, gristmill, mill, shards

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from pipelines.commands.main import main
main(sys.argv[2:])
"""


def limited(size: int, *words: str) -> str:
    """The last line that a command says that can write no file of more bytes."""
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(size), *words],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_is_one_error_and_the_run_goes_on(
    finished: Path, tmp_path: Path, workers: str
) -> None:
    run = tmp_path / "run"
    words = ["run", str(DEMO), "--output", str(run), "--workers", workers, "--quiet"]
    assert "there is no room to write" in limited(1000, *words)
    gristmill(*words, "--until", "extract")
    largest = max(path.stat().st_size for path in (finished / "curate/text").iterdir())
    assert limited(largest - 1, *words).endswith(
        "make room; the same command goes on from what is done"
    )
    assert not list(run.rglob("failures"))
    assert Run.open(str(run)).verify().faults == []
    mill(run, "--workers", workers)
    assert shards(run) == shards(finished)


def test_a_store_that_is_full_is_told_as_one(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    for name in ("mix", "shards"):
        shutil.rmtree(tmp_path / "run" / name)
    run = Run.create(load(str(DEMO)), str(tmp_path / "run"))
    for method in ("create", "publish", "replace"):
        with monkeypatch.context() as patch:

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(Folder, method, full)
            with pytest.raises(Problem, match="no room to write"):
                run.go()
    run.go()
    assert shards(tmp_path / "run") == shards(finished)


@pytest.fixture
def begun(finished: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run whose files are its own, that has extracted nothing of the first yet; the file."""
    shutil.copytree(SAMPLE, tmp_path / "sample")
    shutil.copytree(finished, tmp_path / "run")
    extract = tmp_path / "run/extract"
    shutil.rmtree(extract / "receipts")
    (extract / "manifest.json").unlink()
    (tmp_path / "own.yaml").write_text(
        f"extends: {DEMO}\ninputs: [{{source: web, root: {tmp_path}/sample, files: ['*.warc.gz']}}]"
    )
    return tmp_path / "run", tmp_path / "sample/web-00000.warc.gz"


def gone(file: Path) -> None:
    file.unlink()


def longer(file: Path) -> None:
    file.write_bytes(file.read_bytes() + gzip.compress(b"more"))


def other(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("change", [gone, longer, other])
def test_an_input_that_is_another_than_planned_is_told_and_put_back(
    begun: tuple[Path, Path], finished: Path, change: object
) -> None:
    run, file = begun
    whole = file.read_bytes()
    change(file)  # type: ignore[operator]
    words = ("run", str(run.parent / "own.yaml"), "--output", str(run), "--quiet")
    result = gristmill(*words)
    assert result.returncode == 2
    told = "is gone" if change is gone else "has changed"
    (line,) = result.stderr.strip().splitlines()
    assert f"{file}: {told} since the run was planned: put " in line
    file.write_bytes(whole)
    assert gristmill(*words).returncode == 0
    assert shards(run) == shards(finished)


def test_a_file_that_is_written_to_while_it_is_read_is_noticed(
    begun: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation.readers import formats

    run, file = begun
    read = formats.read

    def read_and_write(*words: object, **named: object) -> Iterator[object]:
        for number, record in enumerate(read(*words, **named)):  # type: ignore[arg-type]
            if not number:
                other(file)
            yield record

    monkeypatch.setattr(formats, "read", read_and_write)
    with pytest.raises(Problem, match="has changed since the run was planned"):
        Run.create(load(str(run.parent / "own.yaml")), str(run)).go()


# --- what would run, and why --------------------------------------------------------------------


def foreseen(recipe: object, folder: Path) -> dict[str, Foreseen]:
    before = sorted(os.walk(folder))
    found = {each.stage: each for each in Run.foresee(recipe, str(folder))}  # type: ignore[arg-type]
    assert sorted(os.walk(folder)) == before
    return found


def test_a_dry_run_says_which_stages_run_and_why(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {each.does for each in foreseen(load(str(DEMO)), tmp_path / "new").values()} == {"runs"}
    assert {each.does for each in foreseen(load(str(DEMO)), finished).values()} == {"is done"}
    trained = {"vocabulary": 1024, "sample_bytes": 10485760}
    over = {"tokenizer": {"train": trained}, "parent": str(finished)}
    recipe = load(str(DEMO), over)
    for folder in (tmp_path / "new", finished):
        found = foreseen(recipe, folder)
        assert [each.does for each in found.values()] == ["is taken over"] * 4 + ["runs"] * 4
        assert found["tokenizer"].why == ("tokenizer.train.vocabulary: 2048 there, 1024 now",)
        assert found["tokenize"].why == ("`tokenizer` runs, and may make something else",)
    monkeypatch.setattr(tokenize, "VERSION", 99)
    found = foreseen(load(str(DEMO)), finished)
    assert found["tokenizer"].does == "is done"
    assert found["tokenize"].does == "is refused"
    assert "of the stage there, 99 now" in found["tokenize"].why[0]
    with pytest.raises(Problem, match="of the stage there, 99 now"):
        Run.open(str(finished)).go()


def test_a_dry_run_of_a_run_that_was_begun(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run/filter/manifest.json").unlink()
    for stage in ("deduplicate", "curate", "tokenizer", "tokenize", "mix"):
        shutil.rmtree(tmp_path / "run" / stage)
    result = gristmill("run", str(DEMO), "--output", str(tmp_path / "run"), "--dry-run")
    assert result.stdout.splitlines()[:3] == [
        "extract     is done",
        "filter      goes on",
        "deduplicate runs",
    ]


def test_a_dry_run_foretells_what_the_run_does(finished: Path, tmp_path: Path) -> None:
    # which documents are for validation decides the tokenizer's sample
    mix = {"sequence_length": 128, "validation": {"tokens": 8192}}
    recipe = load(str(DEMO), {"mix": mix, "parent": str(finished)})
    found = foreseen(recipe, tmp_path / "run")
    Run.create(recipe, str(tmp_path / "run")).go(Engine())
    stages = Run.open(str(tmp_path / "run")).stages
    for name, each in found.items():
        assert (each.does == "is taken over") == bool(stages[name].home)
