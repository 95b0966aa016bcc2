"""What a node does with one job: its command as a process, told to write its checkpoint before the time is up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from submitit.helpers import DelayedSubmission

LOG = "output.log"


class Work:
    """Runs a job's command; Slurm's warning that its time ends (or that it has to make room) queues it again."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, argv: Sequence[str], folder: str, place: str, threads: int) -> int:
        """The exit code of ``argv``, run in ``place``; what it prints goes to its folder's log."""
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "NO_COLOR": "1",
        }
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, LOG), "ab") as output:
            self._process = subprocess.Popen(
                argv, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            return self._process.wait()

    def checkpoint(self, argv: Sequence[str], folder: str, place: str, threads: int) -> DelayedSubmission:
        """Called by submitit at the warning: the run ends after its step, and its job goes on from there later."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        return DelayedSubmission(Work(), argv, folder, place, threads)
