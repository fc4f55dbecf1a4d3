"""Runs with tokenizers of all kinds: bytes of segments, no second training, no damage unseen."""

import json
import math
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.engines.runners import Engine
from pipelines.recipes.loading import load
from pipelines.run import Run
from pipelines.takedown import takedown
from pipelines.takedown.find import Asked
from tests.runs import DEMO, receipts, shards

MODELS = ("unigram", "wordpiece")


def recipe(parent: Path, model: str, **mix: object) -> object:
    train = {"model": model, "vocabulary": 1024, "nfc": True, "digits": 1}
    over = {"parent": str(parent), "tokenizer": {"train": train}, "mix": mix}
    return load(str(DEMO), over)


@pytest.fixture(scope="module", params=MODELS)
def run(
    request: pytest.FixtureRequest, finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that takes the curated text of the finished one."""
    folder = tmp_path_factory.mktemp("runs") / request.param
    Run.create(recipe(finished, request.param), str(folder)).go()
    return folder


def texts(run: Run) -> dict[str, str]:
    columns = ("id", "text")
    rows = [row for batch in run.documents(columns=columns) for row in batch.to_pylist()]
    return {row["id"]: row["text"] for row in rows}


def test_segments_hold_the_bytes_of_their_text(run: Path) -> None:
    opened = Run.open(str(run))
    known = texts(opened)
    whole = {id_: len(text.encode()) for id_, text in known.items()}
    found = dict.fromkeys(whole, 0)
    parts = dict.fromkeys(whole, 0)
    for split in opened.shards.splits.values():
        for file in split.files:
            for row in pq.read_table(run / "shards" / file.path).to_pylist():
                for segment in row["segments"]:
                    found[segment["document_id"].hex()] += segment["bytes"]
                    parts[segment["document_id"].hex()] += 1
    assert found == whole
    assert max(parts.values()) > 1  # documents are cut, within the offsets of their tokens
    total = sum(
        held.bytes for split in opened.shards.splits.values() for held in split.sources.values()
    )
    assert total == sum(whole.values())


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_runs_load_sentencepiece_models(kind: str, finished: Path, tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    known = texts(Run.open(str(finished)))
    with (tmp_path / "own.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(list(known.values())), model_writer=file, model_type=kind,
            vocab_size=1000, minloglevel=2, byte_fallback=True, max_sentence_length=1 << 20,
        )  # fmt: skip
    load_ = {"load": {"file": str(tmp_path / "own.model")}, "end_of_text": "</s>"}
    Run.create(
        load(str(DEMO), {"parent": str(finished), "tokenizer": load_}), str(tmp_path / "run")
    ).go()
    run = Run.open(str(tmp_path / "run"))
    held = [one for split in run.shards.splits.values() for one in split.sources.values()]
    assert sum(one.bytes for one in held) == sum(len(text.encode()) for text in known.values())
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "own.model"))
    for part in (tmp_path / "run/tokenize/tokens").iterdir():
        for row in pq.read_table(part).to_pylist():
            own, other = row["tokens"][:-1], theirs.encode(known[row["id"].hex()])
            if kind == "unigram" and own != other:
                # SentencePiece adds up scores in 32 bits: in long texts it takes the lesser of two
                # paths that are nearly as good
                scores = [math.fsum(map(theirs.get_score, each)) for each in (own, other)]
                assert 0 <= scores[0] - scores[1] < 0.1
            else:
                assert own == other
    assert run.verify().faults == []


def test_it_is_trained_once_and_kept_by_digest(run: Path, finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before = {p: p.stat().st_mtime_ns for p in (copy / "tokenizer").rglob("*.json")}
    for stage in ("tokenize", "mix", "shards", "index", "report"):
        shutil.rmtree(copy / stage, ignore_errors=True)
    model = json.loads((copy / "tokenizer/tokenizer.json").read_text())["model"]["type"].lower()
    Run.create(recipe(finished, model), str(copy)).go(Engine(workers=2))
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert shards(copy) == shards(run)
    assert Run.open(str(copy)).verify().faults == []
    # another training of the same recipe may differ: what follows it is of its digest
    made = json.loads((copy / "tokenize/fingerprint.json").read_text())
    assert made["upstream"]["tokenizer"] == Run.open(str(run)).stages["tokenizer"].digest
    # one that takes it over has the same tokenizer
    Run.create(recipe(run, model, sequence_length=128), str(tmp_path / "other")).go()
    assert "tokenizer/receipts/tokenizer.json" not in receipts(tmp_path / "other")
    name = "tokenizer/tokenizer.json"
    assert (tmp_path / "other" / name).read_bytes() == (run / name).read_bytes()


def test_groups_and_takedowns_know_bytes(run: Path, tmp_path: Path) -> None:
    model = json.loads((run / "tokenizer/tokenizer.json").read_text())["model"]["type"].lower()
    english = {"signal": "document.language", "operator": "==", "threshold": "en"}
    groups = [{"name": "english", "when": english}]
    Run.create(recipe(run, model, groups=groups), str(tmp_path / "grouped")).go()
    grouped, plain = Run.open(str(tmp_path / "grouped")), Run.open(str(run))
    held = [
        sum(one.bytes for split in each.shards.splits.values() for one in split.sources.values())
        for each in (grouped, plain)
    ]
    assert held[0] == held[1] == sum(len(text.encode()) for text in texts(plain).values())
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    done = takedown.take_down(Run.open(str(copy)), Asked(domain="library.example"), "asked for")
    assert done is not None
    taken = 0
    for part in (copy / "tokenize/tokens").iterdir():
        for row in pq.read_table(part).to_pylist():
            gone = len(set(row["tokens"])) == 1
            assert gone == (not any(row["widths"]))
            taken += gone
    assert taken > 0
    assert Run.open(str(copy)).verify().faults == []
