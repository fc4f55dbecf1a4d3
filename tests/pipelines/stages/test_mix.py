"""Mixtures of three sources, one of which has four documents and one none, through whole runs."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.recipes.loading import resolve
from pipelines.recipes.mistakes import RecipeError
from pipelines.run import Run
from pipelines.runs.events import Event, Shortfall
from schemas.problems import Problem
from tests.conftest import REPOSITORY
from tests.runs import balanced, gristmill, receipts
from train.config import load
from train.job import prepare

DATA = REPOSITORY / "tests" / "data" / "mixture"
RECIPE: dict[str, Any] = {
    "inputs": [
        {
            "source": source,
            "root": "inputs",
            "files": [f"{source}.jsonl"],
            "columns": {"user_id": "id", "keep": {"topic": "string"}},
        }
        for source in ("big", "small", "gone")
    ],
    "deduplicate": {"near": None},
    "filter": {"chain": [{"rules": "some.yaml"}]},
    "curate": {"chain": []},
    "tokenizer": {"train": {"vocabulary": 512, "sample_bytes": 1 << 20}},
}
MIX: dict[str, Any] = {
    "tokens": 20_000,
    "weights": {"big": 7, "small": 1, "gone": 2},
    "max_epochs": 2,
    "sequence_length": 64,
    "bucket_tokens": 6000,
    "validation": {"tokens": 100},
}
TABLE = {
    "name": "some",
    "rules": [{"signal": "gopher.words", "operator": ">=", "threshold": 10, "reason": "few_words"}],
}
Mill = Callable[..., Run]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All stages but the last are taken from it."""
    folder = tmp_path_factory.mktemp("parent")
    (folder / "some.yaml").write_text(yaml.safe_dump(TABLE))
    (folder / "inputs").mkdir()
    for path in DATA.glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        topics = ["tides" if "tide" in row["text"] else None for row in rows]
        lines = (json.dumps({**r, "topic": topic}) for r, topic in zip(rows, topics, strict=True))
        (folder / "inputs" / path.name).write_text("".join(f"{line}\n" for line in lines))
    run = Run.create(resolve("parent", {**RECIPE, "mix": MIX}, folder), str(folder / "run"))
    run.go()
    return run


@pytest.fixture
def mix(parent: Run, tmp_path: Path) -> Mill:
    """A run of another mixture."""

    def make(name: str = "run", **changes: Any) -> Run:
        value, base = {**MIX, **changes}, Path(parent.folder.url).parent
        value = {key: item for key, item in value.items() if item is not None}
        recipe = resolve(name, {**RECIPE, "parent": parent.folder.url, "mix": value}, base)
        run = Run.create(recipe, str(tmp_path / name))
        events: list[Event] = []
        run.go(listener=events.append)
        told = [event for event in events if isinstance(event, Shortfall)]
        assert told == run.shortfalls()
        return run

    return make


def rows(run: Run, split: str = "train") -> list[dict[str, Any]]:
    """The rows of a split, in order."""
    files = run.shards.splits[split].files  # type: ignore[index]
    tables = [pq.read_table(Path(run.folder.url) / "shards" / file.path) for file in files]
    return pa.concat_tables(tables).to_pylist() if tables else []


def tokens(run: Run) -> dict[str, tuple[int, int]]:
    """Planned and achieved, by source; checked against the rows and the other files."""
    portions = run.mixture()
    written = Counter[str]()
    for row in rows(run):
        written[row["source"]] += row["length"]
    for source in {item.source for item in portions}:
        assert sum(item.tokens for item in portions if item.source == source) == written[source]
    told = json.loads((Path(run.folder.url) / "mix/mixture.json").read_text())
    assert [item["tokens"] for item in told] == [item.tokens for item in portions]
    balanced(Path(run.folder.url))
    return {item.source: (item.planned, item.tokens) for item in portions}


def test_a_shortfall_is_told_and_the_others_keep_their_tokens(parent: Run) -> None:
    found = tokens(parent)
    (small,) = (item for item in parent.mixture() if item.source == "small")
    assert found["big"] == (14_000, 14_000)
    assert found["small"] == (2000, 2 * small.available)
    assert 2 * small.available < 2000
    assert found["gone"] == (4000, 0)
    assert {(event.source, event.wanted) for event in parent.shortfalls()} == {
        ("small", 2000),
        ("gone", 4000),
    }


