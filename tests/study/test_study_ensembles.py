"""Ensembles of a study's cells: scored once, and shown in the report beside single runs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import TOY

import mmtk
from mmtk.cli.main import main
from mmtk.errors import MmtkError
from mmtk.report.ensembles import Row, rows_of
from mmtk.runs.arrays import read_cases
from mmtk.scores import ScoreInfo
from mmtk.stats import Interval
from mmtk.study.ensembles import ensembles_of
from mmtk.study.folder import StudyDir
from mmtk.workflows.cell_ensembles import evaluate_cells
from mmtk.workflows.members import run_folders
from mmtk.workflows.report import report


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two systems with two seeds, and their ensembles."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        changes = {**TOY, "encoder.depth": 3, "train.lr": 0.01, "data.classification.cross.test": 24}
        keys: dict[str, Any] = {"profile": "phantom", "overrides": changes, "launcher": "inline", "seeds": 2}
        mmtk.ablate("enc-ssl", "ssl", out=folder / "study", **keys)
    evaluate_cells(folder / "study", device="cpu")
    return folder / "study"


def balanced_accuracy(p: np.ndarray, target: np.ndarray) -> float:
    return float(np.mean([(p >= 0.5)[target == 1].mean(), (p < 0.5)[target == 0].mean()]))


@pytest.mark.long
def test_the_report_shows_single_runs_and_their_ensemble(study: Path) -> None:
    shown = report(study)
    rows = rows_of(shown.analysis)
    assert {(row.cell.name, row.domain) for row in rows} == {
        (name, domain) for name in ("Enc", "Enc-SSL") for domain in ("in-domain", "cross-domain")
    }
    cells = {cell.digest: cell for cell in StudyDir(study).collect().cells}
    for row in rows:
        table = read_cases([run.folder.cases_file for run in cells[row.cell.digest].runs.values()])
        columns = table[row.domain, "classification"]
        target = columns["target"][0]
        assert row.ensemble == pytest.approx(balanced_accuracy(columns["p-pneumonia"].mean(0), target))
        assert row.single == pytest.approx(np.mean([balanced_accuracy(p, target) for p in columns["p-pneumonia"]]))
        assert (row.lead is None) == (row.cell.name == "Enc-SSL")
    page = (study / "report" / "report.md").read_text()
    assert "## Ensembles" in page
    assert "With the runs of each system averaged, the reference's lead survives in" in page
    assert (study / "report" / "tables" / "ensembles.csv").is_file()


@pytest.mark.long
def test_an_ensemble_of_the_same_runs_is_not_scored_again_and_of_others_not_shown(
    study: Path, tmp_path: Path
) -> None:
    results = StudyDir(study).collect()
    folders = ensembles_of(study, results)
    times = {name: (folder / "results.json").stat().st_mtime_ns for name, folder in folders.items()}
    evaluate_cells(study, device="cpu")
    assert {name: (folder / "results.json").stat().st_mtime_ns for name, folder in folders.items()} == times
    copy = shutil.copytree(study / "ensembles", tmp_path / "ensembles") / results.cells[0].digest
    facts = json.loads((copy / "evaluation.json").read_text())
    (copy / "evaluation.json").write_text(json.dumps({**facts, "runs": facts["runs"][:1]}))
    assert {*ensembles_of(tmp_path, results)} == {*folders} - {results.cells[0].digest}


@pytest.mark.parametrize(
    ("lead", "low", "high", "answer"),
    [
        (0.1, 0.01, 0.2, "survives"),
        (-0.1, -0.3, -0.01, "survives"),
        (0.1, -0.2, -0.1, "turns round"),
        (0.1, -0.1, 0.2, "open"),
        (0.1, None, None, "open"),
        (None, 0.1, 0.2, ""),
    ],
)
def test_a_lead_survives_where_the_interval_of_the_ensembles_is_on_its_side(
    study: Path, lead: float | None, low: float | None, high: float | None, answer: str
) -> None:
    cell = StudyDir(study).collect().cells[0]
    interval = Interval(0.0, low, high, None, None, 0.0, 0.0, 1, 10)
    assert Row(cell, "in-domain", "classification", ScoreInfo("x"), 0.5, 0.5, lead, interval).answer == answer


@pytest.mark.long
def test_a_cell_of_a_study_is_its_runs(study: Path, tmp_path: Path) -> None:
    runs = run_folders(study, "Enc")
    assert [path.name[-2:] for path in runs] == ["s0", "s1"]
    assert run_folders(study, "Enc 8 class labels") == runs
    with pytest.raises(MmtkError, match=r"which cell\?") as refused:
        run_folders(study)
    assert refused.value.hint == "Cells: Enc 8 class labels, Enc-SSL 8 class labels."
    with pytest.raises(MmtkError, match=r"--cell Encc: names no cell\. Did you mean"):
        run_folders(study, "Encc")
    with pytest.raises(MmtkError, match="is a study, which is asked alone"):
        run_folders([study, runs[0]], "Enc")


def test_a_plan_takes_its_power_from_the_spread_of_another_study(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = [word for key, value in TOY.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    words = [
        "ablate",
        "enc-ssl",
        "--components",
        "ssl",
        "--seeds",
        "3",
        "--dry-run",
        "--like",
        str(study),
        *changes,
    ]
    monkeypatch.setattr(sys, "argv", ["mmtk", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = " ".join(capsys.readouterr().out.split())
    assert f"by the spread of {study}" in printed
    assert "typical of real films" not in printed
