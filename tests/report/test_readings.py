"""Strata and readings of a system, in studies whose images and attributes are made up."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from test_analysis import factorial
from tiny import tiny

import mmtk
from mmtk.report.analysis import Analysis, analyse
from mmtk.report.answer import summary_lines
from mmtk.report.intervals import WHOLE_SCALE
from mmtk.report.readings import Readings
from mmtk.report.strata import Strata
from mmtk.report.tables import strata
from mmtk.report.tables.strata import warnings
from mmtk.study.results import Study
from mmtk.tasks import DOMAINS

IMAGES, PATIENTS = 240, 120


def study(reads: float = 0.0, sees: float = 1.5, harms: float = 0.0, seeds: int = 3) -> Study:
    """A factorial whose scores of pneumonia are moved by the class, and by the view.

    reads: how far the view PA moves every score
    sees: how far the class does
    harms: how much less of Dice saliency gives to the view PA
    """
    made = factorial(range(seeds), images=IMAGES)
    rng = np.random.default_rng(7)
    view, ill = rng.random(IMAGES) < 0.5, rng.random(IMAGES) < 0.5
    base, ages = rng.normal(size=IMAGES), rng.integers(20, 90, IMAGES).astype(float)
    for place, cell in enumerate(made.cells):
        for domain in DOMAINS:
            masks, classes = cell.cases[domain, "segmentation"], cell.cases[domain, "classification"]
            noise = np.random.default_rng([place, len(domain)]).normal(0, 0.3, (seeds, IMAGES))
            score = 1 / (1 + np.exp(-(sees * (ill - 0.5) + reads * (view - 0.5) + base + noise)))
            own = np.random.default_rng([place, 9]).normal(0, 0.02, (seeds, IMAGES))
            masks["dice"] = masks["dice"] + own - harms * view * (place % 2)
            numbers = {"target": np.tile(ill, (seeds, 1)), "predicted": score > 0.5}
            numbers |= {"p-normal": 1 - score, "p-pneumonia": score}
            classes.update({name: np.asarray(values, float) for name, values in numbers.items()})
            for table in (masks, classes):
                table["patient"] = np.array([f"p{k % PATIENTS:03}" for k in range(IMAGES)], object)
                table["metadata:view"] = np.where(view, "PA", "AP").astype(object)
                table["metadata:age"] = np.tile(ages, (seeds, 1))
            for row, (_, run) in enumerate(sorted(cell.runs.items())):
                right = [(score[row] > 0.5)[ill == side] == side for side in (False, True)]
                run.scores[domain]["segmentation"]["dice"] = float(masks["dice"][row].mean())
                run.scores[domain]["classification"]["balanced-accuracy"] = float(
                    np.mean([r.mean() for r in right])
                )
    return made


@functools.cache
def analysis_where_saliency_harms_the_view_pa() -> Analysis:
    return analyse(study(harms=0.2))


def rows(analysis: Analysis, attribute: str, task: str = "classification") -> dict[str, object]:
    return {
        row.group: row
        for row in analysis.strata.scores
        if (row.attribute, row.images.domain, row.images.task) == (attribute, "in-domain", task)
    }


def test_a_system_that_sees_the_class_raises_no_warning():
    analysis = analyse(study())
    assert warnings(analysis.readings) == []
    assert all(row.adjusted > 0.05 for row in analysis.strata.scores)
    assert {one.side for one in analysis.readings.readings} == {"view PA", "age above 54"}


def test_a_system_that_reads_the_view_is_named_with_both_numbers():
    analysis = analyse(study(reads=2.5, sees=0.3))
    first, second = warnings(analysis.readings)
    assert first.startswith(
        "In-domain classification: the score may read view. Among images of one class it tells"
    )
    assert "view PA with an AUROC of 0.9" in first
    assert second.startswith("Cross-domain classification: the score may read view.")
    assert "age above" not in first
    assert first in summary_lines(analysis)


def test_a_view_read_the_other_way_round_is_told_upright():
    result = analyse(study(reads=-2.5, sees=0.3)).readings
    (first, _) = warnings(result)
    assert "view PA (by lower scores) with an AUROC of 0.9" in first
    row = next(row for row in strata.readings(result.readings).rows if row[1].text.startswith("view PA"))
    assert f"{row[1].text} with an AUROC of {row[2].text} ({row[2].note});" in first  # one number, one direction


def test_scores_of_groups_their_worst_and_their_gap():
    table = rows(analysis_where_saliency_harms_the_view_pa(), "view", "segmentation")
    assert table["PA"].worst
    assert not table["AP"].worst
    assert table["AP"].difference.est == pytest.approx(0.2, abs=0.03)
    assert table["PA"].adjusted < 0.001
    assert table["PA"].interval.low < table["PA"].interval.est < table["PA"].interval.high
    assert sum(row.count for row in table.values()) == IMAGES


def test_a_component_that_does_other_things_to_a_group_is_told():
    analysis = analysis_where_saliency_harms_the_view_pa()
    found = {
        row.group: row
        for row in analysis.strata.effects
        if (row.effect, row.attribute, row.images.name) == ("bridge: saliency", "view", "in-domain segmentation")
    }
    assert found["PA"].difference.est == pytest.approx(-0.2, abs=0.03)
    assert found["PA"].adjusted < 0.001
    same = [row for row in analysis.strata.effects if (row.effect, row.attribute) == ("ssl: confidence", "view")]
    assert len(same) == 8
    assert all(row.adjusted > 0.05 for row in same)


def test_auroc_within_groups_stands_beside_the_pooled_one():
    analysis = analyse(study(reads=3, sees=1.5))
    (view,) = (one for one in analysis.strata.within if one.attribute == "view" and "in-domain" in one.images.name)
    assert view.within.est > view.pooled.est + 0.03
    assert view.difference.est == pytest.approx(view.within.est - view.pooled.est)


def test_no_interval_passes_what_an_auroc_can_be():
    """Two seeds, of which the second takes every class for the other: all is possible."""
    made = study(reads=3, sees=1.5, seeds=2)
    for cell in made.cells:
        for domain in DOMAINS:
            table = cell.cases[domain, "classification"]
            for name in ("p-normal", "p-pneumonia"):
                table[name][1] = 1 - table[name][1]
    analysis = analyse(made)
    within, found = analysis.strata.within, analysis.readings
    intervals = [end for one in within for end in (one.pooled, one.within)]
    intervals += [one.label for one in found.readings] + [
        end for one in found.guesses for end in (one.auroc, one.network)
    ]
    assert len(intervals) > 10
    drawn = [one for one in intervals if one.low is not None]
    assert all(0 <= one.low <= one.high <= 1 and one.high - one.low < 1 for one in drawn)
    unsure = [one for one in intervals if one.low is None]
    assert unsure
    assert all(WHOLE_SCALE in one.note for one in unsure)
    differences = [one.difference for one in within if one.difference.low is not None]
    assert all(-1 <= one.low <= one.high <= 1 for one in differences)


def test_a_guesser_that_beats_the_network_is_named():
    made = study(sees=0)
    for cell in made.cells:
        table = cell.cases["in-domain", "classification"]
        known = (table["target"][0] == 1) ^ (np.random.default_rng(2).random(IMAGES) < 0.1)
        table["metadata:view"] = np.where(known, "PA", "AP").astype(object)
    (line,) = warnings(analyse(made).readings)
    assert line.startswith("In-domain classification: what the source knows tells the class with an AUROC of 0.8")


def test_a_guesser_is_not_said_to_beat_a_network_of_which_nothing_is_known():
    """Two seeds that disagree: the interval of the network holds every AUROC, so nothing beats it."""
    unsure_study = study(sees=0, seeds=2)
    for cell in unsure_study.cells:
        table = cell.cases["in-domain", "classification"]
        ill = table["target"][0] == 1
        view = ill ^ (np.random.default_rng(2).random(IMAGES) < 0.3)
        table["metadata:view"] = np.where(view, "PA", "AP").astype(object)
        for seed, right in enumerate((0.9, 0.1)):
            guess_of_class = ill ^ (np.random.default_rng(3).random(IMAGES) > right)
            table["p-pneumonia"][seed] = np.where(guess_of_class, 0.8, 0.2)
            table["p-normal"][seed] = 1 - table["p-pneumonia"][seed]
    guesses = [one for one in analyse(unsure_study).readings.guesses if one.of == "what the source knows"]
    assert [one.auroc.low > max(0.5, one.network.est) for one in guesses if one.images.name.startswith("in-")] == [
        True
    ]
    assert not any(one.alarms for one in guesses)


def few(made: Study, values: np.ndarray) -> Study:
    for cell in made.cells:
        cell.cases["in-domain", "classification"]["metadata:site"] = values.astype(object)
    return made


def test_a_group_of_few_patients_has_a_sentence_in_place_of_a_number():
    values = np.where(np.arange(IMAGES) % PATIENTS < 9, "small", "large")
    row = rows(analyse(few(study(), values)), "site")["small"]
    assert (row.interval, row.patients, row.note) == (None, 9, "9 patients: too few")


def test_a_group_of_one_class_has_a_sentence_in_place_of_a_number():
    made = study()
    ill = made.cells[0].cases["in-domain", "classification"]["target"][0] == 1
    values = np.where(ill & (np.arange(IMAGES) % 2 == 0), "ward", "clinic")
    analysis = analyse(few(made, values))
    assert rows(analysis, "site")["ward"].interval is None
    assert rows(analysis, "site")["ward"].note == "not all classes in it"
    assert any("site has at most one value in one class" in note for note in analysis.readings.notes)


def test_runs_without_attributes_have_neither_section():
    analysis = analyse(factorial())
    assert (analysis.strata, analysis.readings) == (Strata(), Readings())


@pytest.mark.long
def test_the_report_of_a_run_has_both_sections_and_says_what_is_not_looked_at(tmp_path):
    recipe = tiny("enc").with_values(
        {f"data.classification.{role}.shortcut": "border" for role in ("source", "cross")}
    )
    mmtk.run(recipe, tmp_path / "run", pictures=False)
    page = mmtk.report(tmp_path / "run").page
    assert page == tmp_path / "run/report/index.html"
    text = page.with_name("report.md").read_text()
    assert "## Where it holds" in text
    assert "border yes" in text.split("## What it may be reading")[1]
    assert "patients: too few" in text  # ten test images
    assert 'id="readings"' in page.read_text()
    assert ">Run, mmtk<" in page.read_text()
    assert "Saliency maps" not in page.read_text()  # none were measured
    assert not (tmp_path / "run/report/figures/map-scores.png").exists()
    names = {path.stem for path in (tmp_path / "run/report/tables").glob("*.csv")}
    assert {"strata", "within", "readings"} <= names
