"""Other thresholds and other rules without a rerun: what would survive by the signals of `filter`.

Nothing but `filter/signals` is read. Survival is that of `filter`, before deduplication. Tokens are
estimated: the bytes of a text times the tokens a byte that the run measured for its source.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.keys import key64_many
from curation.verdicts import Criterion, criteria
from pipelines.look.display import excerpt, line, redacting
from pipelines.run import Run
from pipelines.runs import documents
from pipelines.runs.ids import flat
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Receipt
from schemas.chain import Chain, EditStep
from schemas.problems import Problem, close_to
from schemas.rules import Condition

SAMPLES = 3  # of each side
_CHARACTERS = 300  # of a sample's text

Mask = npt.NDArray[np.bool_]


@dataclass
class Survival:
    """Documents that survive, by source, with bytes of their texts and tokens. tokens: estimated,
    None if the run has not tokenized yet."""

    documents: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] | None = None

    @property
    def total(self) -> int:
        """All documents."""
        return sum(self.documents.values())


@dataclass(frozen=True)
class Sample:
    """A document that changes sides. change: `kept` or `lost`, against the run; text: without
    personal data, cut short."""

    id: str
    change: str
    url: str
    why: str
    text: str


@dataclass(frozen=True)
class Sweep:
    """What other thresholds of a rule would do.

    rule: what must hold, with the run's threshold; documents: all that the rule was asked of;
    unmeasured: of these, those without the signal, which survive nowhere; unknown: those that
    failed by this rule alone where later steps were not taken, and might fail there.
    points: by threshold what survives; own: what survived in the run.
    """

    table: str
    reason: str
    rule: str
    documents: int
    unmeasured: int
    unknown: int
    own: Survival
    points: dict[float, Survival]
    samples: list[Sample]


@dataclass(frozen=True)
class Change:
    """What other rules would do.

    kept, lost: documents that would change sides, by reason: the run's, and the first of the other
    rules. untested: rules whose signals the run has not; unmeasured: documents for which one
    decides that was not measured; elsewhere: documents that the run rejects by what is no rule.
    notes: what is not as the other chain would have it.
    """

    documents: int
    own: Survival
    other: Survival
    kept: dict[str, int]
    lost: dict[str, int]
    untested: list[str]
    unmeasured: int
    elsewhere: int
    notes: list[str]
    samples: list[Sample]


def find_test(chain: Chain, named: str) -> Criterion:
    """The rule of a chain that is called REASON, or TABLE.REASON. Raises Problem if there is none,
    if there are several, or if it has no number for a threshold."""
    every = list(criteria(chain))
    found = [test for test in every if named in (test.reason, f"{test.table}.{test.reason}")]
    if not found:
        mend = close_to(named, [name for test in every for name in (test.reason, _full(test))])
        raise Problem(f"the run has no rule `{named}`{mend}", "rule")
    if len(found) > 1:
        names = " or ".join(dict.fromkeys(map(_full, found)))
        raise Problem(f"several rules are called `{named}`", "rule", f"give {names}")
    if not found[0].sweepable:
        mend = "write the rule anew, and give its table as other rules"
        raise Problem(
            f"`{named}` has no single number for a threshold: {found[0].asked}", "rule", mend
        )
    return found[0]


def _full(test: Criterion) -> str:
    return f"{test.table}.{test.reason}"


def thresholds(low: float, high: float, steps: int) -> list[float]:
    """Numbers from `low` to `high`, evenly."""
    return [float(f"{value:.9g}") for value in np.linspace(low, high, steps if low != high else 1)]


def sweep(run: Run, named: str, values: Sequence[float], samples: int = SAMPLES) -> Sweep:
    """What survives with other thresholds of a rule. Raises Problem as `find_test` does, and if
    `filter` is not finished."""
    receipts = _receipts(run)
    chain = run.recipe.filter
    test = find_test(chain, named)
    assert isinstance(test.rule, Condition)  # noqa: S101 - `find_test` saw to it
    same = [other for other in criteria(chain) if other.reason == test.reason and other != test]
    others = {value: test.with_threshold(value) for value in values}
    work = partial(_swept, run, test, same, others, chain.exhaustive)
    total: dict[float | None, _Tally] = {value: _Tally() for value in (None, *values)}
    asked = unmeasured = unknown = 0
    for counts, own in _each(work, receipts):
        asked, unmeasured, unknown = (
            a + b for a, b in zip((asked, unmeasured, unknown), counts, strict=True)
        )
        for value, tally in own.items():
            total[value].add(tally)
    ratios = tokens_a_byte(run)
    extremes = [others[value] for value in dict.fromkeys((min(values), max(values)))]

    def changed(table: pa.Table) -> tuple[Mask, Mask]:
        kept, could = table["kept"].to_numpy(), _could(table, test, same)
        passes = [could & _passes(other, table) for other in extremes]
        gained = np.logical_or.reduce(passes) & ~kept
        return gained, kept & ~np.logical_and.reduce(passes)

    return Sweep(
        test.table,
        test.reason,
        test.asked,
        asked,
        unmeasured,
        unknown,
        total[None].survival(ratios),
        {value: total[value].survival(ratios) for value in values},
        _samples(run, receipts, [test, *same], changed, samples),
    )


def change(run: Run, chain: Chain, samples: int = SAMPLES) -> Change:
    """What survives by the rules and languages of another chain. Raises Problem if `filter` is not
    finished."""
    receipts = _receipts(run)
    path = receipts[0].file("signals").path
    there = set(read_table(run.context.home("filter"), path, None).schema.names)
    tests, mine = list(criteria(chain)), list(criteria(run.recipe.filter))
    known = [test for test in tests if test.columns <= there]
    reasons = {test.reason for test in mine}
    work = partial(_changed, run, known, reasons)
    own, other = _Tally(), _Tally()
    kept: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    unmeasured = elsewhere = count = 0
    for found in _each(work, receipts):
        own.add(found.own)
        other.add(found.other)
        kept.update(found.kept)
        lost.update(found.lost)
        unmeasured += found.unmeasured
        elsewhere += found.elsewhere
        count += found.documents
    edits = [
        [step.edit for _, step in each.steps() if isinstance(step, EditStep)]
        for each in (run.recipe.filter, chain)
    ]
    notes = []
    if edits[0] != edits[1]:
        before, after = (", ".join(names) or "none" for names in edits)
        notes.append(f"signals are of texts after the edits {before}; not after {after}")
    if not run.recipe.filter.exhaustive:
        notes.append("this run stopped at the first step that rejects: later signals are missing")

    def sides(table: pa.Table) -> tuple[Mask, Mask]:
        passes, _, _ = _decide(known, reasons, table)
        was = table["kept"].to_numpy()
        return passes & ~was, was & ~passes

    ratios = tokens_a_byte(run)
    return Change(
        count,
        own.survival(ratios),
        other.survival(ratios),
        dict(kept.most_common()),
        dict(lost.most_common()),
        [f"{_full(test)}: {test.asked}" for test in tests if test not in known],
        unmeasured,
        elsewhere,
        notes,
        _samples(run, receipts, known, sides, samples),
    )


def tokens_a_byte(run: Run) -> dict[str, float] | None:
    """By source how many tokens a byte of curated text has; `` for any other source. None if the
    run has not tokenized yet."""
    if "tokenize" not in run.stages:
        return None
    sums: dict[str, Counter[str]] = {"tokens": Counter(), "bytes": Counter()}
    for receipt in run.context.receipts("tokenize"):
        for name, counter in sums.items():
            counter.update(receipt.counts[name])
    tokens, sizes = sums["tokens"], sums["bytes"]
    found = {source: tokens[source] / size for source, size in sizes.items() if size}
    return {**found, "": tokens.total() / sizes.total() if sizes.total() else 0.0}


# --- parts ----------------------------------------------------------------------------------


class _Tally:
    """Documents and bytes by source."""

    def __init__(self) -> None:
        self.documents: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def count(self, names: Sequence[str], codes: Any, sizes: Any, mask: Mask) -> None:
        own, width = codes[mask], len(names)
        documents = np.bincount(own, minlength=width).tolist()
        weights = np.bincount(own, sizes[mask], width).tolist()
        for name, number, size in zip(names, documents, weights, strict=True):
            self.documents[name] += number
            self.bytes[name] += int(size)

    def add(self, other: _Tally) -> None:
        self.documents.update(other.documents)
        self.bytes.update(other.bytes)

    def survival(self, ratios: Mapping[str, float] | None) -> Survival:
        sources = sorted(self.documents)
        tokens = None
        if ratios is not None:
            tokens = {
                name: round(self.bytes[name] * ratios.get(name, ratios[""])) for name in sources
            }
        return Survival(
            {name: self.documents[name] for name in sources},
            {name: self.bytes[name] for name in sources},
            tokens,
        )


def _receipts(run: Run) -> list[Receipt]:
    if "filter" not in run.stages:
        raise Problem("the stage `filter` is not finished: no signals are stored", run.folder.url)
    return run.context.receipts("filter")


def _each(work: Any, receipts: Sequence[Receipt]) -> Iterator[Any]:
    """What the parts give, in their order; a few are read side by side."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(work, receipts)


