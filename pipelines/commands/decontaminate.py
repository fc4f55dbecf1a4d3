"""`gristmill decontaminate`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands.options import No, add_texts, map_rows, tell, writing
from pipelines.commands.parsing import Add, adder
from schemas.problems import Problem

if TYPE_CHECKING:
    from curation.decontamination import Item, Layout
    from pipelines.runs.rows import Row

_BEST = ("benchmark", "item", "score", "share", "start", "end")


def add_decontaminate(add: Add) -> None:
    """Add `decontaminate` with its actions."""
    command = add(
        "decontaminate",
        "Find items of test sets in texts.",
        "gristmill decontaminate index mmlu=mmlu.parquet gsm8k=gsm8k.jsonl --output tests.index",
        lambda _: 0,
    )
    action = adder(command, "ACTION")
    index = action(
        "index",
        "Make an index of test sets.",
        "gristmill decontaminate index mmlu=mmlu.parquet gsm8k=gsm8k.jsonl --output tests.index",
        _index,
    )
    _add_sets(index)
    index.add_argument("--output", required=True, metavar="INDEX", help="a new folder")
    index.add_argument("--quiet", action="store_true", help="no summary")
    scan = action(
        "scan",
        "Find the items of an index in texts: files in, JSON lines or Parquet out.",
        "gristmill decontaminate scan --index tests.index pages.jsonl --output hits.parquet",
        _scan,
    )
    scan.add_argument("--index", required=True, metavar="INDEX", help="an index's folder")
    _add_least(scan)
    add_texts(scan, "id, contaminated, the best item, its score, share and span")
    check = action(
        "check",
        "Tell which items of test sets stand in a finished run, with their documents.",
        "gristmill decontaminate check runs/one gpqa=gpqa.jsonl --output found.jsonl",
        _check,
    )
    check.add_argument("run", metavar="RUN", help="folder or URL of the run")
    _add_sets(check)
    check.add_argument(
        "--output",
        default="-",
        metavar="OUT",
        help="a .jsonl (.gz, .zst) or .parquet file of a row for each item in a document, with the "
        "split of the shards that holds it (default: JSON lines on standard output)",
    )
    _add_least(check)


def _add_sets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sets",
        nargs="+",
        metavar="[NAME=]SET",
        help="a JSONL (.gz, .zst), JSON or Parquet file; a known NAME, such as mmlu or "
        "arc-challenge, says how it is laid out",
    )
    parser.add_argument(
        "--fields",
        metavar="LIST",
        help="of sets laid out in another way: text=FIELD,choices=FIELD,answer=FIELD,id=FIELD; "
        "a field in another has a dot, several have + between them",
    )


def _add_least(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--least",
        type=float,
        default=1.0,
        metavar="SCORE",
        help="from which an item counts: the part of what must be there of one of its length "
        "(default 1)",
    )


def layout_of_fields(text: str) -> Layout:
    """The layout that `text=q,choices=a+b,answer=c,id=key` names. Raises Problem."""
    from curation.decontamination import Layout

    fields: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in ("text", "choices", "answer", "id") or not value:
            raise Problem(
                f"--fields {text}: write text=FIELD,choices=FIELD,answer=FIELD,id=FIELD (several "
                "fields with + between them)"
            )
        fields[name] = tuple(value.split("+"))
    if "text" not in fields:
        raise Problem(f"--fields {text}: say which field has the text: text=FIELD")
    return Layout(**fields)


def index_sets(
    sets: Sequence[str], output: str, fields: str | None = None
) -> dict[str, dict[str, int]]:
    """Write an index of evaluation sets, `FILE` or `NAME=FILE`, to the new folder `output`.

    Without a name a set is called by its file. Returns by benchmark how many items it has, and how
    many of them can be told. Raises Problem.
    """
    from curation.decontamination import benchmarks, build, save

    folder = Path(output)
    if folder.exists() and any(folder.iterdir()):
        raise Problem("holds something", output, "give a new folder")
    index = build(_items(sets, fields))
    save(index, folder)
    return benchmarks(index)


def _items(sets: Sequence[str], fields: str | None) -> Iterator[Item]:
    from curation.decontamination import read_set

    layout = layout_of_fields(fields) if fields else None
    for text in sets:
        name, equals, place = text.partition("=")
        if not equals or Path(text).exists():
            name, place = Path(text).name.partition(".")[0], text
        yield from read_set(Path(place), name, layout)


def _index(options: argparse.Namespace) -> int:
    made = index_sets(options.sets, options.output, options.fields)
    if not options.quiet:
        for name, count in made.items():
            print(f"{count['items']:>12,} {name}{_short(count)}", file=sys.stderr)
    return 0


def _short(count: dict[str, int]) -> str:
    short = count["items"] - count["protected"]
    return f", {short:,} too short to be told" if short else ""


def _scan(options: argparse.Namespace) -> int:
    import pyarrow as pa

    from curation.decontamination import Detector, load

    detector = Detector(load(Path(options.index)), options.least)
    ends: Counter[str] = Counter()
    items: dict[str, set[str]] = {}
    touched: Counter[str] = Counter()

    def work(batch: list[Row]) -> Iterator[dict[str, Any] | No]:
        for hits in detector.find([row.text for row in batch]):
            touched.update({hit.benchmark for hit in hits})
            for hit in hits:
                items.setdefault(hit.benchmark, set()).add(hit.item)
            if hits and options.rejected:
                yield No(
                    "contaminated", f"{hits[0].score:g}", f"{hits[0].benchmark} {hits[0].item}"
                )
                continue
            ends["contaminated" if hits else "clean"] += 1
            best = {name: getattr(hits[0], name) if hits else None for name in _BEST}
            yield {"contaminated": bool(hits), **best, "items": len(hits)}

    kinds = (pa.string(), pa.string(), pa.float64(), pa.float64(), pa.int64(), pa.int64())
    fields = [
        pa.field("contaminated", pa.bool_(), False),
        # of the item of which most is in the text; the span in code points, the end exclusive
        *(pa.field(name, kind) for name, kind in zip(_BEST, kinds, strict=True)),
        pa.field("items", pa.int64(), False),
    ]
    lost = map_rows("decontaminate", options, fields, work)
    if not options.quiet:
        tell(ends + lost)
        for name in sorted(items):
            print(
                f"{name}: {len(items[name]):,} items in {touched[name]:,} documents",
                file=sys.stderr,
            )
    return 0


def _check(options: argparse.Namespace) -> int:
    import pyarrow as pa

    from curation.decontamination import Detector, benchmarks, build
    from pipelines.run import Run
    from pipelines.runs.testitems import occurrences

    run = Run.open(options.run)
    shards = run.shards
    index = build(_items(options.sets, options.fields))
    fields = {
        **dict.fromkeys(("benchmark", "item"), pa.string()),
        **dict.fromkeys(("score", "share"), pa.float64()),
        **dict.fromkeys(("start", "end"), pa.int64()),
        **dict.fromkeys(("id", "source", "url", "split"), pa.string()),
    }
    seen: dict[str, set[str]] = {}
    places: dict[str, dict[str, str]] = {}
    with writing(options.output, pa.schema(fields)) as out:
        for row in occurrences(run.context, Detector(index, options.least), shards):
            out.write([row])
            seen.setdefault(row["benchmark"], set()).add(row["item"])
            places.setdefault(row["benchmark"], {})[row["id"]] = row["split"] or "no split"
    for name, count in benchmarks(index).items():
        splits = Counter(places.get(name, {}).values())
        where = ", ".join(f"{number:,} in {split}" for split, number in sorted(splits.items()))
        print(
            f"{name}: {len(seen.get(name, ())):,} of {count['items']:,} items{_short(count)}, in "
            f"{splits.total():,} documents{f' ({where})' if where else ''}",
            file=sys.stderr,
        )
    return 0
