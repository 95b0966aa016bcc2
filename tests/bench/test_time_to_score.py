"""The race to a score at toy size: mmtk and the plain loop on the phantom, with goals that any network reaches."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import fork_server
import pytest
from tiny import CLASSIFICATION, SEGMENTATION, SOURCES

ROOT = Path(__file__).parents[2]
SIZE = {"data.size": 32, "encoder.width": 4, "train.precision": "fp32"} | CLASSIFICATION | SEGMENTATION | SOURCES


def race(folder: Path, *options: str, python: str) -> tuple[list[dict], str]:
    """Rows and the table of a race on the phantom, run by ``python``."""
    settings = [word for key, value in SIZE.items() for word in ("--set", f"{key}={value}")]
    command = [python, str(ROOT / "benchmarks/time_to_score.py"), "--profile", "phantom", "--seeds", "1"]
    process = subprocess.run(
        [*command, *settings, *options], cwd=folder, capture_output=True, text=True, check=True
    )
    return json.loads((folder / "time-to-score.json").read_text()), process.stdout


@pytest.mark.long
def test_mmtk_and_the_plain_loop_reach_low_scores_and_are_tested_once(tmp_path: Path) -> None:
    options = ("--peers", "mmtk,plain", "--dice", "0.05", "--auroc", "0.05", "--steps", "50")
    rows, table = race(tmp_path, *options, python=sys.executable)  # whose processes have processor seconds
    assert [row["peer"] for row in rows] == ["mmtk", "plain"]
    for row in rows:
        assert set(row["tasks"]) == {"segmentation", "classification"}
        for one in row["tasks"].values():
            assert one["validation"] >= 0.05
            assert 0 <= one["test"] <= 1
            assert one["cpu"] > 0
            assert 0 < one["wall"] < 600
    assert rows[0]["tasks"]["segmentation"]["step"] % 25 == 0
    assert table.count("\n| ") == 3  # a head and two rows
    assert "semilearn" in table
    again, _ = race(tmp_path, *options, python=fork_server.python())
    assert again == rows  # what the file has is not measured again


def test_times_of_trainings_side_by_side_are_added_and_those_of_a_joint_training_are_not() -> None:
    tasks = {
        "segmentation": {"cpu": 20.4, "wall": 31, "validation": 0.93, "test": 0.94},
        "classification": {"cpu": 40.4, "wall": 50, "validation": 0.91, "test": 0.85},
    }
    late = {"segmentation": {"cpu": 900, "wall": 1000, "validation": 0.925, "test": None}}
    rows = [{"seed": 0, "versions": {"torch": "2"}, "tasks": tasks} | {"peer": peer} for peer in ("mmtk", "pymic")]
    rows += [{"peer": "monai", "seed": 0, "versions": {}, "tasks": tasks | late}]
    lines = runpy.run_path(str(ROOT / "benchmarks/time_to_score.py"))["table"](rows).split("\n")
    assert lines[2] == "| mmtk (torch 2) | 0 | 20 | 40 | 40 | 50 | 0.940 | 0.850 |"
    assert lines[3] == "| monai () | 0 | not in 900 (validation 0.925) | 40 | – | – | – | 0.850 |"
    assert lines[4] == "| pymic (torch 2) | 0 | 20 | 40 | 61 | 81 | 0.940 | 0.850 |"


@pytest.mark.long
def test_a_score_that_is_not_reached_is_shown_with_the_best_validation_and_not_tested(tmp_path: Path) -> None:
    options = ("--peers", "plain", "--dice", "1.01", "--auroc", "1.01", "--limit", "3")
    rows, table = race(tmp_path, *options, python=fork_server.python())
    for one in rows[0]["tasks"].values():
        assert one["test"] is None
        assert one["cpu"] > 3
        assert 0 < one["validation"] <= 1
    assert table.count("| not in ") == 2
    assert "| – | – | – | – |" in table
