"""A run as a page: `report.html`, and its loss curve alone, `loss.png`."""

import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from train import metrics, plan

Line = Mapping[str, Any]
Curve = tuple[Sequence[float], Sequence[float]]
SMOOTHED = 20  # steps, in the curves by source
SHOWN_DOCUMENTS = 20  # of a rollback

PAGE = Template(Path(__file__).with_suffix(".html").read_text("utf-8"))


def write_report(output: Path) -> Path | None:
    """Write `loss.png` and `report.html` into a run's output, from its logs.

    Returns the path of the page; None if no step is logged.
    """
    lines = metrics.read(output / "steps.jsonl")
    steps, validations = (
        [x for x in lines if x["kind"] == kind] for kind in ("step", "validation")
    )
    if not steps:
        return None
    start = next(line for line in lines if line["kind"] == "start")
    loss = {"train": curve(steps, "loss"), "validation": curve(validations, "loss")}
    unit = "loss (nats a token)"
    (output / "loss.png").write_bytes(draw(loss, unit, "png"))
    parts = [summary(start, steps, validations)]
    for title, label, curves in (
        ("Loss", unit, loss),
        ("Training loss by source", "loss", source_curves(steps)),
        ("Validation loss by source", "loss", source_curves(validations)),
        ("Norm of the gradient", "norm", {"": curve(steps, "grad_norm")}),
        ("Learning rate", "rate", {"": curve(steps, "lr")}),
    ):
        if curves:
            parts += [f"<h2>{title}</h2>", draw(curves, label).decode()]
    parts += ["<h2>Spikes</h2>", spikes(output, steps), "<h2>Measured</h2>", measured(start, steps)]
    path, name = output / "report.html", escape(output.resolve().name)
    path.write_text(PAGE.substitute(name=name, parts="\n".join(parts)), "utf-8")
    return path


def curve(lines: Sequence[Line], key: str) -> Curve:
    """A number against tokens seen, where there is one."""
    found = [(line["tokens_seen"], line[key]) for line in lines if line.get(key) is not None]
    return [x for x, _ in found], [y for _, y in found]


