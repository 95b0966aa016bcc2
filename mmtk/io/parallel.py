"""Maps over forked processes, one per core."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import active_children, current_process, get_context
from pathlib import Path
from typing import TypeVar, cast

Result = TypeVar("Result")

_jobs: Sequence[Callable[[], object]] = ()  # of a forked worker, inherited from its parent


def on_all_cores(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Call every job in forked workers, one per core: inputs are inherited, results are pickled back, in order.

    On Linux only: elsewhere a process that has threads cannot be forked safely; and not in a daemon, which may not
    have children. Jobs that a dead worker leaves are called here.
    """
    alone = sys.platform != "linux" or current_process().daemon
    count = 1 if alone else min(len(jobs), len(os.sched_getaffinity(0)))
    return [job() for job in jobs] if count < 2 else _in_workers(jobs, count)


def _in_workers(jobs: Sequence[Callable[[], Result]], count: int) -> list[Result]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    children = {child.pid for child in active_children()}
    pool = ProcessPoolExecutor(count, get_context("fork"), _start_worker, (jobs,))
    results: list[Result] = []
    try:
        with _uninterrupted():  # between a fork and its registration nobody would end it
            futures = [pool.submit(_call, index) for index in range(len(jobs))]
        for job, future in zip(jobs, futures, strict=True):
            try:
                results.append(cast(Result, future.result()))
            except BrokenProcessPool:
                results.append(job())
    except BaseException:
        for child in active_children():
            if child.pid not in children:
                child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def _start_worker(jobs: Sequence[Callable[[], object]]) -> None:
    global _jobs
    _jobs = jobs
    gc.freeze()  # to look at an inherited object copies its page
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # those of its parent are not here, and OpenMP would wait for them
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches a worker too, and it has nothing to say


def _call(index: int) -> object:
    return _jobs[index]()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C to the end of the block."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    interrupts: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if interrupts:
        signal.raise_signal(signal.SIGINT)


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Ask Linux to send a signal to this child when its parent is gone, however it went (prctl(2))."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)


def join_parent(number: int = signal.SIGTERM) -> None:
    """Tie a child with a session of its own to its parent: it ends with it, and yields the cores as it does.

    ``number``: the signal that the child gets when its parent dies.
    """
    die_with_parent(number)
    keep_nice()


def keep_nice() -> None:
    """Give the session of this process the nice value that the process has (sched(7), "autogroup").

    Linux shares the cores among sessions first: in a new one, the nice value of a process alone changes nothing.
    """
    if (nice := os.nice(0)) <= 0:
        return
    for _ in range(5):  # Linux takes one such change in a tenth of a second
        try:
            Path("/proc/self/autogroup").write_text(str(nice))
        except BlockingIOError:
            time.sleep(0.1)
        except OSError:  # no such groups here
            return
        else:
            return
