from __future__ import annotations

import filecmp
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from tiny import CLASSIFICATION, SEGMENTATION, SOURCES, TINY

from mmtk.runs import read_lines


def run(out: Path | str, *more: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    def restrict() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    over = TINY | CLASSIFICATION | SEGMENTATION | SOURCES
    sets = [part for key, value in over.items() for part in ("--set", f"{key}={str(value).lower()}")]
    call = [sys.executable, "-m", "mmtk", "run", "multimix", "--out", str(out), *sets, *more]
    return subprocess.run(call, capture_output=True, text=True, preexec_fn=restrict)


def test_a_full_disk_ends_the_run_with_a_message_and_it_continues_later(tmp_path: Path, tried: Any) -> None:
    tried("full disk at a checkpoint", "a message; continued to the same bytes")
    whole = run(tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    # The cache is there by now; no file may grow beyond this, so the first checkpoint cannot be written.
    full = run(tmp_path / "full", limit=300_000)
    assert full.returncode == 1
    assert "the disk is full; what was written before is kept" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list((tmp_path / "full" / "checkpoints").iterdir())
    assert len(read_lines(tmp_path / "full" / "metrics.jsonl")) == 3
    later = run(tmp_path / "full")
    assert later.returncode == 0, later.stderr
    assert filecmp.cmp(tmp_path / "full/metrics.jsonl", tmp_path / "whole/metrics.jsonl", shallow=False)


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    done = run("/sys/mmtk-run")  # not even root makes a folder there
    assert done.returncode == 2
    assert "/sys/mmtk-run: cannot be written or read: permission denied." in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_data_is_explained(tmp_path: Path, tried: Any) -> None:
    tried("data folder that is not there", "a message with the folder and the cure")
    call = [
        sys.executable,
        "-m",
        "mmtk",
        "run",
        "multimix",
        "--profile",
        "chest-xray",
        "--out",
        str(tmp_path / "r"),
    ]
    done = subprocess.run([*call, "--data", str(tmp_path / "nowhere")], capture_output=True, text=True)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "--profile phantom" in done.stderr
    assert "Traceback" not in done.stderr
