"""Does a model learn here as it does in plain Hugging Face code?

    GRISTMILL_DATA=... python -m tests.benchmarks.trainer_learning peer --output learning
    GRISTMILL_DATA=... python -m tests.benchmarks.trainer_learning embedding --output learning

`peer` trains the preset `6m` by `gristmill train`, and LlamaForCausalLM by a loop of its own, which
reads the same shards with pyarrow and shares no code with the trainer: three seeds each, the same
rows in the same order, the same distribution of first weights, AdamW and cosine. `embedding` trains
the preset `tiny` with other first embeddings and rates for them. Both mill books, manuals, web
pages and Q&A from GRISTMILL_DATA first. Every run is kept in `--output` as it ends, and the same
command goes on with those that are missing; at the end it prints the table and draws the picture.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before torch is loaded: see train.cli.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from train import metrics
from train.cli import main as train
from train.config import Config, load
from train.report import curve, draw

SOURCES = ("books", "docs", "qa", "web")
SEEDS = (0, 1, 2)
VALIDATION_ROWS = 96
VARIANTS = {
    "std 1, 50 times the rate": {},
    "std .02, plain Llama": {"model.embedding_std": 0.02, "optimizer.embedding_lr": 1},
    "std 1, the common rate": {"optimizer.embedding_lr": 1},
}
Result = dict[str, list[dict[str, Any]]]  # lines of the log: `steps` and `validations`


def mill(data: Path, run: Path) -> None:
    """Shards of real text, rows of 256 tokens."""
    recipe = {
        "name": "sources",
        "inputs": [
            {"source": name, "root": str(data / "sources"), "files": [f"{name}.jsonl.gz"]}
            for name in SOURCES
        ],
        "tokenizer": {"train": {"vocabulary": 4096}},
        "mix": {"sequence_length": 256, "tokens": 1_000_000, "validation": {"tokens": 32768}},
    }
    path = run.with_suffix(".yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    command = [sys.executable, "-m", "pipelines.commands.main", "run", str(path)]
    subprocess.run([*command, "--output", str(run)], check=True)


def ours(run: Path, output: Path, preset: str, changes: dict[str, Any]) -> Result:
    """Curves of `gristmill train`."""
    sets = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    assert train([str(run), "--output", str(output), "--preset", preset, *sets]) == 0
    lines = metrics.read(output / "steps.jsonl")
    return {f"{kind}s": [x for x in lines if x["kind"] == kind] for kind in ("step", "validation")}


class Split:
    """Rows of the shards as the arguments of Hugging Face's Llama."""

    def __init__(self, run: Path, split: str) -> None:
        """Read them all."""
        manifest = json.loads((run / "shards" / "manifest.json").read_text("utf-8"))
        files = [entry["path"] for entry in manifest["splits"][split]["files"]]
        table = pa.concat_tables(pq.read_table(run / "shards" / path) for path in files)
        self.vocabulary: int = manifest["tokenizer"]["vocabulary"]
        self.ids = np.array(table["input_ids"].to_pylist())
        self.lengths = np.array(table["length"].to_pylist())
        self.starts = [[s["start"] for s in row] for row in table["segments"].to_pylist()]

    def arguments(self, start: int, stop: int) -> tuple[dict[str, Any], torch.Tensor]:
        """Documents see and predict nothing of each other; positions restart at each."""
        ids = torch.from_numpy(self.ids[start:stop])
        document = torch.zeros_like(ids)
        positions, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for row, (starts, length) in enumerate(
            zip(self.starts[start:stop], self.lengths[start:stop], strict=True)
        ):
            for begin, end in zip(starts, [*starts[1:], length], strict=True):
                document[row, begin:] += 1
                positions[row, begin:end] = torch.arange(end - begin)
                labels[row, begin : end - 1] = ids[row, begin + 1 : end]
        causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
        mask = (document[:, None, :, None] == document[:, None, None, :]) & causal
        return {"input_ids": ids, "position_ids": positions, "attention_mask": mask}, labels


