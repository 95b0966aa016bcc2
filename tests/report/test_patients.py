"""Images of one patient are never independent: intervals and tests of studies whose patients are made up."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from test_analysis import factorial, made_cell

from mmtk import stats
from mmtk.report.analysis import analyse
from mmtk.report.intervals import TWO_WAY
from mmtk.report.tables import study as study_tables
from mmtk.study.results import Study
from mmtk.tasks import DOMAINS

DICE = ("in-domain", "segmentation", "dice")


def with_patients(study: Study, count: int) -> Study:
    """The study, its images those of ``count`` patients, and values of Dice that differ between systems."""
    for place, cell in enumerate(study.cells):
        for domain in DOMAINS:
            table = cell.cases[domain, "segmentation"]
            table["patient"] = np.array([f"p{k % count}" for k in range(len(table["id"]))], object)
            own = np.random.default_rng([place, len(domain)])
            effect = np.random.default_rng(9).normal(0, 0.05, count)[np.arange(len(table["id"])) % count]
            table["dice"] = table["dice"] + place * effect + own.normal(0, 0.01, table["dice"].shape)
            for row, (_, run) in enumerate(sorted(cell.runs.items())):
                run.scores[domain]["segmentation"]["dice"] = float(table["dice"][row].mean())
    return study


def test_the_two_way_test_leads_and_leaves_out_all_images_of_a_patient_together() -> None:
    study = with_patients(factorial(), 12)
    analysis = analyse(study)
    reference, other = study.cells[3], study.cells[0]
    (one,) = (
        one for one in analysis.comparisons if one.other is other and (one.domain, one.task, one.metric) == DICE
    )
    gaps = reference.cases[DICE[:2]]["dice"] - other.cases[DICE[:2]]["dice"]
    patients = np.arange(30) % 12
    without = np.array([gaps[:, patients != p].mean(1) for p in range(12)]).T
    expected = stats.two_way(stats.Jackknife(gaps.mean(1), without))
    assert list(one.tests) == [TWO_WAY, "paired", "student"]
    assert one.lead.difference == pytest.approx(one.tests["paired"].difference)
    assert (one.lead.low, one.lead.high, one.lead.p) == pytest.approx((expected.low, expected.high, expected.p))
    as_images = np.array([np.delete(gaps, k, axis=1).mean(1) for k in range(30)]).T
    narrow = stats.two_way(stats.Jackknife(gaps.mean(1), as_images))
    assert one.lead.high - one.lead.low > 1.2 * (narrow.high - narrow.low)
    assert "12 patients" in one.lead.note
    assert any("rest on 12 patients" in note for note in analysis.notes)


def test_effects_and_shares_rest_on_the_same_patients() -> None:
    study = with_patients(factorial(), 12)
    (one,) = (one for one in analyse(study).effects if (one.domain, one.task, one.metric) == DICE)
    none, s, c, both = (cell.cases[DICE[:2]]["dice"] for cell in study.cells)
    by_image = {
        ("bridge: saliency",): (s + both - none - c) / 2,
        ("ssl: confidence",): (c + both - none - s) / 2,
        ("bridge: saliency", "ssl: confidence"): (both - s - c + none) / 2,
    }
    patients = np.arange(30) % 12
    for effect, training in zip(one.effects, one.trainings, strict=True):
        values = by_image[effect.factors]
        without = np.array([values[:, patients != p].mean(1) for p in range(12)]).T
        expected = stats.two_way(stats.Jackknife(values.mean(1), without))
        assert (effect.value, effect.p) == pytest.approx((expected.est, expected.p))
        assert effect.high - effect.low >= training.high - training.low
    assert sum(share.value for share in one.shares) == pytest.approx(one.full - one.start)
    for share, training in zip(one.shares, one.share_trainings, strict=True):
        assert share.value == pytest.approx(training.value)
        assert share.high - share.low >= training.high - training.low


def test_images_without_a_patient_are_named_as_independent() -> None:
    notes = analyse(factorial()).notes
    assert any("no patient is known, so images are taken as independent" in note for note in notes)
    study = with_patients(factorial(), 15)
    for cell in study.cells:
        cell.cases[DICE[:2]]["patient"][:3] = None
    assert any("In-domain segmentation: no patient is known of 3 of 30 images" in n for n in analyse(study).notes)


def test_few_patients_give_no_interval_and_no_p() -> None:
    analysis = analyse(with_patients(factorial(), 6))
    dice = [one for one in analysis.comparisons if one.metric == "dice"]
    assert {(one.lead.name, one.lead.p, one.lead.low) for one in dice} == {(TWO_WAY, None, None)}
    assert any("6 patients, too few for an interval" in note for note in analysis.notes)


def test_an_image_without_a_value_counts_in_no_system_and_is_counted() -> None:
    study = with_patients(factorial(), 30)
    study.cells[0].cases[DICE[:2]]["dice"][1, 4] = np.nan
    analysis = analyse(study)
    assert "In-domain Dice: 1 of 30 images has no value in some run, so no interval counts it." in analysis.notes
    sample = study.jackknives.sample(study.cells[3], *DICE)
    assert (sample.left_out, sample.jackknife.patients) == (1, 29)
    kept = np.delete(study.cells[3].cases[DICE[:2]]["dice"], 4, axis=1)
    assert sample.jackknife.score == pytest.approx(kept.mean(1))


def test_a_run_without_values_per_image_is_left_out_of_the_two_way_test_alone() -> None:
    study = with_patients(factorial(), 30)
    study.cells[0].cases[DICE[:2]]["dice"][2] = np.nan
    (one,) = (
        one
        for one in analyse(study).comparisons
        if one.other is study.cells[0] and (one.domain, one.task, one.metric) == DICE
    )
    assert (one.lead.n, one.tests["paired"].n) == (3, 4)


def test_one_seed_speaks_of_new_patients_and_has_no_verdict() -> None:
    study = with_patients(factorial(range(1)), 30)
    analysis = analyse(study)
    (one,) = (
        one
        for one in analysis.comparisons
        if one.other is study.cells[0] and (one.domain, one.task, one.metric) == DICE
    )
    assert one.lead.low < one.lead.difference < one.lead.high
    assert (one.lead.p, one.lead.adjusted) == (None, None)
    rows = study_tables.tests(analysis)
    (row,) = (
        r
        for r in rows.rows
        if r[0].text == "MultiMix − UMTL" and r[3].text == "Dice" and r[2].text == DICE[0] and r[6].text == TWO_WAY
    )
    assert row[7].text == "new patients for these networks"


def test_runs_that_hold_no_patients_take_them_from_those_that_do() -> None:
    study = with_patients(factorial(), 15)
    del study.cells[0].cases[DICE[:2]]["patient"]
    images = study.jackknives.images(*DICE[:2])
    assert (images.unnamed, len(set(images.patients))) == (0, 15)


def test_a_score_that_its_values_per_image_do_not_give_has_student_s_t() -> None:
    study = with_patients(factorial(), 30)
    study.cells[1].runs[2].scores["in-domain"]["segmentation"]["dice"] += 0.01
    analysis = analyse(study)
    leads = {
        one.other.name: one.lead.name for one in analysis.comparisons if (one.domain, one.task, one.metric) == DICE
    }
    assert leads == {"UMTL": TWO_WAY, "UMTL-S": "paired t-test", "UMTL-SSL": TWO_WAY}
    assert any(
        "in-domain Dice" in note and "the score is not what its values per image give" in note
        for note in analysis.notes
    )
    adjusted = [one.lead for one in analysis.comparisons if one.metric == "dice"]
    assert [test.adjusted for test in stats.holm(adjusted)] == [test.adjusted for test in adjusted]


def test_a_plugin_s_score_without_a_formula_has_student_s_t() -> None:
    cells = [made_cell("A", (), 0.0, reference=True), made_cell("B", (), 0.1)]
    for cell in cells:
        for run in cell.runs.values():
            run.scores["in-domain"]["segmentation"]["average-hausdorff"] += run.seed / 100
    found = [one for one in analyse(Study("study", cells, [0, 1, 2, 3])).comparisons if "haus" in one.metric]
    assert {one.lead.name for one in found} == {"paired t-test"}


@pytest.mark.parametrize(
    ("formula", "why"),
    [
        ("no_such_module:score", "its formula no_such_module:score cannot be imported"),
        ("antigravity:geohash", "no installed plugin has the module antigravity"),
        ("median:dice", "medians, quantiles and scores at a threshold chosen on the test set"),
        ("mean:jaccard", "the score is not what its values per image give"),
    ],
)
def test_a_score_without_an_interval_says_why(formula: str, why: str) -> None:
    study = with_patients(factorial(), 12)
    for cell in study.cells:
        for _, run in sorted(cell.runs.items()):
            declared = run.declared["segmentation"]
            declared["dice"] = replace(declared["dice"], formula=formula)
        for domain in DOMAINS:
            cell.cases[domain, "segmentation"]["jaccard"] = cell.cases[domain, "segmentation"]["dice"] / 2
    notes = [note for note in analyse(study).notes if "in-domain Dice" in note]
    assert [note for note in notes if why in note and "so intervals and tests are those over seeds" in note], notes
    assert "antigravity" not in sys.modules
