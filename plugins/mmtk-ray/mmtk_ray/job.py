"""What a node does with one job: its command as a process, and the run's folder as bytes where it travels."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

LOG = "output.log"
LOCK = "run.lock"


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


def work(argv: Sequence[str], folder: str, place: str, threads: int, files: bytes | None) -> tuple[int, bytes]:
    """Run a job's command in ``place``; (exit code, the run's folder where ``files`` brought it, else nothing).

    The folder is on a disk that all nodes share, or travels: ``files`` is what lies in it, and it comes back.
    """
    with tempfile.TemporaryDirectory() if files is not None else nullcontext(folder) as where:
        own = Path(place, where)  # a cluster's workers live in the folder in which it was started
        own.mkdir(parents=True, exist_ok=True)
        if files is not None:
            unpack(files, own)
        there = place if Path(place).is_dir() else where
        # This node's own Python: the environment may lie elsewhere than where the study was started.
        command = [sys.executable, *(str(own) if word == folder else word for word in argv[1:])]
        code = _run(command, own / LOG, there, threads)
        return code, packed(own) if files is not None else b""


def _run(command: list[str], log: Path, place: str, threads: int) -> int:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "NO_COLOR": "1"}
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command,
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        try:
            return process.wait()
        finally:  # also when the task is cancelled: a run that is told to end writes its checkpoint first
            process.terminate()
            process.wait()


def _die_with_parent() -> None:
    """Ask Linux to kill this process with its worker (prctl(2)): the job runs again from its checkpoint."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
