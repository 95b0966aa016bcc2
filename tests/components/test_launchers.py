"""Launchers with real processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mmtk.api import Job
from mmtk.components.launcher.process import Process

TELL = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ.get('CUDA_VISIBLE_DEVICES', 'none'))"


def told(launcher: Process, folder: Path, count: int) -> list[list[str]]:
    """What every job found in its environment, in the order of the jobs: threads and GPU."""
    jobs = [Job(folder / str(i), (sys.executable, "-S", "-c", TELL)) for i in range(count)]
    assert {(done.dir, done.code) for done in launcher.run(jobs)} == {(job.dir, 0) for job in jobs}
    return [(job.dir / "output.log").read_text().split() for job in jobs]


def test_cores_are_divided_among_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0))
    assert [threads for threads, _ in told(Process(jobs=cores), tmp_path / "all", 2)] == ["1", "1"]
    assert [threads for threads, _ in told(Process(jobs=1), tmp_path / "one", 1)] == [str(cores)]


@pytest.mark.parametrize(("most", "threads"), [("1", 1), ("3,1", 3), ("900", 4), ("", 4), ("many", 4), ("0", 4)])
def test_jobs_have_no_more_threads_than_the_user_allows(
    monkeypatch: pytest.MonkeyPatch, most: str, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("OMP_NUM_THREADS", most)
    assert Process(jobs=2).threads == threads


def test_every_place_is_pinned_to_its_gpu(tmp_path: Path) -> None:
    """The machine may have no GPU; the jobs and their environments are real."""
    launcher = Process(jobs=4, per_gpu=2)
    launcher.gpus = ["3", "GPU-5f"]
    assert [gpu for _, gpu in told(launcher, tmp_path, 4)] == ["3", "3", "GPU-5f", "GPU-5f"]


def test_a_place_that_came_free_keeps_its_gpu(tmp_path: Path) -> None:
    launcher = Process(jobs=1)
    launcher.gpus = ["7"]
    assert [gpu for _, gpu in told(launcher, tmp_path, 3)] == ["7", "7", "7"]
