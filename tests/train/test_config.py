from __future__ import annotations

from pathlib import Path

import pytest

from schemas.problems import Problem
from train.config import differences, flat, load, presets, settings


def test_presets_load() -> None:
    assert {"tiny", "124m", "gpt2-1.5b", "gpt3-175b", "llama3-405b"} < set(presets())
    for name in presets():
        assert load(name).model.layers >= 4


def test_all_mistakes_are_told_at_once_with_what_would_be_right() -> None:
    with pytest.raises(Problem) as caught:
        load("tiny", {"model.layer": 2, "lr": 1e-3, "steps": 0, "batch_rows.x": 1, "zebra": 1})
    message = str(caught.value)
    assert "model.layer: unknown key; did you mean `layers`?" in message
    assert "lr: unknown key" in message
    assert "steps: must be greater than or equal to 1; this is 0" in message
    assert "batch_rows.x: unknown key" in message
    assert "zebra: unknown key; there are `model`" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.heads": 3}, r"dim \(128\) must be an even multiple of heads \(3\)"),
        ({"model.kv_heads": 3}, r"kv_heads \(3\) must divide heads \(4\)"),
        ({"lanes": 3}, r"lanes \(3\) must divide batch_rows \(8\)"),
        ({"compile": "maybe"}, "compile: "),
        (
            {"precision": "fp8"},
            "precision: must be one of `auto`, `bf16`, `fp32`, `fp16`, `float8`; this is fp8",
        ),
    ],
)
def test_values_that_do_not_fit(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(Problem, match=message):
        load("tiny", overrides)


def test_no_such_preset_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="presets 124m, 1b, 30m, "):
        load("small")
    bad = tmp_path / "bad.yaml"
    bad.write_text("model: [", "utf-8")
    with pytest.raises(Problem, match=r"bad\.yaml: not YAML"):
        load(str(bad))


def test_settings_are_yaml() -> None:
    assert settings(["optimizer.lr=1e-3", "compile=false", "precision=bf16"]) == {
        "optimizer.lr": "1e-3",  # YAML 1.1 reads no number here; the field does
        "compile": False,
        "precision": "bf16",
    }
    assert load("tiny", settings(["optimizer.lr=1e-3"])).optimizer.lr == 0.001
    with pytest.raises(Problem, match="must be KEY=VALUE"):
        settings(["steps"])


@pytest.mark.parametrize(("batch_rows", "lanes"), [(16, 16), (512, 64), (96, 48), (67, 1), (7, 7)])
def test_lanes_are_the_largest_divisor_of_the_batch_up_to_64(batch_rows: int, lanes: int) -> None:
    assert load("tiny", {"batch_rows": batch_rows}).lanes == lanes


def test_a_saved_configuration_loads_as_itself(tmp_path: Path) -> None:
    config = load("tiny", {"steps": 7})
    path = tmp_path / "config.yaml"
    path.write_text(config.model_dump_json(), "utf-8")  # JSON is YAML
    assert load(str(path)) == config


def test_only_what_decides_the_result_keeps_a_run_from_resuming() -> None:
    before = flat(load("tiny"))
    free = load("tiny", {"micro_rows": 2, "evaluation.every": 7, "checkpoint.keep": 5})
    assert differences(before, flat(free)) == []
    other = load("tiny", {"optimizer.lr": 0.5, "steps": 3})
    assert differences(before, flat(other)) == [
        "optimizer.lr was 0.003, is 0.5",
    ]
