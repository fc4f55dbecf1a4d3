from __future__ import annotations

import math

import pytest
import torch

from tests.train.conftest import Run
from train import optim, parallel
from train.config import Config, load
from train.data import ShardReader
from train.guard import Monitor
from train.model import Decoder, token_loss
from train.parallel import World
from train.step import Batch, Outcome, accumulate, micro_rows, to_batch, train_step

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def batch(run: Run) -> Batch:
    reader = ShardReader(run.shards, run.manifest, "train")
    return to_batch(reader.read(0, 8), run.manifest.tokenizer.padding, ALONE.device)


@pytest.fixture
def model(small: Config, run: Run) -> Decoder:
    return parallel.build(small, run.manifest.tokenizer.vocabulary, ALONE)


def step(model: Decoder, optimizer: torch.optim.AdamW, batch: Batch, labels: int) -> Outcome:
    return train_step(
        model,
        optimizer,
        batch,
        num_labels=labels,
        micro=4,
        rate=1e-3,
        clip=1.0,
        monitor=Monitor(load("tiny").guard, ALONE.device),
        world=ALONE,
    )


def test_the_learning_rate_rises_and_falls_as_drawn() -> None:
    settings = load("tiny", {"optimizer.lr": 1.0, "optimizer.warmup": 0.1}).optimizer
    rates = [optim.learning_rate(index, 100, settings) for index in range(100)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[99] == pytest.approx(0.1)
    # A third, a half and all of the way down: 0.1 + 0.9 (1 + cos) / 2.
    for index in (10 + 89 // 3, 54, 55, 99):
        angle = math.pi * (index - 10) / 89
        assert rates[index] == pytest.approx(0.1 + 0.9 * (1 + math.cos(angle)) / 2)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    short = [optim.learning_rate(index, 1, settings) for index in range(1)]
    assert short == [1.0]


def test_norms_and_the_embedding_do_not_decay(model: Decoder, small: Config) -> None:
    decayed, others = optim.build(model, small.optimizer).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {names[id(p)].split(".")[-2] for p in others["params"]} == {
        "embedding",
        "norm",
        "attention_norm",
        "feed_forward_norm",
    }
    assert len(decayed["params"]) + len(others["params"]) == len(names)
    assert "head.weight" in {names[id(p)] for p in decayed["params"]}


def test_an_update_is_adamw(model: Decoder, small: Config, batch: Batch) -> None:
    """The second update of a parameter, by the formula of the paper."""
    optimizer = optim.build(model, small.optimizer)
    weight = model.get_parameter("blocks.0.feed_forward.up.weight")
    m = v = torch.zeros_like(weight)
    for count in (1, 2):
        before = weight.detach().clone()
        accumulate(model, batch, batch.num_labels, 4, ALONE)
        optim.clip(model, small.optimizer.clip)
        assert weight.grad is not None
        m = 0.9 * m + 0.1 * weight.grad
        v = 0.95 * v + 0.05 * weight.grad**2
        optim.update(optimizer, 1e-3, torch.zeros(()))
        scaled = (m / (1 - 0.9**count)) / ((v / (1 - 0.95**count)).sqrt() + 1e-8)
        expected = before * (1 - 1e-3 * 0.1) - 1e-3 * scaled
        torch.testing.assert_close(weight.detach(), expected, atol=1e-7, rtol=1e-5)


def test_the_norm_of_the_gradient_is_clipped(model: Decoder, batch: Batch) -> None:
    accumulate(model, batch, batch.num_labels, 8, ALONE)
    grads = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    whole = math.sqrt(sum(float((grad**2).sum()) for grad in grads))
    assert optim.clip(model, whole / 4).item() == pytest.approx(whole, rel=1e-5)
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        torch.testing.assert_close(parameter.grad, grad / 4, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_regrouped_accumulation_gives_the_same_gradient(
    model: Decoder, batch: Batch, micro: int
) -> None:
    loss = accumulate(model, batch, batch.num_labels, 8, ALONE)
    whole = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    model.zero_grad()
    torch.testing.assert_close(accumulate(model, batch, batch.num_labels, micro, ALONE), loss)
    for parameter, grad in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, grad, atol=1e-7, rtol=1e-4)


def test_rows_without_labels_do_not_dilute_the_loss(model: Decoder, batch: Batch) -> None:
    # Half of the rows lose their labels: the mean is over those that are left.
    tokens, positions, segments, labels = batch.inputs
    few = labels.clone()
    few[:4] = -100
    num_labels = int((few != -100).sum())
    half = Batch((tokens, positions, segments, few), batch.num_tokens, num_labels)
    rest = Batch(tuple(tensor[4:] for tensor in batch.inputs), 0, num_labels)
    torch.testing.assert_close(
        accumulate(model, half, num_labels, 4, ALONE), accumulate(model, rest, num_labels, 4, ALONE)
    )


def everything(model: Decoder, optimizer: torch.optim.AdamW) -> list[torch.Tensor]:
    state = [optimizer.state[parameter] for parameter in model.parameters()]
    moments = [entry[key] for entry in state for key in ("step", "exp_avg", "exp_avg_sq")]
    return [tensor.detach().clone() for tensor in (*model.parameters(), *moments)]


@pytest.mark.parametrize("trouble", ["nan", "infinite loss, finite gradient", "no labels"])
def test_a_skipped_update_leaves_every_bit(
    model: Decoder, small: Config, batch: Batch, trouble: str
) -> None:
    optimizer = optim.build(model, small.optimizer)
    step(model, optimizer, batch, batch.num_labels)
    before = everything(model, optimizer)
    labels = batch.num_labels
    if trouble == "nan":
        model.token_loss = lambda *given: token_loss(*given) * math.nan
    elif trouble == "infinite loss, finite gradient":
        model.token_loss = lambda *given: token_loss(*given) + math.inf
    else:
        batch = Batch((*batch.inputs[:3], torch.full_like(batch.inputs[3], -100)), 0, 0)
        labels = 0
    outcome = step(model, optimizer, batch, labels)
    assert outcome.skipped.item() == 1
    for one, other in zip(before, everything(model, optimizer), strict=True):
        assert torch.equal(one, other)
    # The next update goes on as if nothing had been.
    model.token_loss = token_loss
    assert step(model, optimizer, batch, batch.num_labels or 1).skipped.item() == 0
    assert not torch.equal(before[0], everything(model, optimizer)[0])


@pytest.mark.parametrize(("rows", "most", "micro"), [(8, 4, 4), (12, 8, 6), (7, 4, 1), (4, 32, 4)])
def test_micro_batches_have_equal_shapes(rows: int, most: int, micro: int) -> None:
    assert micro_rows(rows, most) == micro
