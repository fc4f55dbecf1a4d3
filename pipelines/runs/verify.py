"""Whether the files of a run are what the run says, and which of them nothing names.

All hangs together: a step's manifest follows from its receipts and holds the digests of its plan,
of its receipts and of the recipe; receipts hold those of the other files; the ledger follows from
the manifests. So one changed bit is found wherever it is, in whatever file but a log.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import yaml

from pipelines.runs import ledger, takedowns
from pipelines.runs.closing import summary
from pipelines.runs.documents import PRUNED, RAW
from pipelines.runs.receipts import Receipt
from pipelines.runs.steps import Manifest, canonical, fingerprint, read_manifest, read_receipts
from pipelines.runs.store import SUMS, Folder
from schemas.problems import Problem

_READERS = 8
_LOG = re.compile(
    r"(^|/)(workers\.log|failure\.txt|failures/.*|\.lock|lock/.*|users/.*\.json|jobs/[0-9a-f]{32})$"
)
# What a killed attempt may leave behind: names that only gristmill gives.
_LEFT = re.compile(
    r"(^|/)\.part-[^/]*/|(^|/)\.[^/]+\.[0-9a-f]{32}$|(^|/)\.?probe-[0-9a-f]{32}$"
    r"|-[0-9a-f]{12}\.parquet$|/compacted/\d{12}\.jsonl$|/begun/[^/]+$"
)
# What the parsing of damaged bytes may raise; of Arrow's, ValueError and OSError.
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, AssertionError, OSError, Problem)


class _Promise(NamedTuple):
    by: str  # what holds the digest
    mend: str


@dataclass
class Findings:
    """What a look at all files of a run found."""

    faults: list[Problem] = field(default_factory=list)
    left_over: dict[str, int] = field(default_factory=dict)
    """Files that killed attempts left, with their bytes."""
    unknown: list[str] = field(default_factory=list)
    """Files that are not gristmill's."""
    files: int = 0


def verify(run: Folder, stages: Sequence[str]) -> Findings:
    """Look at every file of a run; `stages`: the names of its stages, in order.

    The files of a stage that was taken from a parent are looked at where they stand.
    """
    look = _Look(run)
    look.run_through(stages)
    return look.found


def clean(run: Folder, findings: Findings) -> None:
    """Remove what is left over. Raises Problem if anything is wrong: a damaged receipt names no
    file, and its files would be taken for left over."""
    if findings.faults:
        raise Problem("nothing is removed of a damaged run", run.url, "mend it first")
    for name in findings.left_over:
        run.unlink(name)


