"""What the page's script draws, and bars in tables.

`numbers` holds a plot by name: shares and sums to draw, and beside each the words that tell it. All
of it also stands in tables of the page, to be read without scripts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from markupsafe import Markup

from pipelines.report import formats, shape

Plot = dict[str, Any]

MOST_BARS = 20
# Reasons of a stage that have a place of their own in the flow.
MOST_REASONS = 5
OTHERS = "all others"
_BAR = 14
_ROW = 24  # height of a bar across, in pixels


def numbers(report: shape.Report) -> dict[str, Plot]:
    """All plots by name; what the run has no numbers of is not there."""
    plots: dict[str, Plot] = {}
    if report["balance"]["records"]:
        plots["flow"] = flow(report)
    if report["filtering"]:
        for name, panel in signals(report["filtering"]):
            plots[name] = signal(panel)
        plots |= _costs(report["filtering"])
    if report["mixture"]:
        plots["mixture"] = mixture(report["mixture"])
    if report["composition"]:
        plots |= _composition(report["composition"])
    if report["duplicates"] and report["duplicates"]["sizes"]:
        plots["clusters"] = clusters(report["duplicates"]["sizes"])
    whole = [item for item in report["usage"] if not item["step"]]
    if any(item["cpu_seconds"] for item in whole):
        seconds = [item["cpu_seconds"] for item in whole]
        plots["time"] = bars(
            [item["stage"] for item in whole], {("CPU", "kept"): seconds}, formats.duration
        )
    if found := report["comparison"]:
        kept = [item for item in found["losses"] if not item["reason"]]
        plots["survival"] = bars(
            [item["stage"] for item in kept],
            {
                (found["left"], "kept"): [item["left"] for item in kept],
                (found["right"], "held"): [item["right"] for item in kept],
            },
            lambda number: formats.count(int(number)),
        )
    return plots


def signals(filtering: shape.Filtering) -> Iterator[tuple[str, shape.Panel]]:
    """Panels with the names of their plots."""
    for number, panel in enumerate(filtering["panels"]):
        yield f"signal-{number}", panel


# --- the flow of records --------------------------------------------------------------------


def flow(report: shape.Report) -> Plot:
    """Records from stage to stage: a node for what each kept, and for each reason."""
    balance, everything = report["balance"], report["balance"]["records"]
    nodes: list[Plot] = []
    links: list[Plot] = []

    def node(id_: str, label: str, value: int, depth: int, kind: str, tip: str = "") -> None:
        shown = f"{formats.count(value)} ({formats.share(value, everything)} of all)"
        nodes.append(
            {"id": id_, "label": f"{label} {formats.count(value)}", "value": value,
             "depth": depth, "kind": kind, "tip": "\n".join(filter(None, [label, shown, tip]))}
        )  # fmt: skip

    node("in", "records", everything, 0, "kept")
    before = "in"
    for depth, stage in enumerate((s for s in report["stages"] if _loses(s)), 1):
        name, size = stage["name"], stage["bytes"]
        if stage["kept"]:
            told = "" if size is None else f"{formats.size(size)} of text"
            node(name, f"kept by {name}", stage["kept"], depth, "kept", told)
            links.append({"source": before, "target": name, "value": stage["kept"], "kind": "kept"})
        for reason, count, size in _reasons(stage):
            id_ = f"{name}: {reason}"
            told = f"rejected by {name}" + (f", {formats.size(size)}" if size else "")
            node(id_, reason, count, depth, "lost", told)
            links.append({"source": before, "target": id_, "value": count, "kind": "lost"})
        before = name
    last = 1 + max(each["depth"] for each in nodes)
    ends = {"train": "in training rows", "validation": "validation", "not_sampled": "not sampled"}
    for key, label in ends.items():
        if count := balance[key]:  # type: ignore[literal-required]
            node(key, label, count, last, "end")
            links.append({"source": before, "target": key, "value": count, "kind": "end"})
    highest = max(Counter(each["depth"] for each in nodes).values())
    return {"kind": "flow", "nodes": nodes, "links": links, "height": max(260, 44 * highest)}


def _loses(stage: shape.Stage) -> bool:
    return (
        stage["name"] != "mix"
        and stage["records"] > 0
        and (stage["records"] > stage["kept"] or stage["name"] == "extract")
    )


def _reasons(stage: shape.Stage) -> Iterator[tuple[str, int, int]]:
    """The most frequent reasons of a stage with their documents and bytes, and all others."""
    every = list(stage["rejected"].items())
    sizes = stage["rejected_bytes"]
    for reason, count in every[:MOST_REASONS]:
        yield reason, count, sizes.get(reason, 0)
    if rest := every[MOST_REASONS:]:
        size = sum(sizes.get(reason, 0) for reason, _ in rest)
        yield formats.plural(len(rest), "other reason"), sum(count for _, count in rest), size


# --- bars -----------------------------------------------------------------------------------


def bars(
    names: Sequence[str],
    series: Mapping[tuple[str, str], Sequence[float]],
    told: Callable[[float], str],
    *,
    across: bool = True,
    stacked: bool = False,
    root: bool = False,
) -> Plot:
    """Bars of each name, by series (its name, its colour); `told`: how to write a value; `root`:
    heights go with the square root."""
    return {
        "kind": "bars",
        "names": list(names),
        "across": across,
        "stacked": stacked,
        "height": 40 + _ROW * len(names) * (1 if stacked else len(series)) if across else 180,
        "series": [
            {
                "name": name,
                "colour": colour,
                "values": [math.sqrt(value) if root else value for value in values],
                "labels": [(told if across else formats.value)(value) for value in values],
                "tips": [
                    "\n".join(filter(None, [of, f"{name} {told(value)}".strip()]))
                    for of, value in zip(names, values, strict=True)
                ],
            }
            for (name, colour), values in series.items()
        ],
    }


def mixture(found: shape.Mixture) -> Plot:
    """Tokens that were planned of each source, and those taken."""
    portions = sorted(found["portions"], key=lambda item: -item["planned"])[:MOST_BARS]
    return bars(
        [" · ".join(filter(None, [item["phase"], item["source"]])) for item in portions],
        {
            ("planned", "held"): [item["planned"] for item in portions],
            ("taken", "kept"): [item["tokens"] for item in portions],
        },
        _tokens,
    )


def _composition(found: shape.Composition) -> dict[str, Plot]:
    """A treemap of sources and domains, and columns of what has an order."""
    key: Literal["train_tokens", "bytes"] = "train_tokens" if found["has_tokens"] else "bytes"
    told = _tokens if found["has_tokens"] else lambda number: formats.size(int(number))
    plots = {}
    for part in found["parts"]:
        rows = [row for row in part["rows"] if row["value"]]
        if part["name"] not in ("source", "language", "domain", "licence") and rows:
            plots[f"by-{part['name']}"] = bars(
                [row["value"] for row in rows],
                {("", "kept"): [row[key] for row in rows]},
                told,
                across=False,
            )
    (sources,) = [part["rows"] for part in found["parts"] if part["name"] == "source"]
    children = []
    for source in sources:
        own = [site for site in found["sites"] if site["source"] == source["value"] and site[key]]
        leaves = [(site["domain"] or "no domain", site[key], site["documents"]) for site in own]
        rest = source[key] - sum(value for _, value, _ in leaves)
        if rest > 0:
            documents = source["documents"] - sum(count for *_, count in leaves)
            leaves.append(("all other domains", rest, documents))
        children.append(
            {
                "name": source["value"],
                "value": source[key],
                "tip": _tip(source["value"], source[key], source["documents"], told),
                "children": [
                    {"name": name, "value": value, "tip": _tip(name, value, documents, told)}
                    for name, value, documents in leaves
                ],
            }
        )
    if any(child["value"] for child in children):
        plots["sites"] = {"kind": "treemap", "children": children}
    return plots


def _tip(name: str, value: int, documents: int, told: Callable[[float], str]) -> str:
    return f"{name}\n{told(value)}\n{formats.plural(documents, 'document')}"


def clusters(sizes: Sequence[shape.ClusterSizes]) -> Plot:
    """Clusters by size."""
    return bars(
        [formats.size_range(item) for item in sizes],
        {("clusters", "rejected"): [item["clusters"] for item in sizes]},
        lambda number: formats.count(int(number)),
        across=False,
        root=True,
    )


def _costs(filtering: shape.Filtering) -> dict[str, Plot]:
    """What each reason alone costs, by source, in tokens or before there are any in bytes."""
    costs = [(r["reason"], cost) for r in filtering["reasons"] for cost in r["costs"]]
    has_tokens = all(cost["tokens"] is not None for _, cost in costs)
    amounts = [
        (reason, cost["source"], (cost["tokens"] if has_tokens else cost["bytes"]) or 0)
        for reason, cost in costs
    ]
    reasons = _largest(((reason, amount) for reason, _, amount in amounts), MOST_BARS)
    sources = _largest((source, amount) for _, source, amount in amounts)
    table = {(source, reason): 0 for source in sources for reason in reasons}
    for reason, source, amount in amounts:
        own = source if source in sources else OTHERS, reason if reason in reasons else OTHERS
        table[own] += amount
    series = {
        (source, f"series{place}"): [table[source, reason] for reason in reasons]
        for place, source in enumerate(sources, 1)
    }
    told = _tokens if has_tokens else lambda number: formats.size(int(number))
    return {"costs": bars(reasons, series, told, stacked=True)} if reasons else {}


def _largest(amounts: Iterable[tuple[str, int]], most: int = 7) -> list[str]:
    """The names with the largest sums, with OTHERS behind them if there are more."""
    total: Counter[str] = Counter()
    for name, amount in amounts:
        total[name] += amount
    names = sorted(total, key=lambda name: (-total[name], name))
    return names if len(names) <= most else [*names[:most], OTHERS]


def _tokens(number: float) -> str:
    return f"{formats.value(number)} tokens"


# --- signals --------------------------------------------------------------------------------


def bins(panel: shape.Panel) -> list[tuple[str, int, int, int]]:
    """Of each bin that holds documents: where it is, those kept, rejected, and failing."""
    return [
        (_bin(panel, at), kept, passing + failing - kept, failing)
        for at, (passing, failing, kept) in enumerate(_counts(panel))
        if passing + failing
    ]


def _counts(panel: shape.Panel) -> Iterator[tuple[int, int, int]]:
    yield from zip(panel["passing"], panel["failing"], panel["kept"], strict=True)


def signal(panel: shape.Panel) -> Plot:
    """A signal's histogram with its thresholds: shares of the documents kept, and of those
    rejected; heights go with the square root of a share."""
    every = list(_counts(panel))
    kept = [own for _, _, own in every]
    rejected = [passing + failing - own for passing, failing, own in every]
    highest = max((_share(n, own) for own in (kept, rejected) for n in own), default=0.0) or 1.0
    return {
        "kind": "signal",
        "kept": [round(math.sqrt(_share(number, kept) / highest), 4) for number in kept],
        "rejected": [round(math.sqrt(_share(n, rejected) / highest), 4) for n in rejected],
        "tips": [
            f"{_bin(panel, at)}\nkept {formats.count(kept[at])} "
            f"({formats.share(kept[at], sum(kept))} of kept)\n"
            f"rejected {formats.count(rejected[at])} "
            f"({formats.share(rejected[at], sum(rejected))} of rejected)\n"
            f"failing here {formats.count(failing)}"
            for at, (_, failing, _) in enumerate(every)
        ],
        "ticks": _ticks(panel),
        "marks": [
            {"place": round(_place(panel, item), 4), "label": formats.must(item)}
            for item in panel["thresholds"]
            if math.isfinite(float(item["threshold"]))
        ],
    }


def _share(part: int, whole: Sequence[int]) -> float:
    return part / sum(whole) if part else 0.0


def _bin(panel: shape.Panel, index: int) -> str:
    low, high = panel["edges"][index : index + 2]
    if panel["scale"] == "counts":
        return formats.value(round(low + 0.5))
    return f"{formats.value(low)} to {formats.value(high)}"


def _place(panel: shape.Panel, item: shape.Threshold) -> float:
    """Where a threshold is across the panel, from 0 to 1."""
    number, low, high = float(item["threshold"]), panel["edges"][0], panel["edges"][-1]
    if panel["scale"] == "counts":  # between the last that passes and the first that does not
        number += -0.5 if item["operator"] in (">=", "<") else 0.5
    if panel["scale"] == "log":
        low, high, number = math.log1p(low), math.log1p(high), math.log1p(max(number, low))
    return min(1.0, max(0.0, (number - low) / (high - low)))


def _ticks(panel: shape.Panel) -> list[str]:
    """Labels of bins: of the first and the last, and on a logarithmic scale of those that hold a
    power of ten, away from both."""
    count, edges = len(panel["passing"]), panel["edges"]
    whole = panel["scale"] == "counts"
    ticks = [""] * count
    if panel["scale"] == "log":
        for at in range(count // 5, count - count // 5):
            power = 10.0 ** math.ceil(math.log10(max(edges[at], 1e-9)))
            if edges[at] <= power < edges[at + 1]:
                ticks[at] = formats.value(power)
    ticks[0] = formats.value(round(edges[0] + 0.5) if whole else edges[0])
    ticks[-1] = formats.value(round(edges[-1] - 0.5) if whole else edges[-1])
    return ticks


# --- bars in tables -------------------------------------------------------------------------


def bar(parts: Sequence[tuple[str, float]], whole: float, mark: float | None = None) -> Markup:
    """A horizontal bar in a table: parts (colour class, amount) side by side, on a track of
    `whole`. `mark` draws a line where a planned amount would end."""
    shapes = [_rect("track", 0, 100)]
    left = 0.0
    for colour, amount in parts:
        width = 100 * amount / whole if whole else 0.0
        if width:
            shapes.append(_rect(colour, left, max(width, 0.15)))
        left += width
    if mark is not None:
        place = 100 * mark / whole if whole else 0.0
        shapes.append(
            Markup('<line class="mark" x1="{:.2f}%" x2="{:.2f}%" y1="-2" y2="{}"/>').format(
                place, place, _BAR + 2
            )
        )
    return Markup('<svg class="bar" width="100%" height="{}" aria-hidden="true">{}</svg>').format(
        _BAR, Markup("").join(shapes)
    )


def _rect(colour: str, left: float, width: float) -> Markup:
    return Markup('<rect class="{}" x="{:.2f}%" y="0" width="{:.2f}%" height="{}"/>').format(
        colour, left, width, _BAR
    )
