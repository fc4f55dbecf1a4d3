from __future__ import annotations

import math

import pytest
import torch
from tokenizers import Tokenizer

from tests.train.conftest import ALONE, Run, feed_of
from tests.train.shards import END, LENGTH, VOCABULARY
from train import parallel
from train.config import Config
from train.data import ShardReader, token_bytes
from train.evaluate import Score, evaluate
from train.mesh import World
from train.model import Decoder


@pytest.fixture(scope="module")
def model(small: Config, run: Run) -> Decoder:
    return parallel.build(small, run.manifest.tokenizer.vocabulary, ALONE)


@pytest.fixture(scope="module")
def reader(run: Run) -> ShardReader:
    sizes = token_bytes(run.shards / run.manifest.tokenizer.path, VOCABULARY)
    return ShardReader(run.shards, run.manifest, "validation", token_bytes=sizes)


def test_bits_per_byte_is_that_of_the_documents_themselves(
    run: Run, small: Config, model: Decoder, reader: ShardReader
) -> None:
    """From the text alone: tokenised again, cut where the rows end, one piece at a time."""
    scores = evaluate(model, reader, ALONE, feed_of(run, small, 5), limit=None)
    tokenizer = Tokenizer.from_file(str(run.shards / run.manifest.tokenizer.path))
    end = tokenizer.token_to_id(END)
    for source, documents in run.held_out.items():
        nats, count, spelled, place = 0.0, 0, 0, 0
        for text in documents:
            assert end is not None
            ids = [*tokenizer.encode(text).ids, end]
            while ids:
                piece, ids = ids[: LENGTH - place % LENGTH], ids[LENGTH - place % LENGTH :]
                place += len(piece)
                inputs = torch.tensor([piece])
                with torch.no_grad():
                    logits = model(inputs, torch.arange(len(piece))[None], torch.ones_like(inputs))
                chances = logits[0, :-1].log_softmax(-1)
                nats -= chances.gather(1, inputs[0, 1:, None]).sum().item()
                count += len(piece) - 1
                # ASCII, so characters are bytes; end-of-text is decoded to nothing.
                spelled += len(tokenizer.decode(piece[1:]))
        score = scores[source]
        assert (score.labels, score.bytes) == (count, spelled)
        assert score.loss == pytest.approx(nats / count, rel=1e-5)
        assert score.perplexity == pytest.approx(math.exp(nats / count), rel=1e-4)
        assert score.bits_per_byte == pytest.approx(nats / math.log(2) / spelled, rel=1e-5)


def test_the_total_is_the_sum_of_the_sources(
    run: Run, small: Config, model: Decoder, reader: ShardReader
) -> None:
    total, *parts = evaluate(model, reader, ALONE, feed_of(run, small, 7), limit=None).values()
    assert len(parts) == 3
    assert total.labels == sum(part.labels for part in parts)
    assert total.bytes == sum(part.bytes for part in parts)
    assert total.nats == pytest.approx(sum(part.nats for part in parts))


@pytest.mark.parametrize("micro", [1, 4, 41, 64])
def test_a_limit_takes_the_first_rows_however_they_are_grouped(
    run: Run, small: Config, model: Decoder, reader: ShardReader, micro: int
) -> None:
    some = evaluate(model, reader, ALONE, feed_of(run, small, micro), limit=41)[""]
    expected = evaluate(model, reader, ALONE, feed_of(run, small, 8), limit=41)[""]
    assert (some.labels, some.bytes) == (expected.labels, expected.bytes)
    assert some.nats == pytest.approx(expected.nats, rel=1e-6)
    assert some.bytes == reader.read(0, 41).text_bytes.sum()


def test_the_processes_together_score_what_one_alone_does(
    run: Run, small: Config, model: Decoder, reader: ShardReader
) -> None:
    class Part(World):
        """One of three processes, before the sums are added up."""

        def all_reduce(self, value: torch.Tensor) -> torch.Tensor:
            return value

    whole = evaluate(model, reader, ALONE, feed_of(run, small, 4), limit=41)
    device = torch.device("cpu")
    parts = [
        evaluate(model, reader, Part(r, 3, device), feed_of(run, small, 4), limit=41)
        for r in range(3)
    ]
    for name, score in whole.items():
        assert score.labels == sum(part[name].labels for part in parts)
        assert score.bytes == sum(part[name].bytes for part in parts)
        assert score.nats == pytest.approx(sum(part[name].nats for part in parts), rel=1e-6)


def test_nothing_to_measure_is_null() -> None:
    assert Score(0.0, 0, 0).measures() == {
        "loss": None,
        "perplexity": None,
        "bits_per_byte": None,
        "labels": 0,
        "bytes": 0,
    }
    assert Score(8 * math.log(2), 4, 2).measures() == {
        "loss": 2 * math.log(2),
        "perplexity": pytest.approx(4.0),
        "bits_per_byte": pytest.approx(4.0),
        "labels": 4,
        "bytes": 2,
    }
