"""Simulated studies with a known effect: how often intervals cover it, and tests find one that is not there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from mmtk import stats

# The others of a loop run in make test-long and on CI, whole as these.
THREE_OR_FIVE = [3, pytest.param(5, marks=pytest.mark.long)]
TWO_TO_FIVE = [pytest.param(2, marks=pytest.mark.long), *THREE_OR_FIVE]
LEFT_OUT = 1e-3  # the chance, on each side, that a correct rate falls outside of what is accepted


def expect(hits: list[bool] | np.ndarray, lowest: float, highest: float | None = None) -> None:
    """The rate behind the hits lies between two rates (equal: is that rate), up to binomial error."""
    n, seen = len(hits), int(np.sum(hits))
    low, high = binom.ppf(LEFT_OUT, n, lowest), binom.ppf(1 - LEFT_OUT, n, lowest if highest is None else highest)
    assert low <= seen <= high, f"{seen / n:.3f} of {n}; accepted {low / n:.3f} to {high / n:.3f}"


def covers(found: stats.Summary | stats.Test | stats.Effect, truth: float) -> bool:
    return found.low <= truth <= found.high


def rejects(found: stats.Test) -> bool:
    return found.p is not None and found.p < 0.05


def pairs(rng: np.random.Generator, seeds: int, effect: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two systems: what a seed's split does to both (sd 0.03), and training noise of each (sd 0.02)."""
    shared = 0.8 + rng.normal(0, 0.03, seeds)
    return shared + effect + rng.normal(0, 0.02, seeds), shared + rng.normal(0, 0.02, seeds)


# Intervals cover at the stated rate


@pytest.mark.parametrize("n", TWO_TO_FIVE)
def test_summary_covers_the_mean_of_normal_scores(n):
    rng = np.random.default_rng(n)
    expect([covers(stats.summary(rng.normal(0.8, 0.03, n)), 0.8) for _ in range(800)], 0.95)


@pytest.mark.parametrize("n", THREE_OR_FIVE)
def test_summary_covers_skewed_scores_less_often(n):
    rng = np.random.default_rng(n)
    expect([covers(stats.summary(1 - rng.exponential(0.1, n)), 0.9) for _ in range(800)], 0.86, 0.90)


@pytest.mark.parametrize("seeds", THREE_OR_FIVE)
def test_paired_covers_the_difference_and_is_narrower_than_students(seeds):
    rng = np.random.default_rng(seeds)
    found = [(stats.paired(a, b), stats.student(a, b)) for a, b in (pairs(rng, seeds, 0.05) for _ in range(800))]
    expect([covers(paired, 0.05) for paired, _ in found], 0.95)
    # Blind to the shared seeds, Student's interval covers too often.
    expect([covers(student, 0.05) for _, student in found], 0.97, 1.0)


FACTORS = ("saliency", "ssl")
# Over none, saliency, ssl, both: main effects 0.06 and 0.03, interaction 0.02, gain 0.09.
MEANS = np.array([0.70, 0.74, 0.71, 0.79])
TRUTH = {("saliency",): 0.06, ("ssl",): 0.03, FACTORS: 0.02}


@pytest.mark.parametrize("seeds", THREE_OR_FIVE)
def test_factorial_and_shapley_cover_known_effects(seeds):
    rng = np.random.default_rng(seeds)
    keys = [frozenset(), frozenset(["saliency"]), frozenset(["ssl"]), frozenset(FACTORS)]
    # Seeds move all cells alike, and saliency doubles the noise: no two cells need be equally noisy.
    noise = np.array([0.01, 0.02, 0.01, 0.02])[:, None]
    effects, shapleys = [], []
    for _ in range(400):
        scores = MEANS[:, None] + rng.normal(0, 0.05, seeds) + noise * rng.normal(size=(4, seeds))
        cells = {key: dict(enumerate(row)) for key, row in zip(keys, scores, strict=True)}
        effects.append(stats.factorial(cells, FACTORS))
        shapleys.append(stats.shapley(cells, FACTORS))
    for k, (names, truth) in enumerate(TRUTH.items()):
        assert effects[0][k].factors == names
        expect([covers(found[k], truth) for found in effects], 0.95)
    for k, truth in enumerate((0.06, 0.03)):
        expect([covers(found[k], truth) for found in shapleys], 0.95)


def test_hedges_corrections_make_effects_unbiased():
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 1, (2000, 2, 5))
    samples[:, 0] += 1
    found = np.array([(stats.student(a, b).effect, stats.paired(a, b).effect) for a, b in samples])
    error = found.std(0, ddof=1) / math.sqrt(len(found))
    # The difference of two independent scores has the sd √2.
    assert np.all(np.abs(found.mean(0) - [1, 1 / math.sqrt(2)]) < 3.5 * error)


# Tests find no effect where there is none


@pytest.mark.parametrize("seeds", TWO_TO_FIVE)
def test_false_positives_over_seeds(seeds):
    rng = np.random.default_rng(seeds)
    independent = rng.normal(0.8, 0.03, (800, 2, seeds))
    expect([rejects(stats.student(a, b)) for a, b in independent], 0.05)
    shared = [pairs(rng, seeds) for _ in range(800)]
    expect([rejects(stats.paired(a, b)) for a, b in shared], 0.05)
    expect([rejects(stats.student(a, b)) for a, b in shared], 0.0, 0.05)


def test_paired_finds_more_than_student_when_seeds_are_shared():
    rng = np.random.default_rng(0)
    found = [(stats.paired(a, b), stats.student(a, b)) for a, b in (pairs(rng, 5, 0.05) for _ in range(500))]
    power = np.mean([[rejects(test) for test in both] for both in found], axis=0)
    assert power[0] > power[1] + 0.1


@pytest.mark.parametrize("better", [0, 2])
def test_holm_keeps_the_chance_of_any_false_positive(better):
    # Five systems against one reference, which makes the tests dependent; the first are truly better.
    rng = np.random.default_rng(better)
    any_plain, any_adjusted = [], []
    for _ in range(400):
        shared = rng.normal(0.8, 0.03, 5)
        reference = shared + rng.normal(0, 0.02, 5)
        scores = shared + rng.normal(0, 0.02, (5, 5)) + 0.2 * (np.arange(5) < better)[:, None]
        tests = stats.holm([stats.paired(system, reference) for system in scores])[better:]
        any_plain.append(any(map(rejects, tests)))
        any_adjusted.append(any(test.adjusted < 0.05 for test in tests))
    expect(any_adjusted, 0.0, 0.05)
    assert np.mean(any_plain) > 0.08
