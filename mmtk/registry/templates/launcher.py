"""A launcher: where the runs of a study go."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from mmtk.api import Field, Job, JobResult, Launcher


class Example(Launcher):
    """Run one job after the other, each in a process of its own.

    limit: seconds after which a job is stopped, with its output kept; 0 lets it run.
    """

    def __init__(self, *, limit: Annotated[float, Field(ge=0)] = 0) -> None:
        self.limit = limit

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        """Start each job in order and yield it as it ends; its output goes to ``output.log`` in its folder."""
        for job in jobs:
            job.dir.mkdir(parents=True, exist_ok=True)
            log = job.dir / "output.log"
            yield JobResult(job.dir, self._code(job, log), log)

    def _code(self, job: Job, log: Path) -> int:
        """The job's exit code; negative where it was stopped."""
        with open(log, "ab") as output:
            process = subprocess.Popen(job.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            try:
                return process.wait(self.limit or None)
            except subprocess.TimeoutExpired:
                return -signal.SIGTERM
            finally:  # also when the study is stopped; a run that is told to end writes its checkpoint first
                process.terminate()
                process.wait()
