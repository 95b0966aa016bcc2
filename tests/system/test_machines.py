"""A study whose runs other machines do: queued and left, with other versions, other data, failing unseen."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import fork_server
import numpy as np
import pytest
from fake_plugin import install
from PIL import Image

QUEUE = """
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from mmtk.api import JobResult, Job, Launcher, MmtkError

class Queue(Launcher):
    \"\"\"A queue whose jobs this test runs by hand, as other machines would.

    refuse: take no job
    \"\"\"

    def __init__(self, *, refuse: bool = False) -> None:
        self.refuse = refuse

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        if self.refuse:
            raise MmtkError("this queue takes no job.")
        try:
            Path("began").touch()
            time.sleep(60 if jobs else 0)
            yield from ()
        finally:
            Path("cancelled").touch()

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        return [f"job-of-{job.dir.name}" for job in jobs]

    def queue(self, names: Sequence[str]) -> dict[str, str] | None:
        there = Path("there")  # what the test says of the queue
        return {name: "PENDING" for name in names if name in there.read_text()} if there.is_file() else None
"""
SETS = {
    "data.size": 32,
    "encoder.width": 4,
    "train.steps": 2,
    "train.batch": 2,
    "train.precision": "fp32",
    "data.classification.labels": 8,
    "evaluate.cases": 2,
    "tracking.enabled": "false",
}
PHANTOM = {
    f"data.classification.{domain}.{part}": n
    for domain in ("source", "cross")
    for part, n in (("train", 24), ("val", 8), ("test", 10))
}
PROFILE = """
extends = "chest-xray-small"
[data.classification.source]
use = "folder"
images = "films"
labels = "films.csv"
[data.classification.cross]
use = "folder"
images = "films"
labels = "films.csv"
"""


def mmtk(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{cwd / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    environment["COLUMNS"] = "200"  # so that no line is folded
    command = [fork_server.python(), "-m", "mmtk", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def queued(folder: Path, *more: object, version: str = "1.0") -> list[Path]:
    """The run folders of a study of Enc and Enc-SSL that was handed to a queue."""
    with_version(folder, version)
    sets = [word for key, value in SETS.items() for word in ("--set", f"{key}={value}")]
    done = mmtk(
        "ablate",
        "enc-ssl",
        "--components",
        "ssl",
        "--launcher",
        "queue",
        "--detach",
        "--out",
        "s",
        *sets,
        *more,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs queued as jobs " in done.stdout
    assert "Watch them: mmtk status s" in done.stdout
    return sorted((folder / "runs").iterdir())


def with_version(folder: Path, version: str) -> None:
    shutil.rmtree(folder / "site", ignore_errors=True)
    points = {"launcher/queue": "queue_module:Queue", "augment/jitter": "jitter_module:Weak"}
    # A component under a word of its own: the built-in one, as another distribution with its own version.
    jitter = "from mmtk.components.augment.weak import Weak\n"
    modules = {"queue_module": QUEUE, "jitter_module": jitter}
    install(folder / "site", "mmtk-else", points, version=version, modules=modules)


def phantom() -> list[str]:
    return [word for key, value in PHANTOM.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.long
def test_a_machine_with_another_version_refuses_and_names_both(tmp_path: Path) -> None:
    runs = queued(tmp_path, *phantom(), "--set", "augment.weak.use=jitter")
    with_version(tmp_path, "2.0")
    refused = mmtk("run", "runs/" + runs[0].name, cwd=tmp_path)
    assert refused.returncode == 2
    assert "augment.weak=augment/jitter: mmtk-else 1.0 there, mmtk-else 2.0 here" in refused.stderr
    assert not (runs[0] / "metrics.jsonl").exists()
    shown = mmtk("status", "s", cwd=tmp_path).stdout
    assert "1 failed, 1 waiting" in shown
    assert "other versions" in " ".join(shown.split())


@pytest.mark.long
def test_what_is_queued_is_not_queued_twice_and_what_left_the_queue_has_failed(tmp_path: Path) -> None:
    one, two = (run.name for run in queued(tmp_path, *phantom()))
    assert "2 waiting" in mmtk("status", "s", cwd=tmp_path).stdout  # a launcher that cannot say
    there = tmp_path / "there"
    there.write_text(f"job-of-{one}")
    (tmp_path / "runs" / two / "output.log").write_text("mmtk: the node is on fire.\n")
    shown = " ".join(mmtk("status", "s", cwd=tmp_path).stdout.split())
    assert "1 failed, 1 waiting" in shown
    assert f"waiting: job job-of-{one}, PENDING" in shown
    assert "is in the queue no more; the node is on fire." in shown
    refused = mmtk("ablate", "s", cwd=tmp_path)
    assert refused.returncode == 2
    assert f"1 run is in the queue already: job-of-{one}." in refused.stderr
    again = mmtk("ablate", "s", "--detach", cwd=tmp_path)
    assert again.returncode == 0
    assert f"1 run queued as job job-of-{two}; 1 run queued before as job job-of-{one}" in again.stdout


def test_a_launcher_that_cannot_ask_forgets_no_job(tmp_path: Path) -> None:
    one, two = (run.name for run in queued(tmp_path, *phantom()))
    assert "takes no job" in mmtk("ablate", "s", "--launch", "refuse=true", cwd=tmp_path).stderr
    (tmp_path / "there").write_text(f"job-of-{one} job-of-{two}")
    assert "2 runs are in the queue already" in mmtk("ablate", "s", cwd=tmp_path).stderr


def test_a_launcher_that_was_refused_is_not_what_the_study_goes_on_with(tmp_path: Path) -> None:
    queued(tmp_path, *phantom())
    (tmp_path / "there").write_text("")
    refused = mmtk("ablate", "s", "--launch", "refuse=true", cwd=tmp_path)
    assert "this queue takes no job" in refused.stderr
    shown = mmtk("ablate", "s", "--launch", "jobs=2", "--dry-run", cwd=tmp_path)
    assert "The study goes on with queue; --launcher chooses another one." in shown.stderr
    assert mmtk("ablate", "s", "--detach", cwd=tmp_path).returncode == 0


def test_a_study_that_is_terminated_takes_its_jobs_back(tmp_path: Path) -> None:
    queued(tmp_path, *phantom())
    (tmp_path / "there").write_text("")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    command = [fork_server.python(), "-m", "mmtk", "ablate", "s"]
    study = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not (tmp_path / "began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    study.terminate()
    _, said = study.communicate(timeout=30)
    assert study.returncode == 143
    assert "Stopped. Continue with: mmtk ablate s" in said
    assert "Traceback" not in said
    assert (tmp_path / "cancelled").exists()


@pytest.mark.long
def test_runs_that_nobody_waits_for_say_themselves_why_they_failed_and_are_collected(tmp_path: Path) -> None:
    runs = queued(tmp_path, *phantom(), "--set", "train.optimizer=sgd", "--set", "train.lr=1e30")
    failed = mmtk("run", "runs/" + runs[0].name, cwd=tmp_path)
    assert failed.returncode == 1
    shown = mmtk("status", "s", cwd=tmp_path).stdout
    assert "1 failed, 1 waiting" in shown
    assert "the loss is not finite" in " ".join(shown.split())


@pytest.mark.long
def test_runs_of_other_data_are_not_counted(tmp_path: Path) -> None:
    """Two machines have the same file names under --data, one with another picture."""
    noise = np.random.default_rng(0)
    for machine in ("one", "two"):
        (tmp_path / machine / "films").mkdir(parents=True)
    names = [f"{i:02}.png" for i in range(60)]
    for name in names:
        Image.fromarray(noise.integers(0, 255, (32, 32), np.uint8)).save(tmp_path / "one" / "films" / name)
        shutil.copy(tmp_path / "one" / "films" / name, tmp_path / "two" / "films" / name)
    Image.fromarray(noise.integers(0, 255, (32, 32), np.uint8)).save(tmp_path / "two" / "films" / names[0])
    table = "image,label\n" + "".join(f"{name},{'sick' if i % 3 else 'well'}\n" for i, name in enumerate(names))
    for machine in ("one", "two"):
        (tmp_path / machine / "films.csv").write_text(table)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.toml").write_text(PROFILE)
    runs = queued(tmp_path, "--profile", "profiles/mine.toml", "--data", "one")
    for run, machine in zip(runs, ("one", "two"), strict=True):
        done = mmtk("run", f"runs/{run.name}", "--no-pictures", "--data", machine, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    collected = mmtk("ablate", "s", cwd=tmp_path)
    said = " ".join((collected.stdout + collected.stderr).split())
    assert collected.returncode == 2
    assert "its classification/in-domain data differ from those of Enc" in said
    for machine in ("one", "two"):
        assert f" in {tmp_path / machine}" in said  # where each was read
    assert "Give --data a folder with the same files, remove" in said
    assert "these runs cannot be compared" in said  # and no table mixes them
    assert not (tmp_path / "s" / "report" / "index.html").exists()


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["process", "inline"])
def test_launchers_whose_jobs_end_with_them_cannot_be_left(launcher: str, tmp_path: Path) -> None:
    sets = [word for key, value in SETS.items() for word in ("--set", f"{key}={value}")]
    command = ["ablate", "enc-ssl", "--components", "ssl", "--launcher", launcher, "--detach", *sets, *phantom()]
    done = mmtk(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert "--detach: the jobs of this launcher end with the process that starts them." in done.stderr
