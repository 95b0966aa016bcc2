"""Data that say little: every report has a sentence or an error on them, and no number that looks sure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_analysis import factorial
from test_patients import DICE, with_patients

from mmtk.errors import MmtkError
from mmtk.report.analysis import Analysis, analyse
from mmtk.report.answer import summary_lines
from mmtk.report.claims import Claim, claims
from mmtk.runs.arrays import read_cases
from mmtk.study.results import Study

CLASSES = ("in-domain", "classification")


def on_dice(analysis: Analysis) -> list[Claim]:
    """Claims on Dice in-domain."""
    return [claim for claim in claims(analysis) if claim.score == "Dice in-domain"]


def nothing_sure(some: Iterable[Claim], note: str) -> None:
    """Hold that claims are open, without p and interval, and say why."""
    some = list(some)
    assert some
    for claim in some:
        assert claim.verdict.word == "open"
        assert (claim.low, claim.high, claim.adjusted) == (None, None, None)
        assert claim.interval is not None
        assert note in claim.interval.note


def test_one_patient_gives_no_interval_and_a_sentence() -> None:
    analysis = analyse(with_patients(factorial(), 1))
    nothing_sure(on_dice(analysis), "1 patient: too few for an interval, which takes 10")
    assert any("1 patient, too few for an interval" in line for line in summary_lines(analysis))


def test_equal_values_give_no_interval_and_no_p() -> None:
    study = with_patients(factorial(), 30)
    for cell in study.cells:
        cell.cases[DICE[:2]]["dice"] = np.full_like(cell.cases[DICE[:2]]["dice"], 0.9)
        for run in cell.runs.values():
            run.scores["in-domain"]["segmentation"]["dice"] = 0.9
    analysis = analyse(study)
    nothing_sure(on_dice(analysis), "no variation")
    (reason,) = (line for line in summary_lines(analysis) if line.startswith("No interval of"))
    assert reason.endswith("Dice in-domain: no variation.")
    assert not any("more patients can" in line and "Dice in-domain" in line for line in summary_lines(analysis))


def classified(target: np.ndarray, patients: np.ndarray) -> Study:
    """A study whose runs classify images of patients, some of them wrongly."""
    study = factorial()
    for place, cell in enumerate(study.cells):
        table = cell.cases[CLASSES]
        rng = np.random.default_rng(place)
        table["patient"] = np.array([f"p{name}" for name in patients], object)
        table["target"] = np.tile(target.astype(float), (len(cell.runs), 1))
        wrong = rng.random(table["target"].shape) < 0.3
        table["predicted"] = np.where(wrong, 1 - table["target"], table["target"])
        table["p-normal"], table["p-pneumonia"] = 1 - table["predicted"], table["predicted"]
        for row, (_, run) in enumerate(sorted(cell.runs.items())):
            hits = table["predicted"][row] == target
            present = [hits[target == k].mean() for k in (0, 1) if (target == k).any()]
            run.scores["in-domain"]["classification"]["balanced-accuracy"] = float(np.mean(present))
            run.scores["in-domain"]["classification"]["accuracy"] = float(hits.mean())
    return study


def test_a_patient_in_both_classes_is_left_out_of_both_together() -> None:
    patients, target = np.arange(30) // 2, np.arange(30) % 2  # every patient has one image of each class
    study = classified(target, patients)
    sample = study.jackknives.sample(study.cells[0], *CLASSES, "balanced-accuracy")
    assert sample is not None
    hits = study.cells[0].cases[CLASSES]["predicted"] == target
    for number in range(15):
        rest = patients != number
        by_hand = [(hits[:, rest & (target == k)]).mean(1) for k in (0, 1)]
        assert sample.jackknife.without[:, number] == pytest.approx(np.mean(by_hand, 0))
    assert sample.jackknife.smaller_class == 15


def test_a_class_of_one_patient_leaves_no_interval_and_says_so() -> None:
    target = (np.arange(30) >= 27).astype(int)  # its three images are those of one patient
    analysis = analyse(classified(target, np.minimum(np.arange(30), 27)))
    some = [one for one in claims(analysis) if one.score == "balanced accuracy in-domain"]
    nothing_sure(some, "images of class 'pneumonia' come from one patient")
    reasons = [line for line in summary_lines(analysis) if line.startswith("No interval of")]
    assert any(
        line.endswith("balanced accuracy in-domain: all images of class 'pneumonia' come from one patient.")
        for line in reasons
    )


def test_a_class_without_images_says_that_its_score_is_undefined() -> None:
    study = classified(np.zeros(30, int), np.arange(30))
    for cell in study.cells:  # as runs write it: no AUROC of one class
        for run in cell.runs.values():
            del run.scores["in-domain"]["classification"]["auroc"]
    analysis = analyse(study)
    assert not any(one.metric == "auroc" and one.domain == "in-domain" for one in analysis.comparisons)
    assert any(one.metric == "auroc" and one.domain == "cross-domain" for one in analysis.comparisons)


def test_systems_with_other_images_share_those_that_all_have_and_say_so() -> None:
    study = with_patients(factorial(), 30)
    table = study.cells[0].cases[DICE[:2]]
    for name in table:
        table[name] = table[name][..., 2:]
    for row, (_, run) in enumerate(sorted(study.cells[0].runs.items())):
        run.scores["in-domain"]["segmentation"]["dice"] = float(table["dice"][row].mean())
    analysis = analyse(study)
    assert (
        "In-domain Dice: 2 of 30 images have no value in some run, so no interval counts them." in analysis.notes
    )
    (claim,) = (one for one in on_dice(analysis) if one.what == "bridge: saliency")
    assert claim.interval is not None
    assert claim.interval.patients == 28


def _file(path: Path, patients: Iterable[str | None]) -> Path:
    names = list(patients)
    columns = {
        "domain": ["in-domain"] * len(names),
        "task": ["segmentation"] * len(names),
        "id": [f"image-{k}" for k in range(len(names))],
        "dice": [0.9] * len(names),
        "patient": pa.array(names, pa.string()),
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_old_runs_that_group_images_into_other_patients_are_refused(tmp_path: Path) -> None:
    old = _file(tmp_path / "old.parquet", ["p1", "p1", "p2", None])
    same = _file(tmp_path / "same.parquet", ["p8", "p8", "p9", "p7"])  # numbered anew
    new = _file(tmp_path / "new.parquet", ["p1", "p2", "p2", "p3"])
    unnamed = _file(tmp_path / "unnamed.parquet", [None] * 4)
    assert read_cases([old, same])[DICE[:2]]["patient"].tolist() == ["p1", "p1", "p2", None]
    assert read_cases([unnamed, new])[DICE[:2]]["patient"].tolist() == ["p1", "p2", "p2", "p3"]
    with pytest.raises(MmtkError, match="groups 4 images into other patients than other runs do") as caught:
        read_cases([old, new])
    assert caught.value.where == str(new)
    study = with_patients(factorial(), 12)
    study.cells[2].cases[DICE[:2]]["patient"] = np.array([f"p{k // 3}" for k in range(30)], object)
    with pytest.raises(MmtkError, match="groups 30 images into other patients") as caught:
        analyse(study)
    assert caught.value.where == "UMTL-SSL: in-domain segmentation"
