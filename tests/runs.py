"""Running gristmill as a user does, and comparing what it made."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.commands.dedup import deduplicate_files
from pipelines.commands.main import parser
from pipelines.engines.runners import Engine
from pipelines.runs.events import ignore

REPOSITORY = Path(__file__).resolve().parents[1]
DEMO = REPOSITORY / "tests" / "data" / "demo.yaml"


def start(*words: str, **environment: str) -> "subprocess.Popen[str]":
    """Start `gristmill WORDS` as the head of a process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.commands.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
        env={**os.environ, **environment},
    )


def gristmill(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `gristmill WORDS` to its end."""
    process = start(*words, **environment)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def dedup_files(
    paths: Sequence[str], output: str, engine: Engine | None = None, **options: Any
) -> Counter[str]:
    """`gristmill dedup` in this process, on an engine; `options` by the names of the command's."""
    asked = parser().parse_args(["dedup", *paths, "--output", output])
    vars(asked).update(options)
    return deduplicate_files(asked, engine or Engine(), ignore)


def mill(output: Path, *words: str, recipe: Path = DEMO) -> "subprocess.CompletedProcess[str]":
    """`gristmill run`, which must succeed."""
    result = gristmill("run", str(recipe), "--output", str(output), "--quiet", *words)
    assert result.returncode == 0, result.stderr
    return result


def kill_group(process: "subprocess.Popen[str]") -> None:
    """End a process and all that it started, at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def shards(run: Path) -> dict[str, str]:
    """Checksums of everything that training reads."""
    files = [p for p in (run / "shards").rglob("*") if p.is_file()]
    files.append(run / "tokenizer" / "tokenizer.json")
    return {str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def receipts(run: Path) -> dict[str, dict]:
    """All receipts of a run by path."""
    found = {}
    for path in sorted(run.rglob("receipts/*.json")):
        if not path.name.startswith("."):
            found[str(path.relative_to(run))] = json.loads(path.read_text())
    return found


def count_receipts(run: Path) -> int:
    """Receipts of a run that is being written."""
    return sum(
        name.endswith(".json") and not name.startswith(".")
        for folder, _, names in os.walk(run)  # which passes over folders that go away
        if folder.endswith("/receipts")
        for name in names
    )


def wait_for(condition, seconds: float, what: str) -> None:
    """Poll until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen in {seconds} s"
        time.sleep(0.02)


def balanced(run: Path) -> dict[str, dict]:
    """The ledger of a run, after checking that it balances."""
    ledger = json.loads((run / "ledger.json").read_text())
    before = None
    for stage, entry in ledger.items():
        assert entry["records"] == entry["kept"] + sum(entry["rejected"].values()), stage
        if before is not None:
            assert entry["records"] == before, stage
        before = entry["kept"]
    return ledger
