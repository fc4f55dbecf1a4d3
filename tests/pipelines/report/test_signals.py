import numpy as np
import pyarrow as pa
import pytest

from curation.rules import said
from pipelines.report import formats, plots
from pipelines.report.shape import Panel, Rule, Threshold
from pipelines.report.signals import BINS, Values, panels, rules_of
from pipelines.report.signals import panel as panel_of
from schemas.filter import Filter


def rule(operator: str, threshold: float) -> Threshold:
    return Threshold(
        signal="f.s", operator=operator, threshold=threshold, reason="r", grouped=False
    )


def panel(table: str, thresholds: list[Threshold], values: Values) -> Panel:
    """Of documents every other one of which was kept."""
    return panel_of(table, thresholds, values, np.arange(len(values)) % 2 == 0)


def counted(item: Panel) -> tuple[int, int]:
    return sum(item["passing"]), sum(item["failing"])


def test_every_value_is_counted_once_on_its_side() -> None:
    rng = np.random.default_rng(1)
    values = rng.beta(2, 8, 5000)
    values[:7] = np.nan
    item = panel("t", [rule("<=", 0.2)], values)
    assert item["scale"] == "linear"
    assert item["missing"] == 7
    assert counted(item) == (int((values <= 0.2).sum()), int((values > 0.2).sum()))
    assert len(item["edges"]) == BINS + 1 == len(item["passing"]) + 1
    assert item["edges"][0] == 0
    # bins on either side of the one with the threshold have one colour
    for low, high, passing, failing in zip(
        item["edges"], item["edges"][1:], item["passing"], item["failing"], strict=False
    ):
        assert high > 0.2 or failing == 0
        assert low < 0.2 or passing == 0


def test_outliers_are_in_the_last_bin() -> None:
    values = np.concatenate([np.linspace(0.01, 1, 1000), [50.0, 60.0]])
    item = panel("t", [rule("<=", 0.5)], values)
    assert item["edges"][-1] < 2
    assert item["above"] == 2
    assert sum(counted(item)) == 1002
    assert item["failing"][-1] >= 2


def test_counts_have_a_bin_each() -> None:
    item = panel("t", [rule(">=", 2)], np.array([0.0, 1, 1, 2, 8, 8, 8]))
    assert item["scale"] == "counts"
    assert item["edges"] == [value - 0.5 for value in range(10)]
    assert item["passing"] == [0, 0, 1, 0, 0, 0, 0, 0, 3]
    assert item["failing"] == [1, 2, 0, 0, 0, 0, 0, 0, 0]


def test_long_tails_are_logarithmic_and_hold_both_thresholds() -> None:
    values = np.exp(np.random.default_rng(1).normal(6, 1, 3000)).round()
    item = panel("t", [rule(">=", 50), rule("<=", 100_000)], values)
    assert item["scale"] == "log"
    assert item["edges"][0] <= 50
    assert item["edges"][-1] >= 100_000
    assert item["edges"] == sorted(item["edges"])
    assert counted(item)[1] == int(((values < 50) | (values > 100_000)).sum())
    assert "1,000" in plots.signal(item)["ticks"]


@pytest.mark.parametrize(
    "values", [[], [0.0], [3.7] * 5, [-2.0, -1.5], [np.nan, np.nan], [0.0, 1e-9], [1e12, 1.5]]
)
@pytest.mark.parametrize("threshold", [0.0, 0.25, -3.0, float("inf")])
def test_any_values_can_be_drawn(values: list[float], threshold: float) -> None:
    item = panel("t", [rule("<", threshold)], np.array(values))
    known = [value for value in values if not np.isnan(value)]
    assert sum(counted(item)) == len(known)
    assert np.all(np.diff(item["edges"]) > 0)
    assert sum(item["kept"]) == sum(not np.isnan(value) for value in values[::2])
    drawn = plots.signal(item)
    assert all(0 <= height <= 1 for side in ("kept", "rejected") for height in drawn[side])
    assert max([*drawn["kept"], *drawn["rejected"]]) == (1 if known else 0)
    assert len(drawn["marks"]) == np.isfinite(threshold)
    assert all(0 <= mark["place"] <= 1 for mark in drawn["marks"])


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "–"),
        (0, 5, "0%"),
        (5, 5, "100%"),
        (1, 100_000, "< 0.1%"),
        (99_999, 100_000, "> 99.9%"),
        (1, 3, "33.3%"),
    ],
)
def test_shares_say_all_only_of_all(part: int, whole: int, shown: str) -> None:
    assert formats.share(part, whole) == shown


def test_numbers_for_readers() -> None:
    assert formats.size(999) == "999 bytes"
    assert formats.size(12_345_678) == "12.3 MB"
    assert formats.value(0.12) == "0.12"
    assert formats.value(100_000) == "100k"
    assert formats.value(1500) == "1,500"
    assert formats.exact(0.123456789) == "0.123456789"
    assert formats.exact(1234.0) == "1,234"
    assert formats.plural(1, "copy", "copies") == "1 copy"
    assert formats.plural(2, "copy", "copies") == "2 copies"


def groups() -> Filter:
    few = {"signal": "f.a", "operator": ">=", "threshold": 5}
    ends = {"signal": "f.b", "operator": ">", "threshold": 0.5}
    other = {"signal": "f.c", "operator": "<=", "threshold": float("inf")}
    german = {"signal": "f.a", "operator": ">=", "threshold": 8, "reason": "few"}
    grouped = {"any": [few, {"all": [ends, other]}], "reason": "few"}
    return Filter.model_validate(
        {
            "chain": [
                {"rules": {"name": "rest", "rules": [grouped]}, "languages": ["en", "fr"]},
                {"rules": {"name": "german", "rules": [german]}, "languages": ["de"]},
            ]
        }
    )


def test_groups_and_scopes_are_told() -> None:
    told = [
        formats.decide(Rule(table="t", test=said(rule), scope=step.scope()))
        for step, rule in rules_of(groups())
    ]
    assert told == ["f.a ≥ 5 or (f.b > 0.5 and f.c ≤ inf) (of en, fr)", "f.a ≥ 8 (of de)"]


def test_a_panel_is_of_the_documents_that_its_table_is_for() -> None:
    verdicts = pa.table(
        {
            "language": ["en", "de", "fr", "de"],
            "source": ["w", "w", "w", "v"],
            "kept": [True, True, False, False],
            "f.a": [3.0, 7.0, 9.0, 8.0],
            "f.b": [0.1, None, 0.2, None],
            "f.c": [1.0, None, 1.0, None],
        }
    )
    found = {(item["table"], item["signal"]): item for item in panels(groups(), verdicts)}
    assert list(found) == [("rest", "f.a"), ("rest", "f.b"), ("rest", "f.c"), ("german", "f.a")]
    assert counted(found["german", "f.a"]) == (1, 1)
    # failing one of several conditions is no failure yet
    assert counted(found["rest", "f.a"]) == (2, 0)
    assert found["rest", "f.b"]["missing"] == 0
    assert found["german", "f.a"]["kept"] == [1, 0, 0, 0, 0, 0]
    (mark,) = plots.signal(found["rest", "f.a"])["marks"]
    assert mark["label"] == "≥ 5"
