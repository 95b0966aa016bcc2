"""Studies in MLflow, stopped while they are sent and continued: real processes and a real SQLite store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from moments import begin, mmtk, sets

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("study-mirror")]
STUDY = ["ablate", "unet", "--components", "train.lr=0.001+0.002", "--design", "one-at-a-time"]
STUDY += [*sets("classification", tracking__enabled=True, train__steps=2), "--out", "s", "--launcher", "inline"]
STOP = "os.kill(os.getpid(), signal.SIGINT)"


def states(folder: Path) -> tuple[list[str], list[str]]:
    """The status of the parent runs in a folder's MLflow store, and of the runs of studies."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        parents = "(SELECT run_uuid FROM tags WHERE key = 'mmtk.kind')"
        return tuple(
            [status for (status,) in database.execute(f"SELECT status FROM runs WHERE run_uuid {which} {parents}")]
            for which in ("IN", "NOT IN")
        )


@pytest.mark.parametrize("batch", [1, 3], ids=["its parameters", "its scores"])
def test_a_study_stopped_while_a_run_is_sent_leaves_none_running(batch: int, tmp_path: Path, tried) -> None:
    tried("Ctrl-C while a run of a study is sent to MLflow", "it is sent whole, and once")
    study = begin("MLflow, after a batch", batch, *STUDY, cwd=tmp_path, act=STOP)
    _, errors = study.communicate()
    assert study.returncode == 130, errors
    assert states(tmp_path) == (["KILLED"], ["FINISHED"])
    later = mmtk("ablate", "s", cwd=tmp_path)
    assert later.returncode == 0, later.stderr
    assert states(tmp_path) == (["FINISHED"], ["FINISHED", "FINISHED"])


def test_a_study_killed_while_a_run_is_sent_is_put_right_when_it_goes_on(tmp_path: Path, tried) -> None:
    tried("SIGKILL while a run of a study is sent to MLflow", "continued; every run is sent whole and once")
    study = begin("MLflow, after a batch", 1, *STUDY, cwd=tmp_path)
    study.communicate()
    assert states(tmp_path) == (["RUNNING"], ["RUNNING"])
    later = mmtk("ablate", "s", cwd=tmp_path)
    assert later.returncode == 0, later.stderr
    assert states(tmp_path) == (["FINISHED"], ["FINISHED", "FINISHED"])


def test_a_study_with_a_failed_run_has_failed_until_the_run_is_done(tmp_path: Path, tried) -> None:
    tried("one run of a tracked study fails", "its parent run has failed; continued, it is finished")
    failing = [text.replace("0.001+0.002", "0.001+1e30") for text in STUDY]
    done = mmtk(*failing, "--set", "train.optimizer=sgd", "--set", "train.steps=30", cwd=tmp_path)
    assert done.returncode == 1
    assert "the loss is not finite" in done.stderr
    assert states(tmp_path) == (["FAILED"], ["FINISHED"])
    again = mmtk("ablate", "s", cwd=tmp_path)  # it fails once more
    assert again.returncode == 1
    assert states(tmp_path) == (["FAILED"], ["FINISHED"])
