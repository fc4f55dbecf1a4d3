"""What a run takes of its machine: memory and energy."""

import contextlib
import functools
import resource
from collections.abc import Callable

import torch


def memory(device: torch.device) -> int:
    """Most bytes that were taken up at once: of the GPU by tensors, or by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class EnergyMeter:
    """Energy that a GPU has used, by NVML's counter (`pip install nvidia-ml-py`)."""

    def __init__(self, device: torch.device) -> None:
        """Find the GPU; without NVML nothing is known."""
        self._read: Callable[[], int] | None = None
        if device.type == "cuda":
            with contextlib.suppress(Exception):  # no package, no driver, an old GPU
                import pynvml  # type: ignore[import-not-found, unused-ignore]

                pynvml.nvmlInit()
                uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
                handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
                read = functools.partial(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
                read()
                self._read = read
        self.restart()

    def restart(self) -> None:
        """Count from here on."""
        self._since = self._read() if self._read else 0

    def joules(self) -> float | None:
        """Energy since the last restart; None if it is not known."""
        return (self._read() - self._since) / 1000 if self._read else None
