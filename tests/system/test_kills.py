"""SIGKILL at twenty moments of a run, each resumed: it ends with the bytes of the run that was never killed."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from loops import some
from moments import HOOKS, begin, mmtk, same, sets

from mmtk.io.files import read_lines
from mmtk.runs.folder import RunDir

pytestmark = pytest.mark.long
RUN = ["run", "multimix", "--profile", "phantom", *sets(train__steps=8)]

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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    done = mmtk(*RUN, "--no-pictures", "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.parametrize(("moment", "number"), some(MOMENTS))
def test_a_killed_run_ends_with_the_same_bytes(
    moment: str, number: int, whole: Path, tmp_path: Path, tried
) -> None:
    tried(f"SIGKILL: {moment}", "resumed to the same bytes")
    out = tmp_path / "run"
    tracked = ["--set", f"tracking.enabled={str('MLflow' in moment).lower()}"]
    pictures = [] if moment == "figures" or "MLflow" in moment else ["--no-pictures"]
    child = begin(moment, number, *RUN, *tracked, *pictures, "--out", out, cwd=tmp_path)
    if moment == "any moment":
        deadline = time.monotonic() + 120
        while not read_lines(out / "metrics.jsonl") and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.07 * number)
        child.kill()
    _, said = child.communicate()
    assert child.returncode == -signal.SIGKILL, said
    assert not RunDir(out).finished
    resumed = mmtk("run", out, *pictures, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    same(out, whole)
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
    assert {moment for moment, _ in MOMENTS} == {*HOOKS, "any moment"} - {"between two runs", "report"}
