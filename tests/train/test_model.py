from __future__ import annotations

import math

import pytest
import torch

from tests.train.conftest import Run
from train import parallel
from train.attention import attend, document_mask
from train.config import Config, load
from train.data import IGNORED, Rows, ShardReader
from train.model import Decoder
from train.parallel import World
from train.step import Batch, to_batch

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def batch(run: Run) -> Batch:
    """Eight rows: those with the most segments, and the last, which is partly padding."""
    reader = ShardReader(run.shards, run.manifest, "validation")
    rows = reader.read(0, reader.rows)
    chosen = [*rows.begins.sum(1).argsort()[-7:], reader.rows - 1]
    some = Rows(
        rows.ids[chosen], rows.begins[chosen], rows.sources[chosen], rows.text_bytes[chosen]
    )
    return to_batch(some, run.manifest.tokenizer.padding, ALONE.device)


@pytest.fixture(scope="module")
def model(small: Config, run: Run) -> Decoder:
    return build(small, run)


def build(config: Config, run: Run) -> Decoder:
    return parallel.build(config, run.manifest.tokenizer.vocabulary, ALONE)


def test_nothing_is_seen_across_segments_nor_from_the_future(model: Decoder, batch: Batch) -> None:
    tokens, positions, segments, _ = batch.inputs
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
    tokens, positions, segments, _ = batch.inputs
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
        losses = model(*batch.inputs)
        chances = model(*batch.inputs[:3]).log_softmax(-1)
    assert losses.dtype == torch.float32
    for row, place in ((0, 0), (3, 50), (7, 5)):
        if labels[row, place] != IGNORED:
            expected = -chances[row, place, labels[row, place]]
            torch.testing.assert_close(losses[row, place], expected)
    assert (labels == IGNORED).any()
    assert (losses[labels == IGNORED] == 0).all()
    # Untrained, it knows nothing: the loss is that of a uniform guess.
    mean = losses.sum() / batch.num_labels
    assert mean.item() == pytest.approx(math.log(model.embedding.num_embeddings), abs=0.1)


def gradients(model: Decoder, batch: Batch) -> list[torch.Tensor]:
    model.zero_grad()
    model(*batch.inputs).sum().backward()
    return [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("key", "value"), [("activation_checkpointing", True), ("loss_chunk", 1), ("loss_chunk", 300)]
)
def test_saving_memory_does_not_change_the_gradient(
    small: Config, run: Run, model: Decoder, batch: Batch, key: str, value: object
) -> None:
    thrifty = build(small.model_copy(update={key: value}), run)
    for one, other in zip(gradients(model, batch), gradients(thrifty, batch), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_agrees_with_sdpa(batch: Batch) -> None:
    segments = batch.inputs[2][:3]
    generator = torch.Generator().manual_seed(1)
    q = torch.randn(3, 4, segments.shape[1], 16, generator=generator)
    k, v = (torch.randn(3, 2, segments.shape[1], 16, generator=generator) for _ in range(2))
    with torch.no_grad():
        dense, flex = (attend(q, k, v, document_mask(segments, b)) for b in ("sdpa", "flex"))
    torch.testing.assert_close(dense, flex, atol=1e-5, rtol=1e-5)


def test_bf16_is_close_to_fp32(small: Config, run: Run, model: Decoder, batch: Batch) -> None:
    half = build(small.model_copy(update={"precision": "bf16"}), run)
    assert half.dtype == torch.bfloat16
    assert all(parameter.dtype == torch.float32 for parameter in half.parameters())
    with torch.no_grad():
        losses, exact = half(*batch.inputs), model(*batch.inputs)
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
            assert parameter.std().item() == pytest.approx(std, rel=0.05)
            if not name.endswith("output.weight"):  # whose scale depends on the depth
                assert torch.equal(parameter, deeper[name])
    first, second = (model.get_parameter(f"blocks.{n}.attention.q.weight") for n in (0, 1))
    assert not torch.equal(first, second)


def test_parameters_and_flops_of_the_presets() -> None:
    for name, millions in (("124m", 124), ("350m", 355), ("1b", 1076)):
        with torch.device("meta"):
            model = Decoder(load(name).model, 50304)
        assert model.num_params() / 1e6 == pytest.approx(millions, rel=0.01)
    with torch.device("meta"):
        small = Decoder(load("124m").model, 50304)
    # 0.855 GFLOP for GPT-2 small at T = 1024: 6 x 123.6 M + 12 x 12 x 768 x 1024.
    assert small.flops_per_token(1024) == pytest.approx(0.855e9, rel=0.01)
    untied = load("124m", {"model.tied": False}).model
    with torch.device("meta"):
        model = Decoder(untied, 50304)
    assert model.num_params() - small.num_params() == 50304 * 768
    assert model.flops_per_token(1024) == small.flops_per_token(1024)


@pytest.mark.slow
def test_compiled_blocks_agree(small: Config, run: Run, model: Decoder, batch: Batch) -> None:
    compiled = build(small.model_copy(update={"compile": True}), run)
    for one, other in zip(gradients(model, batch), gradients(compiled, batch), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
