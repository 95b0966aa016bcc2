"""Weights of matched images by hand, and scores that equal those of a set of repeated images."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from mmtk.stats.matching import joint_strata, matched, weighting


def test_weights_by_hand():
    strata = np.array([0, 0, 0, 0, 1, 1, 2, 2, -1])
    classes = np.array([0, 0, 0, 1, 0, 1, 1, 1, 0])
    result = weighting(strata, classes)
    # Stratum 0 has 3 and 1 images of a class, stratum 1 one of each, stratum 2 one class; the last is unknown.
    assert result.weights.tolist() == pytest.approx([4 / 6, 4 / 6, 4 / 6, 2, 1, 1, 0, 0, 0])
    assert (result.strata, result.lone) == (2, (1, 2))
    assert result.effective == pytest.approx(float(Fraction(36) / (3 * Fraction(4, 9) + 4 + 2)))


def test_strata_are_combinations_of_groups():
    codes = joint_strata([np.array([0, 0, 1, 1, -1]), np.array([0, 1, 0, 0, 1])])
    assert codes[4] == -1
    assert codes[2] == codes[3]
    assert len({*codes[:4].tolist()}) == 3


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_matched_scores_are_those_of_weighted_images_by_sklearn(seed, levels):
    draw = np.random.default_rng(seed)
    count = 40
    strata, target = draw.integers(-1, levels, count), draw.integers(0, 2, count)
    values = draw.integers(0, 9, (2, count)) / 8
    columns = {
        "target": np.stack([target, target]).astype(float),
        "predicted": (values > 0.5).astype(float),
        "p-normal": 1 - values,
        "p-ill": values,
    }
    patients = np.arange(count) // 2
    weights = weighting(strata, target).weights
    for score, formula in (("auroc", roc_auc_score), ("balanced-accuracy", balanced_accuracy_score)):
        result = matched(score, columns, strata, patients)
        if not weights.any():
            assert result.note == "no stratum has all classes"
            continue
        inputs = values if score == "auroc" else columns["predicted"]
        expected = [formula(target, row, sample_weight=weights) for row in inputs]
        np.testing.assert_allclose(result.score, expected, atol=1e-9)
        rest = patients != 3
        again = weighting(strata[rest], target[rest]).weights
        if again.any():
            expected = [formula(target[rest], row[rest], sample_weight=again) for row in inputs]
            np.testing.assert_allclose(result.without[:, 3], expected, atol=1e-9)


def test_score_that_reads_the_attribute_alone_is_chance_after_matching():
    draw = np.random.default_rng(0)
    view = draw.integers(0, 2, 400)
    target = np.where(draw.random(400) < 0.9, view, 1 - view)
    values = view[None].astype(float)
    columns = {"target": target[None].astype(float), "predicted": values, "p-normal": 1 - values, "p-ill": values}
    assert roc_auc_score(target, values[0]) > 0.85
    assert matched("auroc", columns, view, np.arange(400)).score[0] == pytest.approx(0.5, abs=1e-12)
    assert matched("balanced-accuracy", columns, view, np.arange(400)).score[0] == pytest.approx(0.5, abs=1e-12)
