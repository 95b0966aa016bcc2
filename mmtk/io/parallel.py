"""Work shared among forks of this process, one a core: they have its data already, and only answers travel."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import current_process, get_context
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

Result = TypeVar("Result")

_PLACE = 4  # bytes of a job's number in the queue


def on_all_cores(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """What every job gives, in their order; each core takes the next job that is left.

    On Linux only: elsewhere a process that has threads cannot be forked safely; and not in a daemon, which may not
    have children. What a fork that dies had taken is done here.
    """
    alone = sys.platform != "linux" or current_process().daemon
    count = 1 if alone else min(len(jobs), len(os.sched_getaffinity(0)))
    if count < 2:
        return [job() for job in jobs]
    found: dict[int, Result] = {}
    with _queue(len(jobs)) as left, _still():
        forks: list[_Fork[Result]] = []
        try:
            with _uninterrupted():
                forks += (_Fork(jobs, left) for _ in range(count))
            for fork in forks:
                found |= fork.answer() or {}
        finally:
            for fork in forks:
                fork.process.kill()
                fork.process.join()
    return [found[place] if place in found else job() for place, job in enumerate(jobs)]


@contextmanager
def _queue(count: int) -> Iterator[int]:
    """A file with the numbers of all jobs; forks share its position, so every read takes the next number."""
    left = os.memfd_create("jobs")
    try:
        os.write(left, b"".join(place.to_bytes(_PLACE, "little") for place in range(count)))
        os.lseek(left, 0, os.SEEK_SET)
        yield left
    finally:
        os.close(left)


@contextmanager
def _still() -> Iterator[None]:
    """Leave what is there already out of garbage collection: looking at an object copies its page in a fork."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C to the end of the block: between the start of a fork and its note nobody would end it."""
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


def _taken(jobs: Sequence[Callable[[], Result]], left: int) -> dict[int, Result]:
    """What the jobs give that this process takes from the queue, by their number."""
    found = {}
    while number := os.read(left, _PLACE):
        place = int.from_bytes(number, "little")
        found[place] = jobs[place]()
    return found


class _Fork(Generic[Result]):
    """A process that takes jobs until none is left."""

    def __init__(self, jobs: Sequence[Callable[[], Result]], left: int) -> None:
        context = get_context("fork")
        self._answer, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(jobs, left, theirs), daemon=True)
        self.process.start()
        theirs.close()  # so that its death is the end of the answer, and no later fork holds it open

    def answer(self) -> dict[int, Result] | None:
        """What its jobs gave; None where it died. Raises what a job raised."""
        try:
            answer: dict[int, Result] | Exception = self._answer.recv()
        except EOFError:
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _work(jobs: Sequence[Callable[[], object]], left: int, answer: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches it too, and it has nothing to say
    try:
        answer.send(_taken(jobs, left))
    except Exception as error:
        answer.send(error)


def die_with_parent() -> None:
    """Ask Linux to send SIGTERM to this child when its parent is gone, however it went (prctl(2))."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
