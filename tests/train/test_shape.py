from __future__ import annotations

import pytest
import torch

from train.config import load, presets
from train.model import Decoder


@pytest.mark.parametrize("name", presets())
def test_the_count_of_parameters_is_that_of_the_model(name: str) -> None:
    config = load(name)
    vocabulary = config.reference.vocabulary if config.reference else 50257
    for changes in ({}, {"tied": not config.model.tied}, {"qk_norm": True}):
        shape = config.model.model_copy(update=changes)
        with torch.device("meta"):
            model = Decoder(shape, vocabulary)
        counted = sum(parameter.numel() for parameter in model.parameters())
        assert shape.num_params(vocabulary) == counted
        products = sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2)
        head = shape.rows(vocabulary) * shape.dim
        expected = 6 * (products + head) + 12 * shape.layers * shape.dim * 512
        assert shape.flops_per_token(vocabulary, 512) == expected


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("gpt2-124m", 0.124),
        ("gpt2-355m", 0.355),
        ("gpt2-774m", 0.774),
        ("gpt2-1.5b", 1.558),
        ("gpt3-6.7b", 6.66),
        ("gpt3-175b", 175.0),
        ("llama2-7b", 6.738),
        ("llama2-13b", 13.016),
        ("llama2-70b", 68.98),
        ("llama3-8b", 8.030),
        ("llama3-70b", 70.55),
        ("llama3-405b", 405.9),
        ("chinchilla-70b", 64.95),  # without what the preset tells of
    ],
)
def test_presets_have_the_published_size(name: str, billions: float) -> None:
    config = load(name)
    assert config.reference is not None
    counted = config.model.num_params(config.reference.vocabulary) / 1e9
    assert counted == pytest.approx(billions, rel=0.005)


def test_flops_are_those_of_the_convention() -> None:
    # 0.855 GFLOP for GPT-2 small at T = 1024: 6 x 123.6 M + 12 x 12 x 768 x 1024.
    assert load("124m").model.flops_per_token(50304, 1024) == pytest.approx(0.855e9, rel=0.01)
