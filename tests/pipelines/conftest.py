"""What tests of the mill share."""

import pytest

from pipelines.runs import receipts


@pytest.fixture
def several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs of some kilobytes make several tasks and parts, as large ones do."""
    monkeypatch.setattr(receipts, "LEAST_BYTES", 1)
    monkeypatch.setattr(receipts, "TASKS", 5)