def test_every_policy_for_what_cannot_be_met(mix: Mill, parent: Run) -> None:
    room = {item.source: 2 * item.available for item in parent.mixture()}
    found = tokens(mix("redistribute", shortfall="redistribute"))
    assert found["small"][1] == room["small"]
    assert found["big"][1] == 20_000 - room["small"]
    found = tokens(mix("scale", shortfall="scale"))
    assert found["small"][1] == room["small"]
    assert abs(found["big"][1] - 7 * found["small"][1]) <= 7
    with pytest.raises(Problem, match=r"gone: 0 of 4,000 tokens; small: .* of 2,000 tokens"):
        mix("error", shortfall="error")
    # nothing of it is left to be taken for shards
    met = mix("met", shortfall="error", weights={"big": 9, "small": 1, "gone": 0}, tokens=9000)
    assert tokens(met) == {"big": (8100, 8100), "gone": (0, 0), "small": (900, 900)}


def test_strategies(mix: Mill, parent: Run) -> None:
    available = {item.source: item.available for item in parent.mixture()}
    whole = available["big"] + available["small"]
    everything = tokens(mix("all", weights=None, tokens=None))
    assert everything["big"] == (available["big"],) * 2
    natural = tokens(mix("natural", weights=None))
    assert natural["big"][1] == pytest.approx(20_000 * available["big"] / whole, abs=1)
    heated = tokens(mix("heated", weights=None, temperature=2))
    roots = {source: count**0.5 for source, count in available.items()}
    wanted = 20_000 * roots["big"] / (roots["big"] + roots["small"])
    assert heated["big"][0] == pytest.approx(wanted, abs=1)
    # as much of each, but none above its cap; the rest is the other's, and nothing is short
    equal = mix("unimax", weights=None, unimax=True)
    assert tokens(equal)["small"][1] == 2 * available["small"]
    assert tokens(equal)["big"][1] == 20_000 - 2 * available["small"]
    assert not equal.shortfalls()
    factors = tokens(mix("factors", weights=None, tokens=None, factors={"small": 2, "big": 0.5}))
    assert factors["small"] == (2 * available["small"],) * 2
    assert factors["big"][1] == available["big"] // 2


def test_a_cap_for_one_source_is_never_exceeded(mix: Mill, parent: Run) -> None:
    available = {item.source: item.available for item in parent.mixture()}
    found = tokens(mix(max_epochs={"small": 1.5, "big": 1.1}, tokens=200_000))
    assert found["small"][1] == available["small"] * 3 // 2
    assert found["big"][1] == available["big"] * 11 // 10
    with pytest.raises(RecipeError, match=r"mix\.max_epochs. names `smal`, which is no source"):
        mix("wrong", max_epochs={"smal": 2})


def test_groups_by_rule_are_sources_of_their_own(mix: Mill, parent: Run) -> None:
    groups = [
        {"name": "long", "when": {"signal": "gopher.words", "operator": ">=", "threshold": 137}},
        {
            "name": "tides",
            "when": {
                "all": [
                    {"signal": "column.topic", "operator": "in", "threshold": ["tides"]},
                    {"signal": "document.source", "operator": "==", "threshold": "big"},
                ]
            },
        },
    ]
    weights = {"big": 2, "small": 0, "gone": 0, "long": 1, "tides": 1}
    run = mix(groups=groups, weights=weights, tokens=4000, max_epochs=5)
    found = tokens(run)
    assert {source for source, (_, got) in found.items() if got} == {"big", "long", "tides"}
    assert found["long"] == (1000, 1000)
    # nothing but the mix was done here, and no text was encoded
    assert {path.split("/")[0] for path in receipts(Path(run.folder.url))} <= {"mix", "index"}
    words = {}
    for batch in parent.context.receipts("filter"):
        path = Path(parent.folder.url) / batch.file("signals").path
        for row in pq.read_table(path, columns=["id", "gopher.words"]).to_pylist():
            words[row["id"]] = row["gopher.words"]
    texts = {
        row["id"]: (row["source"], row["text"])
        for batch in parent.documents(columns=["id", "source", "text"])
        for row in batch.to_pylist()
    }
    for row in rows(run):
        for segment in row["segments"]:
            source, text = texts[segment["document_id"].hex()]
            group = "tides" if "tide" in text and source == "big" else source
            assert row["source"] == (
                "long" if words[segment["document_id"].hex()] >= 137 else group
            )


def test_wrong_groups_are_told_with_their_paths(mix: Mill) -> None:
    def group(signal: str, threshold: object) -> dict[str, Any]:
        return {"name": "a", "when": {"signal": signal, "operator": ">=", "threshold": threshold}}

    with pytest.raises(RecipeError) as error:
        mix(groups=[group("gopher.wrods", 1), group("gopher.words", "many")], weights=None)
    assert "mix.groups[0].when.signal: no chain measures `gopher.wrods`" in str(error.value)
    assert "mix.groups[1].when.threshold" in str(error.value)
    with pytest.raises(RecipeError, match="has no weight for `a`"):
        mix(groups=[group("gopher.words", 1)])


