"""Pictures drawn on all cores: matplotlib takes one, and a report has many pictures."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing import current_process, get_context
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

Drawn = TypeVar("Drawn")


def draw_all(jobs: Sequence[Callable[[], Drawn]]) -> list[Drawn]:
    """What every job gives, in their order; shared among forks of this process, which have its data already.

    On Linux only: elsewhere a process that has threads cannot be forked safely; and not in a daemon, which may not
    have children. A fork that dies has its share drawn here.
    """
    alone = sys.platform != "linux" or current_process().daemon
    count = 1 if alone else min(len(jobs), len(os.sched_getaffinity(0)))
    found: dict[int, Drawn] = {}
    forks = {place: _Fork(jobs[place::count]) for place in range(1, count)}
    try:
        for place in range(count):
            share = forks[place].drawn() if place in forks else None
            if share is None:
                share = [job() for job in jobs[place::count]]
            found |= dict(zip(range(place, len(jobs), count), share, strict=True))
    finally:
        for fork in forks.values():
            fork.process.kill()
            fork.process.join()
    return [found[place] for place in range(len(jobs))]


class _Fork(Generic[Drawn]):
    """A share of the jobs in a process of its own."""

    def __init__(self, jobs: Sequence[Callable[[], Drawn]]) -> None:
        context = get_context("fork")
        self._answer, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(jobs, theirs), daemon=True)
        self.process.start()
        theirs.close()  # so that its death is the end of the answer, and no later fork holds it open

    def drawn(self) -> list[Drawn] | None:
        """What it drew; None where it died. Raises what a job raised."""
        try:
            answer: list[Drawn] | Exception = self._answer.recv()
        except EOFError:
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _work(jobs: Sequence[Callable[[], object]], answer: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches it too, and it has nothing to say
    try:
        answer.send([job() for job in jobs])
    except Exception as error:
        answer.send(error)
