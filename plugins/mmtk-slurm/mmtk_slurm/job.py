"""What a node does with one job: its command as a process, told to write its checkpoint before the time is up."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from submitit.helpers import DelayedSubmission

LOG = "output.log"


class Work:
    """Runs a job's command; where Slurm ends it, the command is told in time to write its checkpoint.

    At the warning that its time is nearly up (USR2) submitit queues the job again; so it does here where another
    job needs its place. A job that was cancelled writes no result: what became of it is for Slurm to say.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._told = self._ended = False

    def __call__(self, argv: Sequence[str], folder: str, place: str, threads: int) -> int:
        """The exit code of ``argv``, run in ``place``; what it prints goes to its folder's log."""
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "NO_COLOR": "1",
        }
        os.makedirs(folder, exist_ok=True)
        signal.signal(signal.SIGTERM, self._end)
        with open(os.path.join(folder, LOG), "ab") as output:
            # A session of its own: Slurm signals the whole group, and USR2 would kill the command in mid-step.
            self._process = subprocess.Popen(
                argv,
                cwd=place,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            code = self._process.wait()
        if self._ended:
            sys.exit(code)
        return code

    def checkpoint(self, argv: Sequence[str], folder: str, place: str, threads: int) -> DelayedSubmission:
        """Called by submitit at the warning: the run ends after its step, and its job goes on from there later."""
        self._stop()
        return DelayedSubmission(Work(), argv, folder, place, threads)

    def _end(self, *_: object) -> None:
        """Slurm takes the place back: for another job (then this one is queued again), or because of a cancel."""
        if _preempted():
            signal.raise_signal(signal.SIGUSR2)
        self._ended = True
        self._stop()

    def _stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        # Not Popen.wait: this runs in a signal's handler, amid that very call, which holds a lock.
        with suppress(ProcessLookupError, ChildProcessError):
            if not self._told:  # once: Slurm and srun both say it, and a second time would end it in mid-step
                self._told = True
                os.kill(self._process.pid, signal.SIGTERM)
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)


def _preempted() -> bool:
    """Whether Slurm's controller says that this job has to make room for another."""
    job = os.environ.get("SLURM_JOB_ID")
    said = subprocess.run(["scontrol", "-o", "show", "job", job], capture_output=True, text=True) if job else None
    found = re.search(r"PreemptTime=(\S+)", said.stdout) if said else None
    return found is not None and found.group(1) != "None"
