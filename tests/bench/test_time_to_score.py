"""The race to a score at toy size: mmtk and the plain loop on the phantom, with goals that any network reaches."""

from __future__ import annotations

import json
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


@pytest.mark.long
def test_a_score_that_is_not_reached_is_a_dash_and_not_tested(tmp_path: Path) -> None:
    options = ("--peers", "plain", "--dice", "1.01", "--auroc", "1.01", "--limit", "3")
    rows, table = race(tmp_path, *options, python=fork_server.python())
    assert rows[0]["tasks"] == {}
    assert "| – | – | – | – | – | – |" in table
