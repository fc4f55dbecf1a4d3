from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.train.conftest import ALONE, Run, accumulate, feed_of
from train import optim, parallel
from train.config import Config, load
from train.data import ShardReader
from train.loss import Losses
from train.model import Decoder
from train.optim import muon
from train.schedule import learning_rate
from train.step import Batch, Outcome, Trainer, micro_rows

NAMES = ("adamw", "muon", "adam", "sgd", "adafactor", "lion")


@pytest.fixture(scope="module")
def batch(run: Run, small: Config) -> Batch:
    reader = ShardReader(run.shards, run.manifest, "train")
    return feed_of(run, small).batch(reader.read(0, 8), 0)


@pytest.fixture
def model(small: Config, run: Run) -> Decoder:
    return parallel.build(small, run.manifest.tokenizer.vocabulary, ALONE)


def build(model: Decoder, small: Config, name: str) -> optim.Optimizer:
    settings = small.optimizer.model_copy(update={"name": name, "embedding_lr": 2.0})
    return optim.build(model, settings)


def step(
    model: Decoder, optimizer: optim.Optimizer, batch: Batch, labels: int, rate: float = 1e-3
) -> Outcome:
    trainer = Trainer(load("tiny"), model, ALONE)
    trainer.optimizer = optimizer
    return trainer.step(batch._replace(micro=4), labels, rate)


def rates(steps: int, **changes: object) -> list[float]:
    keys = {"lr": 1.0, "warmup": 0.1, **changes}
    settings = load("tiny", {f"optimizer.{key}": value for key, value in keys.items()}).optimizer
    return [learning_rate(index, steps, settings) for index in range(steps)]


def test_the_learning_rate_rises_and_falls_as_drawn() -> None:
    cosine = rates(100)
    assert cosine[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert cosine[10] == 1.0
    assert cosine[99] == pytest.approx(0.1)
    # A third, a half and all of the way down: 0.1 + 0.9 (1 + cos) / 2.
    for index in (10 + 89 // 3, 54, 55, 99):
        angle = math.pi * (index - 10) / 89
        assert cosine[index] == pytest.approx(0.1 + 0.9 * (1 + math.cos(angle)) / 2)
    assert cosine[10:] == sorted(cosine[10:], reverse=True)
    assert rates(1) == [1.0]


def test_other_schedules_fall_as_drawn() -> None:
    assert rates(100, schedule="constant")[10:] == [1.0] * 90
    linear = rates(100, schedule="linear", final_lr=0.0)
    assert linear[10] == 1.0
    assert linear[99] == pytest.approx(0.0)
    assert linear[54] - linear[55] == pytest.approx(1 / 89)
    stable = rates(100, schedule="wsd", decay=0.2, final_lr=0.1)
    assert stable[10:80] == [1.0] * 70
    assert stable[89] == pytest.approx(1 - 0.9 * 10 / 20)
    assert stable[99] == pytest.approx(0.1)
    # What was trained before the fall is the same for a longer run.
    assert stable[10:80] == rates(400, schedule="wsd", decay=0.2, warmup=0.025)[10:80]
    root = rates(100, schedule="inverse-root")
    assert root[9] == pytest.approx(1.0)
    assert root[39] == pytest.approx(0.5)


def test_only_matrices_decay_and_the_embedding_has_its_own_rate(
    model: Decoder, small: Config
) -> None:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for optimizer, matrices in (("adamw", "adamw"), ("muon", "muon"), ("lion", "lion")):
        groups = build(model, small, optimizer).param_groups
        seen = {}
        for group in groups:
            for parameter in group["params"]:
                told = (group["rule"], group["weight_decay"], group["lr_factor"])
                seen[names[id(parameter)]] = told
        rest = "adamw" if optimizer == "muon" else optimizer
        assert set(seen) == set(names.values())
        assert seen["embedding.weight"] == (rest, 0.0, 2.0)
        assert seen["head.weight"] == (rest, 0.1, 1.0)
        assert seen["norm.weight"] == seen["blocks.1.attention_norm.weight"] == (rest, 0.0, 1.0)
        assert seen["blocks.0.feed_forward.up.weight"] == (matrices, 0.1, 1.0)


def second_update(name: str, weights: list[torch.Tensor], grads: list[torch.Tensor]) -> Any:
    """A matrix after two updates by the formulas of the papers, written out."""
    rate, decay = 1e-3, 0.1
    weight = weights[0]
    m = v = r = c = torch.zeros(())
    for count, grad in enumerate(grads, 1):
        kept = weight * (1 - rate * decay)
        if name in ("adamw", "adam"):
            kept = kept if name == "adamw" else weight
            grad = grad if name == "adamw" else grad + decay * weight
            m, v = 0.9 * m + 0.1 * grad, 0.95 * v + 0.05 * grad**2
            weight = kept - rate * (m / (1 - 0.9**count)) / ((v / (1 - 0.95**count)).sqrt() + 1e-8)
        elif name == "sgd":
            m = 0.95 * m + grad
            weight = kept - rate * m
        elif name == "lion":
            weight = kept - rate * torch.sign(0.9 * m + 0.1 * grad)
            m = 0.95 * m + 0.05 * grad
        elif name == "muon":
            m = 0.95 * m + 0.05 * grad
            update = muon.iterate((0.95 * m + 0.05 * grad)[None])[0]
            weight = kept - rate * 0.2 * max(grad.shape) ** 0.5 * update
        else:
            change = count**-0.8
            r = (1 - change) * r + change * (grad**2 + 1e-30).mean(1)
            c = (1 - change) * c + change * (grad**2 + 1e-30).mean(0)
            update = grad / (r[:, None] * c[None] / r.mean()).sqrt()
            weight = kept - rate * update / max(1.0, update.square().mean().sqrt().item())
    return weight


@pytest.mark.parametrize("name", NAMES)
def test_an_update_is_that_of_its_paper(
    model: Decoder, small: Config, batch: Batch, name: str
) -> None:
    optimizer = build(model, small, name)
    weight = model.get_parameter("blocks.0.feed_forward.up.weight")
    weights, grads = [weight.detach().clone()], []
    for _ in range(2):
        accumulate(model, batch, int(batch.labels.sum()), 4)
        Trainer(small, model, ALONE).clip_gradient(small.optimizer.clip)
        assert weight.grad is not None
        grads.append(weight.grad.clone())
        optimizer.update(1e-3, torch.zeros(()))
    expected = second_update(name, weights, grads)
    torch.testing.assert_close(weight.detach(), expected, atol=1e-7, rtol=1e-5)


def test_muon_brings_singular_values_near_one() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 64, 32), (2, 32, 96)):
        values = torch.linalg.svdvals(muon.iterate(torch.randn(shape, generator=generator)))
        assert 0.6 < values.min() <= values.max() < 1.3


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_learns(small: Config, run: Run, batch: Batch, name: str) -> None:
    model = parallel.build(small, run.manifest.tokenizer.vocabulary, ALONE)
    optimizer = build(model, small, name)
    rate = {"sgd": 0.3, "adafactor": 1e-2, "lion": 3e-3}.get(name, 5e-3)
    losses = []
    for _ in range(8):
        outcome = step(model, optimizer, batch, int(batch.labels.sum()), rate)
        losses.append(outcome.loss.item())
    assert losses[-1] < losses[0] - 0.5


