"""Parts of a user's own: measures, edits, readers and engines that a recipe names.

A name is `package.module:name`, or that of an entry point that an installed package declares in a
group such as `gristmill.measures`. OWN.md shows each. Only what runs a recipe or validates it
imports them.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any, BinaryIO

from curation.edits import EDITS, Edit
from curation.measures import MEASURES, Measure
from curation.readers import Damage, Place, Record
from curation.readers.rows import row_record
from schemas.chain import Chain, EditStep
from schemas.inputs import Columns
from schemas.problems import Problem, close_to

# By kind of part: the group of its entry points, and what the name must stand for.
GROUPS = {
    "measure": ("gristmill.measures", Measure),
    "edit": ("gristmill.edits", Edit),
    "reader": ("gristmill.readers", None),
    "engine": ("gristmill.engines", None),
}
Rows = Callable[[BinaryIO], Iterator[Mapping[str, Any]]]


def names(kind: str) -> list[str]:
    """The names of installed entry points of a kind, sorted."""
    return sorted(entry_points(group=GROUPS[kind][0]).names)


@cache
def load(kind: str, name: str) -> Any:
    """The part: a Measure, an Edit, or a function with an attribute `version`.

    Raises Problem if there is none, or it is something else.
    """
    group, expected = GROUPS[kind]
    if ":" not in name and name not in names(kind):
        there = names(kind)
        raise Problem(
            f"no {kind} is called `{name}`{close_to(name, there) or '.'} Name your own as "
            f"`package.module:name`; installed in `{group}` are {', '.join(there) or 'none'}"
        )
    reference = name if ":" in name else entry_points(group=group)[name].value
    module, _, attribute = reference.partition(":")
    try:
        part = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise Problem(
            f"`{reference}` cannot be imported: {error}: install its package where the work is "
            "done, or put its folder into PYTHONPATH there"
        ) from error
    except AttributeError:
        raise Problem(f"`{reference}`: the module has no `{attribute}`") from None
    if expected is not None and not isinstance(part, expected):
        raise Problem(f"`{reference}` is no {expected.__name__}: make it one, see OWN.md")
    if expected is None and not (callable(part) and hasattr(part, "version")):
        raise Problem(f"`{reference}` is no function with an attribute `version`: see OWN.md")
    return part


def mark(kind: str, name: str) -> str:
    """What stands for a part in a fingerprint: its version, and the digest of its module's source.

    Raises Problem as `load` does.
    """
    part = load(kind, name)
    # of an object, such as a Measure, the module is that of its function
    module = importlib.import_module(_module(name, kind))
    try:
        source = inspect.getsource(module).encode()
    except (OSError, TypeError):
        raise Problem(f"`{name}`: its module has no source that can be read") from None
    return f"{part.version}:{hashlib.blake2b(source, digest_size=16).hexdigest()}"


def _module(name: str, kind: str) -> str:
    reference = name if ":" in name else entry_points(group=GROUPS[kind][0])[name].value
    return reference.partition(":")[0]


def named_by(spec: Chain) -> list[tuple[str, str]]:
    """The parts of the user's own that a chain names: kind and name of each."""
    edits = (step.edit for step in spec.chain if isinstance(step, EditStep))
    return [
        *(("measure", name) for name in spec.measures),
        *(("edit", name) for name in edits if name not in EDITS),
    ]


def marks(spec: Chain) -> dict[str, str]:
    """The marks of the parts that a chain names, by kind and name. Raises Problem."""
    return {f"{kind} {name}": mark(kind, name) for kind, name in named_by(spec)}


def check(code: Mapping[str, str]) -> None:
    """Check that this process has the parts that a run began with: `code`, the mark of each by
    kind and name (`measure my.module:NAME`). Raises Problem."""
    for key, known in code.items():
        kind, _, name = key.partition(" ")
        if (found := mark(kind, name)) != known:
            raise Problem(
                f"the {kind} `{name}` is another one here ({found}) than the run began with "
                f"({known}): install the same, or begin a new run"
            )


def measures(given: Sequence[str]) -> dict[str, Measure]:
    """Measures by family. Raises Problem, also for a family that there is already."""
    found: dict[str, Measure] = {}
    for name in given:
        measure: Measure = load("measure", name)
        if measure.family in MEASURES or measure.family in EDITS or measure.family in found:
            raise Problem(f"`{name}`: there is a family `{measure.family}` already: rename it")
        found[measure.family] = measure
    return found


def edit(name: str) -> Edit:
    """A bundled edit or one's own. Raises Problem."""
    if name in EDITS:
        return EDITS[name]
    if ":" not in name and name not in names("edit"):
        there = [*EDITS, *names("edit")]
        raise Problem(
            f"no edit is called `{name}`{close_to(name, there) or '.'} There are "
            f"{', '.join(there)}; name your own as `package.module:name`"
        )
    found: Edit = load("edit", name)
    if found.name in EDITS or found.name in MEASURES:
        raise Problem(f"`{name}`: there is a family `{found.name}` already: rename it")
    return found


def read(
    name: str, stream: BinaryIO, start: int, *, columns: Columns, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Records of the rows that a reader of one's own yields of a file, which is one split.

    Rows are numbered. What the reader raises ends the file: `Damage` of kind `unreadable`.
    """
    if start > 0:
        return
    stream.seek(0)
    row = 0
    try:
        for row, values in enumerate(load("reader", name)(stream)):
            yield row_record(values, columns, Place(row, 1, 0, unit="row"), max_record_bytes)
    except Problem:
        raise
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"[:200]
        yield Damage(row + 1, 1, 0, "unreadable", detail, unit="row")
