"""What must not change a bit: a second run, tracking, the display, the number of readers, ``--deterministic``."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import fork_server
import pytest
import torch
from commands import caller
from moments import mmtk, same, sets
from tiny import shallow

from mmtk.io.files import read_lines
from mmtk.model.device import deterministic_kernels
from mmtk.registry import catalog
from mmtk.runs.folder import RunDir
from mmtk.workflows.run import run

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
TOLERANCE = 1e-3  # of docs/explanation/determinism.md
RUN = ["run", "multimix", "--profile", "phantom", *sets(train__steps=8)]


def on_a_terminal(*arguments: str, cwd: Path, env: dict[str, str]) -> str:
    """The command with a terminal of its own, for the live display; what it showed."""
    ours, theirs = pty.openpty()
    call = [fork_server.python(), "-m", "mmtk", *arguments]
    with subprocess.Popen(call, cwd=cwd, env=os.environ | env, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the terminal has no other end any more
                break
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


@pytest.mark.long
def test_neither_display_nor_tracking_nor_workers_change_a_bit(tmp_path: Path, tried: Any) -> None:
    tried("tracking, live display, other number of readers", "not a bit changes")
    cores = os.sched_getaffinity(0)
    plain = mmtk(
        *RUN,
        "--no-pictures",
        "--out",
        "plain",
        "--json",
        cwd=tmp_path,
        env={"MMTK_CACHE": "one"},
        before=lambda: os.sched_setaffinity(0, {min(cores)}),
    )
    assert plain.returncode == 0, plain.stderr
    assert "validation  " not in plain.stderr
    env = {"MMTK_CACHE": "other", "TERM": "xterm-256color", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    tracked = ["--set", "tracking.enabled=true"]
    shown = on_a_terminal(*RUN, *tracked, "--out", "shown", cwd=tmp_path, env=env)
    assert "Training" in shown
    assert "steps/s" in shown or "s/step" in shown  # in eighty columns as well
    assert "validation  " in shown
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM metrics WHERE key = 'train/loss'").fetchone() == (8,)
    same(tmp_path / "plain", tmp_path / "shown")
    rows = read_lines(tmp_path / "plain" / "timing.jsonl")
    assert all({"step", "time", "seconds"} == set(row) for row in rows)


@pytest.mark.long
@pytest.mark.parametrize("device", DEVICES)
def test_deterministic_runs_have_the_same_bytes(device: str, tmp_path: Path, tried: Any) -> None:
    tried(f"--deterministic on {device}, twice", "the same bytes")
    for name in ("one", "two"):
        run(shallow(), tmp_path / name, device=device, deterministic=True, pictures=False)
    same(tmp_path / "one", tmp_path / "two")
    assert RunDir(tmp_path / "one").provenance["deterministic"] is True
    assert not torch.are_deterministic_algorithms_enabled()  # it ends with the run
    run(shallow(), tmp_path / "three", device=device, pictures=False)
    if device == "cpu":  # whose kernels are deterministic anyway
        same(tmp_path / "one", tmp_path / "three")
    rows = [read_lines(tmp_path / name / "metrics.jsonl")[0] for name in ("one", "three")]
    assert rows[0]["train/loss"] == pytest.approx(rows[1]["train/loss"], rel=TOLERANCE)


@pytest.mark.parametrize("device", DEVICES)
def test_the_first_step_is_that_of_the_cpu_within_the_tolerance(device: str, tmp_path: Path) -> None:
    for each in {"cpu", device}:
        # Dropout draws from the device's own generator.
        recipe = shallow(train__steps=1, encoder__dropout=0.0, decoder__dropout=0.0)
        run(recipe, tmp_path / each, device=each, pictures=False)
    one, other = (read_lines(tmp_path / each / "metrics.jsonl")[0] for each in ("cpu", device))
    assert one == pytest.approx(other, rel=TOLERANCE)


CODE = '''
import torch
from torch import Tensor

from mmtk.api import Loss


class Put(Loss):
    """A mean that is put into its place by a kernel without a deterministic form."""

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """[B,K,H,W] twice."""
        first = torch.zeros(1, dtype=torch.int64, device=logits.device)
        return torch.zeros(1, device=logits.device).put(first, logits.mean()[None]).sum()
'''


def test_an_operation_without_a_deterministic_kernel_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mmtk = caller(monkeypatch, capsys)
    Path("put.py").write_text(CODE)
    call = [*RUN, "--code", "put.py", "--set", 'loss.segmentation.use="code/Put"', "--out", "run"]
    try:
        code, _, told = mmtk(*call, "--deterministic")
        assert code == 2, told
        assert "run: --deterministic: put_ does not have a deterministic implementation." in told
        assert "Traceback" not in told
        assert RunDir(Path("run")).provenance["deterministic"] is True
        code, _, told = mmtk("run", "run", "--code", "put.py")  # a run goes on as it was begun
        assert code == 2
        assert "put_ does not have" in told
    finally:
        catalog.offer(None)


def test_what_was_set_before_is_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")  # the user's own is kept
    cudnn = torch.backends.cudnn

    def flags() -> tuple[bool, bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark

    before = flags()
    with deterministic_kernels():
        assert flags() == (True, True, False)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert flags() == before == (False, False, False)
    with deterministic_kernels(enabled=False):
        assert flags() == before