def test_the_norm_of_the_gradient_is_clipped(model: Decoder, batch: Batch) -> None:
    accumulate(model, batch, int(batch.labels.sum()), 8)
    grads = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    whole = math.sqrt(sum(float((grad**2).sum()) for grad in grads))
    norm = Trainer(load("tiny"), model, ALONE).clip_gradient(whole / 4)
    assert norm.item() == pytest.approx(whole, rel=1e-5)
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        torch.testing.assert_close(parameter.grad, grad / 4, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_regrouped_accumulation_gives_the_same_gradient(
    model: Decoder, batch: Batch, micro: int
) -> None:
    nats = accumulate(model, batch, int(batch.labels.sum()), 8)
    whole = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    model.zero_grad()
    torch.testing.assert_close(accumulate(model, batch, int(batch.labels.sum()), micro), nats)
    for parameter, grad in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, grad, atol=1e-7, rtol=1e-4)


def test_nats_are_told_by_source(model: Decoder, batch: Batch) -> None:
    nats = accumulate(model, batch, int(batch.labels.sum()), 4)
    with torch.no_grad():
        each = model(*batch.inputs).each.sum(1)
    assert len(set(batch.sources.tolist())) > 1
    for source, (found, labels) in enumerate(zip(nats.tolist(), batch.labels, strict=True)):
        rows = batch.sources == source
        assert found == pytest.approx(each[rows].sum().item(), rel=1e-5)
        assert labels == (batch.inputs.labels[rows] != -100).sum()  # type: ignore[index, operator]


