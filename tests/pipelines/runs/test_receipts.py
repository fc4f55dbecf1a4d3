from pathlib import Path

import pytest

from pipelines.runs.receipts import Attempt, Receipt, Task, bin_pack, read_receipt, receipt_keys
from pipelines.runs.store import Folder
from schemas.tables import EDIT


def _attempt(run: Folder, text: str) -> Receipt:
    with Attempt(run, "stage", "task") as attempt:
        attempt.writer("edits", EDIT).write([{"id": "69" * 16, "text": text}])
        return attempt.commit(3, 1, {"short": 2, "none": 0}, {"bytes": 5})


def test_commit_writes_files_then_one_receipt(tmp_path: Path) -> None:
    run = Folder(str(tmp_path))
    receipt = _attempt(run, "text")
    assert receipt_keys(run, "stage") == {"task"}
    assert read_receipt(run, "stage", "task") == receipt
    assert receipt.rejected == {"short": 2}
    assert (tmp_path / receipt.file("edits").path).is_file()
    assert not list(tmp_path.glob("**/.part-*"))


def test_the_first_receipt_counts_and_a_second_attempt_changes_nothing(tmp_path: Path) -> None:
    run = Folder(str(tmp_path))
    first = _attempt(run, "text")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert _attempt(run, "text") == first
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_an_attempt_that_fails_leaves_nothing(tmp_path: Path) -> None:
    run = Folder(str(tmp_path))
    with pytest.raises(ZeroDivisionError), Attempt(run, "stage", "task") as attempt:
        attempt.writer("edits", EDIT).write([{"id": "69" * 16, "text": "x" * (1 // 0)}])
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_receipt_that_does_not_balance_is_refused() -> None:
    with pytest.raises(AssertionError, match="10 records, but 8 kept"):
        Receipt("t", 10, 8, {"short": 1})


def test_task_survives_json() -> None:
    task = Task("k", {"file": "ü/\u2028", "start": 0}, 7)
    assert Task.from_json(task.to_json()) == task


def test_bin_pack_keeps_order_and_size() -> None:
    items = [("a", 5), ("b", 5), ("c", 11), ("d", 1), ("e", 9), ("f", 1)]
    assert bin_pack(items, 10) == [["a", "b"], ["c"], ["d", "e"], ["f"]]
    assert bin_pack([], 10) == []
