from __future__ import annotations

import math

import pytest
import torch

from tests.train.conftest import ALONE, Run, feed_of
from train import parallel
from train.config import Config, load
from train.data import IGNORED, Rows, ShardReader
from train.model import Decoder
from train.step import Batch


@pytest.fixture(scope="module")
def batch(run: Run, small: Config) -> Batch:
    """Eight rows: those with the most segments, and the last, which is partly padding."""
    reader = ShardReader(run.shards, run.manifest, "validation")
    rows = reader.read(0, reader.rows)
    chosen = [*rows.begins.sum(1).argsort()[-7:], reader.rows - 1]
    some = Rows(
        rows.ids[chosen], rows.begins[chosen], rows.sources[chosen], rows.text_bytes[chosen]
    )
    return feed_of(run, small).batch(some, 0)


@pytest.fixture(scope="module")
def model(small: Config, run: Run) -> Decoder:
    return build(small, run)


def build(config: Config, run: Run) -> Decoder:
    return parallel.build(config, run.manifest.tokenizer.vocabulary, ALONE)


def test_nothing_is_seen_across_segments_nor_from_the_future(model: Decoder, batch: Batch) -> None:
    tokens, positions, segments = batch.inputs[:3]
    row = next(i for i in range(len(tokens)) if segments[i].max() >= 3)
    of_second = torch.nonzero(segments[row] == 2).flatten()
    place = int(of_second[len(of_second) // 2])
    changed = tokens.clone()
    changed[row, place] = (tokens[row, place] + 1) % 800
    with torch.no_grad():
        before = model(tokens, positions, segments)
        after = model(changed, positions, segments)
    same = (before == after).all(-1)
    expected = torch.ones_like(same)
    expected[row, place : int(of_second[-1]) + 1] = False
    assert torch.equal(same, expected)


def test_a_segment_is_read_as_if_it_stood_alone(model: Decoder, batch: Batch) -> None:
    tokens, positions, segments = batch.inputs[:3]
    row = next(i for i in range(len(tokens)) if segments[i].max() >= 3)
    second = segments[row] == 2
    with torch.no_grad():
        packed = model(tokens, positions, segments)[row, second]
        ids = tokens[row, second][None]
        alone = model(ids, torch.arange(ids.shape[1])[None], torch.ones_like(ids))[0]
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)


def test_losses_are_the_cross_entropy_of_the_logits(model: Decoder, batch: Batch) -> None:
    labels = batch.inputs[3]
    with torch.no_grad():
        losses = model(*batch.inputs).each
        chances = model(*batch.inputs[:3]).log_softmax(-1)
    assert losses.dtype == torch.float32
    for row, place in ((0, 0), (3, 50), (7, 5)):
        if labels[row, place] != IGNORED:
            expected = -chances[row, place, labels[row, place]]
            torch.testing.assert_close(losses[row, place], expected)
    assert (labels == IGNORED).any()
    assert (losses[labels == IGNORED] == 0).all()
    # Untrained, it knows nothing: the loss is that of a uniform guess.
    mean = losses.sum() / int(batch.labels.sum())
    assert mean.item() == pytest.approx(math.log(model.vocabulary), abs=0.1)


def gradients(model: Decoder, batch: Batch) -> list[torch.Tensor]:
    model.zero_grad()
    model(*batch.inputs).total.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("key", "value"),
    [("recompute", "full"), ("recompute", "selective"), ("loss_chunk", 7), ("loss_chunk", 300)],
)
def test_saving_memory_does_not_change_the_gradient(
    small: Config, run: Run, model: Decoder, batch: Batch, key: str, value: object
) -> None:
    thrifty = build(small.model_copy(update={key: value}), run)
    for one, other in zip(gradients(model, batch), gradients(thrifty, batch), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_bf16_is_close_to_fp32(small: Config, run: Run, model: Decoder, batch: Batch) -> None:
    half = build(small.model_copy(update={"precision": "bf16"}), run)
    assert half.dtype == torch.bfloat16
    assert all(parameter.dtype == torch.float32 for parameter in half.parameters())
    with torch.no_grad():
        losses, exact = half(*batch.inputs).each, model(*batch.inputs).each
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, exact, atol=0.1, rtol=0.02)
    assert not torch.equal(losses, exact)


def test_first_weights_follow_from_seed_and_name(small: Config, run: Run, model: Decoder) -> None:
    again = dict(build(small, run).named_parameters())
    deeper = dict(
        build(load("tiny", {"model.dim": 64, "model.hidden": 128}), run).named_parameters()
    )
    other_seed = dict(build(small.model_copy(update={"seed": 1}), run).named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again[name])
        if not name.endswith("norm.weight"):
            assert not torch.equal(parameter, other_seed[name])
            std = 0.02 / (2 * 2) ** 0.5 if name.endswith("output.weight") else 0.02
            std = 1.0 if name == "embedding.weight" else std
            assert parameter.std().item() == pytest.approx(std, rel=0.05)
            if not name.endswith("output.weight"):  # whose scale depends on the depth
                assert torch.equal(parameter, deeper[name])
    first, second = (model.get_parameter(f"blocks.{n}.attention.q.weight") for n in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.slow
def test_compiled_blocks_agree(small: Config, run: Run, model: Decoder, batch: Batch) -> None:
    compiled = build(small.model_copy(update={"compile": True}), run)
    for one, other in zip(gradients(model, batch), gradients(compiled, batch), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
