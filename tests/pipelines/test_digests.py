"""The shards of three recipes, byte for byte: a change of these digests is a change of output.

A commit that changes one says why, and writes the new ones:

    WRITE_DIGESTS=1 python -m pytest tests/pipelines/test_digests.py
"""

import json
import os
from pathlib import Path

import pytest

from tests.runs import DEMO, mill

EXPECTED = Path(__file__).with_name("digests.json")

# every stage and level, three sources of three formats
EVERYTHING = """
extends: {demo}
name: everything
inputs:
  - {{source: web, root: {sample}, files: ["web-00000.warc.gz", "web-00001.warc.gz"]}}
  - {{source: notes, root: {folder}, files: ["notes.jsonl"]}}
  - {{source: scripts, root: {folder}, files: ["scripts/*.py"]}}
extract: {{engine: blocks}}
filter:
  chain:
    - languages: {{en: 0.1}}
    - rules: gopher_repetition
    - edit: c4_lines
    - rules: c4
deduplicate:
  scope: global
  url: newest
  normalised: true
  spans: {{lines: true, sentences: 3, bloom: {{words: 5}}, substring: {{tokens: 10}}}}
curate:
  chain: [{{cut: {{least_words: 20}}}}, {{redact: [EMAIL_ADDRESS, IP_ADDRESS, PHONE_NUMBER]}}]
mix:
  weights: {{web: 3, notes: 2, scripts: 1}}
  tokens: 60000
  max_epochs: 3
"""
DCLM = """
extends: dclm
name: dclm-digests
inputs: [{{source: web, root: {sample}, files: ["*.warc.gz"]}}]
splits: {{bytes: 262144, part_bytes: 131072}}
tokenizer: {{train: {{vocabulary: 2048, sample_bytes: 10485760}}}}
mix: {{sequence_length: 256, bucket_tokens: 65536, validation: {{tokens: 8192}}}}
"""
_SENTENCE = """
    the mill stands by the river and grinds what the farmers bring in autumn until the snow
    closes the road then the miller mends his stones with hammer and chisel while apprentices
    carry flour to town where bakers wait for every sack of it before dawn
"""
_WORDS = _SENTENCE.split()


def note(number: int) -> str:
    """A text that a formula gives; some sentences and paragraphs stand in several."""
    lines = []
    for line in range(6):
        at = number * 7 + line * line * 5 if line % 3 else number // 4 * 11 + line
        words = [_WORDS[(at + step * (1 + at % 5)) % len(_WORDS)] for step in range(14)]
        lines.append(f"{' '.join(words).capitalize()} {number if line % 2 else line}.")
    lines.append(f"Write to miller{number}@mill.example.org or call +44 20 7946 0{number:03d}.")
    return "\n".join(lines)


def write_inputs(folder: Path) -> None:
    rows = [{"id": str(number), "text": note(number)} for number in range(120)]
    (folder / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "scripts").mkdir()
    for number in range(20):
        body = "\n".join(f"    total += weights[{index}] * {number}" for index in range(number + 9))
        code = f'"""Adds weights of sack {number}."""\n\ndef add(weights):\n    total = 0\n{body}\n'
        (folder / f"scripts/sack_{number:02d}.py").write_text(code + "    return total\n")


def digests(run: Path) -> dict[str, object]:
    manifest = json.loads((run / "shards/manifest.json").read_text())
    return {
        split: {
            "tokens": held["tokens"],
            "row_groups": [
                group["digest"] for file in held["files"] for group in file["row_groups"]
            ],
        }
        for split, held in manifest["splits"].items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "everything", "dclm"])
def test_shards_are_those_that_were_written_down(
    name: str, finished: Path, sample: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    if name == "demo":
        run = finished
    else:
        write_inputs(tmp_path)
        recipe = tmp_path / "recipe.yaml"
        text = {"everything": EVERYTHING, "dclm": DCLM}[name]
        recipe.write_text(text.format(demo=DEMO, sample=sample, folder=tmp_path))
        mill(run, recipe=recipe)
    expected = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    if os.environ.get("WRITE_DIGESTS"):
        EXPECTED.write_text(json.dumps(expected | {name: digests(run)}, indent=1) + "\n")
        expected = json.loads(EXPECTED.read_text())
    assert digests(run) == expected[name]