def _read(run: Run, receipt: Receipt, tests: Collection[Criterion], *more: str) -> pa.Table:
    names = {name for test in tests for name in test.columns}
    columns = ["kept", "reasons", "source", "bytes", *more]
    path = receipt.file("signals").path
    return read_table(
        run.context.home("filter"), path, list(dict.fromkeys([*columns, *sorted(names)]))
    )


def _sources(table: pa.Table) -> tuple[list[str], Any, Any]:
    coded = flat(table["source"]).dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(), table["bytes"].to_numpy()


def _columns(table: pa.Table) -> dict[str, pa.Array]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _passes(test: Criterion, table: pa.Table) -> Mask:
    """Which documents a test lets through; not those without the signal."""
    return ~_bool(pc.fill_null(test.failed(_columns(table)), True))


def _bool(mask: Any) -> Mask:
    return np.asarray(
        mask.to_numpy(zero_copy_only=False) if isinstance(mask, pa.Array) else mask.to_numpy()
    )


def _could(table: pa.Table, test: Criterion, same: Sequence[Criterion]) -> Mask:
    """Which documents nothing but a test rejects."""
    lists = flat(table["reasons"])
    wrong = pc.list_parent_indices(lists).filter(pc.not_equal(lists.flatten(), test.reason))
    could = np.ones(table.num_rows, np.bool_)
    could[wrong.to_numpy()] = False
    for other in same:
        could &= _passes(other, table)
    return could


