"""The walk of a document: which files of gristmill its way from a WARC record to a shard enters.

    python -m tests.benchmarks.walk

A run of a small WARC file by the recipe `fineweb` with the engine `blocks`, on one worker. The
extraction, which the run does in a process of its own, is done here once more to be seen.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from curation.readers import Record, formats
from pipelines.recipes.loading import resolve
from pipelines.run import Run
from pipelines.stages.extract import extractor
from schemas.inputs import Columns

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "tests" / "data" / "sample"
ROOMS = ("schemas", "curation", "pipelines")


def main() -> None:
    """Run, and print the files by folder."""
    entered: set[Path] = set()

    def see(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            entered.add(Path(frame.f_code.co_filename))

    recipe = {
        "extends": "fineweb",
        "extract": {"engine": "blocks"},
        "filter": {"chain": [{"rules": "gopher_repetition"}]},
        "inputs": [{"source": "web", "root": str(SAMPLE), "files": ["web-00001.warc.gz"]}],
        "tokenizer": {"train": {"vocabulary": 512, "sample_bytes": 1 << 20}},
        "mix": {"sequence_length": 64, "validation": {"tokens": 0}},
    }
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(resolve("walk", recipe, "."), f"{folder}/run")
        sys.setprofile(see)
        run.go()
        extract = extractor(run.context).extract
        with (SAMPLE / "web-00001.warc.gz").open("rb") as stream:
            for record in formats.read(
                "warc", "web", stream, 0, 1 << 40, max_record_bytes=1 << 24, columns=Columns()
            ):
                if isinstance(record, Record) and record.kind == "response":
                    extract(record)
        sys.setprofile(None)
    own = sorted(
        path.relative_to(REPOSITORY)
        for path in entered
        if path.is_relative_to(REPOSITORY) and path.relative_to(REPOSITORY).parts[0] in ROOMS
    )
    for room, count in sorted(Counter("/".join(path.parts[:2]) for path in own).items()):
        print(f"{count:>4} {room}")
    print(f"{len(own):>4} files")


if __name__ == "__main__":
    main()
