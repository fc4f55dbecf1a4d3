from __future__ import annotations

import json

import pytest

from schemas.problems import Problem
from train.commands import run
from train.config import load
from train.plan import Ask, chinchilla, of_config, plan


def published(name: str, **changes: object) -> dict[str, dict[str, float]]:
    return plan(of_config(load(name), **changes))


def test_gpt3_s_row_comes_out_and_its_days_only_at_full_utilisation() -> None:
    figures = published("gpt3-175b", tokens=300e9, gpu="a100", mfu=1.0, lost=0.0)
    assert figures["flops"]["6ND"] == pytest.approx(3.1e23, rel=0.02)
    assert figures["flops"]["exact"] == pytest.approx(figures["flops"]["6ND"], rel=0.03)
    assert figures["run"]["gpu_days"] == pytest.approx(11_500, rel=0.02)
    real = published("gpt3-175b", tokens=300e9, gpu="a100", mfu=0.4, lost=0.05)
    assert real["run"]["gpu_days"] == pytest.approx(11_659 / 0.4 / 0.95, rel=0.01)
    assert real["run"]["gpu_days_at_peak"] == pytest.approx(11_500, rel=0.02)


def test_llama_2_s_row_comes_out() -> None:
    nominal = plan(Ask(parameters=70e9, tokens=2e12, gpu="a100", mfu=1.0, lost=0.0))
    assert nominal["flops"]["6ND"] == pytest.approx(8.4e23)
    assert nominal["run"]["gpu_days"] == pytest.approx(31_000, rel=0.01)
    assert published("llama2-70b")["flops"]["6ND"] == pytest.approx(8.4e23, rel=0.02)


def test_llama_3_s_gpu_hours_and_days() -> None:
    # 30.84 M H100 hours by the model card, about 39% MFU; 8,192 GPUs take 5 months, not 3.
    figures = published("llama3-405b", gpu="h100", gpus=8192, mfu=0.385, price=2.5, lost=0.08)
    assert figures["run"]["gpu_hours"] == pytest.approx(30.84e6, rel=0.05)
    assert figures["run"]["days"] == pytest.approx(153, rel=0.05)
    assert figures["run"]["cost"] == pytest.approx(2.5 * figures["run"]["gpu_hours"])
    assert figures["model"]["tokens_per_parameter"] == pytest.approx(38, abs=1)


def test_chinchilla_s_size_for_its_budget() -> None:
    # Hoffmann et al., table 3: 67 B parameters and 1.5 T tokens for 5.76e23.
    optimal = plan(Ask(parameters=280e9, budget=5.76e23))["optimal"]
    assert optimal["parameters"] == pytest.approx(67e9, rel=0.1)
    assert optimal["tokens"] == pytest.approx(1.5e12, rel=0.1)
    # Gopher, 280 B on 300 B, costs as much and is worse.
    assert chinchilla(280e9, 300e9) == pytest.approx(1.993, abs=0.01)
    assert optimal["loss"] < chinchilla(280e9, 300e9) - 0.04
    spent = plan(Ask(parameters=1e9, budget=6e18))
    assert spent["model"]["tokens"] == pytest.approx(1e9)
    assert plan(Ask(parameters=1e9))["model"]["tokens"] == pytest.approx(20e9)


def test_what_is_asked_much_is_better_smaller() -> None:
    seldom = plan(Ask(parameters=70e9, tokens=1.4e12, queries=0.0))["inference"]
    often = plan(Ask(parameters=70e9, tokens=1.4e12, queries=1e13))["inference"]
    assert often["parameters"] < seldom["parameters"]
    assert often["tokens"] > seldom["tokens"]
    assert often["flops"] < often["flops_as_asked"]
    for found in (seldom, often):
        assert chinchilla(found["parameters"], found["tokens"]) == pytest.approx(
            chinchilla(70e9, 1.4e12), abs=1e-6
        )


def test_energy_follows_from_power_and_site() -> None:
    one, better = (plan(Ask(parameters=7e9, tokens=1e12, pue=p))["run"] for p in (1.5, 1.0))
    assert one["kwh"] == pytest.approx(1.5 * better["kwh"])
    assert better["kwh"] == pytest.approx(better["gpu_hours"] * 0.7 * 0.8 * 1.5)
    assert better["co2_kg"] == pytest.approx(better["kwh"] * 0.445)


def test_memory_is_cut_by_the_mesh() -> None:
    one = published("llama2-7b")["memory"]
    size = load("llama2-7b").model.num_params(32000)
    assert one["weights"] == 4 * size
    assert one["moments"] == 8 * size
    assert one["of_gpu"] == pytest.approx(one["total"] / 141e9)
    eight = published("llama2-7b", gpus=8)["memory"]
    assert eight["weights"] == pytest.approx(size / 2)
    assert eight["gradients"] == 4 * size  # held whole between passes
    config = load("llama2-7b", {"parallel.reduce_every_pass": True, "recompute": "full"})
    thrifty = plan(of_config(config, gpus=8))["memory"]
    assert thrifty["gradients"] == pytest.approx(size / 2)
    assert thrifty["activations"] < eight["activations"] / 5
    assert thrifty["total"] < 141e9 < one["total"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": None}, "a preset or a number of parameters"),
        ({"gpu": "h20"}, "no GPU h20; known are a100.*did you mean"),
        ({"mfu": 40.0}, "mfu is 40.0: out of its range"),
        ({"pue": 0.9}, "pue is 0.9: out of its range"),
        ({"lost": 1.0}, "lost is 1.0"),
    ],
)
def test_what_cannot_be_is_told(changes: dict[str, object], message: str) -> None:
    with pytest.raises(Problem, match=message):
        plan(Ask(**{"parameters": 1e9, **changes}))  # type: ignore[arg-type]


def test_the_command_tells_and_needs_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--preset", "124m", "--tokens", "10e9", "--gpus", "8", "--price", "2", "--mfu", ".38"]
    assert run("plan", words) == 0
    page = capsys.readouterr().out
    assert "162 M parameters, 10 B tokens" in page
    assert "at 38% MFU" in page
    assert run("plan", [*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["days"] > 0
    assert run("plan", ["--preset", "125m"]) == 2
    assert "neither a file nor one of the presets" in capsys.readouterr().err
