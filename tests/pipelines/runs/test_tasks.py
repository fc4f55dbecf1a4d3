"""Tasks are pure: done twice, or by two attempts at once, they give the same bytes."""

import json
import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.run import Run
from pipelines.runs.receipts import Receipt, Task
from pipelines.runs.steps import Context, Work, execute
from pipelines.runs.store import Folder
from pipelines.stages import curate, extract, tokenize, tokenizer
from pipelines.stages import filter as filter_stage
from pipelines.stages.dedup import stage as deduplicate
from pipelines.stages.mix import shards
from pipelines.stages.mix import stage as mix
from schemas.problems import Problem

WORK: dict[str, Work] = {
    "extract": extract.extract_split,
    "filter": filter_stage.filter_parts,
    "deduplicate/labels": deduplicate.find_components,
    "curate": curate.curate_part,
    "tokenizer": tokenizer.make_tokenizer,
    "tokenize": tokenize.tokenize_parts,
    "mix/plan": mix.make_plan,
    "mix/buckets": mix.write_bucket,
    "mix": shards.write_manifest,
}


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Context:
    """A context on a copy of the finished run."""
    shutil.copytree(finished, tmp_path / "run")
    return Run.open(str(tmp_path / "run")).context


def _forget(context: Context, step: str, key: str) -> Receipt:
    """Remove a task's receipt and files; returns the receipt."""
    run = context.run.local
    assert run is not None
    path = run / step / "receipts" / f"{key}.json"
    receipt = Receipt.from_json(path.read_bytes())
    path.unlink()
    for file in receipt.files:
        (run / file.path).unlink()
    return receipt


@pytest.mark.parametrize("step", WORK)
def test_a_task_done_again_gives_the_same_bytes(copy: Context, step: str) -> None:
    for task in copy.tasks(step):
        before = _forget(copy, step, task.key)
        after = execute(copy, step, WORK[step], task)
        assert after.attempt != before.attempt
        # checksums of the files' bytes are in the receipt
        assert {**after.__dict__, "attempt": ""} == {**before.__dict__, "attempt": ""}


def _attempt(url: str, step: str, line: str, barrier, results) -> None:
    context = Run.open(url).context
    barrier.wait()
    results.put(execute(context, step, WORK[step], Task.from_json(line)).attempt)


@pytest.mark.parametrize("step", ["extract", "mix/buckets"])
def test_two_attempts_at_once_give_one_receipt_and_the_same_bytes(copy: Context, step: str) -> None:
    task = max(copy.tasks(step), key=lambda task: task.size)
    before = _forget(copy, step, task.key)
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(2), spawn.Queue()
    both = [
        spawn.Process(target=_attempt, args=(copy.run.url, step, task.to_json(), barrier, results))
        for _ in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    attempts = {results.get(timeout=5) for _ in both}
    after = execute(copy, step, WORK[step], task)
    assert attempts == {after.attempt}
    assert after.files == before.files
    run = copy.run.local
    assert run is not None
    assert not list(run.rglob(".part-*"))
    for file in after.files:
        assert (run / file.path).stat().st_size == file.size


def test_a_worker_that_does_not_see_the_run_or_a_model_says_so(
    copy: Context, tmp_path: Path
) -> None:
    task, elsewhere = copy.tasks("filter")[0], replace(copy, run=Folder(str(tmp_path / "none")))
    with pytest.raises(Problem, match=r"folder is not seen by a worker on .*: put it on"):
        execute(elsewhere, "filter", WORK["filter"], task)
    assert not (tmp_path / "none").exists()
    with pytest.raises(Problem, match=r"models/0{16}-\.\.\.: is not there: put the file"):
        copy.model("0" * 64)


def test_a_task_with_a_receipt_is_not_done(copy: Context) -> None:
    def work(context: Context, step: str, task: Task) -> Receipt:
        raise AssertionError("done again")

    task = copy.tasks("filter")[0]
    assert execute(copy, "filter", work, task) == copy.receipt("filter", task.key)


def test_a_failing_task_leaves_word_and_no_receipt(copy: Context) -> None:
    def work(context: Context, step: str, task: Task) -> Receipt:
        raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError):
        execute(copy, "filter", work, Task("new", {}))
    run = copy.run.local
    assert run is not None
    (word,) = (run / "filter" / "failures").iterdir()
    assert json.loads(word.read_text())["message"] == "ZeroDivisionError: by zero"
    assert not (run / "filter" / "receipts" / "new.json").exists()