def test_one_strategy_and_a_known_preset(mix: Mill) -> None:
    for wrong, message in (
        ({"temperature": 2}, "`weights` and `temperature` both share out tokens"),
        ({"weights": None, "tokens": None, "unimax": True}, "give the number of tokens too"),
        ({"weights": "lama1"}, "no mixture is called `lama1`.*did you mean `llama1`"),
        ({"weights": "llama3"}, "`mix.weights` names `books`, which is no source or group"),
    ):
        with pytest.raises(RecipeError, match=message):
            mix("wrong", **wrong)


def test_a_curriculum_has_phases_that_go_on_where_the_one_before_ended(
    mix: Mill, parent: Run, tmp_path: Path
) -> None:
    phases = [
        {"name": "first", "tokens": 9000, "weights": {"big": 17, "small": 1, "gone": 0}},
        {"name": "anneal", "tokens": 3000, "weights": {"big": 1, "small": 0, "gone": 0}},
        {"name": "last", "tokens": 30_000, "unimax": True},
    ]
    run = mix(tokens=None, weights=None, phases=phases, max_epochs=1)
    portions = {(item.phase, item.source): item for item in run.mixture()}
    assert portions["first", "big"].tokens == 8500
    assert portions["anneal", "big"].tokens == 3000
    available = portions["first", "big"].available
    assert portions["last", "big"].tokens == available - 11_500  # the cap is over all phases
    split = run.shards.splits["train"]
    assert [phase.name for phase in split.phases] == ["first", "anneal", "last"]
    assert [phase.tokens for phase in split.phases[:2]] == [9000, 3000]
    assert sum(phase.files for phase in split.phases) == len(split.files)
    start = 0
    seen: dict[bytes, int] = {}  # tokens of each document so far: it goes on, and never again
    for phase in split.phases:
        files = split.files[start : start + phase.files]
        start += phase.files
        assert all(file.path.startswith(f"train/{phase.name}/") for file in files)
        ends: dict[bytes, int] = {}
        for file in files:
            for row in pq.read_table(Path(run.folder.url) / "shards" / file.path).to_pylist():
                borders = [segment["start"] for segment in row["segments"]] + [row["length"]]
                for segment, stop in zip(row["segments"], borders[1:], strict=True):
                    document = segment["document_id"]
                    assert segment["document_offset"] >= seen.get(document, 0)
                    size = segment["document_offset"] + stop - segment["start"]
                    ends[document] = max(ends.get(document, 0), size)
        seen |= ends
    assert tokens(run)
    order = prepare(
        Path(run.folder.url), tmp_path / "model", load("tiny", {"batch_rows": 4}), 1
    ).order
    batches = [order.batch(step * 4) for step in range(order.steps_per_epoch)]
    firsts = [split.phases[0].rows, split.phases[0].rows + split.phases[1].rows, split.rows]
    phases_of = np.searchsorted(firsts, np.concatenate(batches).reshape(-1, 4), side="right")
    assert (np.diff(phases_of[:, 0]) >= 0).all()
    assert (phases_of == phases_of[:, :1]).all()
    assert set(phases_of.ravel().tolist()) == {0, 1, 2}
    assert split.tokens == sum(item.tokens for item in run.mixture())


def test_a_re_mix_encodes_nothing(mix: Mill, parent: Run) -> None:
    run = mix(weights={"big": 1, "small": 1, "gone": 0}, tokens=700)
    assert {path.split("/")[0] for path in receipts(Path(run.folder.url))} <= {"mix", "index"}
    assert run.stages["tokenize"].home == parent.folder.url


def test_the_plan_is_shown_before_and_the_table_after(parent: Run, tmp_path: Path) -> None:
    mixture = {"mix": {**MIX, "weights": {"big": 1, "small": 0, "gone": 1}}}
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({"name": "other", **mixture}))
    shown = gristmill("plan", "mixture", parent.folder.url, "--recipe", str(other))
    assert shown.returncode == 0, shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0] == ["source", "available", "planned", "taken", "share", "epochs"]
    assert [line[2] for line in lines[1:]] == ["10,000", "10,000", "0"]
    assert [line[3] for line in lines[1:]] == ["10,000", "0", "0"]
    listed = gristmill("plan", "mixture").stdout
    assert "llama1: common_crawl 67, c4 15" in listed
    assert "arXiv:2302.13971" in listed
