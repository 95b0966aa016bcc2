"""What a node does with one job: its command as a process, and the run's folder as bytes where it travels."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from mmtk.io import fork_server
from mmtk.io.fork_server import Fork, ForkServer
from mmtk.io.parallel import die_with_parent

LOG = "output.log"
LOCK = "run.lock"

_servers: dict[tuple[str, ...], ForkServer] = {}  # of this worker, by modules and threads


def packed(folder: Path) -> bytes:
    """All files of a run's folder but its lock."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.name != LOCK:
                archive.add(path, str(path.relative_to(folder)))
    return stream.getvalue()


def unpack(files: bytes, folder: Path) -> None:
    """Write what :func:`packed` gave; tarfile refuses names that lead out of the folder, links and devices."""
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(folder, filter="data")


def work(
    argv: Sequence[str], folder: str, place: str, threads: int, files: bytes | None, modules: Sequence[str]
) -> tuple[int, bytes]:
    """Run a job's command; (exit code, the run's folder where ``files`` brought it, else nothing).

    argv: the command, whose Python is that of the node
    folder: of the run, on a disk that all nodes share; or it travels
    place: the folder that the command works in, where the node has it
    threads: of the command
    files: what lies in a folder that travels, and that comes back
    modules: what the job imports; none: it imports them itself
    """
    with tempfile.TemporaryDirectory() if files is not None else nullcontext(folder) as where:
        own = Path(place, where)  # a cluster's workers live in the folder in which it was started
        own.mkdir(parents=True, exist_ok=True)
        if files is not None:
            unpack(files, own)
        there = place if Path(place).is_dir() else where
        # This node's own Python: the environment may lie elsewhere than where the study was started.
        command = [sys.executable, *(str(own) if word == folder else word for word in argv[1:])]
        code = _run(command, own / LOG, there, threads, modules)
        return code, packed(own) if files is not None else b""


def _run(command: list[str], log: Path, place: str, threads: int, modules: Sequence[str]) -> int:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "NO_COLOR": "1"}
    with open(log, "ab") as output:
        fork = _fork(command, place, output.fileno(), environment, modules)
        if fork is not None and (code := _waited(fork)) != fork_server.LOST:
            return code
        return _waited(_process(command, place, output.fileno(), environment))


def _waited(process: subprocess.Popen[bytes] | Fork) -> int:
    """Exit code of a process."""
    try:
        return process.wait()
    finally:  # also when the task is cancelled: a run that is told to end writes its checkpoint first
        process.terminate()
        process.wait()


def _fork(
    command: list[str], place: str, output: int, environment: dict[str, str], modules: Sequence[str]
) -> Fork | None:
    """Start the command as a fork of the process in which this worker has imported ``modules``; None without one.

    A worker of Ray takes one job after another. Its first one starts that process, which lives as long as it.
    """
    if not modules or not fork_server.available():
        return None
    key = (*modules, environment["OMP_NUM_THREADS"])
    if key not in _servers:
        _servers[key] = ForkServer(modules, environment, death=signal.SIGKILL)
    devices = {name: value for name, value in environment.items() if name.endswith("_VISIBLE_DEVICES")}
    return _servers[key].start(command, devices, output, place)


def _process(command: list[str], place: str, output: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the command as a process that is killed with its worker: the job runs again from its checkpoint."""
    return subprocess.Popen(
        command,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=partial(die_with_parent, signal.SIGKILL) if sys.platform == "linux" else None,
    )