def test_rows_without_labels_do_not_dilute_the_loss(model: Decoder, batch: Batch) -> None:
    # Half of the rows lose their labels: the mean is over those that are left.
    few = batch.inputs.labels.clone()  # type: ignore[union-attr]
    few[:4] = -100
    num_labels = int((few != -100).sum())
    half = batch._replace(inputs=batch.inputs._replace(labels=few))
    accumulate(model, half, num_labels, 4)
    grads = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    model.zero_grad()
    inputs = type(batch.inputs)(*(None if x is None else x[4:] for x in batch.inputs))
    rest = batch._replace(inputs=inputs, sources=batch.sources[4:])
    accumulate(model, rest, num_labels, 4)
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        torch.testing.assert_close(parameter.grad, grad, atol=1e-7, rtol=1e-4)


def everything(model: Decoder, optimizer: optim.Optimizer) -> list[torch.Tensor]:
    state = [optimizer.state[p][key] for p in model.parameters() for key in optimizer.state[p]]
    return [tensor.detach().clone() for tensor in (*model.parameters(), *state)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("trouble", ["nan", "infinite loss, finite gradient", "no labels"])
def test_a_skipped_update_leaves_every_bit(
    model: Decoder, small: Config, batch: Batch, trouble: str, name: str
) -> None:
    optimizer = build(model, small, name)
    before = everything(model, optimizer)
    bad, labels, changes = batch, int(batch.labels.sum()), {"total": 1.0, "each": 0.0}
    if trouble == "nan":
        changes["total"] = math.nan
    elif trouble == "infinite loss, finite gradient":
        changes["each"] = math.inf
    else:
        none = torch.full_like(batch.inputs.labels, -100)  # type: ignore[arg-type]
        bad, labels = batch._replace(inputs=batch.inputs._replace(labels=none)), 0

    def change(module: Any, given: Any, losses: Losses) -> Losses:
        return Losses(losses.total * changes["total"], losses.each + changes["each"])

    for _ in range(2):
        hook = model.register_forward_hook(change)
        outcome = step(model, optimizer, bad, labels)
        hook.remove()
        assert outcome.skipped.item() == 1
        assert all(map(torch.equal, before, everything(model, optimizer)))
        # The next update goes on as if nothing had been.
        assert step(model, optimizer, batch, int(batch.labels.sum())).skipped.item() == 0
        assert not torch.equal(before[0], everything(model, optimizer)[0])
        before = everything(model, optimizer)


def test_fp16_scales_the_loss_and_halves_the_scale_at_an_overflow(
    small: Config, run: Run, model: Decoder, batch: Batch
) -> None:
    half = parallel.build(
        small.model_copy(update={"precision": "fp16"}), run.manifest.tokenizer.vocabulary, ALONE
    )
    assert half.loss_scale is not None
    exact = step(model, build(model, small, "adamw"), batch, int(batch.labels.sum()))
    optimizer = build(half, small, "adamw")
    outcome = step(half, optimizer, batch, int(batch.labels.sum()))
    assert outcome.skipped.item() == 0
    assert outcome.loss.item() == pytest.approx(exact.loss.item(), rel=1e-3)
    assert outcome.grad_norm.item() == pytest.approx(exact.grad_norm.item(), rel=0.02)
    assert half.loss_scale.tolist() == [2.0**16, 1.0]
    before = everything(half, optimizer)
    half.loss_scale[0] = 2.0**40  # more than the gradients bear
    assert step(half, optimizer, batch, int(batch.labels.sum())).skipped.item() == 1
    assert all(map(torch.equal, before, everything(half, optimizer)))
    assert half.loss_scale.tolist() == [2.0**39, 0.0]
    half.loss_scale[:] = torch.tensor([2.0**10, 1999.0])
    assert step(half, optimizer, batch, int(batch.labels.sum())).skipped.item() == 0
    assert half.loss_scale.tolist() == [2.0**11, 0.0]


def test_dropout_is_drawn_by_the_rows(small: Config, run: Run, batch: Batch) -> None:
    shape = small.model.model_copy(update={"dropout": 0.2})
    config = small.model_copy(update={"model": shape})
    model = parallel.build(config, run.manifest.tokenizer.vocabulary, ALONE)
    nats = [
        accumulate(model, batch._replace(first=first), int(batch.labels.sum()), 8)
        for first in (0, 8, 0)
    ]
    assert torch.equal(nats[0], nats[2])
    assert not torch.equal(nats[0], nats[1])
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(*batch.inputs).each, model(*batch.inputs).each)


@pytest.mark.parametrize(("rows", "most", "micro"), [(8, 4, 4), (12, 8, 6), (7, 4, 1), (4, 32, 4)])
def test_micro_batches_have_equal_shapes(rows: int, most: int, micro: int) -> None:
    assert micro_rows(rows, most) == micro
