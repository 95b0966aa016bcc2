"""A launcher for Slurm."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from mmtk.api import Field, Job, JobResult, Launcher, MmtkError

from mmtk_slurm.job import LOG, Work

LOOK = 1.0  # seconds between two looks at the results, which are files
SHORT = 120.0  # seconds that the runs of a job take together, unless one takes longer
SEAL = "done.json"  # of a run that has finished
ASK = 30.0  # seconds between two questions to Slurm, for jobs that ended without a result
OVER = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
)
NEVER = (
    "BadConstraints",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "InvalidAccount",
    "InvalidQOS",
)  # it would wait for ever


class Slurm(Launcher):
    """Run jobs as a job array of Slurm (Yoo, Jette and Grondona 2003), by submitit.

    partition: where jobs go; empty for Slurm's default
    time: minutes of a job; one that needs longer goes on from its checkpoint in a new turn, up to ``turns``
    turns: times that a job is queued again because its time was up
    cores: of each job
    gpus: of each job
    memory: of each job in GB; 0 for Slurm's default
    jobs: at a time; 0 means as many as Slurm lets
    runs: that a job takes one after another, as forks of a process that has imported everything once; 0: as many
        as the forecast gives two minutes, so that short runs share a job and long ones have their own
    options: further sbatch options, such as account=lab,qos=long
    local: run them as processes of this machine instead, to try it without Slurm
    """

    def __init__(
        self,
        *,
        partition: str = "",
        time: Annotated[int, Field(ge=1)] = 240,
        turns: Annotated[int, Field(ge=0)] = 10,
        cores: Annotated[int, Field(ge=1)] = 1,
        gpus: Annotated[int, Field(ge=0)] = 0,
        memory: Annotated[float, Field(ge=0)] = 0,
        jobs: Annotated[int, Field(ge=0)] = 0,
        runs: Annotated[int, Field(ge=0)] = 0,
        options: str = "",
        local: bool = False,
    ) -> None:
        self.partition, self.time, self.turns, self.cores, self.gpus = partition, time, turns, cores, gpus
        self.memory, self.jobs, self.options, self.local = memory, jobs, _options(options), local
        self.threads, self.runs = cores, runs
        self._modules: Sequence[str] = ()

    def prepare(self, modules: Sequence[str]) -> None:
        """Keep the names of what runs import, for jobs that take several."""
        self._modules = modules

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        """Submit all jobs as one array and yield each as it ends; a study that is stopped cancels the rest."""
        shares = self._shares(jobs)
        running = dict(zip(self._submitted(shares), shares, strict=True))
        asked = time.monotonic()
        try:
            while running:
                ask = time.monotonic() - asked > ASK
                asked = time.monotonic() if ask else asked
                for task, share in list(running.items()):
                    if (codes := self._codes(task, share, ask)) is not None:
                        del running[task]
                        for job, code in zip(share, codes, strict=True):
                            yield JobResult(job.dir, code, job.dir / LOG)
                time.sleep(LOOK)
        finally:
            for task in running:
                task.cancel(check=False)

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        """Submit all jobs as one array and leave them; returns Slurm's numbers of them."""
        shares = self._shares(jobs)
        return [task.job_id for task, share in zip(self._submitted(shares), shares, strict=True) for _ in share]

    def _shares(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """The runs of every job of the array, in order."""
        shares: list[list[Job]] = []
        for job in jobs:
            last = shares[-1] if shares else []
            seconds = [one.seconds for one in (*last, job)]
            is_short = all(seconds) and sum(seconds) <= SHORT
            if last and (len(last) < self.runs if self.runs else is_short):
                last.append(job)
            else:
                shares.append([job])
        return shares

    def queue(self, names: Sequence[str]) -> dict[str, str] | None:
        """Of these jobs those that wait or run, with Slurm's state and reason of each."""
        if self.local:
            return None
        if not names:
            return {}
        command = ["squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%T %r"]
        try:
            said = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise MmtkError("launcher/slurm: there is no squeue here.") from error
        if said.returncode:
            raise MmtkError(f"launcher/slurm: squeue: {' '.join(said.stderr.split())}")
        states = dict(line.split("|", 1) for line in said.stdout.splitlines())
        return {name: states[name].removesuffix(" None") for name in names if name in states}

    def _submitted(self, shares: Sequence[Sequence[Job]]) -> list[Any]:
        """Submitit's jobs, one for every share of the runs."""
        import submitit

        jobs = [job for share in shares for job in share]
        if not jobs:
            return []
        if not self.local and shutil.which("sbatch") is None:
            raise MmtkError(
                "launcher/slurm: there is no sbatch here, so this machine cannot submit jobs to Slurm.",
                hint="Start the study on a login node, or try it without Slurm: --launch local=true",
            )
        folder = Path(os.path.commonpath([job.dir.absolute().parent for job in jobs])) / ".slurm"
        executor = submitit.AutoExecutor(
            folder, cluster="local" if self.local else "slurm", slurm_max_num_timeout=self.turns
        )
        executor.update_parameters(**self._parameters(len(shares)))
        commands = [[(job.argv, str(job.dir.absolute())) for job in share] for share in shares]
        work = [(share, os.getcwd(), self.cores, self._modules if len(share) > 1 else ()) for share in commands]
        for job in jobs:
            job.dir.mkdir(parents=True, exist_ok=True)
        messages = io.StringIO()  # submitit prints what its error says
        try:
            with contextlib.redirect_stderr(messages):
                tasks = executor.map_array(Work(), *zip(*work, strict=True))
        except submitit.core.utils.FailedJobError as error:
            said = re.sub(r"\s+", " ", str(error)).strip()
            raise MmtkError(
                f"launcher/slurm: Slurm refused the jobs: {said}",
                hint="sinfo shows partitions and what their nodes have.",
            ) from error
        print(messages.getvalue(), end="", file=sys.stderr)
        return tasks

    def _parameters(self, count: int) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": "mmtk",
            "timeout_min": self.time,
            "cpus_per_task": self.cores,
            "gpus_per_node": self.gpus or None,
            "mem_gb": self.memory or None,
            "slurm_partition": self.partition or None,
            "slurm_array_parallelism": self.jobs or count,
            "slurm_additional_parameters": self.options or None,
        }
        return {key: value for key, value in found.items() if value is not None}

    def _codes(self, task: Any, share: Sequence[Job], ask: bool) -> list[int] | None:
        """Exit codes of a job's runs; None while it is queued or runs."""
        if task.paths.result_pickle.is_file():
            try:
                return [*map(int, task.result())]
            except Exception as error:  # whatever the node's Python raised
                return _note(share, task, str(error).strip().splitlines()[-1])
        if self.local:
            return _note(share, task, "its process is gone") if task.done() else None
        # sacct needs an accounting database, which a small cluster lacks; the controller itself always answers.
        state, reason = _state(task.job_id) if ask else ("", "")
        if reason in NEVER:
            task.cancel(check=False)
        if (state in OVER or reason in NEVER) and not task.paths.result_pickle.is_file():
            return _note(share, task, f"Slurm says {state} {reason}".removesuffix(" None"))
        return None


def _note(share: Sequence[Job], task: Any, reason: str) -> list[int]:
    """Add why a job ended without a result to the logs of its runs; the exit codes that stand for it.

    Runs that had finished before have their seals, and count as finished.
    """
    codes = []
    for job in share:
        codes.append(0 if (job.dir / SEAL).is_file() else 1)
        if codes[-1]:
            with open(job.dir / LOG, "a", encoding="utf-8") as log:
                print(f"mmtk: job {task.job_id} ended without a result: {reason}", file=log)
    return codes


def _options(text: str) -> dict[str, str]:
    """``account=lab,qos=long`` as a table."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise MmtkError(
            f"launcher.options: '{wrong[0]}' has no value.", hint="Write them as name=value,name=value."
        )
    return {name.strip(): value.strip() for name, _, value in pairs}


def _state(job: str) -> tuple[str, str]:
    """What Slurm's controller says of a job, and why; one that it has forgotten is over."""
    said = subprocess.run(["scontrol", "-o", "show", "job", job], capture_output=True, text=True)
    if "Invalid job id" in said.stderr:
        return "COMPLETED", ""
    found = re.search(r"JobState=(\w+) Reason=(\w+)", said.stdout)
    return (found.group(1), found.group(2)) if found else ("", "")
