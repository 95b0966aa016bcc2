"""Jobs as processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Annotated

from mmtk.api import Field, Job, JobResult, Launcher
from mmtk.io.parallel import die_with_parent

GRACE = 120.0  # seconds in which a child that was told to stop may finish its step and write its checkpoint
MOST = 8  # workers unless told otherwise: each holds a few GB


@dataclass
class _Child:
    job: Job
    process: subprocess.Popen[bytes]
    slot: int
    output: IO[bytes]


class Process(Launcher):
    """Run several jobs at a time as processes; cores are divided among them, GPUs pinned.

    jobs: processes at a time; 0 means one per GPU place, or without a GPU one per core, at most 8
    per_gpu: processes that share a GPU

    What a job prints goes to ``output.log`` in its folder. Ctrl-C or SIGTERM stops every child after the step
    it is in, with its checkpoint written; so does the death of this process.
    """

    def __init__(self, *, jobs: Annotated[int, Field(ge=0)] = 0, per_gpu: Annotated[int, Field(ge=1)] = 1) -> None:
        self.gpus = _gpus()
        self.per_gpu = per_gpu
        cores = len(os.sched_getaffinity(0))
        self.workers = jobs or (len(self.gpus) * per_gpu if self.gpus else min(cores, MOST))
        self.threads = max(1, cores // self.workers)

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        """Start jobs as places come free, in order, and yield each as it ends."""
        waiting, running = list(jobs), list[_Child]()
        free = list(range(self.workers))
        try:
            while waiting or running:
                while waiting and free:
                    running.append(self._start(waiting.pop(0), free.pop(0)))
                for child in [
                    running_child for running_child in running if running_child.process.poll() is not None
                ]:
                    running.remove(child)
                    free.append(child.slot)
                    child.output.close()
                    yield JobResult(child.job.dir, child.process.returncode, child.job.dir / "output.log")
                time.sleep(0.05)
        finally:  # also when the caller stops asking, or an exception comes through
            _end(running)

    def _start(self, job: Job, slot: int) -> _Child:
        job.dir.mkdir(parents=True, exist_ok=True)
        threads = str(self.threads)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "NO_COLOR": "1"}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot // self.per_gpu % len(self.gpus)]
        output = open(job.dir / "output.log", "ab")  # noqa: SIM115 - closed when the job ends
        # A session of its own: Ctrl-C reaches the children through _end alone, once.
        process = subprocess.Popen(
            job.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
        return _Child(job, process, slot, output)


def _gpus() -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return [gpu for gpu in visible.split(",") if gpu] if visible and count else [str(i) for i in range(count)]


def _end(children: Sequence[_Child]) -> None:
    """Tell children to stop, wait for their checkpoints, then insist."""
    for child in children:
        if child.process.poll() is None:
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
