"""Scores on groups of images and AUROC within groups, against deletion by hand; guesses without an image."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mmtk.stats.guess import guess, patient_folds
from mmtk.stats.strata import auroc_within, gap, interval_on_part, on_part
from mmtk.stats.two_way import two_way


def world(
    seed: int, images: int = 90, patients: int = 30
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores [2, images], class, group (−1 to 2) and patient of every image."""
    rng = np.random.default_rng(seed)
    person = rng.integers(0, patients, images)
    ill = rng.random(images) < 0.5
    group = rng.integers(-1, 3, images)
    return rng.normal(size=(2, images)) + 0.7 * ill + 0.4 * group, ill, group, person


def by_hand(row: np.ndarray, ill: np.ndarray, group: np.ndarray) -> float:
    """Σ wins / Σ pairs, pair by pair."""
    wins = pairs = 0.0
    for one in np.flatnonzero(ill):
        for other in np.flatnonzero(~ill):
            if group[one] == group[other] >= 0:
                wins += 0.5 * (row[one] == row[other]) + (row[one] > row[other])
                pairs += 1
    return wins / pairs


def test_auroc_within_groups_is_that_of_pairs_inside_a_group():
    values, ill, group, person = world(0)
    values = values.round(1)  # ties
    sample = auroc_within(values, ill, group, person)
    for row, score, without in zip(values, sample.score, sample.without, strict=True):
        assert score == pytest.approx(by_hand(row, ill, group))
        for place, name in enumerate(np.unique(person)):
            rest = person != name
            assert without[place] == pytest.approx(by_hand(row[rest], ill[rest], group[rest]))


def test_one_group_is_the_auroc_of_scikit_learn():
    values, ill, _, person = world(1)
    sample = auroc_within(values, ill, np.zeros(len(ill), int), person)
    assert sample.score == pytest.approx([roc_auc_score(ill, row) for row in values])


def test_groups_of_one_side_each_have_no_auroc():
    values, ill, _, person = world(2)
    sample = auroc_within(values, ill, ill.astype(int), person)
    assert sample.note == "no group has images of both sides"
    assert two_way(sample).low is None


def test_a_part_rests_on_its_own_patients():
    values, ill, group, person = world(3)
    columns = {"target": np.tile(ill, (2, 1)), "p-a": -values, "p-b": values, "predicted": values > 0}
    part = group == 1
    sample = on_part("auroc", columns, person, part)
    for place, name in enumerate(np.unique(person)):
        rest = part & (person != name)
        assert sample.without[:, place] == pytest.approx([roc_auc_score(ill[rest], row[rest]) for row in values])
    interval = interval_on_part(sample, person, part)
    assert interval.patients == len(np.unique(person[part]))
    assert interval.est == pytest.approx(np.mean([roc_auc_score(ill[part], row[part]) for row in values]))


def gap_p(seed: int, shift: float) -> float:
    """p of the gap between two halves of 60 patients with 1 to 3 images."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(60), rng.integers(1, 4, 60))
    half = person % 2 == 0
    values = rng.normal(size=60)[person] + rng.normal(size=len(person)) + shift * half
    columns = {"dice": values[None] + rng.normal(0, 0.05, (3, len(person)))}
    found = gap(*(on_part("mean:dice", columns, person, side) for side in (half, ~half)), least=30)
    assert found is not None
    return float(found.p or 0)


def test_a_gap_is_found_and_none_is_found_where_none_is():
    assert np.mean([gap_p(seed, 0.0) < 0.05 for seed in range(400)]) <= 0.075  # 5 % and two standard errors
    assert np.mean([gap_p(seed, 1.2) < 0.05 for seed in range(60)]) > 0.8


def test_a_gap_needs_ten_patients_on_both_sides():
    columns = {"dice": np.random.default_rng(0).normal(size=(3, 40))}
    side = np.arange(40) < 9
    assert gap(*(on_part("mean:dice", columns, np.arange(40), one) for one in (side, ~side)), least=9) is None


def test_a_guess_sees_other_patients_alone():
    rng = np.random.default_rng(4)
    person = np.repeat(np.arange(80), 3)
    ill = (rng.random(80) < 0.5)[person]
    known = rng.normal(size=(240, 2)) + np.stack([ill, np.zeros(240)], 1)
    known[::7, 0] = np.nan
    folds = patient_folds(ill, person)
    assert roc_auc_score(ill, guess(known, ill, folds)) > 0.65
    own = (person[:, None] == np.arange(80)).astype(float)  # tells a patient's class once the patient was seen
    assert abs(roc_auc_score(ill, guess(own, ill, folds)) - 0.5) < 0.12


def test_a_guess_needs_patients_of_both_classes():
    ill = np.arange(40) < 4
    assert patient_folds(ill, np.arange(40)) is None
