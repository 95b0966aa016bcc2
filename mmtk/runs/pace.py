"""The pace of training steps, and why it falls."""

from __future__ import annotations

import os
from collections import deque
from statistics import median

FEW = 5  # steps that are compared; the very first pays for memory and kernels
SLOW = 3.0  # times as long
SPINS = "30000"  # rounds of a waiting thread before it sleeps; OpenMP takes 300,000


class Pace:
    """Monitor of training pace: reports once if steps take several times longer than before."""

    def __init__(self) -> None:
        self._count, self._reported = 0, False
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=FEW)

    def verdict(self, seconds: float, threads: int) -> str:
        """Sentence if the steps have become slow, or began on busy cores; else "".

        ``seconds`` the last step took, with ``threads`` threads.
        """
        self._count += 1
        if self._reported or self._count == 1:
            return ""
        self._last.append(seconds)
        if len(self._first) < FEW:
            self._first.append(seconds)
        if self._count < FEW + 1:
            return ""
        before, now = median(self._first), median(self._last)
        most, load = cores(), os.getloadavg()[0]
        if now >= SLOW * before:
            what = (
                f"Steps take {now / before:.0f} times as long as the first ones ({now:.2g} s, not {before:.2g} s)"
            )
        elif self._count == FEW + 1 and load - threads >= most:
            what = "Steps take several times as long as on free cores"
        else:
            return ""
        self._reported = True
        return f"{what}: the load is {load:.0f} on {most} cores. {_cure(threads, load > most)}"


def share_cores() -> None:
    """Let waiting threads sleep soon, unless the user has chosen how they wait.

    OpenMP reads both variables when torch loads it. By default a thread that waits for another spins for
    long, which takes the core from the one that it waits for where other programs use the cores (decision
    096). The results are the same.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cure(threads: int, shared: bool) -> str:
    if not shared:
        return "The cores are free, so look for a slow disk or a processor that saves power."
    alone = "; OMP_NUM_THREADS=1 or OMP_WAIT_POLICY=passive helps as well" if threads > 1 else ""
    return f"Run fewer programs at a time{alone}."
