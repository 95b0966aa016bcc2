"""Memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_memory(device: str) -> float | None:
    """Peak memory of this process in GB (10⁹ bytes): of the GPU for the device ``cuda``, else resident in RAM.

    None where the system does not say it.
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9
    # Not ru_maxrss where there is a choice: that starts at what the process had that started this one.
    peak = memory("VmHWM")
    return peak / 1e3 if peak is not None else _maximum_of_resource()


def memory(kind: str) -> float | None:
    """Memory of this process in MB (10⁶ bytes); None if not on Linux.

    kind: ``RssAnon`` (private now), ``RssFile`` (mapped files now), ``VmHWM`` (the most that was resident)
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{kind}:")), None)


def _maximum_of_resource() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
