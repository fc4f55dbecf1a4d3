"""One task of `mix`: python -m tests.benchmarks.mix [TOKENS] [VOCABULARY]

Makes token parts of synthetic documents (500 tokens on average) for one bucket of so many tokens
(16 million by default), writes its shard, and prints tokens a second by the clock and bytes of
memory a token above what the process had: the most of the task and its libraries.
"""

import sys
import tempfile
import time

import numpy as np
import psutil
import pyarrow as pa

from curation.histogram import HISTOGRAMS, Histogram, to_table
from curation.mixture import mixing_keys
from curation.training import train_tokenizer
from pipelines.engines.runners import Engine
from pipelines.recipes.loading import to_yaml
from pipelines.runs.mill import Mill
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from pipelines.stages import tokenizer
from pipelines.stages.mix import stage as mix
from schemas.recipe import Recipe
from schemas.tables import RESERVE, tokens_schema
from schemas.tokenizer import TrainTokenizer

PART = 4_000_000  # tokens of a part


def make_tokenizer(context: Context, step: str, task: Task) -> Receipt:
    """A tokenizer that makes no merge, of the ids that the vocabulary has room for."""
    spec = TrainTokenizer(vocabulary=384)
    data = train_tokenizer(["a"], spec)
    with Attempt(context.run, step, task.key) as attempt:
        attempt.add("tokenizer", tokenizer.FILE, data)
        counts = {"reserve": {"web": 0}, "vocabulary": 384, "sha256": "0" * 64}
        return attempt.commit(0, 0, counts=counts)


def make_part(context: Context, step: str, task: Task) -> Receipt:
    """Documents with ids of a vocabulary, as frequent as words are."""
    chance = np.random.default_rng(task.spec["number"])
    sizes = chance.geometric(1 / 500, PART // 500)
    values = np.minimum(chance.zipf(1.3, sizes.sum()), 255).astype(np.uint16)
    ids = chance.integers(0, 1 << 62, (len(sizes), 2), np.uint64).tobytes()
    names = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(sizes), [None, pa.py_buffer(ids)]
    )
    keys = mixing_keys(context.recipe.seed, "web", np.frombuffer(ids, "V16"))
    order = np.argsort(keys)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    table = pa.table(
        {
            "source": pa.array(["web"] * len(sizes)),
            "key": keys,
            "id": names,
            "holdout": np.full(len(sizes), 1 << 63, np.uint64),
            "bytes": sizes,
            "tokens": pa.LargeListArray.from_arrays(offsets, values),
        }
    ).cast(tokens_schema("uint16", widths=False))
    with Attempt(context.run, step, task.key) as attempt:
        writer = attempt.writer("tokens", table.schema, row_group_rows=512, dictionary=("source",))
        writer.write(table.take(order))
        found = to_table({"web": Histogram.of(keys, sizes)})
        attempt.writer("histogram", HISTOGRAMS).write(found)
        attempt.writer("reserve", RESERVE).write(RESERVE.empty_table())
        return attempt.commit(len(sizes), len(sizes), counts={"tokens": {"web": int(sizes.sum())}})


def main() -> None:
    """Make, mix, print."""
    total = int(float(sys.argv[1])) if len(sys.argv) > 1 else 16_000_000
    recipe = Recipe.model_validate(
        {
            "name": "mix",
            "inputs": [{"source": "web", "root": "/", "files": ["x"]}],
            "tokenizer": {"train": {"vocabulary": 384}},
            "mix": {"validation": {"tokens": 0}, "bucket_tokens": 2 * total},
        }
    )
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        run = Folder(f"{scratch}/run")
        run.create("recipe.yaml", to_yaml(recipe).encode())
        mill = Mill(Context(run, recipe), Engine(), [])
        mill.do(
            "tokenizer",
            make_tokenizer,
            mill.plan("tokenizer", "x", lambda: [Task("tokenizer", {})]),
        )
        parts = [Task(f"{n:06d}", {"number": n}) for n in range(-(-total // PART))]
        mill.do("tokenize", make_part, mill.plan("tokenize", "x", lambda: parts))
        before = psutil.Process().memory_info().rss
        begun, used = time.monotonic(), time.process_time()
        mix.run(mill, "mix", "x")
        seconds, used = time.monotonic() - begun, time.process_time() - used
        (receipt,) = [r for r in mill.context.receipts("mix/buckets") if r.task != "validation"]
        tokens = receipt.counts["sources"]["web"]["tokens"]
        peak = receipt.usage.peak_bytes - before
        own, cpu = receipt.usage.wall_seconds, receipt.usage.cpu_seconds
        print(f"{tokens:,} tokens: {peak / tokens:.1f} bytes of memory a token")
        print(f"{tokens / own / 1e6:.1f} M a second in the task, {cpu:.1f} s of CPU")
        print(f"{tokens / seconds / 1e6:.1f} M a second in the stage, {used:.1f} s of CPU")


if __name__ == "__main__":
    from tests.benchmarks import mix as own  # by which name workers import it

    own.main()
