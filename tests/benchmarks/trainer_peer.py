"""Speed of training on a CPU beside Hugging Face's Llama of the same shape and optimizer.

    python tests/benchmarks/trainer_peer.py --preset tiny --length 512 --steps 10

Both take the same batches of random tokens in turn, so that a busy machine slows both: the median
of the steps' wall time is told, and that of processor time, which other work changes least.
`documents` keeps attention within documents; transformers' Llama does not,
unless it is given a mask of T x T, as `masked` does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

# Before torch is loaded: see train.cli.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

from tests.benchmarks.trainer import processor, random_rows
from train import mesh, parallel
from train.attention import document_mask
from train.config import Config, load
from train.objective import Objective
from train.step import Batch, Feed, Trainer, micro_rows


def ours(config: Config, vocabulary: int, batch: Batch) -> Callable[[], float]:
    """A step of gristmill's trainer."""
    world = mesh.start()
    trainer = Trainer(config, parallel.build(config, vocabulary, world), world)
    return lambda: trainer.step(batch, int(batch.labels.sum()), 1e-4).loss.item()


def theirs(
    config: Config, vocabulary: int, batch: Batch, micro: int, *, masked: bool
) -> Callable[[], float]:
    """The same in plain Hugging Face code."""
    shape = config.model
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.rows(vocabulary),
            hidden_size=shape.dim,
            intermediate_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            tie_word_embeddings=shape.tied,
            attn_implementation="sdpa",
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
    inputs = batch.inputs
    assert inputs.labels is not None
    parts = [torch.split(tensor, micro) for tensor in inputs[:4] if tensor is not None]

    def step() -> float:
        total = 0.0
        for tokens, positions, segments, labels in zip(*parts, strict=True):
            mask = document_mask(segments, "dense") if masked else None
            logits = model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions if masked else None,
                use_cache=False,
            ).logits
            loss = torch.nn.functional.cross_entropy(
                logits.float().flatten(0, 1), labels.flatten(), reduction="sum"
            )
            (loss / int(batch.labels.sum())).backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return total / int(batch.labels.sum())

    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--length", type=int, default=512, help="tokens of a row")
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--document", type=int, default=500, help="mean tokens of a document")
    parser.add_argument("--steps", type=int, default=10, help="timed steps of each")
    options = parser.parse_args()
    config = load(options.preset)
    micro = micro_rows(config.batch_rows, config.micro_rows)
    feed = Feed(Objective(config.objective, options.vocabulary, 0), torch.device("cpu"), micro)

    def batch(document: int) -> Batch:
        rows = random_rows(config.batch_rows, options.length, options.vocabulary, document)
        return feed.batch(rows, 0)

    cut, whole = batch(options.document), batch(options.length * 1000)
    vocabulary = options.vocabulary
    steps = {
        "gristmill, documents": (ours(config, vocabulary, cut), cut),
        "gristmill, one document a row": (ours(config, vocabulary, whole), whole),
        "transformers, one document a row": (
            theirs(config, vocabulary, whole, micro, masked=False),
            whole,
        ),
        "transformers, documents (masked)": (
            theirs(config, vocabulary, cut, micro, masked=True),
            cut,
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(options.steps + 2):
        for name, (step, _) in steps.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            step()
            if turn >= 2:
                times[name].append(time.perf_counter() - start)
                spent[name].append(time.process_time() - start_cpu)
    print(
        f"{processor()}, {torch.get_num_threads()} threads; torch {torch.__version__}, "
        f"transformers {transformers.__version__}; {options.preset}, rows of {options.length}"
    )
    for name, (_, given) in steps.items():
        wall, best = statistics.median(times[name]), min(times[name])
        busy = statistics.median(spent[name])
        print(
            f"{name:34} {given.num_tokens / wall:9,.0f} tokens/s (median), "
            f"{given.num_tokens / best:9,.0f} (best), "
            f"{given.num_tokens / busy:9,.0f} a second of processor time"
        )


if __name__ == "__main__":
    main()
