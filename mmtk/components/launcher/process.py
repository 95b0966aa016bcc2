"""Jobs as processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Annotated

from pydantic import Field

from mmtk.io import fork_server, gpus
from mmtk.io.fork_server import Fork, ForkServer
from mmtk.io.parallel import join_parent
from mmtk.jobs import Job, JobResult, Launcher

GRACE = 120.0  # seconds in which a child that was told to stop may finish its step and write its checkpoint
MOST = 8  # workers unless told otherwise: each holds a few GB


@dataclass
class _Child:
    job: Job
    slot: int
    output: IO[bytes]
    process: subprocess.Popen[bytes] | Fork


class Process(Launcher):
    """Run several jobs at a time as processes; cores are divided among them, GPUs pinned.

    jobs: processes at a time; 0 means one per GPU place, or without a GPU one per core, at most 8
    per_gpu: processes that share a GPU

    A job has at most the threads of ``OMP_NUM_THREADS``, where it is set. What it prints goes to ``output.log`` in
    its folder. Ctrl-C or SIGTERM stops every child after the step it is in, with its checkpoint written; so does
    the death of this process. On Linux the children are forks of a process that has imported everything once.
    """

    def __init__(self, *, jobs: Annotated[int, Field(ge=0)] = 0, per_gpu: Annotated[int, Field(ge=1)] = 1) -> None:
        self.gpus = _gpus()
        self.per_gpu = per_gpu
        cores = len(os.sched_getaffinity(0))
        self.workers = jobs or (len(self.gpus) * per_gpu if self.gpus else min(cores, MOST))
        self.threads = min(max(1, cores // self.workers), _most_threads(cores))
        threads = str(self.threads)
        # As it is now: what a library sets later, when this process needs it, is not for the jobs.
        self._environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "NO_COLOR": "1"}
        self._server: ForkServer | None = None
        self.warm = fork_server.available()

    def prepare(self, modules: Sequence[str]) -> None:
        """Start the process from which jobs are forked."""
        if self.warm:
            self._server = ForkServer(modules, self._environment)

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        """Start jobs as places come free, in order, and yield each as it ends."""
        waiting, running = list(jobs), list[_Child]()
        free = list(range(self.workers))
        try:
            while waiting or running:
                results = []
                for child in running[:]:
                    if (code := child.process.poll()) == fork_server.LOST:
                        child.process = self._cold(child.job, child.slot, child.output)
                    elif code is not None:
                        running.remove(child)
                        free.append(child.slot)
                        child.output.close()
                        results.append(JobResult(child.job.dir, code, child.job.dir / "output.log"))
                while waiting and free:
                    running.append(self._start(waiting.pop(0), free.pop(0)))
                yield from results  # while the next jobs run
                time.sleep(0.05)
        finally:  # also when the caller stops asking, or an exception comes through
            self._end(running)

    def _start(self, job: Job, slot: int) -> _Child:
        job.dir.mkdir(parents=True, exist_ok=True)
        output = open(job.dir / "output.log", "ab")  # noqa: SIM115 - closed when the job ends
        fork = self._server and self._server.start(job.argv, self._gpu(slot), output.fileno())
        return _Child(job, slot, output, fork or self._cold(job, slot, output))

    def _cold(self, job: Job, slot: int, output: IO[bytes]) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches the children through _end alone, once.
        return subprocess.Popen(
            job.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=self._environment | self._gpu(slot),
            start_new_session=True,
            preexec_fn=join_parent if sys.platform == "linux" else None,
        )

    def _gpu(self, slot: int) -> dict[str, str]:
        """The variable that pins a job to its GPU."""
        if not self.gpus:
            return {}
        return {"CUDA_VISIBLE_DEVICES": self.gpus[slot // self.per_gpu % len(self.gpus)]}

    def _end(self, children: Sequence[_Child]) -> None:
        """Tell children to stop, wait for their checkpoints, then insist."""
        if self._server is not None:
            self._server.stop()  # its forks hear of it once: a second signal would end them at once
            self._server = None
        for child in children:
            if isinstance(child.process, subprocess.Popen) and child.process.poll() is None:
                child.process.terminate()  # unlike Ctrl-C's signal it is not ignored in the background
        deadline = time.monotonic() + GRACE
        try:
            for child in children:
                child.process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            for child in children:
                child.process.kill()
        finally:
            for child in children:
                child.process.wait()
                child.output.close()


def _most_threads(cores: int) -> int:
    """Threads that the user allows a job by ``OMP_NUM_THREADS``; a word that is no number allows all ``cores``."""
    most = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # a list is of nested levels
    return int(most) if most.isdecimal() and int(most) else cores


def _gpus() -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
    if not gpus.possible():
        return []
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return [gpu for gpu in visible.split(",") if gpu] if visible and count else [str(i) for i in range(count)]
