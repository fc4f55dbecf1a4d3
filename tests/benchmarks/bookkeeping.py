"""What the driver takes for a step of very many tasks that do next to nothing.

    python -m tests.benchmarks.bookkeeping disk [TASKS=100000] [RUNNER=local]
    python -m tests.benchmarks.bookkeeping bucket [TASKS=5000] [RUNNER=local]

`disk`: seconds from plan to manifest, the tasks' own work (their CPU seconds by their receipts,
over the workers), and the largest resident set of the driver. `bucket`: requests to an S3 server
(moto, which has to be installed) by the driver, and by all.
"""

import os
import resource
import sys
import tempfile
import time

from pipelines.engines.runners import Engine, RunnerName
from pipelines.runs.mill import Mill
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from schemas.recipe import Recipe
from tests.stores import Proxy, environment, s3

WORKERS = 2


def nothing(context: Context, step: str, task: Task) -> Receipt:
    """A task that writes its receipt, and nothing else."""
    with Attempt(context.run, step, task.key) as attempt:
        return attempt.commit(1, 1, counts={"number": int(task.key)})


def step(url: str, tasks: int, runner: RunnerName) -> Mill:
    """Run the step, and check that it is whole."""
    mill = Mill(Context(Folder(url), Recipe(name="many")), Engine(runner, WORKERS), [])
    planned = mill.plan("many", "mark", lambda: [Task(f"{n:08d}", {}) for n in range(tasks)])
    manifest = mill.do("many", nothing, planned)
    assert (manifest.tasks, manifest.records) == (tasks, tasks)
    return mill


def disk(tasks: int, runner: RunnerName) -> None:
    with tempfile.TemporaryDirectory() as folder:
        begun, own = time.monotonic(), time.process_time()
        mill = step(f"{folder}/run", tasks, runner)
        wall, driver = time.monotonic() - begun, time.process_time() - own
        receipts = mill.context.receipts("many")
        work = sum(receipt.usage.cpu_seconds for receipt in receipts)
        mill.close()
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{tasks:,} tasks, {runner}, {WORKERS} workers: {wall:.1f} s; CPU {driver:.1f} s in "
            f"the driver, {children.ru_utime + children.ru_stime:.1f} s in workers, of which "
            f"{work:.1f} s in tasks before their receipts; {peak:.2f} GiB in the driver; load "
            f"{os.getloadavg()[0]:.1f}"
        )


def bucket(tasks: int, runner: RunnerName) -> None:
    import s3fs

    own = 0
    before = s3fs.S3FileSystem._call_s3

    async def counted(self, *words, **named):  # type: ignore[no-untyped-def]
        nonlocal own
        own += 1
        return await before(self, *words, **named)

    with (
        s3() as store,
        Proxy(store.port).served() as proxy,
        environment(store.settings(proxy.port)),
    ):
        s3fs.S3FileSystem._call_s3 = counted  # in this process: workers are no forks of it
        begun = time.monotonic()
        step("s3://mill/run", tasks, runner)
        wall = time.monotonic() - begun
        requests = len(proxy.asked)
        print(
            f"{tasks:,} tasks, {runner}, {WORKERS} workers: {wall:.1f} s; {own:,} requests by the "
            f"driver, of {requests:,}; load {os.getloadavg()[0]:.1f}"
        )


def main() -> None:
    place, *words = sys.argv[1:]
    measure, most = {"disk": (disk, 100_000), "bucket": (bucket, 5_000)}[place]
    runner: RunnerName = words[1] if len(words) > 1 else "local"  # type: ignore[assignment]
    measure(int(words[0]) if words else most, runner)


if __name__ == "__main__":
    from tests.benchmarks import bookkeeping  # by which name workers import it

    bookkeeping.main()
