"""SIGKILL at several moments of a study of four runs, each continued: all end with the unbroken study's bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from loops import some
from moments import begin, mmtk, same, sets

from mmtk.io.files import holder
from mmtk.runs.folder import LOCK

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("study-kills")]
PLACES = str(len(os.sched_getaffinity(0)))  # one thread each, so that sums are taken in one order
ONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
STUDY = ["ablate", "unet", "--components", "train.lr=0.001+0.002", "--design", "one-at-a-time", "--seeds", "2"]
STUDY += [*sets("classification"), "--out", "s"]

# (moment, its n-th time in the study, launcher); six steps are timed before the first run. In one process, where
# a kill ends all, and with processes, where the study and its runs end together, as when the power fails.
MOMENTS = [
    ("step", 12, "inline"),
    ("checkpoint, half written", 3, "inline"),
    ("done file", 2, "inline"),
    ("between two runs", 4, "inline"),
    ("report", 1, "inline"),
    ("any moment", 1, "process"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    done = mmtk(*STUDY, "--jobs", PLACES, cwd=folder, env=ONE)
    assert done.returncode == 0, done.stderr
    assert len(list(folder.glob("runs/*/done.json"))) == 4
    return folder


def cut(study: subprocess.Popen[str], folder: Path) -> None:
    """Kill the study and its runs at one moment, when the first of them has begun to train."""
    deadline = time.monotonic() + 300
    while not (logs := list(folder.glob("runs/*/metrics.jsonl"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert logs
    study.send_signal(signal.SIGSTOP)  # so that it starts no other
    running = [holder(path, LOCK) for path in folder.glob("runs/*")]
    for number in (int(who.rpartition(" ")[2]) for who in running if who):
        os.kill(number, signal.SIGKILL)
    study.kill()


@pytest.mark.parametrize(("moment", "number", "launcher"), some(MOMENTS))
def test_a_killed_study_ends_with_the_same_bytes(
    moment: str, number: int, launcher: str, whole: Path, tmp_path: Path, tried
) -> None:
    tried(f"SIGKILL of a study of 4 runs: {moment}", "continued; all runs with the same bytes")
    jobs = ["--jobs", PLACES] if launcher == "process" else []
    how = ["--launcher", launcher, *jobs]
    study = begin(moment, number, *STUDY, *how, cwd=tmp_path, env=ONE)
    if moment == "any moment":
        cut(study, tmp_path)
    _, said = study.communicate()
    assert study.returncode == -signal.SIGKILL, said
    assert moment == "report" or len(list(tmp_path.glob("runs/*/done.json"))) < 4
    later = mmtk("ablate", "s", *how, cwd=tmp_path, env=ONE)
    assert later.returncode == 0, later.stderr
    assert (tmp_path / "s/report/index.html").is_file()
    for run in whole.glob("runs/*"):
        same(tmp_path / "runs" / run.name, run)
    assert {run.name for run in tmp_path.glob("runs/*")} == {run.name for run in whole.glob("runs/*")}
