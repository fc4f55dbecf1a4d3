"""Several processes on this machine, started and watched by torchrun's own agent."""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from schemas.problems import Problem

# A process that is told to stop has this long to write its checkpoint. One that waits for a dead
# process, and does not notice, is ended after it.
SHUTDOWN_SECONDS = 120


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run `python -m train ARGUMENTS` in `processes` processes; returns their exit status.

    The same as `torchrun --standalone --nproc-per-node PROCESSES -m train ARGUMENTS`, but its
    end is told in one line. If a process dies, the others are ended. Raises Problem if one was
    killed.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What it would say of a process that fails is said below, or by the process.
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    threads = max(1, (os.cpu_count() or 1) // processes)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(),
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    signal.signal(signal.SIGUSR1, _forward)
    try:
        elastic_launch(config, sys.executable)("-m", "train", *arguments)
    except SignalException as ended:
        return 128 + ended.sigval
    except ChildFailedError as error:
        return _failed({rank: failure.exitcode for rank, failure in error.failures.items()})
    return 0


def _forward(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Hand a signal that asks for a checkpoint on to the processes."""
    for path in Path("/proc/self/task").glob("*/children"):
        for child in path.read_text().split():
            os.kill(int(child), number)


def _failed(codes: Mapping[int, int]) -> int:
    """The exit status for those of the processes that failed by themselves."""
    for rank, code in codes.items():
        if code < 0 and code != -signal.SIGTERM:
            raise Problem(
                f"rank {rank} was killed by {signal.Signals(-code).name} and the others were "
                "ended: the same command goes on from the last checkpoint"
            )
    # Whoever lost contact with a rank that told of a mistake is no cause.
    code = 2 if 2 in codes.values() else next(iter(codes.values()))
    return 128 - code if code < 0 else code
