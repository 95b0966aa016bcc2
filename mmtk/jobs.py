"""Jobs and their launchers: the contract that needs no torch, so that a study is planned without it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtk.errors import MmtkError


@dataclass(frozen=True)
class Job:
    """A directory and an argument vector: all that a launcher runs.

    ``seconds`` is the forecast of its time; 0 where there is none.
    """

    dir: Path
    argv: tuple[str, ...]
    gpus: float = 0
    cpus: int = 1
    seconds: float = 0


@dataclass(frozen=True)
class JobResult:
    """A finished job: its exit code and where its output went."""

    dir: Path
    code: int
    log: Path


class Launcher(ABC):
    """(*, …): runs jobs somewhere.

    ``warm`` says whether jobs begin in processes that have imported everything, which a study's forecast asks.
    """

    warm: bool = False

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        """Run all jobs, yielding each as it ends; one that fails stops nobody."""

    def prepare(self, modules: Sequence[str]) -> None:
        """Begin what takes time before the first job can start, and return at once: jobs import ``modules``."""
        return

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        """Hand all jobs over and return at once, with the names under which they are queued (``--detach``).

        Launchers whose jobs end with this process cannot, and say so.
        """
        raise MmtkError(
            "--detach: the jobs of this launcher end with the process that starts them.",
            hint="Use a launcher with a queue of its own, such as slurm, or start the study with nohup.",
        )

    def queue(self, names: Sequence[str]) -> dict[str, str] | None:
        """State of each job that ``submit`` named and that waits or runs; None if the queue cannot be asked."""
        return None
