"""Foresight of a plan: from the spread of a study, or a typical one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as oracle
from test_analysis import factorial
from test_patients import with_patients

from mmtk.errors import MmtkError
from mmtk.report.foresight import Spread, power_lines, spreads_of, typical_spreads
from mmtk.scores import ScoreInfo


def test_the_spread_of_a_study_is_that_of_the_differences_of_its_questions() -> None:
    study = with_patients(factorial(range(5)), 12)
    (dice,) = (one for one in spreads_of(study) if one.info.label == "Dice")
    cells = {
        cell.name: np.array([*cell.values("in-domain", "segmentation", "dice").values()]) for cell in study.cells
    }
    saliency = (cells["UMTL-S"] + cells["MultiMix"] - cells["UMTL"] - cells["UMTL-SSL"]) / 2
    confidence = (cells["UMTL-SSL"] + cells["MultiMix"] - cells["UMTL"] - cells["UMTL-S"]) / 2
    assert dice.seed_variance == pytest.approx(np.median([np.var(one, ddof=1) for one in (saliency, confidence)]))
    assert dice.patients == 12


def test_a_study_of_one_seed_says_nothing_of_its_spread() -> None:
    with pytest.raises(MmtkError, match="no question has two seeds"):
        spreads_of(with_patients(factorial(range(1)), 12))


def test_what_is_promised_is_found_four_times_of_five() -> None:
    """Student's t of 4,000 simulated studies at the difference that a line names."""
    (line,) = power_lines(6, [Spread(ScoreInfo("Dice"), 0.03**2, 0.0, 1_000_000)], "made up")[1:]
    size = float(line.split()[4])
    gaps = np.random.default_rng(0).normal(size, 0.03, (4000, 6))
    assert np.mean(oracle.ttest_1samp(gaps, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


def test_lines_name_the_source_and_what_the_margin_takes() -> None:
    spreads = [
        Spread(ScoreInfo("Dice", margin=0.01), 0.002**2, 0.0, 200),
        Spread(ScoreInfo("AUROC", margin=0.01), 0.002**2, 0.02**2, 200),
    ]
    heading, dice, auroc = power_lines(3, spreads, "by the spread of studies/a")
    assert heading == "What 3 seeds can find, 80% of the time, of two systems (by the spread of studies/a):"
    assert dice.endswith("one of 0.010, its margin, takes 3 seeds")
    assert auroc.endswith("one of 0.010, its margin, takes more patients")
    assert power_lines(1, spreads, "") == ["One seed finds nothing: a difference may be luck."]


def test_typical_spreads_are_of_the_tasks_that_are_trained() -> None:
    assert [one.info.label for one in typical_spreads(["segmentation"])] == ["Dice"]
    assert [one.info.label for one in typical_spreads(["classification", "segmentation"])] == [
        "balanced accuracy",
        "Dice",
    ]
