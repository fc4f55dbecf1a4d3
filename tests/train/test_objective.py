from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.train.conftest import ALONE, Run, accumulate, feed_of
from train import parallel
from train.config import Config, load
from train.data import IGNORED, Rows, ShardReader
from train.objective import Objective, Prepared
from train.step import Batch

NAMES = ("prefix", "masked", "span")


def objective(run: Run, **changes: Any) -> Objective:
    settings = load("tiny", {f"objective.{key}": value for key, value in changes.items()})
    return Objective(
        settings.objective, run.manifest.tokenizer.vocabulary, run.manifest.tokenizer.padding
    )


@pytest.fixture(scope="module")
def rows(run: Run) -> Rows:
    return ShardReader(run.shards, run.manifest, "train").read(0, 64)


def prepared(run: Run, rows: Rows, first: int = 0, **changes: Any) -> Prepared:
    return objective(run, **changes).prepare(rows.ids, rows.begins, first)


@pytest.mark.parametrize("changes", [*({"name": name} for name in NAMES), {"middle": 0.5}])
def test_a_row_depends_on_its_number_alone(run: Run, rows: Rows, changes: dict[str, Any]) -> None:
    whole = prepared(run, rows, **changes)
    later = prepared(run, Rows(*(field[40:] for field in rows)), 40, **changes)
    for one, other in zip(whole, later, strict=True):
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one[40:], other)  # type: ignore[index]
    other_epoch = prepared(run, rows, 64, **changes)
    assert not all(
        a is None or np.array_equal(a, b)  # type: ignore[arg-type]
        for a, b in zip(whole, other_epoch, strict=True)
    )


def test_masked_tokens_are_those_of_bert(run: Run, rows: Rows) -> None:
    made, vocabulary = prepared(run, rows, name="masked"), run.manifest.tokenizer.vocabulary
    text = rows.ids != run.manifest.tokenizer.padding
    chosen = made.labels != IGNORED
    assert not chosen[~text].any()
    assert chosen.sum() / text.sum() == pytest.approx(0.15, abs=0.01)
    assert np.array_equal(made.labels[chosen], rows.ids[chosen])
    assert np.array_equal(made.tokens[~chosen], rows.ids[~chosen])
    hidden = made.tokens[chosen] == vocabulary
    same = made.tokens[chosen] == rows.ids[chosen]
    assert hidden.mean() == pytest.approx(0.8, abs=0.03)
    assert same.mean() == pytest.approx(0.1, abs=0.03)
    assert made.prefix is not None
    assert made.prefix.all()


def test_a_prefix_is_the_beginning_and_is_not_predicted(run: Run, rows: Rows) -> None:
    made = prepared(run, rows, name="prefix")
    plain = prepared(run, rows)
    assert np.array_equal(made.tokens, plain.tokens)
    assert made.prefix is not None
    for row in range(len(rows.ids)):
        for segment in np.unique(made.segments[row]):
            places = np.flatnonzero(made.segments[row] == segment)
            if rows.ids[row, places[0]] == run.manifest.tokenizer.padding:
                continue
            length = int(made.prefix[row, places].sum())
            assert made.prefix[row, places[:length]].all()
            assert length >= 1
            assert (made.labels[row, places[: length - 1]] == IGNORED).all()
            rest = places[length - 1 :]
            assert np.array_equal(made.labels[row, rest], plain.labels[row, rest])


def test_spans_can_be_put_back(run: Run, rows: Rows) -> None:
    made, vocabulary = prepared(run, rows, name="span"), run.manifest.tokenizer.vocabulary
    assert made.prefix is not None
    lost = used = 0
    for row in range(len(rows.ids)):
        for segment in np.unique(made.segments[row]):
            places = np.flatnonzero(made.segments[row] == segment)
            original = rows.ids[row, places]
            told = made.tokens[row, places]
            split = int(made.prefix[row, places].sum())
            if split == 0:  # too short to lose anything
                assert (made.labels[row, places] == IGNORED).all()
                continue
            labels = made.labels[row, places]
            target = told[split:][told[split:] != run.manifest.tokenizer.padding]
            assert (labels[:split] == IGNORED).all()
            assert np.array_equal(labels[split : split + len(target) - 1], target[1:])
            spans: list[list[int]] = []
            for token in target.tolist():
                if token >= vocabulary:
                    assert token == vocabulary + len(spans)
                    spans.append([])
                else:
                    spans[-1].append(token)
            back: list[int] = []
            for token in told[:split].tolist():
                back += spans[token - vocabulary] if token >= vocabulary else [token]
            assert back == original[: len(back)].tolist()
            assert len(back) > 0.7 * len(original) or len(original) < 10
            lost += sum(map(len, spans))
            used += len(back)
    assert lost / used == pytest.approx(0.15, abs=0.03)


def test_a_moved_middle_can_be_put_back(run: Run, rows: Rows) -> None:
    made, vocabulary = prepared(run, rows, middle=1.0), run.manifest.tokenizer.vocabulary
    moved = 0
    for row in range(len(rows.ids)):
        for segment in np.unique(made.segments[row]):
            places = np.flatnonzero(made.segments[row] == segment)
            told = made.tokens[row, places].tolist()
            if told[0] != vocabulary:
                assert len(told) <= 5 or told[0] == run.manifest.tokenizer.padding
                continue
            suffix, middle = told.index(vocabulary + 1), told.index(vocabulary + 2)
            back = told[1:suffix] + told[middle + 1 :] + told[suffix + 1 : middle]
            assert back == rows.ids[row, places[:-3]].tolist()
            assert np.array_equal(made.labels[row, places[:-1]], told[1:])
            moved += 1
    assert moved > 64


@pytest.mark.parametrize("changes", [*({"name": name} for name in NAMES), {"middle": 0.5}])
def test_every_objective_trains(
    run: Run, small: Config, rows: Rows, changes: dict[str, Any]
) -> None:
    settings = load("tiny", {f"objective.{key}": value for key, value in changes.items()})
    config = small.model_copy(update={"objective": settings.objective})
    model = parallel.build(config, run.manifest.tokenizer.vocabulary, ALONE)
    assert model.shape.rows(model.vocabulary) >= 1024 + objective(run, **changes).extra_ids
    some = Rows(*(field[:4] for field in rows))
    batch: Batch = feed_of(run, config, 2).batch(some, 0)
    assert 0 < int(batch.labels.sum()) < batch.num_tokens
    nats = accumulate(model, batch, int(batch.labels.sum()), 2).sum().item()
    assert nats / int(batch.labels.sum()) == pytest.approx(np.log(model.vocabulary), abs=0.15)
    assert all(parameter.grad is not None for parameter in model.parameters())
