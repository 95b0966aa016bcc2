"""Faults of disks, files, folders, processes and memory, against the real command in processes of its own."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loops import some
from moments import begin, mmtk, same, sets
from PIL import Image

from mmtk.io.files import holder, read_lines
from mmtk.runs.folder import LOCK, RunDir
from mmtk.study.folder import StudyDir

# One worker runs them all, so that the run they are compared with is made once.
pytestmark = pytest.mark.xdist_group("faults")
RUN = [
    "run",
    "multimix",
    "--profile",
    "phantom",
    "--no-pictures",
    *sets(train__steps=44, train__validate_every=14),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run to which nothing happened."""
    folder = tmp_path_factory.mktemp("whole")
    done = mmtk(*RUN, "--out", "whole", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "whole"


def goes_on(out: Path, whole: Path, env: dict[str, str] | None = None) -> str:
    """Continue a run: it ends with the bytes of the one to which nothing happened. What it said."""
    done = mmtk("run", out, "--no-pictures", cwd=out.parent, env=env)
    assert done.returncode == 0, done.stderr
    same(out, whole)
    return done.stderr


# --- disks -------------------------------------------------------------------------------------------------


class Disk:
    """A small disk of its own, in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", path], capture_output=True
        ).returncode:
            pytest.skip("mounting needs root")

    def resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    subprocess.run(["umount", made.path], check=True)


@pytest.mark.long
@pytest.mark.parametrize("place", some(["checkpoint", "log", "cache"]))
def test_a_full_disk_ends_the_run_with_a_message_and_it_continues_later(
    place: str, whole: Path, disk: Disk, tmp_path: Path, tried: Any
) -> None:
    fault = {"checkpoint": "at a checkpoint", "log": "at a row of the log", "cache": "while images are stored"}
    tried(f"full disk {fault[place]}", "a message; continued to the same bytes")
    moment, number = {"checkpoint": ("between two checkpoints", 2), "log": ("step", 2), "cache": ("", 0)}[place]
    env, out = {}, disk.path / "run"
    if place == "cache":
        env, out = {"MMTK_CACHE": str(disk.path)}, tmp_path / "run"
        disk.resize("32k")
    # From that moment on another file fills the disk: a log has what is left of its last page.
    fill = f"Path('{disk.path}/other').write_bytes(bytes(os.statvfs('{disk.path}').f_bavail << 12))"
    child = begin(moment, number, *RUN, "--out", out, cwd=tmp_path, act=fill, env=env)
    _, said = child.communicate()
    assert child.returncode == 1, said
    assert str(disk.path) in said
    assert "is full" in said
    assert "Traceback" not in said
    rows = read_lines(out / "timing.jsonl")
    assert {"checkpoint": rows[27:] != [], "log": 2 <= len(rows) < 14, "cache": rows == []}[place]
    disk.resize("64m")
    goes_on(out, whole, env)


@pytest.mark.long
def test_a_home_that_cannot_be_written(whole: Path, tmp_path: Path, tried: Any) -> None:
    tried("home that cannot be written", "a warning that names the way out; the same bytes")
    home = "/sys"  # not even root makes a folder there
    env = {"HOME": home, "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "MMTK_CACHE": "", "TMPDIR": str(tmp_path)}
    done = mmtk(*RUN, "--out", "run", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "/sys/.cache/mmtk cannot be written" in done.stderr
    assert "MMTK_CACHE names a folder" in done.stderr
    assert "Traceback" not in done.stderr
    same(tmp_path / "run", whole)


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    done = mmtk(*RUN, "--out", "/sys/mmtk-run", cwd=tmp_path)
    assert done.returncode == 2
    assert "/sys/mmtk-run: this folder cannot be made" in done.stderr
    assert "Choose another --out." in done.stderr
    assert "Traceback" not in done.stderr


# --- damaged files -------------------------------------------------------------------------------------------


def damage(file: Path, how: str) -> None:
    """Flip one bit in the middle of a file, or cut it there."""
    data = bytearray(file.read_bytes())
    half = len(data) // 2
    data[half] ^= 1
    file.write_bytes(data if how == "flipped" else data[:half])


@pytest.mark.long
@pytest.mark.parametrize("how", some(["flipped", "truncated"]))
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(
    how: str, whole: Path, tmp_path: Path, tried: Any
) -> None:
    tried(f"last checkpoint {how}", "resumed from the one before, which is said; the same bytes")
    child = begin("step", 30, *RUN, "--out", "run", cwd=tmp_path)
    child.communicate()
    run = RunDir(tmp_path / "run")
    damage(run.last, how)
    said = goes_on(run.path, whole)
    assert "last.safetensors cannot be read:" in said
    assert "Going on from the checkpoint before it." in said
    assert "Continuing after step 14 of 44." in said


@pytest.mark.long
@pytest.mark.parametrize("how", some(["flipped", "truncated"]))
def test_a_damaged_cache_is_built_again(how: str, whole: Path, tmp_path: Path, tried: Any) -> None:
    tried(f"stored images {how}", "built again, which is said; the same bytes")
    cache = tmp_path / "cache"
    first = mmtk(*RUN, "--set", "train.steps=1", "--out", "first", cwd=tmp_path, env={"MMTK_CACHE": str(cache)})
    assert first.returncode == 0, first.stderr
    damage(max(cache.glob("*/images.bin"), key=lambda file: file.stat().st_size), how)
    done = mmtk(*RUN, "--out", "run", cwd=tmp_path, env={"MMTK_CACHE": str(cache)})
    assert done.returncode == 0, done.stderr
    assert "are damaged" in done.stderr
    assert "they are built again" in done.stderr
    same(tmp_path / "run", whole)


@pytest.mark.long
@pytest.mark.parametrize("file", some(["results.json", "metrics.jsonl", "cases.parquet", "samples.npz"]))
def test_damaged_results_are_named_and_not_reported(file: str, whole: Path, tmp_path: Path, tried: Any) -> None:
    tried("results flipped or truncated", "mmtk report names the file and counts none of its numbers", 2)
    for how in ("flipped", "truncated"):
        run = Path(shutil.copytree(whole, tmp_path / how))
        damage(run / file, how)
        done = mmtk("report", how, "--out", "report", cwd=tmp_path)
        assert done.returncode == 2
        assert f"{how}: {file} was changed or cut after the run ended" in done.stderr
        assert not (tmp_path / "report").exists()


# --- data ----------------------------------------------------------------------------------------------------


def test_missing_data_is_explained(tmp_path: Path, tried: Any) -> None:
    tried("data folder that is not there", "a message with the folder and the cure")
    call = ["run", "multimix", "--profile", "chest-xray", "--out", "r", "--data", str(tmp_path / "nowhere")]
    done = mmtk(*call, cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "--profile phantom" in done.stderr
    assert "Traceback" not in done.stderr


def films(folder: Path, count: int = 24) -> None:
    """X-rays of noise with a disc as the lung, in folders of images and masks."""
    rows, columns = np.mgrid[:32, :32]
    draw = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        disc = (rows - 16) ** 2 + (columns - 16) ** 2 < (6 + number % 6) ** 2
        image = draw.integers(0, 128, (32, 32)) + 100 * disc
        Image.fromarray(image.astype(np.uint8)).save(folder / f"images/{number:02}.png")
        Image.fromarray(np.uint8(255 * disc)).save(folder / f"masks/{number:02}.png")


PROFILE = """
extends = "phantom"
[data.segmentation.source]
use = "folder"
images = "images"
masks = "masks"
[data.segmentation.cross]
use = "folder"
images = "images"
masks = "masks"
"""


@pytest.mark.long
def test_a_data_folder_that_vanishes_in_mid_run(tmp_path: Path, tried: Any) -> None:
    tried("data folder that vanishes in mid-run", "the run goes on, from its store, to the same bytes")
    tried("data folder still gone when a run is continued", "a message with the folder; later the same bytes")
    films(tmp_path / "films")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/mine.toml").write_text(PROFILE)
    run = ["run", "unet", "--no-pictures", "--profile", "profiles/mine.toml", "--data", "films"]
    run += sets("classification", ".source.", ".cross.")
    done = mmtk(*run, "--out", "whole", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # It vanishes while the run trains, and the run is not stopped by that.
    child = begin("step", 2, *run, "--out", "through", cwd=tmp_path, act="os.rename('films', 'gone')")
    _, said = child.communicate()
    assert child.returncode == 0, said
    same(tmp_path / "through", tmp_path / "whole")
    # It is gone when an interrupted run is to go on, and comes back later.
    (tmp_path / "gone").rename(tmp_path / "films")
    act = "os.rename('films', 'gone'); os.kill(os.getpid(), signal.SIGTERM)"
    child = begin("step", 3, *run, "--out", "run", cwd=tmp_path, act=act)
    assert child.wait() == 143
    refused = mmtk("run", "run", cwd=tmp_path)
    assert refused.returncode == 2
    assert "films/images" in refused.stderr
    assert "Traceback" not in refused.stderr
    (tmp_path / "gone").rename(tmp_path / "films")
    goes_on(tmp_path / "run", tmp_path / "whole")


# --- processes -------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(("signalled", "code"), some([("SIGHUP", 129), ("SIGTERM", 143), ("SIGINT", 130)]))
def test_a_run_that_is_told_to_stop_writes_its_checkpoint_first(
    signalled: str, code: int, whole: Path, tmp_path: Path, tried: Any
) -> None:
    tried(signalled, f"checkpoint of that step, exit code {code}; continued to the same bytes")
    act = f"os.kill(os.getpid(), signal.{signalled})"
    child = begin("step", 3, *RUN, "--out", "run", cwd=tmp_path, act=act)
    _, said = child.communicate()
    assert child.returncode == code, said
    assert "stopped after step 3 of 44; the checkpoint is written." in said
    assert "Continue with: mmtk run run" in said
    assert "Traceback" not in said
    assert "Continuing after step 3 of 44." in goes_on(tmp_path / "run", whole)


@pytest.mark.long
def test_two_processes_on_one_run_directory(whole: Path, tmp_path: Path, tried: Any) -> None:
    tried("two processes on one run directory", "the second refuses, naming the first")
    tried("lock left by a dead process", "taken over; continued to the same bytes")
    out = tmp_path / "run"
    # It stops itself in its second step and holds the folder, for as long as it is needed.
    stop = "os.kill(os.getpid(), signal.SIGSTOP)"
    first = begin("step", 2, *RUN, "--out", out, cwd=tmp_path, act=stop, python=sys.executable)
    try:
        deadline = time.monotonic() + 300
        while not read_lines(out / "metrics.jsonl") and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        second = mmtk("run", out, cwd=tmp_path)
        assert second.returncode == 2
        assert f"{out}: mmtk process {first.pid} is running in this folder." in second.stderr
        assert "Wait for it, or choose another --out." in second.stderr
    finally:
        first.kill()
        first.communicate()
    assert first.returncode == -signal.SIGKILL
    assert (out / LOCK).read_text() == f"mmtk process {first.pid}"
    assert holder(out, LOCK) == ""
    goes_on(out, whole)


@pytest.mark.long
def test_a_cell_that_needs_more_memory_than_there_is_stops_nobody(tmp_path: Path, tried: Any) -> None:
    tried("out of memory in one cell of a study", "the others finish; it is named with the reason, exit code 1")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (30 << 30, 30 << 30))

    # One weight of the second is 38 GB.
    study = ["ablate", "unet", "--components", "encoder.width=16+32768", "--design", "one-at-a-time", "--out", "s"]
    done = mmtk(*study, *sets("classification", "width"), cwd=tmp_path, before=limited)
    assert done.returncode == 1, done.stderr
    assert "out of memory: 38654705664 bytes more were asked for." in done.stderr
    assert "1 of 2 runs failed. By hand:\n  U-Net (encoder.width=32768)" in done.stderr
    assert "Traceback" not in done.stderr
    kept = StudyDir(tmp_path / "s")
    states = {run.recipe["encoder.width"]: kept.state(run, kept.failures(kept.runs())) for run in kept.runs()}
    assert states == {16: "done", 32768: "failed"}
    assert "out of memory" in (tmp_path / "s/report/report.md").read_text()


def test_the_kernel_s_kill_is_explained(tmp_path: Path) -> None:
    from mmtk.api import JobResult
    from mmtk.study.launch import failure

    killed = JobResult(tmp_path, -signal.SIGKILL, tmp_path / "output.log")
    assert failure(killed) == "killed by signal 9 (the system's way when memory runs out)"
