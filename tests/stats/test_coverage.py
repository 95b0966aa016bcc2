"""Simulated studies of equal systems: how often the interval leaves out 0."""

from __future__ import annotations

import math

import numpy as np
import pytest
import worlds
from loops import times
from scipy.stats import binom, norm

from mmtk import stats

LOWEST, HIGHEST = 0.935, 0.965  # accepted coverage at 95 %, up to binomial error
LEFT_OUT = 1e-3  # the chance, on each side, that a rate at its bound falls outside of what is accepted
WORLDS = {
    "mean": (worlds.mean, 2000),
    "tail": (worlds.tail, 2000),
    "accuracy": (worlds.right, 2000),
    "balanced accuracy": (worlds.ranked("balanced-accuracy"), 500),
    "AUROC": (worlds.ranked("auroc"), 500),
    "AP": (worlds.ranked("average-precision"), 500),
}


def hits(name: str, seeds: int, patients: int, setting: str, count: int, is_clustered: bool = True) -> list[bool]:
    """Whether the interval of a difference covers 0, of the studies that have one."""
    rng = np.random.default_rng([seeds, patients, *map(ord, name + setting)])
    samples = (WORLDS[name][0](rng, seeds, patients, setting, is_clustered) for _ in range(count))
    intervals = (stats.two_way(one) for one in samples)
    return [one.low <= 0 <= one.high for one in intervals if one.low is not None]


def expect(rate: list[bool], lowest: float = LOWEST, highest: float = HIGHEST) -> None:
    n, count = len(rate), sum(rate)
    low, high = binom.ppf(LEFT_OUT, n, lowest), binom.ppf(1 - LEFT_OUT, n, highest)
    assert low <= count <= high, f"{count / n:.3f} of {n}; accepted {low / n:.3f} to {high / n:.3f}"


# --- short: in every run of the tests


@pytest.mark.parametrize("setting", worlds.SETTINGS)
@pytest.mark.parametrize(("name", "seeds", "count"), [("mean", 3, 600), ("tail", 5, 400), ("AUROC", 3, 200)])
def test_the_interval_covers(name, seeds, count, setting):
    expect(hits(name, seeds, 35, setting, count))


def test_the_paired_t_covers_new_trainings_only():
    """The paired t over seeds, and images as patients, are too narrow for new patients where patients rule."""
    rng = np.random.default_rng(0)
    samples = [worlds.mean(rng, 5, 60, "patients") for _ in range(200)]
    paired = [stats.paired(one.score, np.zeros(5)) for one in samples]
    assert np.mean([one.low <= 0 <= one.high for one in paired]) < 0.75


# --- whole: make test-long


@pytest.mark.long
@pytest.mark.parametrize("patients", [35, 200])
@pytest.mark.parametrize("seeds", [3, 5, 10, 20])
@pytest.mark.parametrize("name", WORLDS)
def test_the_interval_covers_every_score(name, seeds, patients):
    for setting in worlds.SETTINGS:
        expect(hits(name, seeds, patients, setting, times(WORLDS[name][1])))


@pytest.mark.long
@pytest.mark.parametrize("name", ["mean", "accuracy", "AUROC"])
def test_the_interval_covers_with_one_image_of_each_patient(name):
    for seeds, patients in ((3, 35), (5, 600)):
        expect(hits(name, seeds, patients, "both", times(500), is_clustered=False))


# --- near the ceiling


def near_the_ceiling(count: int, seeds: int = 5, patients: int = 35) -> np.ndarray:
    """[studies, 2] Whether AUROC 0.98 − 0.95 is covered, and whether the interval is flagged."""
    rng = np.random.default_rng(0)
    shifts = [norm.ppf(area) * math.sqrt(2) for area in (0.98, 0.95)]
    rows = []
    for _ in range(count):
        target = (rng.random(patients) < 0.4) * 1.0
        difficulty, systems = rng.normal(0, 1, patients), []
        for shift in shifts:
            own = rng.normal(0, 1, patients), rng.normal(0, 1, (seeds, patients))
            share = norm.cdf((target - 0.5) * shift + 0.4**0.5 * (difficulty + own[0]) + 0.2**0.5 * own[1])
            labels = np.tile(target, (seeds, 1))
            systems.append({"target": labels, "predicted": labels, "p-no": 1 - share, "p-yes": share})
        parts = [stats.jackknife("auroc", columns, np.arange(patients)) for columns in systems]
        found = stats.two_way(stats.difference(*parts))
        if found.low is not None:
            rows.append((found.low <= 0.03 <= found.high, "near the ceiling" in found.flags))
    return np.array(rows)


def test_near_the_ceiling_the_interval_is_too_narrow_and_says_so():
    covered, flagged = near_the_ceiling(250).T
    assert flagged.mean() > 0.85
    assert covered[flagged].mean() < 0.93


@pytest.mark.long
def test_away_from_the_ceiling_it_covers_again():
    covered, flagged = near_the_ceiling(times(1000), patients=150).T
    assert flagged.mean() < 0.1
    expect(covered[~flagged].tolist(), 0.92)
