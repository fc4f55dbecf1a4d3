"""Repeated spans: the same spans whatever does the work, and those of a plain reference."""

import json
import pydoc_data.topics
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.dedup.keyed_spans import sentences
from curation.dedup.spans import cut
from curation.dedup.words import normalise
from curation.measures import View
from pipelines.commands.dedup import spans_of
from pipelines.engines.runners import Engine
from pipelines.run import Run
from pipelines.runs.steps import Work, execute
from pipelines.stages import curate
from pipelines.stages.dedup import groups
from pipelines.stages.dedup import spans as span_steps
from pipelines.stages.dedup import stage as deduplicate
from schemas.problems import Problem
from tests.runs import DEMO, balanced, dedup_files, mill, shards

pytestmark = pytest.mark.usefixtures("several_parts")

Spans = dict[str, list[tuple[str, int, int]]]


def found(path: Path, folder: Path, engine: Engine | None = None, **asked: Any) -> Spans:
    """Spans by the text that they are of."""
    output = folder / "out.jsonl"
    dedup_files([str(path)], str(output), engine, **{"near": "none", **asked})
    rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    texts = {row["id"]: row["text"] for row in map(json.loads, (folder / "all.jsonl").open())}
    assert all(row["kept"] or not row["cut"] for row in rows)
    return {
        texts[row["id"]]: [(span["level"], span["start"], span["end"]) for span in row["cut"]]
        for row in rows
        if row["kept"]
    }


