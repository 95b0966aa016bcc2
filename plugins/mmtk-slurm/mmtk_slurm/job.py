"""Run the commands of one job on a node as processes, which get a signal in time to write their checkpoints."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from mmtk.io import fork_server
from mmtk.io.fork_server import Fork, ForkServer
from submitit.helpers import DelayedSubmission

LOG = "output.log"
SIGNALS = {signal.SIGTERM, signal.SIGUSR2}

Command = tuple[Sequence[str], str]  # argument vector, and the folder of the run


class Work:
    """Runs the commands of a job one after another; one that Slurm ends is told in time to write its checkpoint.

    At the warning that its time is nearly up (USR2) submitit queues the job again; so it does here where another
    job needs its place. A job that was cancelled writes no result: what became of it is for Slurm to say.

    codes: exit codes of the commands that have ended in earlier turns
    """

    def __init__(self, codes: Sequence[int] = ()) -> None:
        self._codes = [*codes]
        self._process: subprocess.Popen[bytes] | Fork | None = None
        self._told = self._ended = False

    def __call__(
        self, commands: Sequence[Command], place: str, threads: int, modules: Sequence[str] = ()
    ) -> list[int]:
        """Run what has not ended; the exit codes of all commands.

        commands: what they print goes to the logs of their folders
        place: the folder that they work in
        threads: of each
        modules: what they import: they begin as forks of a process that has; none: each imports for itself
        """
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "NO_COLOR": "1",
        }
        signal.signal(signal.SIGTERM, self._end)
        server = ForkServer(modules, environment) if modules and fork_server.available() else None
        try:
            for argv, folder in commands[len(self._codes) :]:
                os.makedirs(folder, exist_ok=True)
                with open(os.path.join(folder, LOG), "ab") as output:
                    code = self._run(argv, place, environment, output.fileno(), server)
                if self._ended:
                    sys.exit(code)
                self._codes.append(code)
        finally:
            if server is not None:
                server.stop()
        return self._codes

    def checkpoint(
        self, commands: Sequence[Command], place: str, threads: int, modules: Sequence[str] = ()
    ) -> DelayedSubmission:
        """Called by submitit at the warning: the run ends after its step, and its job goes on from there later."""
        self._stop()
        return DelayedSubmission(Work(self._codes), commands, place, threads, modules)

    def _run(
        self,
        argv: Sequence[str],
        place: str,
        environment: Mapping[str, str],
        output: int,
        server: ForkServer | None,
    ) -> int:
        """Exit code of a command, a fork where there is a server that lives.

        argv: the command
        place: the folder that it works in
        environment: of a process
        output: descriptor that it writes to
        server: of the job
        """
        self._process = server.start(argv, {}, output, place) if server is not None else None
        if self._process is not None and (code := self._waited(self._process)) != fork_server.LOST:
            return code
        if self._told:
            return -signal.SIGTERM
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
        return self._waited(self._process)

    def _waited(self, process: subprocess.Popen[bytes] | Fork) -> int:
        """Exit code of a process; a signal is heard between two looks, since its handler looks, too."""
        while True:
            with _deaf():
                code = process.poll()
            if code is not None:
                return code
            time.sleep(0.02)

    def _end(self, *_: object) -> None:
        """Slurm takes the place back: for another job (then this one is queued again), or because of a cancel."""
        if _preempted():
            signal.raise_signal(signal.SIGUSR2)
        self._ended = True
        self._stop()

    def _stop(self) -> None:
        """Tell the command to end, once: Slurm and srun both do, and a second time would end it in mid-step."""
        if self._process is None:
            return
        with _deaf():
            if not self._told:
                self._told = True
                self._process.terminate()
            while self._process.poll() is None:
                time.sleep(0.02)


@contextmanager
def _deaf() -> Iterator[None]:
    """Let Slurm's signals wait until the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _preempted() -> bool:
    """Whether Slurm's controller says that this job has to make room for another."""
    job = os.environ.get("SLURM_JOB_ID")
    said = subprocess.run(["scontrol", "-o", "show", "job", job], capture_output=True, text=True) if job else None
    found = re.search(r"PreemptTime=(\S+)", said.stdout) if said else None
    return found is not None and found.group(1) != "None"