def _swept(
    run: Run,
    test: Criterion,
    same: Sequence[Criterion],
    others: Mapping[float, Criterion],
    exhaustive: bool,
    receipt: Receipt,
) -> tuple[tuple[int, int, int], dict[float | None, _Tally]]:
    table = _read(run, receipt, [test, *same])
    columns = _columns(table)
    names, codes, sizes = _sources(table)
    kept, could = table["kept"].to_numpy(), _could(table, test, same)
    missing = _bool(pc.is_null(test.failed(columns)))
    unknown = 0 if exhaustive else int(np.count_nonzero(could & ~kept))
    found: dict[float | None, _Tally] = {}
    for value, passes in (
        (None, kept),
        *((v, could & _passes(t, table)) for v, t in others.items()),
    ):
        found[value] = _Tally()
        found[value].count(names, codes, sizes, passes)
    return (table.num_rows, int(np.count_nonzero(missing)), unknown), found


@dataclass
class _Part:
    documents: int
    own: _Tally
    other: _Tally
    kept: Counter[str]
    lost: Counter[str]
    unmeasured: int
    elsewhere: int


def _decide(
    tests: Sequence[Criterion], reasons: Collection[str], table: pa.Table
) -> tuple[Mask, list[Mask], tuple[Mask, Mask]]:
    """Which documents pass all tests; which fail each; which are not measured, and which the run
    rejects by what signals do not decide."""
    columns, count = _columns(table), table.num_rows
    failed, unmeasured = [], np.zeros(count, np.bool_)
    for test in tests:
        found = test.failed(columns)
        failed.append(_bool(pc.fill_null(found, False)))
        unmeasured |= _bool(pc.is_null(found))
    fails = np.logical_or.reduce(failed) if failed else np.zeros(count, np.bool_)
    lists = flat(table["reasons"])
    known = pc.is_in(lists.flatten(), pa.array(sorted(reasons), pa.string()))
    elsewhere = np.zeros(count, np.bool_)
    elsewhere[pc.list_parent_indices(lists).filter(pc.invert(known)).to_numpy()] = True
    unmeasured &= ~fails
    return ~fails & ~unmeasured & ~elsewhere, failed, (unmeasured, elsewhere)