def theirs(run: Path, config: Config, steps: int, every: int, seed: int) -> Result:
    """Curves of a plain loop."""
    torch.manual_seed(seed)
    training, validation = Split(run, "train"), Split(run, "validation")
    shape, settings = config.model, config.optimizer
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.rows(training.vocabulary),
            hidden_size=shape.dim,
            intermediate_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            rms_norm_eps=shape.norm_eps,
            tie_word_embeddings=False,
            initializer_range=0.02,
            attn_implementation="sdpa",
        )
    )
    assert model.num_parameters() == shape.num_params(training.vocabulary)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(50)  # standard deviation 1, and 50 times the rate
        for layer in model.model.layers:
            for matrix in (layer.self_attn.o_proj, layer.mlp.down_proj):
                matrix.weight.div_((2 * shape.layers) ** 0.5)
    matrices = [
        p for name, p in model.named_parameters() if p.ndim == 2 and "embed_tokens" not in name
    ]
    norms = [p for p in model.parameters() if p.ndim == 1]
    embedding = model.model.embed_tokens.weight
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": norms, "weight_decay": 0.0},
            {"params": [embedding], "weight_decay": 0.0, "lr": 50 * settings.lr},
        ],
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
    )
    warmup = round(settings.warmup * steps)

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        left = (1 + math.cos(math.pi * (step - warmup) / (steps - 1 - warmup))) / 2
        return settings.final_lr + (1 - settings.final_lr) * left

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def loss_of(split: Split, start: int, stop: int) -> tuple[torch.Tensor, int]:
        given, labels = split.arguments(start, stop)
        logits = model(**given, use_cache=False).logits.float()
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="sum"
        )
        return loss, int((labels != -100).sum())

    result: Result = {"steps": [], "validations": []}
    rows, tokens = config.batch_rows, 0
    for step in range(steps):
        start = step * rows
        loss, labels = loss_of(training, start, start + rows)
        (loss / labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        tokens += int(training.lengths[start : start + rows].sum())
        line = {"step": step + 1, "tokens_seen": tokens}
        result["steps"].append({**line, "loss": loss.item() / labels})
        if (step + 1) % every == 0 or step + 1 == steps:
            with torch.no_grad():
                most = min(VALIDATION_ROWS, len(validation.ids))
                parts = [loss_of(validation, i, min(i + 8, most)) for i in range(0, most, 8)]
            total = sum(part.item() for part, _ in parts) / sum(count for _, count in parts)
            result["validations"].append({**line, "loss": total})
    return result


def kept(path: Path, make: Callable[[], Result]) -> Result:
    """The result of a run, made only if it is not there yet."""
    if not path.exists():
        path.write_text(json.dumps(make()), "utf-8")
    found: Result = json.loads(path.read_text("utf-8"))
    return found


def table(results: dict[str, list[Result]]) -> None:
    """Print the last validation loss of every run."""
    for name, found in results.items():
        last = [result["validations"][-1]["loss"] for result in found]
        print(
            f"{name:28} {', '.join(f'{loss:.3f}' for loss in last)}  "
            f"mean {statistics.mean(last):.3f}, deviation {statistics.stdev(last):.3f}"
        )


def main() -> None:
    """Train what is missing, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["peer", "embedding"])
    parser.add_argument("--output", type=Path, required=True, help="a folder for all of it")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    output, steps = options.output, options.steps
    run, results = output / "run", output / f"{options.what}-{steps}"
    mill(Path(os.environ["GRISTMILL_DATA"]), run)
    results.mkdir(exist_ok=True)
    preset = "6m" if options.what == "peer" else "tiny"
    every = max(1, steps // 5)
    common = {
        "batch_rows": 8,
        "lanes": 1,
        "steps": steps,
        "checkpoint.every": steps,
        "evaluation.every": every,
        "evaluation.rows": VALIDATION_ROWS,
    }
    config = load(preset, common)
    variants = VARIANTS if options.what == "embedding" else {"gristmill": {}}
    found: dict[str, list[Result]] = {}
    for seed in SEEDS:
        for name, changes in variants.items():
            place = results / f"{name}-{seed}".replace(" ", "-")
            given = common | changes | {"seed": seed}
            found.setdefault(name, []).append(
                kept(place.with_suffix(".json"), lambda: ours(run, place, preset, given))  # noqa: B023
            )
        if options.what == "peer":
            path = results / f"transformers-{seed}.json"
            found.setdefault("transformers", []).append(
                kept(path, lambda: theirs(run, config, steps, every, seed))  # noqa: B023
            )
    table(found)
    curves = {
        f"{name}, seed {seed}": curve(result["validations"], "loss")
        for name, several in found.items()
        for seed, result in zip(SEEDS, several, strict=True)
    }
    (results / "learning.png").write_bytes(draw(curves, "validation loss (nats a token)", "png"))
    print(results / "learning.png")


if __name__ == "__main__":
    main()