def write(path: Path, texts: list[str]) -> Path:
    rows = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Real prose in lines and paragraphs, of which some stand in many texts, changed a little."""
    topics = pydoc_data.topics.topics
    prose = " ".join(" ".join(topics[name].split()) for name in sorted(topics))
    some = [line + "." for line in prose[:120_000].split(". ") if len(line) > 20]
    rng = random.Random(7)
    made = []
    for _ in range(150):
        paragraphs = []
        for _ in range(rng.randrange(1, 6)):
            lines = [rng.choice(some[: rng.choice([10, 1000])]) for _ in range(rng.randrange(1, 5))]
            if rng.random() < 0.3:
                lines = [rng.choice([line.upper(), line + "!", "— " + line]) for line in lines]
            paragraphs.append(rng.choice(["\n", " "]).join(lines))
        made.append("\n\n".join(paragraphs))
    return sorted(set(made))


@pytest.fixture
def all_texts(texts: list[str], tmp_path: Path) -> Path:
    return write(tmp_path / "all.jsonl", texts)


def order(found: Spans) -> list[str]:
    """The texts, longest first, as `keep` prefers them where no two are equally long."""
    return sorted(found, key=lambda text: -len(text.encode()))


def cuts(text: str, spans: list[tuple[str, int, int]], level: str) -> list[str]:
    return [text[start:end] for by, start, end in spans if by == level]


@pytest.mark.parametrize("level", ["lines", "paragraphs"])
def test_lines_and_paragraphs_against_a_plain_reference(
    level: str, texts: list[str], all_texts: Path, tmp_path: Path
) -> None:
    # no two of one length, so that the order is known here too
    by_length = list({len(text.encode()): text for text in texts}.values())
    write(all_texts, by_length)
    answer = found(all_texts, tmp_path, spans=level)
    seen: set[str] = set()
    total = 0
    for text in order(answer):
        expected = []
        for span in text.split("\n\n" if level == "paragraphs" else "\n"):
            words = normalise(span)
            expected += [span] if words in seen else []
            seen.update([words] if words else [])
        assert cuts(text, answer[text], level) == expected
        total += len(expected)
    assert total > 50


def test_sentences_against_a_plain_reference(
    texts: list[str], all_texts: Path, tmp_path: Path
) -> None:
    by_length = list({len(text.encode()): text for text in texts}.values())
    write(all_texts, by_length)
    answer = found(all_texts, tmp_path, spans="sentences=2")
    seen: set[int] = set()
    total = 0
    for text in order(answer):
        runs = sentences([text], 2)
        expected: set[int] = set()
        for start, end, key in zip(*runs.spans[1:], runs.keys.tolist(), strict=True):
            expected.update(range(start, end) if key in seen else ())
            seen.add(key)
        covered = {at for _, start, end in answer[text] for at in range(start, end)}
        assert covered == expected
        total += len(answer[text])
    assert total > 50


ALL = {"spans": "lines,paragraphs,sentences=2,bloom=5,substring=12", "keep": "longest"}


def test_the_answer_does_not_depend_on_workers_passes_order_or_files(
    texts: list[str], all_texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = found(all_texts, tmp_path, **ALL)
    levels = {level for spans in whole.values() for level, _, _ in spans}
    assert {"lines", "sentences", "bloom", "substring"} <= levels
    for spans in whole.values():
        assert spans == sorted(spans, key=lambda span: span[1])
        assert all(end <= start for (_, _, end), (_, start, _) in pairwise(spans))
    assert found(all_texts, tmp_path, Engine("local", 2), **ALL) == whole
    rows = [json.loads(line) for line in all_texts.open()]
    random.Random(1).shuffle(rows)
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(4):
        part = {name: [row[name] for row in rows[number::4]] for name in ("id", "text")}
        pq.write_table(pa.table(part), folder / f"{number}.parquet")
    # some ranges of keys, a pass each, read from some row groups
    monkeypatch.setattr(deduplicate, "RANGE_BYTES", 20_000)
    monkeypatch.setattr(span_steps, "_ROW_GROUP", 100)
    assert found(folder, tmp_path, Engine("local", 1, 600), **ALL) == whole


def test_levels_together_leave_a_copy_of_all(texts: list[str], tmp_path: Path) -> None:
    """As all levels have one order, no two of them cut the only two copies of a sentence."""
    # the same sentences stand in the same lines
    path = write(tmp_path / "all.jsonl", [text.replace(". ", ".\n") for text in texts])
    answer = found(path, tmp_path, spans="lines,paragraphs,sentences=1")
    left = [
        cut(text, *np.array([span[1:] for span in spans] or np.empty((0, 2)), np.int64).T)
        for text, spans in answer.items()
    ]
    everything = " ".join(map(normalise, left))
    lines = [line for text in answer for line in text.split("\n")]
    before = {normalise(part) for line in lines for part in View(line).sentences}
    assert sum(map(len, left)) < sum(map(len, answer)) / 2
    assert [sentence for sentence in before if sentence not in everything] == []


def test_a_scope_is_a_world_of_its_own(texts: list[str], tmp_path: Path) -> None:
    asked = {"spans": "lines,bloom=5,substring=12"}
    path = write(tmp_path / "all.jsonl", texts[:40])
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).mkdir()
        write(folder / name / "x.jsonl", texts[:40])
    alone = found(path, tmp_path, **asked)
    output = tmp_path / "out.jsonl"
    recipe = tmp_path / "scope.yaml"
    recipe.write_text("extends: fineweb\ndeduplicate: {scope: source, near: null}\n")
    paths = [str(folder / "a"), str(folder / "b")]
    dedup_files(paths, str(output), recipe=str(recipe), near="none", **asked)
    rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert len(rows) == 80
    for row in rows:
        spans = [(span["level"], span["start"], span["end"]) for span in row["cut"]]
        assert spans == alone[texts[int(row["id"])]]


def test_groups_are_as_large_as_their_memory(tmp_path: Path) -> None:
    """What a group repeats of another one stays."""
    folder = tmp_path / "parts"
    folder.mkdir()
    long = " ".join(f"word{number}" for number in range(60))
    for number in range(3):
        write(folder / f"{number}.jsonl", [long, long + f"\nNumber {number}."])
    ends = []
    for memory in ("4294967296", "1"):
        recipe = tmp_path / "r.yaml"
        recipe.write_text(
            "extends: fineweb\ndeduplicate: {exact: false, near: null, spans: {substring: "
            f"{{tokens: 10, memory: {memory}}}}}}}\n"
        )
        output = tmp_path / "out.parquet"
        dedup_files([str(folder)], str(output), recipe=str(recipe))
        ends.append(sum(map(bool, pq.read_table(output)["cut"].to_pylist())))
    assert ends == [5, 3]


BOILERPLATE = "Home | About | Contact\nAll rights reserved\nAccept all cookies\n"
PEAKS = """
import resource, sys
from tests.runs import dedup_files
for path in sys.argv[1:]:
    dedup_files([path + ".jsonl"], path + ".parquet", near="none", spans="lines,paragraphs")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def test_a_line_in_every_document_is_one_key(tmp_path: Path) -> None:
    """20,000 documents with the same lines: memory is that of few, all but one copy go."""
    counts = (1_000, 20_000)
    for count in counts:
        own = (f"{'x' * (n % 97 + 1)} own{'y' * (n // 97)}" for n in range(count))
        write(tmp_path / f"{count}.jsonl", [BOILERPLATE + words for words in own])
    paths = [str(tmp_path / str(count)) for count in counts]
    result = subprocess.run(
        [sys.executable, "-c", PEAKS, *paths], capture_output=True, text=True, check=True
    )
    for count, path in zip(counts, paths, strict=True):
        cut = pq.read_table(f"{path}.parquet")["cut"].to_pylist()
        spans = Counter((span["start"], span["end"]) for row in cut for span in row)
        assert spans[0, 22] == spans[23, 42] == spans[43, 61] == count - 1
    few, many = map(int, result.stdout.split())
    assert many < few + 80  # MB: the rows of one part, and its output