def _changed(
    run: Run, tests: Sequence[Criterion], reasons: Collection[str], receipt: Receipt
) -> _Part:
    table = _read(run, receipt, tests)
    names, codes, sizes = _sources(table)
    kept = table["kept"].to_numpy()
    passes, failed, (unmeasured, elsewhere) = _decide(tests, reasons, table)
    found = _Part(table.num_rows, _Tally(), _Tally(), Counter(), Counter(), 0, 0)
    found.unmeasured = int(np.count_nonzero(unmeasured))
    found.elsewhere = int(np.count_nonzero(elsewhere))
    found.own.count(names, codes, sizes, kept)
    found.other.count(names, codes, sizes, passes)
    gained = table["reasons"].filter(pa.array(passes & ~kept)).to_pylist()
    found.kept.update(own[0] for own in gained)
    left = kept & ~passes
    for test, mask in zip(tests, failed, strict=True):
        own = left & mask
        found.lost[_full(test)] += int(np.count_nonzero(own))
        left &= ~mask
    found.lost = +found.lost
    return found


def _samples(
    run: Run, receipts: Sequence[Receipt], tests: Sequence[Criterion], changed: Any, most: int
) -> list[Sample]:
    """Some documents that change sides, by a keyed hash, of the first parts that have enough."""
    if not most or not documents.has_raw(run.context):
        return []
    chosen: dict[str, list[tuple[str, str, str]]] = {"kept": [], "lost": []}
    for receipt in receipts:
        if all(len(own) >= most for own in chosen.values()):
            break
        table = _read(run, receipt, tests)
        sides = dict(zip(chosen, changed(table), strict=True))
        if not any(mask.any() for mask in sides.values()):
            continue
        table = _read(run, receipt, tests, "id")
        for side, mask in sides.items():
            rows = table.filter(pa.array(mask))
            keys = key64_many(run.recipe.seed, "sweep", rows["id"].to_pylist()).tolist()
            at = heapq.nsmallest(most - len(chosen[side]), range(len(keys)), keys.__getitem__)
            for place in at:
                (row,) = rows.slice(place, 1).to_pylist()
                chosen[side].append((row["id"], receipt.task, _why(row, tests)))
    wanted: dict[str, set[str]] = {}
    for id_, task, _ in (each for own in chosen.values() for each in own):
        wanted.setdefault(task, set()).add(id_)
    pages = documents.find(run.context, wanted, ["url", "text"])
    with redacting(run.context):
        return [
            Sample(id_, side, line(page["url"]), why, excerpt(page["text"], _CHARACTERS)[0])
            for side, own in chosen.items()
            for id_, _, why in own
            if (page := pages[id_])
        ]


def _why(row: Mapping[str, Any], tests: Sequence[Criterion]) -> str:
    """The values of what decides."""
    if len({test.reason for test in tests}) == 1:
        values = {name: row[name] for name in tests[0].signals}
    else:
        columns = {name: pa.array([value]) for name, value in row.items() if value is not None}
        failing = [t for t in tests if t.columns <= columns.keys() and t.failed(columns)[0].as_py()]
        if not failing:
            return f"was {', '.join(row['reasons'])}"
        return "; ".join(f"{_full(test)} asks {test.asked}" for test in failing)
    return ", ".join(f"{name} is {value:.6g}" if isinstance(value, float) else f"{name} is {value}"
                     for name, value in values.items())  # fmt: skip