def source_curves(lines: Sequence[Line]) -> dict[str, Curve]:
    """Loss against tokens seen of each source, a running mean of the steps that saw it."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for line in lines:
        for name, value in line.get("sources", {}).items():
            loss = value["loss"] if isinstance(value, Mapping) else value
            if loss is not None:
                seen, losses = found.setdefault(name, ([], []))
                seen.append(line["tokens_seen"])
                losses.append(loss)
    return {
        name: (seen, running_mean(losses, min(SMOOTHED, len(losses) // 10)))
        for name, (seen, losses) in found.items()
    }


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """The mean of each value and up to `width` - 1 before it."""
    sums, ends = np.cumsum([0.0, *values]), np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - max(1, width))
    means: list[float] = ((sums[ends] - sums[begins]) / (ends - begins)).tolist()
    return means


def draw(curves: Mapping[str, Curve], label: str, kind: str = "svg") -> bytes:
    """A picture of curves over tokens seen, as a file of that kind."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # The same picture for the same numbers.
    with rc_context({"svg.hashsalt": "gristmill", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
        axes = figure.add_subplot()
        for name, (xs, ys) in curves.items():
            if xs:
                marker = "o" if len(xs) < 30 else ""
                axes.plot(xs, ys, linewidth=1, marker=marker, markersize=3, label=name or None)
        axes.set(xlabel="tokens seen", ylabel=label)
        axes.grid(alpha=0.3)
        if any(curves):
            axes.legend()
        file = io.BytesIO()
        figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else {})
    picture = file.getvalue()
    return picture[picture.index(b"<svg") :] if kind == "svg" else picture


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows as HTML; numbers in a form that reads well."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
        return escape(f"{value:,}" if isinstance(value, int) else str(value))

    lines = ["".join(f"<th>{escape(name)}</th>" for name in head)]
    lines += ["".join(f"<td>{cell(value)}</td>" for value in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def summary(start: Line, steps: Sequence[Line], validations: Sequence[Line]) -> str:
    """What was trained on what, and how good it is."""
    last = steps[-1]
    text = (
        f"<p>{start['parameters']:,} parameters; {last['step']:,} of {start['steps']:,} steps, "
        f"{last['tokens_seen']:,} tokens; {start['world_size']} x {escape(start['device'])}, "
        f"{escape(start['precision'])}.</p>"
    )
    if not validations:
        return text
    keys = ("loss", "perplexity", "bits_per_byte", "labels")
    scores = [("all", validations[-1]), *sorted(validations[-1]["sources"].items())]
    rows = [[name, *("" if own[k] is None else own[k] for k in keys)] for name, own in scores]
    return text + table(["validation", *(key.replace("_", " ") for key in keys)], rows)


def spikes(output: Path, steps: Sequence[Line]) -> str:
    """Steps that were skipped or left the course, and what was passed over for them."""
    from train.job import rollbacks

    skipped = [line["step"] for line in steps if line["skipped"]]
    flagged = [line["step"] for line in steps if line.get("spike") and not line["skipped"]]
    text = (
        f"<p>{len(skipped)} steps left the weights as they were{listed(skipped)}; "
        f"{len(flagged)} more were spikes{listed(flagged)}.</p>"
    )
    passed = metrics.read(output / "passed-over.jsonl")
    for number, entry in enumerate(rollbacks(output / "checkpoints"), 1):
        own = [line for line in passed if line["rollback"] == number]
        names = list(dict.fromkeys(f"{line['source']}/{line['document']}" for line in own))
        shown = [f"<code>{escape(name)}</code>" for name in names[:SHOWN_DOCUMENTS]]
        shown += ["and others, in passed-over.jsonl"] * (len(names) > SHOWN_DOCUMENTS)
        text += (
            f"<p>Rollback {number}: at step {entry.step:,} back to {entry.to_step:,}; rows "
            f"{entry.start:,} to {entry.stop:,} are passed over, with parts of {len(names):,} "
            f"documents.</p><p>{'<br>'.join(shown)}</p>"
        )
    return text


def listed(steps: Sequence[int]) -> str:
    """The first of some steps, in brackets."""
    more = ", ..." if len(steps) > 20 else ""
    return f" ({', '.join(map(str, steps[:20]))}{more})" if steps else ""


def predicted(start: Line, tokens: int) -> dict[str, object]:
    """What `plan train` expects of a run, by the names of what is measured."""
    size, gpus = start["parameters"], start["world_size"]
    found: dict[str, object] = {
        "FLOPs": 6.0 * size * tokens,
        "FLOPs a token": 6 * size,
        "final loss": f"{plan.chinchilla(size, tokens):.3g} by Chinchilla's fit, for its text",
    }
    gpu = next((name for name, one in plan.GPUS.items() if start["device"] in one.names), None)
    if gpu:
        ask = plan.Ask(parameters=float(size), gpu=gpu, gpus=gpus, tokens=float(tokens))
        run = plan.run(ask, 6.0 * size * tokens)
        speed = plan.GPUS[gpu].flops * gpus * ask.mfu / (6 * size)
        found |= {
            "MFU": f"{ask.mfu:.0%} if nothing is known",
            "tokens a second, median": speed,
            "hours of training": (run["days"] or 0.0) * 24,
            "energy of the first GPU, kJ": tokens / speed * plan.GPUS[gpu].watts * ask.load / 1000,
        }
    return found


def measured(start: Line, steps: Sequence[Line]) -> str:
    """Speed, work, time and energy, beside what was to be expected of them."""
    tokens = sum(line["tokens"] for line in steps)
    seconds = sum(line["tokens"] / line["tokens_per_second"] for line in steps)
    windows = {(line["tokens_per_second"], line["joules"]) for line in steps if line["joules"]}
    speeds = np.array([line["tokens_per_second"] for line in steps])
    peak = start["peak_flops"]
    values: dict[str, object] = {
        "tokens": tokens,
        "tokens a second, median": float(np.median(speeds)),
        "FLOPs": float(tokens * start["flops_per_token"]),
        "FLOPs a token": start["flops_per_token"],
        "MFU": f"{tokens * start['flops_per_token'] / seconds / peak:.1%}" if peak else "unknown",
        "hours of training": seconds / 3600,
        "waiting for rows": f"{np.mean([line['data_wait'] for line in steps]):.2%}",
        "memory, GiB": max(line["memory"] for line in steps) / 2**30,
        "energy of the first GPU, kJ": sum(j for _, j in windows) / 1000 if windows else "unknown",
        "final loss": steps[-1]["loss"] or "not finite",
    }
    expected = predicted(start, tokens)
    rows = [[name, value, expected.get(name, "")] for name, value in values.items()]
    return table(["", "measured", "predicted"], rows)
