"""The ledger: every record that came in ends in exactly one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.runs import takedowns
from pipelines.runs.steps import Manifest
from pipelines.runs.store import Folder

# stages that take what another kept, by the stage that they take it from
TAKES_FROM = {
    "filter": ("extract",),
    "deduplicate": ("filter", "sign"),
    "curate": ("deduplicate",),
    "tokenize": ("curate",),
    "mix": ("tokenize",),
}


class LedgerError(Exception):
    """A defect of gristmill: records were lost or came from nowhere."""


def check(manifests: Mapping[str, Manifest]) -> None:
    """Check that each finished stage balances, and took in what the stage before it kept.

    Raises LedgerError.
    """
    for stage, manifest in manifests.items():
        if manifest.records != manifest.kept + sum(manifest.rejected.values()):
            raise LedgerError(
                f"{stage}: {manifest.records} records came in, {manifest.kept} were kept and "
                f"{sum(manifest.rejected.values())} rejected"
            )
        for name in TAKES_FROM.get(stage, ()):
            before = manifests.get(name)
            if before is not None and manifest.records != before.kept:
                raise LedgerError(
                    f"{stage}: took in {manifest.records} records, but {name} kept {before.kept}"
                )


def balance(manifests: Mapping[str, Manifest]) -> dict[str, Any]:
    """Of each finished stage that documents go through, `records`, `kept` and `rejected`, the most
    frequent reason first."""
    return {
        stage: {
            "records": manifest.records,
            "kept": manifest.kept,
            "rejected": dict(
                sorted(manifest.rejected.items(), key=lambda item: (-item[1], item[0]))
            ),
        }
        for stage, manifest in manifests.items()
        if stage not in ("tokenizer", "index")
    }


def to_json(run: Folder, manifests: Mapping[str, Manifest]) -> bytes:
    """The balance as stored; with `taken_down`, if something was."""
    value = balance(manifests)
    if taken := takedowns.totals(run):
        value["taken_down"] = taken
    return takedowns.to_json(value)


def write(run: Folder, manifests: Mapping[str, Manifest]) -> None:
    """Write the balance of the stages that are finished to `ledger.json`."""
    data = to_json(run, manifests)
    if not run.exists("ledger.json") or run.read("ledger.json") != data:
        run.replace("ledger.json", data)
