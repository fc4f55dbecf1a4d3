"""What a tenth of the data predicts, beside what all of it gives."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from curation.estimation import kept_share, share_draws
from pipelines.look.estimate import Estimate, Figure, estimate
from pipelines.recipes.loading import resolve
from pipelines.run import Run
from schemas.problems import Problem
from schemas.recipe import Recipe
from tests.runs import gristmill

WORDS = [f"{a}{b}{c}" for a in "bdfglmnprst" for b in "aeiou" for c in ("n", "r", "st", "ll", "m")]
COPIES = {"web": (1, 1, 1, 1, 1, 2, 2, 3, 10), "books": (1,)}


def write(folder: Path) -> Recipe:
    """Two sources: pages, many of which stand there several times, and a few books."""
    rng = random.Random(1)
    for source, number in (("web", 3000), ("books", 1200)):
        texts = []
        for _ in range(number):
            length = rng.choice((10, 40, 60, 90))
            text = " ".join(rng.choices(WORDS, k=length))
            texts += [text] * rng.choice(COPIES[source])
        rng.shuffle(texts)
        rows = (json.dumps({"text": text, "n": at}) for at, text in enumerate(texts))
        (folder / f"{source}.jsonl").write_text("\n".join(rows) + "\n")
    rule = {"signal": "gopher.words", "operator": ">=", "threshold": 30, "reason": "short"}
    recipe = {
        "inputs": [
            {"source": name, "root": str(folder), "files": [f"{name}.jsonl"]} for name in COPIES
        ],
        "filter": {"chain": [{"rules": {"name": "short", "rules": [rule]}}]},
        "deduplicate": {"near": None},
        "curate": {"chain": []},
        "tokenizer": {"train": {"vocabulary": 512, "sample_bytes": 1 << 18}},
        "mix": {"sequence_length": 128, "validation": {"tokens": 500}},
    }
    (folder / "recipe.json").write_text(json.dumps({"name": "estimated", **recipe}))
    return resolve("estimated", recipe, folder)


def holds(figure: Figure, truth: float, within: float) -> bool:
    """Whether an estimate is near the truth, and its interval, somewhat widened, holds it."""
    room = (figure.high - figure.low) / 2
    assert figure.low <= figure.value <= figure.high
    return (
        abs(figure.value - truth) <= within * truth
        and figure.low - room <= truth <= figure.high + room
    )


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return write(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def tenth(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Estimate:
    return estimate(recipe, 0.1, str(tmp_path_factory.mktemp("sample") / "run"), workers=2)


def test_a_tenth_predicts_the_whole(recipe: Recipe, tenth: Estimate, tmp_path: Path) -> None:
    run = Run.create(recipe, str(tmp_path / "run"))
    run.go()
    truth: dict[str, dict[str, int]] = {name: {} for name in COPIES}
    for stage in ("extract", "filter", "deduplicate", "curate"):
        for batch in run.documents(stage, ("id", "source")):
            for source in batch["source"].to_pylist():
                truth[source][stage] = truth[source].get(stage, 0) + 1
    (receipt,) = run.context.receipts("mix")
    assert 0.05 < tenth.fraction < 0.15
    for found in tenth.sources:
        own = truth[found.source]
        for stage in ("extract", "filter"):
            assert holds(found.documents[stage], own[stage], 0.12), (found, own)
        for stage in ("deduplicate", "curate"):
            assert holds(found.documents[stage], own[stage], 0.25), (found, own)
        assert holds(found.tokens, receipt.counts["sources"][found.source]["tokens"], 0.25)
    web = next(each for each in tenth.sources if each.source == "web")
    shares = [share for _, share in web.kept]
    assert shares == sorted(shares, reverse=True)
    # the sample alone would say that nearly all stay
    kept = truth["web"]["deduplicate"] / truth["web"]["filter"]
    assert kept < 0.5
    assert shares[-2] > kept + 0.2
    size = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*.parquet"))
    # files of some kilobytes are mostly footers
    assert 0.5 * size < tenth.disk_bytes.value < 4 * size


def test_it_is_the_same_again(recipe: Recipe, tenth: Estimate, tmp_path: Path) -> None:
    again = estimate(recipe, 0.1, str(tmp_path / "run"))
    assert again.sources == tenth.sources
    assert again.tokens == tenth.tokens


def test_all_of_it_is_certain(recipe: Recipe, tmp_path: Path) -> None:
    found = estimate(recipe, 1, str(tmp_path / "run"))
    run = Run.open(str(tmp_path / "run"))
    for stage in ("extract", "filter", "deduplicate", "curate"):
        figures = [each.documents[stage] for each in found.sources]
        kept = sum(batch.num_rows for batch in run.documents(stage, ("id",)))
        assert sum(each.value for each in figures) == pytest.approx(kept)
        assert all(each.high - each.low < 1e-6 for each in figures)


SIZES = np.repeat([1, 2, 4, 30], [40_000, 10_000, 3000, 300])
SHARE = len(SIZES) / SIZES.sum()


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_intervals_hold_the_share_that_stays(rate: float) -> None:
    chance = np.random.default_rng(4)
    held = 0
    for _ in range(20):
        seen = np.bincount(chance.binomial(SIZES, rate))[1:].astype(float)
        low, high = np.percentile(share_draws(seen, rate, 50, chance)[1:], (5, 95))
        held += low <= SHARE <= high
    assert held >= 15
    # a sample without a duplicate does not say that there are none
    alone = share_draws(np.array([1000.0]), 0.01, 50, chance)
    assert alone[0] > 0.95
    assert np.percentile(alone, 5) < alone[0] - 0.005


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_the_share_that_stays_is_found_from_samples(rate: float) -> None:
    chance = np.random.default_rng(3)
    held = chance.binomial(SIZES, rate)
    seen = np.bincount(held)[1:].astype(float)
    assert kept_share(seen, rate) == pytest.approx(SHARE, abs=0.05)
    assert kept_share(seen, rate, rate) == pytest.approx(np.count_nonzero(held) / held.sum())
    half = chance.binomial(held, 0.5)
    there = np.count_nonzero(half) / half.sum()
    assert kept_share(seen, rate, rate / 2) == pytest.approx(there, abs=0.01)


def test_wrong_fractions_and_inputs_are_told(recipe: Recipe, tmp_path: Path) -> None:
    for fraction in (0.0, 1.5, -1.0):
        with pytest.raises(Problem, match="above 0 and at most 1"):
            estimate(recipe, fraction, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_command(recipe: Recipe, tenth: Estimate) -> None:
    path = f"{recipe.inputs[0].root}/recipe.json"
    words = ("estimate", path, "--sample", "10%", "--workers", "2", "--quiet")
    told = json.loads(gristmill(*words, "--json").stdout)
    assert told["tokens"]["value"] == pytest.approx(tenth.tokens.value)
    assert [each["source"] for each in told["sources"]] == ["books", "web"]
    out = gristmill(*words, "--price", "0.5")
    assert out.returncode == 0, out.stderr
    assert "tokens" in out.stdout
    assert "time, 2 workers" in out.stdout
    assert "cost, 0.5 an hour a worker" in out.stdout
    assert gristmill("estimate", path, "--sample", "much").returncode == 2
