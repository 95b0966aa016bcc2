"""Worth in labels: by hand, against isotonic regression, and in simulated worlds whose curves are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from loops import times
from patients import clusters
from scipy.stats import binom
from sklearn.isotonic import isotonic_regression

from mmtk import stats
from mmtk.errors import MmtkError
from mmtk.stats.jackknife import combine
from mmtk.stats.two_way import Interval, from_variances
from mmtk.stats.worth import Worth, monotone, worth

BUDGETS = [25, 50, 100, 200, 400]
Curve = Callable[[float], float]
CURVES: dict[str, Curve] = {
    "log": lambda labels: 0.5 + 0.06 * math.log(labels),
    "power": lambda labels: 0.9 - 0.8 / math.sqrt(labels),
}


def certain(base: list[float], score: float, error: float = 0.01) -> Callable[[list[float]], Interval]:
    """Gaps with an error that is the same everywhere."""

    def gap(weights: list[float]) -> Interval:
        est = score - sum(weight * one for weight, one in zip(weights, base, strict=True))
        return from_variances(est, (error**2, 0.0), (1000, 1000))

    return gap


def answer(base: list[float], score: float, error: float = 0.01, budgets: list[int] | None = None) -> Worth:
    return worth(budgets or BUDGETS, base, score, certain(base, score, error))


def test_a_line_by_hand() -> None:
    """0.1 for every doubling: a score of 0.65 is half way from 50 to 100; 0.0196 either way is a fifth of it."""
    one = answer([0.5, 0.6, 0.7, 0.8, 0.9], 0.65)
    assert one.labels == pytest.approx(math.sqrt(50 * 100))
    shift = 0.01 * 1.9623 / 0.1  # t of 999 degrees of freedom
    assert one.low == pytest.approx(math.sqrt(5000) * 2**-shift, rel=1e-3)
    assert one.high == pytest.approx(math.sqrt(5000) * 2**shift, rel=1e-3)
    assert one.text == "71 (62 to 81)"
    assert one.note == ""


def test_beyond_the_budgets_it_says_more_or_fewer() -> None:
    line = [0.5, 0.6, 0.7, 0.8, 0.9]
    assert answer(line, 1.0).text == "more than 400"
    assert answer(line, 0.3).text == "fewer than 25"
    assert answer(line, 0.89, 0.02).text == "370 (from 280)"
    assert answer(line, 0.51, 0.02).text == "27 (up to 35)"
    assert answer(line, 0.91, 0.02).text == "more than 400 (from 330)"
    assert answer(line, 0.7, 1.0).text == "cannot be said"


def test_a_curve_that_falls_somewhere_is_made_monotone_and_named() -> None:
    one = answer([0.5, 0.62, 0.6, 0.8, 0.9], 0.7)
    assert one.labels == pytest.approx(100 * 2 ** (0.09 / 0.19))
    assert one.note == "the scores of the base do not grow with every budget"
    level = answer([0.5, 0.61, 0.61, 0.8, 0.9], 0.61)
    assert level.labels == pytest.approx(math.sqrt(50 * 100))
    flat = answer([0.7, 0.7, 0.6, 0.6, 0.6], 0.65)
    assert (flat.text, flat.note) == ("cannot be said", "more labels do not help the base")


def test_the_monotone_curve_is_that_of_isotonic_regression() -> None:
    rng = np.random.default_rng(0)
    for size in (2, 3, 8, 30):
        scores = rng.normal(0, 1, size)
        assert monotone(scores) == pytest.approx(isotonic_regression(scores))


def test_without_an_interval_it_cannot_be_said() -> None:
    line = [0.5, 0.6, 0.7, 0.8, 0.9]
    assert worth(BUDGETS, line, 0.7, lambda weights: None).text == "cannot be said"
    rng = np.random.default_rng(0)
    one_seed = [stats.jackknife("mean:x", {"x": rng.normal(level, 0.1, (1, 50))}, np.arange(50)) for level in line]
    found = worth(BUDGETS, line, 0.7, lambda weights: stats.two_way(combine(weights, one_seed)))
    assert found.text == "cannot be said"
    assert "one seed" in found.note


@pytest.mark.parametrize("budgets", [[100], [100, 100], [200, 100]])
def test_one_budget_is_refused(budgets: list[int]) -> None:
    with pytest.raises(MmtkError, match="needs two growing budgets") as caught:
        worth(budgets, [0.5] * len(budgets), 0.6, lambda weights: None)
    assert "--labels classification=50,100,400" in (caught.value.hint or "")


# --- simulated


def found(rng: np.random.Generator, curve: Curve, seeds: int, patients: int, truth: float) -> Worth:
    """Worth in a world: films of 1 to 9 per patient, seeds and patients that each system takes otherwise."""
    of = clusters(rng, patients)
    easy, shared = rng.normal(0, 0.15, patients)[of], rng.normal(0, 0.01, (seeds, 1))

    def trained(level: float) -> stats.Jackknife:
        own = rng.normal(0, 0.01, (seeds, 1)) + rng.normal(0, 0.05, patients)[of]
        values = level + easy + shared + own + rng.normal(0, 0.1, (seeds, len(of)))
        return stats.jackknife("mean:x", {"x": values}, of)

    base, better = [trained(curve(labels)) for labels in BUDGETS], trained(curve(truth))

    def gap(weights: list[float]) -> Interval:
        return stats.two_way(combine([1.0, *(-weight for weight in weights)], [better, *base]))

    return worth(BUDGETS, [float(one.score.mean()) for one in base], float(better.score.mean()), gap)


def expect(curve: str, seeds: int, patients: int, truth: float, count: int) -> None:
    """Coverage of 93 to 97 %, up to binomial error."""
    rng = np.random.default_rng([seeds, patients, int(truth)])
    worlds = [found(rng, CURVES[curve], seeds, patients, truth) for _ in range(count)]
    hits = sum(one.low <= truth <= one.high for one in worlds)
    assert binom.ppf(1e-3, count, 0.93) <= hits <= binom.ppf(1 - 1e-3, count, 0.97), hits / count


def test_the_interval_covers_the_worth() -> None:
    expect("log", 5, 60, 140, 150)


@pytest.mark.long
@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(("seeds", "patients"), [(3, 60), (5, 60), (5, 200)])
@pytest.mark.parametrize("truth", [40, 150, 320])
def test_the_interval_covers_in_worlds_of_known_curves(
    curve: str, seeds: int, patients: int, truth: float
) -> None:
    expect(curve, seeds, patients, truth, times(1000))
