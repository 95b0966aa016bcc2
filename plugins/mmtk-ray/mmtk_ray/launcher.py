"""A launcher for Ray clusters."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from mmtk.api import Field, Job, JobResult, Launcher, MmtkError

from mmtk_ray.job import LOG, packed, unpack, work

GB = 10**9
END = 120.0  # seconds in which tasks that were cancelled may write their checkpoints


class Ray(Launcher):
    """Run jobs as tasks of a Ray cluster (Moritz et al. 2018), or of this machine where no address is given.

    address: of a running cluster, such as 10.0.0.1:6379, or auto for the one this machine belongs to
    cores: of each job
    gpus: of each job; a fraction lets jobs share a GPU
    memory: of each job in GB; 0 reserves none
    bring: send the folder of a run to its node and bring it back, where nodes do not share a disk
    retries: times that a job is run again whose node or worker died
    warm: a worker imports everything once and forks each of its jobs, which pays where runs are short

    A job that runs again continues from its checkpoint, with ``bring`` from the one it was sent with.
    """

    def __init__(
        self,
        *,
        address: str = "",
        cores: Annotated[float, Field(gt=0)] = 1,
        gpus: Annotated[float, Field(ge=0)] = 0,
        memory: Annotated[float, Field(ge=0)] = 0,
        bring: bool = False,
        retries: Annotated[int, Field(ge=0)] = 3,
        warm: bool = True,
    ) -> None:
        self.address, self.bring, self.retries = address, bring, retries
        self.needs = {"CPU": cores, "GPU": gpus, "memory": memory * GB}
        self.threads, self.warm = max(1, int(cores)), warm
        self._modules: Sequence[str] = ()

    def prepare(self, modules: Sequence[str]) -> None:
        """Keep the names of what jobs import, for the workers."""
        self._modules = modules if self.warm else ()

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        """Submit every job and yield each as it ends."""
        ray = _ray()
        started = not ray.is_initialized()
        self._connect(ray)
        try:
            self._check_fit(ray)
            yield from self._all(ray, jobs)
        finally:
            if started:
                ray.shutdown()

    def _connect(self, ray: Any) -> None:
        if ray.is_initialized():
            return
        try:
            _knock(self.address)
            # "local": without it Ray would join a cluster that another program left on this machine.
            more = {} if self.address else {"include_dashboard": False}
            ray.init(self.address or "local", logging_level="ERROR", log_to_driver=False, **more)
        except (OSError, RuntimeError, ValueError) as error:
            raise MmtkError(
                f"launcher.address: no Ray cluster answers at {self.address}: {str(error).splitlines()[0]}",
                hint="Start one (ray start --head) and give its address, or leave the address out. If it asks "
                "for a token, copy ~/.ray/auth_token from its first machine.",
            ) from error

    def _check_fit(self, ray: Any) -> None:
        """Refuse what no node has: Ray itself would wait for such a node."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        for name, wanted in self.needs.items():
            most = max((node.get(name, 0) for node in nodes), default=0)
            if wanted > most:
                key, unit = {"CPU": ("cores", 1), "GPU": ("gpus", 1), "memory": ("memory", GB)}[name]
                raise MmtkError(
                    f"launcher.{key}: {wanted / unit:g} for each job, but no node of the cluster has more than "
                    f"{most / unit:g}.",
                    hint=f"Ask for less, or add a node that has it ({len(nodes)} there now).",
                )

    def _all(self, ray: Any, jobs: Sequence[Job]) -> Iterator[JobResult]:
        task = ray.remote(work).options(
            num_cpus=self.needs["CPU"],
            num_gpus=self.needs["GPU"],
            memory=self.needs["memory"] or None,
            max_retries=self.retries,
        )
        running = {self._submitted(task, job): job for job in jobs}
        try:
            while running:
                (ended,), _ = ray.wait(list(running), num_returns=1)
                yield self._done(ray, running.pop(ended), ended)
        finally:  # the study was stopped
            for reference in running:
                ray.cancel(reference)
            ray.wait(list(running), num_returns=len(running), timeout=END) if running else None

    def _submitted(self, task: Any, job: Job) -> Any:
        # The folder as the command names it, so that the node can put its own in its place.
        named = next((word for word in job.argv if Path(word).absolute() == job.dir.absolute()), str(job.dir))
        job.dir.mkdir(parents=True, exist_ok=True)
        files = packed(job.dir) if self.bring else None
        return task.remote(job.argv, named, os.getcwd(), self.threads, files, self._modules)

    def _done(self, ray: Any, job: Job, ended: Any) -> JobResult:
        try:
            code, files = ray.get(ended)
            if files:
                unpack(files, job.dir)
        except ray.exceptions.RayError as error:  # its node or worker died once too often, or ran out of memory
            code = 1
            with open(job.dir / LOG, "a", encoding="utf-8") as log:
                print(f"mmtk: {type(error).__name__}: {str(error).splitlines()[0]}", file=log)
        return JobResult(job.dir, code, job.dir / LOG)


def _knock(address: str) -> None:
    """OSError where nobody listens at host:port; Ray itself would end this process after a while."""
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _ray() -> Any:
    """Ray, told to show its token where it has one: a cluster started here asks for it, others do not mind."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    return ray
