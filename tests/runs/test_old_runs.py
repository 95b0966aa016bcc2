"""Runs and a study of mmtk 0.1 are read, reported, predicted with and continued by this version.

``fixtures/v0.1.tar.xz`` was written by mmtk 0.1.0 at commit 172aeed on the phantom at 32 pixels: a study of three
systems and two seeds (figures and all but one checkpoint left out, which no seal covers), and a run of the recipe
``enc`` that was stopped after step 41 of 120.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

import mmtk
from mmtk.cli import main as cli

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "v0.1.tar.xz"
FINISHED = "runs/umtl-ssl-bdcd368619-s0"


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(folder, filter="data")
    return folder / "v0.1"


def command(capsys, monkeypatch, folder: Path, *words: str) -> str:
    """Run a command in a folder; what it printed."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["mmtk", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert not ended.value.code, err
    return " ".join((out + err).split())


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix in (".json", ".jsonl", ".toml")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_status_of_an_old_study_knows_every_run(capsys, monkeypatch, archive):
    before = hashes(archive)
    text = command(capsys, monkeypatch, archive, "status", "studies/ssl")
    for system in ("UMTL", "UMTL-SSL", "MultiMix"):
        assert system in text
    assert text.endswith("6 done")
    assert hashes(archive) == before


def test_patients_of_an_old_study_are_those_of_its_source(archive):
    (path,) = (file.parent for file in archive.rglob("study.json"))
    images = mmtk.read_study(path).jackknives.images("in-domain", "segmentation")
    assert images.unnamed == 0
    numbers = [int(name[-6:]) for name in images.ids]  # every fifth film of the phantom is a second of a patient
    persons = [number // 5 * 4 + min(number % 5, 3) for number in numbers]
    pairs = {*zip(persons, images.patients.tolist(), strict=True)}
    assert len(pairs) == len({*persons}) == len({*images.patients.tolist()}) < len(numbers)


def test_an_old_study_is_read_in_python(archive):
    (path,) = (file.parent for file in archive.rglob("study.json"))
    study = mmtk.read_study(path)
    table = study.frame()
    assert {*table.system} == {*study.systems.values()}
    assert len(table.groupby(["digest", "seed"])) == sum(len(cell.runs) for cell in study.cells) > 0
    assert "average-hausdorff" in {*table.metric}
    assert "hausdorff" not in {*table.metric}


def test_an_old_finished_run_is_not_run_again(capsys, monkeypatch, archive):
    before = hashes(archive / FINISHED)
    text = command(capsys, monkeypatch, archive, "run", FINISHED)
    assert hashes(archive / FINISHED) == before
    assert f"made with other versions (mmtk: 0.1.0 then, {mmtk.__version__} now). To run it again, choose" in text
    assert "is finished; nothing to do." in text


def test_an_old_finished_run_is_sent_to_mlflow(capsys, monkeypatch, archive, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    text = command(capsys, monkeypatch, archive, "track", FINISHED)
    assert "5 files, the model to sqlite" in text
    (file,) = tmp_path.glob("mlruns/models/*/artifacts/requirements.txt")
    # The code that is logged with the model is of this version, so this version loads it.
    assert f"mmtk=={mmtk.__version__}" in file.read_text().split()


@pytest.mark.long
def test_an_old_study_goes_on_beside_its_finished_runs_and_is_reported(capsys, monkeypatch, archive, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(archive, copy)
    missing, *others = sorted(copy.glob("runs/*-s*"))
    shutil.rmtree(missing)
    before = {run: hashes(run) for run in others}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    text = command(capsys, monkeypatch, copy, "ablate", "studies/ssl")
    assert "5 finished runs were made with other versions than the missing ones will be (mmtk: 0.1.0" in text
    assert "[6/6] " in text
    assert json.loads((missing / "provenance.json").read_text())["mmtk"] == mmtk.__version__
    for run, digests in before.items():
        after = hashes(run)
        assert {path: after[path] for path in digests} == digests
    assert command(capsys, monkeypatch, copy, "status", "studies/ssl").endswith("6 done")
    dice = [
        json.loads((run / "results.json").read_text())["in-domain"]["segmentation"]["dice"]
        for run in others
        if run.name.startswith("umtl-5f21bd3747-s")
    ]
    report = copy / "studies" / "ssl" / "report"
    assert len(dice) == 2
    assert f"{np.mean(dice):.3f}" in (report / "report.md").read_text()
    with next(report.rglob("runs.csv")).open() as table:
        assert len(list(csv.DictReader(table))) == 6


def test_an_old_run_predicts(archive):
    predictor = mmtk.load(archive / FINISHED)
    (case,) = predictor([np.random.default_rng(0).integers(0, 256, (48, 40)).astype(np.uint8)])
    assert case.mask is not None
    assert case.mask.shape == (1, 48, 40)
    assert case.classes is not None
    assert sum(case.classes.values()) == pytest.approx(1)


@pytest.mark.long
def test_an_old_run_goes_on_where_it_stopped(capsys, monkeypatch, archive):
    run = archive / "runs" / "unfinished"
    first = (run / "metrics.jsonl").read_bytes()
    command(capsys, monkeypatch, archive, "run", "runs/unfinished", "--no-pictures")
    after = (run / "metrics.jsonl").read_bytes()
    assert after.startswith(first)
    steps = [json.loads(line) for line in after.splitlines()]
    assert [line["step"] for line in steps if "train/loss" in line] == list(range(1, 121))
    assert (run / "done.json").is_file()
