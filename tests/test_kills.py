"""SIGKILL at twenty moments of a run, each resumed: it ends with the bytes of the run that was never killed."""

from __future__ import annotations

import filecmp
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loops import some
from tiny import tiny

from mmtk.runs import RunDir, read_lines
from mmtk.session import run

pytestmark = pytest.mark.long
STEPS = {"train__steps": 8}

# Run in the child before the run begins: `die` at the n-th call of something, sometimes half-way through it.
HOOKS = {
    "step": "after(train.Training, 'train_step')",
    "log row, half written": (
        "def half(self, row):\n"
        "    if calls() == N: self._file.write(b'{\"step\": 3, '); self._file.flush(); die()\n"
        "    return plain(self, row)\n"
        "plain, runs.Log.write = runs.Log.write, half"
    ),
    "checkpoint, half written": (
        "def half(self, data):\n"
        "    if 'last.safetensors' in self.name and calls() == N: plain(self, data[: len(data) // 2]); die()\n"
        "    return plain(self, data)\n"
        "plain, Path.write_bytes = Path.write_bytes, half"
    ),
    "between two checkpoints": (
        "def save(path, *rest):\n"
        "    if 'last' in path.name and calls() == N: die()\n"
        "    return plain(path, *rest)\n"
        "plain, checkpoint.save = checkpoint.save, save"
    ),
    "validation": "before(train, 'fill')",
    "scores per image": "before(session, 'write_cases')",
    "figures": "before(session, 'draw_run')",
    "done file": "before(runs, 'write_json', lambda path, value: path.name == 'done.json')",
    "MLflow, before a batch": "before(MlflowClient, 'log_batch')",
    "MLflow, after a batch": "after(MlflowClient, 'log_batch')",
}
MOMENTS = [
    *[("step", n) for n in (1, 2, 5, 8)],
    *[("log row, half written", n) for n in (2, 9, 15)],
    *[("checkpoint, half written", n) for n in (1, 3)],
    *[("between two checkpoints", n) for n in (1, 2)],
    *[("validation", n) for n in (1, 4)],
    ("scores per image", 1),
    ("figures", 1),
    ("done file", 1),
    ("MLflow, before a batch", 2),
    ("MLflow, after a batch", 1),
    *[("any moment", n) for n in (1, 2)],
]
CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tiny import tiny
from mmtk import checkpoint, runs, session, train
N, count = int(sys.argv[3]), [0]
def die(): os.kill(os.getpid(), signal.SIGKILL)
def calls(): count[0] += 1; return count[0]
def before(owner, name, when=lambda *a: True):
    plain = getattr(owner, name)
    def hook(*a, **k):
        if when(*a) and calls() == N: die()
        return plain(*a, **k)
    setattr(owner, name, hook)
def after(owner, name):
    plain = getattr(owner, name)
    def hook(*a, **k):
        done = plain(*a, **k)
        if calls() == N: die()
        return done
    setattr(owner, name, hook)
if sys.argv[5] == 'True':
    from mlflow import MlflowClient
exec(sys.argv[4])
session.run(tiny(train__steps=8, tracking__enabled=sys.argv[5] == 'True'), Path(sys.argv[2]))
"""
KEPT = ("metrics.jsonl", "results.json", "cases.parquet", "splits.json", "samples.npz")
CHECKPOINTS = ("checkpoints/last.safetensors", "checkpoints/best.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    run(tiny(**STEPS), out)
    return out


def begin(out: Path, moment: str, number: int) -> subprocess.Popen[bytes]:
    tracked = str("MLflow" in moment)
    call = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(out), str(number), HOOKS.get(moment, "")]
    return subprocess.Popen([*call, tracked], cwd=out.parent, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(("moment", "number"), some(MOMENTS))
def test_a_killed_run_ends_with_the_same_bytes(
    moment: str, number: int, whole: Path, tmp_path: Path, tried
) -> None:
    tried(f"SIGKILL: {moment}", "resumed to the same bytes")
    out = tmp_path / "run"
    child = begin(out, moment, number)
    if moment == "any moment":
        deadline = time.monotonic() + 120
        while not read_lines(out / "metrics.jsonl") and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.07 * number)
        child.kill()
    assert child.wait(240) == -signal.SIGKILL
    assert not RunDir(out).finished
    resumed = subprocess.run(
        [sys.executable, "-m", "mmtk", "run", str(out)], cwd=tmp_path, capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stderr
    for file in (*KEPT, *CHECKPOINTS):
        assert filecmp.cmp(out / file, whole / file, shallow=False), file
    assert len(read_lines(out / "timing.jsonl")) == len(read_lines(out / "metrics.jsonl"))
    assert not list(out.rglob("*.tmp"))
    if "MLflow" in moment:
        arrived_once(out, tmp_path)


def arrived_once(out: Path, folder: Path) -> None:
    """Every number of the log stands in MLflow, once."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("mmtk")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    rows = [row for row in read_lines(out / "metrics.jsonl") if "train/loss" in row]
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert sorted((point.step, point.value) for point in points) == [
        (row["step"], row["train/loss"]) for row in rows
    ]


def test_twenty_moments() -> None:
    assert len(MOMENTS) == 20
    assert {moment for moment, _ in MOMENTS} == {*HOOKS, "any moment"}