class _Look:
    def __init__(self, run: Folder) -> None:
        self.run, self.found = run, Findings()
        self.there = dict(run.walk())
        # by run, name and digest: one who says otherwise is told, whichever it is
        self.promised: dict[tuple[str, str, str], _Promise] = {}
        self.superseded: dict[str, dict[str, str]] = {}

    def run_through(self, stages: Sequence[str]) -> None:
        steps = {
            posixpath.dirname(name).removesuffix("/receipts")
            for name in self.there
            if re.search(r"/(receipts/[^/]+\.json|(manifest|plan)\.jsonl?)$", name)
        } - {"shards"}
        manifests = {step: self._step(step) for step in sorted(steps)}
        for step in steps:
            name, stage = f"{step}/manifest.json", step.split("/")[0]
            if name not in self.there and manifests[stage]:
                self._fault(f"{self.run.url}/{name}", "is not there", self._again(self.run, step))
        done = {name: item for name in stages if (item := manifests.get(name))}
        if not done:  # what holds its digest is not there yet
            self._take("recipe.yaml")
        try:
            ledger.check(done)
        except ledger.LedgerError as error:
            self._fault(f"{self.run.url}/ledger.json", str(error), "report this")
        if done:
            data = ledger.to_json(self.run, done)
            self._promise(self.run, "ledger.json", data, "its stages", "run again")
        if PRUNED in self.there:
            data = "".join(f"{name}\n" for name in _pruned(self.run)).encode()
            self._promise(self.run, PRUNED, data, "itself", "prune it again")
        self._models()
        for each in takedowns.begun(self.run):
            if not takedowns.is_done(self.run, each):
                what = "is a takedown that was begun and not finished"
                self._fault(f"{self.run.url}/{each}", what, "ask for it again, and it goes on")
                for name in (self.run / each).names():
                    self._take(f"{each}/{name}")
        for name in self.there:
            if posixpath.basename(name) == SUMS:
                self._sums(name)
        self._keep_promises()
        own = {name for home, name, _ in self.promised if home == self.run.url}
        for name, size in self.there.items():
            if name not in own and not _LOG.search(name):
                if _LEFT.search(name):
                    self.found.left_over[name] = size
                else:
                    self.found.unknown.append(name)

    # --- steps ------------------------------------------------------------------------------

    def _step(self, step: str) -> Manifest | None:
        """Promises of all files of a step; its manifest, if it has one."""
        name, run = f"{step}/manifest.json", self.run
        if name not in self.there:
            self._receipts(run, step)
            for other in ("plan.jsonl", "fingerprint.json", "receipts.parquet"):
                if f"{step}/{other}" in self.there:
                    self._take(f"{step}/{other}")
            return None
        mend = self._again(run, step)
        try:
            manifest = Manifest(**json.loads(run.read(name)))
            home, files = Folder(read_manifest(run, step).home or run.url), dict(manifest.files)
            parts = json.loads(home.read(f"{step}/fingerprint.json")) if "/" not in step else None
            for upstream, digest in (parts["upstream"] if parts else {}).items():
                if json.loads(run.read(f"{upstream}/manifest.json"))["digest"] != digest:
                    what = f"was made of another `{upstream}` than the one that is there"
                    self._fault(f"{run.url}/{step}", what, mend)
            mark = json.loads(home.read(f"{step}/plan.jsonl").split(b"\n", 1)[0])["fingerprint"]
        except _BROKEN as error:
            self._fault(f"{run.url}/{step}", f"is damaged: {error!r}", mend)
            self._take(name)
            return None
        if parts is not None:
            self._promise(home, f"{step}/fingerprint.json", canonical(parts), "itself", mend)
            mark = fingerprint(parts)
        for other, digest in files.items():
            again = self._again(home, step)
            if other == "recipe.yaml":
                again = "put back the recipe that the run was begun with"
            self.promised[home.url, other, digest] = _Promise(f"{step}/manifest.json", again)
        receipts = self._receipts(home, step, files.get(f"{step}/receipts.parquet", ""))
        right = replace(summary(step, mark, receipts, files), home=manifest.home)
        self._promise(run, name, right.to_json(), "its plan and receipts", mend)
        return right

    def _receipts(self, home: Folder, step: str, sha256: str = "") -> list[Receipt]:
        """The receipts of a step; promises of their files."""
        mend = self._again(home, step)
        receipts: list[Receipt] = []
        if sha256 and _sha256(home, f"{step}/receipts.parquet") == sha256:
            receipts = read_receipts(home.url, step)
        else:
            for name in (home / f"{step}/receipts").names():
                try:
                    receipts.append(Receipt.from_json(home.read(f"{step}/receipts/{name}")))
                except _BROKEN as error:
                    self._fault(f"{home.url}/{step}/receipts/{name}", f"is damaged: {error}", mend)
        pruned = _pruned(home)
        for each in receipts:
            data = each.to_json()
            self._promise(home, f"{step}/receipts/{each.task}.json", data, "its step", mend)
            for file in each.files:
                folder = posixpath.dirname(file.path)
                if folder in pruned:  # a list says what is left of its files
                    if not home.exists(f"{folder}/{SUMS}"):
                        self._fault(f"{home.url}/{folder}", "is half pruned", "prune it again")
                    continue
                # of a stage that was taken, what was copied here too
                for place in {home.url, self.run.url if file.path in self.there else home.url}:
                    revised = self._revised(place).get(file.path)
                    if revised is None:
                        self.promised[place, file.path, file.sha256] = _Promise("its receipt", mend)
                    else:
                        promise = _Promise("its takedown", "report this")
                        self.promised[place, file.path, revised] = promise
        return receipts

    def _revised(self, place: str) -> dict[str, str]:
        """The checksums of files that were written anew, by path."""
        if place not in self.superseded:
            self.superseded[place] = takedowns.superseded(Folder(place))
        return self.superseded[place]

    # --- what belongs to no step ------------------------------------------------------------

    def _models(self) -> None:
        """Promises of the models that the recipe names."""
        mend = "put the right file there"
        try:
            recipe = yaml.safe_load(self.run.read("recipe.yaml"))
            # of a folder its list, which names its files
            wanted = dict.fromkeys(_digests(recipe, "file"), "")
            wanted |= dict.fromkeys(_digests(recipe, "folder"), f"/{SUMS}")
        except (yaml.YAMLError, *_BROKEN):
            self._fault(f"{self.run.url}/recipe.yaml", "cannot be read", "put it back")
            return
        for sha256, inside in wanted.items():
            pattern = re.compile(f"models/{sha256[:16]}-[^/]+{inside}")
            own = [name for name in self.there if pattern.fullmatch(name)]
            for name in own or [f"models/{sha256[:16]}-...{inside}"]:
                self.promised[self.run.url, name, sha256] = _Promise("recipe.yaml", mend)

    def _sums(self, name: str) -> None:
        """Promises of the files that a list of checksums names, and of the list."""
        mend = f"remove {self.run.url}/{posixpath.dirname(name)}, and make it again"
        try:
            pairs = [line.split("  ", 1) for line in self.run.read(name).decode().splitlines()]
            for digest, file in pairs:
                path = posixpath.join(posixpath.dirname(name), file)
                self.promised[self.run.url, path, digest] = _Promise(name, mend)
            data = "".join(f"{digest}  {file}\n" for digest, file in pairs).encode()
        except ValueError:
            data = b""
        self._promise(self.run, name, data, "itself", mend)

    # --- promises ---------------------------------------------------------------------------

    def _promise(self, home: Folder, name: str, data: bytes, by: str, mend: str) -> None:
        self.promised[home.url, name, hashlib.sha256(data).hexdigest()] = _Promise(by, mend)

    def _take(self, name: str) -> None:
        """A file as it is: nothing holds its digest, or it was told already."""
        self.promised[self.run.url, name, _sha256(self.run, name)] = _Promise("itself", "")

    def _keep_promises(self) -> None:
        """Read all that was promised."""
        places = list(dict.fromkeys((home, name) for home, name, _ in self.promised))
        with ThreadPoolExecutor(_READERS) as readers:
            digests = readers.map(lambda place: _sha256(Folder(place[0]), place[1]), places)
            found = dict(zip(places, digests, strict=True))
        for (home, name, digest), promise in self.promised.items():
            if found[home, name] != digest:
                what = f"is not what {promise.by} says" if found[home, name] else "is not there"
                self._fault(f"{home}/{name}", what, promise.mend)
        self.found.files = len(places)

    def _again(self, home: Folder, step: str) -> str:
        return f"remove {home.url}/{step.split('/')[0]}; the same run makes it again, no more"

    def _fault(self, place: str, what: str, mend: str) -> None:
        self.found.faults.append(Problem(what, place, mend))


def _pruned(home: Folder) -> list[str]:
    """The folders whose files were changed by `gristmill prune`, each of which lists them."""
    known = [f"{stage}/{kind}" for stage, kind in RAW.items()]
    try:
        return [name for name in home.read(PRUNED).decode().splitlines() if name in known]
    except (OSError, ValueError):
        return []


def _sha256(home: Folder, name: str) -> str:
    """The checksum of a file; nothing if it cannot be read."""
    try:
        with home.open(name) as stream:
            return hashlib.file_digest(cast(io.BufferedReader, stream), "sha256").hexdigest()
    except (OSError, ValueError):
        return ""


def _digests(value: Any, key: str) -> Iterator[str]:
    """The digests of the models that a frozen recipe names: by `key`, files or folders."""
    # a key of hashes, which may be in a variable, is not in the run
    keyed = isinstance(value, dict) and key in value and "variable" not in value
    if keyed and isinstance(value.get("sha256"), str):
        yield value["sha256"]
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            yield from _digests(item, key)
