"""`gristmill redact`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.commands.options import No, add_texts, map_rows
from pipelines.commands.parsing import Add
from schemas.chain import RedactStep, Scope
from schemas.mistakes import validated
from schemas.pii import Redact
from schemas.problems import Problem

if TYPE_CHECKING:
    from curation.pii.settings import Redaction
    from pipelines.runs.rows import Row


def add_redact(add: Add) -> None:
    """Add `redact` with its options."""
    command = add(
        "redact",
        "Find and replace personal data: files in, JSON lines or Parquet out.",
        "gristmill redact pages.jsonl --output redacted.parquet --policy placeholder",
        _redact,
    )
    add_texts(command, "id, the redacted text, spans (start, end, type, score)")
    command.add_argument(
        "--types",
        metavar="LIST",
        help="such as EMAIL_ADDRESS,PHONE_NUMBER (default: all that need no model)",
    )
    command.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="[TYPE=]POLICY",
        help="of all types or of one: a value that is nobody's (stand_in, default), <TYPE> "
        "(placeholder), an invented value, the same for the same (fake), a keyed hash, or keep: "
        "only find",
    )
    command.add_argument(
        "--pattern",
        action="append",
        default=[],
        metavar="TYPE=REGEX",
        help="a type of your own, such as STAFF='M-[0-9]{4}'",
    )
    command.add_argument(
        "--names",
        metavar="MODEL",
        help="also people's names and places: a folder of a spaCy or transformers model, or an "
        "installed spaCy package",
    )
    command.add_argument("--key-file", metavar="FILE", help="the key of the policy hash")
    command.add_argument("--key-variable", metavar="NAME", help="environment variable with it")
    command.add_argument(
        "--drop-above", type=int, metavar="N", help="leave out texts with more findings"
    )
    command.add_argument(
        "--recipe",
        metavar="RECIPE",
        help="the settings of a recipe's step `redact` instead of these options: policies by "
        "source, and all else",
    )
    command.add_argument("--seed", type=int, help="of fakes (default: the recipe's, else 0)")
    command.add_argument("--keep-text", action="store_true", help="only tell the spans")


def redacted(
    redaction: Redaction,
    batch: list[Row],
    found: Counter[str],
    *,
    keep_text: bool,
    scope: Scope | None = None,
) -> Iterator[dict[str, Any] | No]:
    """The text and spans of each row, or why it is dropped; `found` counts types. Rows that `scope`
    is not for stay as they are."""
    texts = [row.text for row in batch]
    labels = {
        name: [str(row.values.get(name) or "") for row in batch] for name in ("source", "language")
    }
    mask = _mask(scope, labels) if scope else [True] * len(batch)
    rows = [at for at, is_for in enumerate(mask) if is_for]
    sources = [labels["source"][at] for at in rows]
    done = dict(zip(rows, redaction.redact([texts[at] for at in rows], sources), strict=True))
    for at, text in enumerate(texts):
        if at not in done:
            yield {"text": text, "spans": []}
            continue
        result, dropped = done[at]
        found.update(span.type for span in result.spans)
        if dropped:
            yield No("personal_data", str(len(result.spans)))
        else:
            spans = [asdict(span) for span in result.spans]
            yield {"text": text if keep_text else result.text, "spans": spans}


def _mask(scope: Scope, labels: dict[str, list[str]]) -> list[bool]:
    import pyarrow as pa

    from curation.rules import applies

    columns = {name: pa.array(values, pa.string()) for name, values in labels.items()}
    mask = applies(scope, columns)
    return [True] * len(labels["source"]) if mask is None else mask.to_pylist()


def step_of(recipe: str) -> tuple[RedactStep, int]:
    """The step `redact` of a recipe, and the recipe's seed. Raises Problem if it has not one."""
    from pipelines.recipes.files import CHAINS
    from pipelines.recipes.loading import load

    loaded = load(recipe, imports=False)
    steps = [
        (path, step)
        for section in CHAINS
        for path, step in getattr(loaded, section).steps()
        if isinstance(step, RedactStep)
    ]
    if len(steps) != 1:
        there = ", ".join(path for path, _ in steps) or "none"
        raise Problem(f"has not one step `redact`, but {there}", recipe, "name a recipe with one")
    return steps[0][1], loaded.seed


def _asked(options: argparse.Namespace) -> Redact:
    """What the options ask for. Raises Problem."""
    from curation.pii import TYPES

    if bool(options.key_file or options.key_variable) != any(
        policy.rpartition("=")[2] == "hash" for policy in options.policy
    ):
        raise Problem("--policy hash goes with --key-file FILE or --key-variable NAME")
    if options.seed is not None and not any(each.endswith("fake") for each in options.policy):
        raise Problem("--seed is of --policy fake: leave it out")
    of_all = [policy for policy in options.policy if "=" not in policy]
    if len(of_all) > 1:
        raise Problem(f"--policy {of_all[-1]}: is given for all types twice")
    value = {
        "types": options.types.split(",") if options.types else sorted(TYPES),
        "policies": _pairs("policy", [each for each in options.policy if "=" in each]),
        "patterns": [
            {"type": name, "regex": regex}
            for name, regex in _pairs("pattern", options.pattern).items()
        ],
        "names": {"model": options.names} if options.names else None,
        "key": {"file": options.key_file, "variable": options.key_variable},
        "drop_above": options.drop_above,
    }
    if not (options.key_file or options.key_variable):
        del value["key"]
    return validated(Redact, value | ({"policy": of_all[0]} if of_all else {}), root="redact")


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name in found:
            raise Problem(f"--{option} {text}: write TYPE=..., each type once")
        found[name] = value
    return found


_SETTINGS = ("types", "policy", "pattern", "names", "key_file", "key_variable", "drop_above")


def _redact(options: argparse.Namespace) -> int:
    import pyarrow as pa

    from curation.pii.settings import Redaction

    if options.keep_text and options.policy:
        raise Problem("--keep-text replaces nothing: leave --policy out")
    step, seed = None, 0
    if options.recipe:
        if given := [name for name in _SETTINGS if getattr(options, name) not in (None, [])]:
            flag = f"--{given[0].replace('_', '-')}"
            raise Problem(f"{flag} and --recipe: both say what is asked for, give one")
        step, seed = step_of(options.recipe)
    asked = step.asked if step else _asked(options)
    redaction = Redaction(asked, seed if options.seed is None else options.seed)
    found: Counter[str] = Counter()
    # in the text of the input, in code points, the end exclusive
    span = pa.struct(
        [
            pa.field("start", pa.int64(), False),
            pa.field("end", pa.int64(), False),
            pa.field("type", pa.string(), False),
            pa.field("score", pa.float64(), False),
        ]
    )
    lost = map_rows(
        "redact",
        options,
        [pa.field("spans", pa.list_(pa.field("item", span, False)), False)],
        lambda batch: redacted(redaction, batch, found, keep_text=options.keep_text, scope=step),
    )
    if not options.quiet:
        for end, count in sorted((found + lost).items(), key=lambda item: (-item[1], item[0])):
            print(f"{count:>12,} {end}", file=sys.stderr)
    return 0
