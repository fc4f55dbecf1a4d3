"""Speed and memory of `mix`: python -m tests.benchmarks.mix [TOKENS] [WORKERS] [BUCKET]

Makes token parts of synthetic documents (500 tokens of 2 bytes on average; 16 million tokens by
default), mixes them into shards by buckets of 64 Mi tokens, or so many, and prints tokens a second
of a worker, by the clock and by CPU time, bytes of memory a token of a task (one worker only), and
the most memory of all processes together (proportional set size, shared memory once). The global
shuffle of 10 GB of token data:

    python -m tests.benchmarks.mix 5e9 2
"""

import sys
import tempfile
import threading
import time
from contextlib import suppress

import numpy as np
import psutil
import pyarrow as pa

from curation.histogram import Histogram, to_table
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
from schemas.tables import HISTOGRAMS, RESERVE, tokens_schema
from schemas.tokenizer import TrainTokenizer

PART = 4_000_000  # tokens of a part


class Peak(threading.Thread):
    """The most memory of this process and its children, in bytes."""

    def __init__(self) -> None:
        """Begins."""
        super().__init__(daemon=True)
        self.bytes, self._ended = 0, threading.Event()
        self.start()

    def run(self) -> None:
        """Look at them ten times a second."""
        own = psutil.Process()
        while not self._ended.wait(0.1):
            found = 0
            for process in (own, *own.children(recursive=True)):
                with suppress(psutil.Error):  # one that has ended
                    found += process.memory_full_info().pss
            self.bytes = max(self.bytes, found)

    def end(self) -> int:
        """The most so far; no more is looked at."""
        self._ended.set()
        self.join()
        return self.bytes


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
        writer.write(table.take(np.argsort(keys)))
        found = to_table({"web": Histogram.of(keys, sizes)})
        attempt.writer("histogram", HISTOGRAMS).write(found)
        attempt.writer("reserve", RESERVE).write(RESERVE.empty_table())
        return attempt.commit(len(sizes), len(sizes), counts={"tokens": {"web": int(sizes.sum())}})


def main() -> None:
    """Make, mix, print."""
    total = int(float(sys.argv[1])) if len(sys.argv) > 1 else 16_000_000
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    bucket = int(float(sys.argv[3])) if len(sys.argv) > 3 else 64 << 20
    recipe = Recipe.model_validate(
        {
            "name": "mix",
            "inputs": [{"source": "web", "root": "/", "files": ["x"]}],
            "tokenizer": {"train": {"vocabulary": 384}},
            "mix": {"validation": {"tokens": 0}, "bucket_tokens": bucket},
        }
    )
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        run = Folder(f"{scratch}/run")
        run.create("recipe.yaml", to_yaml(recipe).encode())
        context = Context(run, recipe)
        # in other processes, whose memory is not ours
        maker = Mill(context, Engine(workers=2), [])
        tasks = [Task("tokenizer", {})]
        maker.do("tokenizer", make_tokenizer, maker.plan("tokenizer", "x", lambda: tasks))
        parts = [Task(f"{n:06d}", {"number": n}) for n in range(-(-total // PART))]
        maker.do("tokenize", make_part, maker.plan("tokenize", "x", lambda: parts))
        maker.close()
        mill = Mill(context, Engine(workers=workers), [])
        before, begun = psutil.Process().memory_info().rss, time.monotonic()
        peak = Peak()
        mix.run(mill, "mix", "x")
        seconds, most = time.monotonic() - begun, peak.end()
        mill.close()
        receipts = [r for r in context.receipts("mix/buckets") if r.task != "validation"]
        tokens = sum(r.counts["sources"]["web"]["tokens"] for r in receipts)
        own = sum(r.usage.wall_seconds for r in receipts)
        cpu = sum(r.usage.cpu_seconds for r in receipts)
        print(f"{tokens:,} tokens in {len(receipts)} tasks of {workers} workers")
        print(
            f"{tokens / own / 1e6:.1f} M tokens a second of a task, {tokens / cpu / 1e6:.1f} of CPU"
        )
        print(f"{tokens / seconds / 1e6:.1f} M a second of the stage, {seconds:.1f} s")
        print(f"{most / 1e6:,.0f} MB in all processes together")
        if workers == 1:
            largest = max(receipts, key=lambda each: each.usage.peak_bytes)
            held = largest.counts["sources"]["web"]["tokens"]
            print(f"{(largest.usage.peak_bytes - before) / held:.1f} bytes a token of a task")


if __name__ == "__main__":
    from tests.benchmarks import mix as own  # by which name workers import it

    own.main()
