"""The record of what was taken out of a run. It is only ever added to, and supersedes checksums.

`takedowns/NNNN/` is a takedown: `asked.json` (who, when, why, for what, which documents), then a
file `NNNNNN.json` for each file of the run that was written anew, before it is put in place, and
lists for other recipes: `documents.txt`, `urls.txt`, `domains.txt`. Last comes `SHA256SUMS`: it is
done. Receipts stay what they are.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.runs.store import Folder

FOLDER = "takedowns"
SUMS = "SHA256SUMS"
REASON = "taken_down"


@dataclass(frozen=True)
class Revised:
    """A file of the run that a takedown has written anew."""

    path: str
    old: str
    new: str
    size: int


def begun(run: Folder) -> list[str]:
    """The folders of a run's takedowns, in order."""
    if not run.exists(FOLDER):
        return []
    return [posixpath.dirname(name) for name, _ in run.glob(f"{FOLDER}/*/asked.json")]


def is_done(run: Folder, name: str) -> bool:
    """Whether a takedown is."""
    return run.exists(f"{name}/{SUMS}")


def revisions(run: Folder, name: str) -> list[Revised]:
    """What a takedown has written anew, in order."""
    names = [each for each in (run / name).names() if each[:6].isdigit()]
    return [Revised(**json.loads(run.read(f"{name}/{each}"))) for each in names]


def note(run: Folder, name: str, revised: Revised) -> None:
    """Add a file to a takedown's record, before it is put in place."""
    number = len(revisions(run, name))
    if not run.create(f"{name}/{number:06d}.json", to_json(asdict(revised))):
        raise AssertionError(f"{run.url}/{name}: two processes write one record")


def superseded(run: Folder) -> dict[str, str]:
    """By path, the checksums of files that are not what their receipts say."""
    return {each.path: each.new for name in begun(run) for each in revisions(run, name)}


def documents(run: Folder) -> frozenset[str]:
    """Ids of all documents that were taken down, or are being so."""
    plans = (json.loads(run.read(f"{name}/asked.json")) for name in begun(run))
    return frozenset(id_ for plan in plans for id_ in plan["documents"])


def totals(run: Folder) -> dict[str, int] | None:
    """Of the takedowns that are done, how many they are, their documents, and the tokens of shard
    rows that they removed; None if there are none."""
    done = [json.loads(run.read(f"{name}/done.json")) for name in begun(run) if is_done(run, name)]
    if not done:
        return None
    sums = {key: sum(each[key] for each in done) for key in ("documents", "tokens")}
    return {"takedowns": len(done), **sums}


def finish(run: Folder, name: str, files: dict[str, bytes]) -> None:
    """Write the last files of a takedown, and that it is done."""
    for each, data in files.items():
        run.replace(f"{name}/{each}", data)
    names = [each for each in (run / name).names() if each != SUMS]
    digests = [hashlib.sha256(run.read(f"{name}/{each}")).hexdigest() for each in names]
    lines = [f"{digest}  {each}\n" for digest, each in zip(digests, names, strict=True)]
    run.create(f"{name}/{SUMS}", "".join(lines).encode())


def to_json(value: Any) -> bytes:
    """As stored."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


# --- who else holds what a run made ---------------------------------------------------------

_USERS = "users"


def note_user(run: Folder, what: str, url: str) -> None:
    """Note in a run who uses its files: `what` is `stages`, or the format of an export. A run that
    cannot be written to stays without."""
    local = Folder(url).local
    word = to_json({"what": what, "url": url if local is None else str(local.absolute())})
    try:
        run.create(f"{_USERS}/{hashlib.sha256(word).hexdigest()[:16]}.json", word)
    except (OSError, PermissionError):
        return


def users(run: Folder) -> list[dict[str, str]]:
    """Who uses a run's files: `what` and `url`."""
    folder = run / _USERS
    found = (json.loads(folder.read(name)) for name in folder.names())
    return sorted(found, key=lambda each: (each["what"], each["url"]))