SPANS = """
extends: {demo}
inputs: [{{source: web, root: {sample}, files: ['*.warc.gz']}}]
deduplicate:
  spans: {{lines: true, sentences: 3, bloom: {{words: 5}}, substring: {{tokens: 10}}}}
curate: {{chain: [{{cut: {{least_words: 400}}}}]}}
"""
WORK: dict[str, Work] = {
    "deduplicate/spans": span_steps.find_spans,
    "deduplicate/bloom": groups.filter_lines,
    "deduplicate/substring": groups.find_runs,
    "curate": curate.curate_part,
}


@pytest.mark.slow
def test_a_run_with_spans(finished: Path, sample: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "spans.yaml"
    recipe.write_text(SPANS.format(demo=DEMO, sample=sample))
    one, two = tmp_path / "one", tmp_path / "two"
    mill(one, "--parent", str(finished), recipe=recipe)
    ledger = balanced(one)
    assert ledger["deduplicate"] == balanced(finished)["deduplicate"]
    assert set(ledger["curate"]["rejected"]) == {"cut_short"}
    mill(two, "--parent", str(finished), "--workers", "2", recipe=recipe)
    assert shards(two) == shards(one)
    # tasks are pure
    context = Run.open(str(two)).context
    for step, work in WORK.items():
        for task in context.tasks(step):
            before = context.receipt(step, task.key)
            (two / step / "receipts" / f"{task.key}.json").unlink()
            after = execute(context, step, work, task)
            assert (after.files, after.counts) == (before.files, before.counts)
    # what was cut is in the lists, and what is left is in the curated text
    lost = sum(
        counts["characters"]
        for receipt in context.receipts("curate")
        for levels in receipt.counts["cut"].values()
        for counts in levels.values()
    )
    listed = [
        context.run.open(receipt.file("cuts").path) for receipt in context.receipts("deduplicate")
    ]
    tables = [pq.read_table(stream) for stream in listed]
    spans = [np.subtract(table["end"], table["start"], dtype=np.int64) for table in tables]
    assert lost == sum(int(own.sum()) for own in spans) > 0


def test_spans_of_a_command_line() -> None:
    assert spans_of("lines,sentences,bloom=5,substring") == {
        "lines": True, "sentences": 3, "bloom": {"words": "5"}, "substring": {},
    }  # fmt: skip
    for wrong in ("words", "lines=3", "", "lines,,bloom"):
        with pytest.raises(Problem, match=r"^spans "):
            spans_of(wrong)
