"""A study that adds seeds until its verdicts are settled, through the real command, at toy size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from moments import mmtk, sets

from mmtk.study.folder import StudyDir

# Images enough for an interval, and a difference that nobody can miss: one system hardly learns.
CHANGES = {
    "encoder__depth": 5,  # which takes more seeds than the first three
    "data__segmentation__source__test": 24,
    "train__steps": 12,
    "train__validate_every": 12,
    "tracking__enabled": False,
}
AXES = "train.lr=0.00001+0.01"


LATER = """
from collections.abc import Iterator, Sequence
from mmtk.api import Job, JobResult, Launcher

class Later(Launcher):
    \"\"\"A queue that runs nothing yet.\"\"\"

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        yield from ()

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        return [job.dir.name for job in jobs]
"""


@pytest.mark.long
def test_a_study_adds_seeds_until_its_verdict_is_settled_and_goes_on_where_it_was(tmp_path: Path) -> None:
    options = ["--components", AXES, "--until", "settled", "--max-seeds", "10", "--out", "study"]
    first = mmtk("ablate", "unet", *options, *sets("classification", "train.lr", **CHANGES), cwd=tmp_path)
    assert first.returncode == 0, first.stderr + first.stdout
    study = StudyDir(tmp_path / "study")
    seeds = {run.seed for run in study.runs()}
    assert 3 <= len(seeds) < 10
    assert "train.lr: 0.00001 → 0.01, Dice: helps, settled at" in first.stderr
    lost = study.runs()[-1].folder.path
    shutil.rmtree(lost)
    again = mmtk("ablate", "study", cwd=tmp_path)
    assert again.returncode == 0, again.stderr + again.stdout
    assert lost.is_dir()
    assert {run.seed for run in study.runs()} == seeds
    refused = mmtk("ablate", "study", "--max-seeds", "12", cwd=tmp_path)
    assert refused.returncode == 2
    assert "this study has its plan already" in refused.stderr
    rule = json.loads(study.file.read_text())["stopping"]
    assert rule["max_seeds"] == 10
    assert set(rule["seeds"].values()) <= {len(seeds)}

    # Another study of the same runs, but for one: each round is looked at until one has something to queue.
    (tmp_path / "later.py").write_text(LATER)
    missing = next(run.folder.path for run in study.runs() if run.seed == 3)
    shutil.rmtree(missing)
    options[-1] = "later"
    launcher = ["--launcher", "code/Later", "--code", "later.py", "--detach"]
    queued = mmtk(
        "ablate", "unet", *options, *launcher, *sets("classification", "train.lr", **CHANGES), cwd=tmp_path
    )
    assert queued.returncode == 0, queued.stderr + queued.stdout
    assert "Dice: open at 3 seeds; another seed" in queued.stderr
    assert f"1 run queued as job {missing.name}" in queued.stdout
