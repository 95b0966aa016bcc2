"""Timings in fresh processes, and the machine that they hold for."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from mmtk.errors import RunFailed

Row = dict[str, Any]  # "name", then columns: a number, a text, or a spread of seconds
LIBRARIES = ("torch", "numpy", "scipy", "pillow", "monai", "torchmetrics")


@dataclass(frozen=True)
class Options:
    """Settings of a measurement: ``size`` in pixels, ``rounds`` fresh processes per variant, ``device``."""

    device: str = "cpu"
    precisions: tuple[str, ...] = ("fp32",)
    size: int = 256
    rounds: int = 3


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(samples: Sequence[float]) -> dict[str, Any]:
    """Median, smallest, largest and number of some seconds."""
    return {"median": statistics.median(samples), "low": min(samples), "high": max(samples), "n": len(samples)}


def command(target: str, **keys: Any) -> list[str]:
    """The argv of a process that calls ``target`` ("module:function") with ``keys`` and prints its JSON."""
    return [sys.executable, "-m", "mmtk.bench.worker", target, json.dumps(keys)]


def fresh(target: str, environment: Mapping[str, str] | None = None, **keys: Any) -> Any:
    """Call ``target`` ("module:function") with ``keys`` in a fresh process, and return its result.

    So neither the allocator's state nor peak memory are those of what was measured before.
    """
    process = subprocess.run(
        command(target, **keys), env=os.environ | (environment or {}), capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise RunFailed(f"{target} could not be measured:\n{process.stderr.strip()[-2000:]}")
    return json.loads(process.stdout.splitlines()[-1])


def timed(call: Callable[[], object], repeat: int, device: str = "cpu") -> list[float]:
    """Seconds of each of ``repeat`` calls, the device's work included."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        wait(device)
        seconds.append(time.perf_counter() - start)
    return seconds


def wait(device: str) -> None:
    """Wait until the device has finished its queue."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def machine(device: str) -> dict[str, Any]:
    """Processor, memory, versions and load, to judge whether numbers are comparable."""
    from mmtk import __version__
    from mmtk.model.device_choice import has_bf16
    from mmtk.runs.hardware import hardware

    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": hardware("cpu"),
        "cores used": cores(),
        "memory in GB": round(pages / 1e9, 1),
        "device": hardware(device) if device == "cuda" else "CPU",
        "bf16 in hardware": has_bf16(device),
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "python": platform.python_version(),
        "mmtk": __version__,
        **{name: version for name in LIBRARIES if (version := _version(name))},
        "load at the start": round(os.getloadavg()[0], 2),
    }
