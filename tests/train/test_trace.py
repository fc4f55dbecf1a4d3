"""From a step to its documents and back, on a run of the mill."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.runs import mill
from train import metrics
from train.cli import main
from train.commands import run as command
from train.data import open_shards


@pytest.fixture(scope="module")
def milled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "run"
    mill(path)
    return path


def test_a_step_is_traced_to_its_pages_and_a_page_to_its_steps(
    milled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = "{dim: 32, layers: 1, heads: 2, kv_heads: 2, hidden: 64}"
    (tmp_path / "small.yaml").write_text(
        f"{{model: {shape}, optimizer: {{lr: 1e-3}}, batch_rows: 32, lanes: 4, micro_rows: 32}}"
    )
    model = tmp_path / "model"
    words = [str(milled), "--output", str(model), "--preset", str(tmp_path / "small.yaml")]
    manifest, shards = open_shards(milled)
    epoch = manifest.splits["train"].rows // 32
    assert main([*words, "--steps", str(2 * epoch), "--set", "evaluation.rows=8"]) == 0
    capsys.readouterr()

    assert command("trace", [str(model), "--step", str(epoch + 1)]) == 0
    seen = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    table = [
        row
        for file in manifest.splits["train"].files
        for row in pq.read_table(shards / file.path).to_pylist()
    ]
    assert len({line["row"] for line in seen}) == 32
    for line in seen:
        assert line["url"].startswith("http")
        assert line["file"].endswith(".warc.gz")
        assert line["length"] > 0
        documents = [part["document_id"].hex() for part in table[line["row"]]["segments"]]
        assert line["document"] in documents

    document = seen[0]["document"]
    assert command("trace", [str(model), "--document", document]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    holding = {
        number
        for number, row in enumerate(table)
        if document in {part["document_id"].hex() for part in row["segments"]}
    }
    assert {line["row"] for line in found} <= holding
    assert {"step": epoch + 1, "row": seen[0]["row"]} in found
    # Each of two epochs sees a row once, or leaves it over.
    assert len(holding) <= len(found) <= 2 * len(holding)

    assert command("trace", [str(model), "--document", "00" * 16]) == 2
    assert "no row of the train split holds this document" in capsys.readouterr().err
    assert command("trace", [str(model), "--step", "9999"]) == 2
    assert "step 9999 is not in the log" in capsys.readouterr().err
    milled.rename(milled.with_name("moved"))
    assert command("trace", [str(model), "--step", "1"]) == 2
    capsys.readouterr()
    moved = ["--run", str(milled.with_name("moved"))]
    assert command("trace", [str(model), "--step", "1", *moved]) == 0
    assert metrics.read(model / "steps.jsonl")[0]["run"] == str(milled)
