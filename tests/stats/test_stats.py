"""Intervals, tests and effects against scipy, statsmodels and brute force."""

from __future__ import annotations

import gc
import math
import warnings
from dataclasses import astuple
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy import stats as oracle
from statsmodels.stats.multitest import multipletests

from mmtk import stats
from mmtk.errors import MmtkError

SCORES = st.floats(-1, 1, width=32)
few = settings(max_examples=30)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.8, 0.1, shape)


def design(factors: tuple[str, ...], scores: np.ndarray) -> dict[frozenset[str], dict[int, float]]:
    """Cells in the order of ``subsets`` with scores [cells, seeds]."""
    return {cell: dict(enumerate(row)) for cell, row in zip(subsets(factors), scores, strict=True)}


def subsets(factors: tuple[str, ...]) -> list[frozenset[str]]:
    return [frozenset(c) for size in range(len(factors) + 1) for c in combinations(factors, size)]


# Intervals


@pytest.mark.parametrize("seed", range(40))
def test_students_tests_are_those_of_scipy_to_the_last_digit(seed):
    draw = np.random.default_rng(seed)
    n, m = draw.integers(2, 12, 2)
    a, b = draw.normal(0.8, draw.choice([0.2, 0.01, 1e-6]), n), draw.normal(0.8, 0.1, m)
    for own, test in (
        (stats.summary(list(a)), oracle.ttest_1samp(a, 0)),
        (stats.student(list(a), list(b)), oracle.ttest_ind(a, b)),
        (stats.paired(list(a), list(b[:1]) * n), oracle.ttest_1samp(a - b[0], 0)),
    ):
        assert (own.low, own.high) == tuple(test.confidence_interval())
        if not isinstance(own, stats.Summary):
            assert (own.statistic, own.p) == (test.statistic, test.pvalue)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_summary_is_students_interval(n, level):
    values = normal(n)
    found = stats.summary(list(values), level)
    expected = oracle.ttest_1samp(values, 0).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.mean, found.sd, found.n) == pytest.approx((values.mean(), values.std(ddof=1), n))
    assert found.method == "Student's t over seeds"


def test_summary_without_spread_has_no_interval():
    assert stats.summary([0.5]) == stats.Summary(0.5, None, None, None, 1, "one seed, so no interval")
    equal = stats.summary([0.7, 0.7, 0.7])
    assert (equal.low, equal.high, equal.n) == (None, None, 3)
    assert equal.sd == pytest.approx(0, abs=1e-12)
    assert "same score" in equal.method


def test_numbers_that_are_none_are_refused():
    for values, word in (
        ([], "one or more"),
        ([0.5, math.nan], "number 2 of 2"),
        ([[0.1, 0.2]], "shape"),
        ([math.inf], "inf"),
    ):
        with pytest.raises(MmtkError, match=word):
            stats.summary(values)
    for level in (0.0, 1.0, 95):
        with pytest.raises(MmtkError, match="between 0 and 1"):
            stats.summary([0.1, 0.2], level)


# Tests over seeds


@pytest.mark.parametrize(("n", "m"), [(2, 2), (5, 5), (3, 7)])
def test_student_is_scipy(n, m):
    a, b = normal(n), normal(m, seed=1)
    found, expected = stats.student(list(a), list(b)), oracle.ttest_ind(a, b)
    interval = expected.confidence_interval(0.95)
    assert (found.p, found.statistic) == pytest.approx((expected.pvalue, expected.statistic))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.difference, found.n, found.unit) == (pytest.approx(a.mean() - b.mean()), n + m, "seeds")
    df = n + m - 2
    pooled = math.sqrt((a.var(ddof=1) * (n - 1) + b.var(ddof=1) * (m - 1)) / df)
    correction = special.gamma(df / 2) / (math.sqrt(df / 2) * special.gamma((df - 1) / 2))
    assert found.effect == pytest.approx(correction * found.difference / pooled)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_paired_is_scipy(n):
    a, b = normal(n), normal(n, seed=1)
    found, expected = stats.paired(list(a), list(b)), oracle.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert (found.p, found.statistic) == pytest.approx((expected.pvalue, expected.statistic))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    if n == 2:
        assert found.effect is None
    else:
        d_z = (a - b).mean() / (a - b).std(ddof=1)
        assert found.effect == pytest.approx(d_z * (1 - 3 / (4 * (n - 1) - 1)), rel=0.08 / n)


@pytest.mark.parametrize("test", [stats.student, stats.paired])
def test_no_p_without_seeds_or_spread(test):
    one, equal = test([0.5], [0.25]), test([0.7, 0.7, 0.7], [0.6, 0.6, 0.6])
    assert (one.p, one.note, one.difference) == (None, "one seed: no test", 0.25)
    assert equal.p is None
    assert "same" in equal.note
    assert equal.difference == pytest.approx(0.1)
    for found in (one, equal):
        assert (found.statistic, found.low, found.high, found.effect, found.adjusted) == (None,) * 5


def test_a_constant_difference_is_no_proof():
    # 0.8 − 0.7 and 0.7 − 0.6 differ by rounding alone: a t of 10¹⁵ would come of it.
    assert stats.paired([0.8, 0.7], [0.7, 0.6]).p is None
    assert stats.paired([0.8, 0.7], [0.8, 0.7]).p is None


@pytest.mark.parametrize("test", [stats.student, stats.paired])
def test_scores_that_are_no_numbers_are_refused(test):
    with pytest.raises(MmtkError, match="finite"):
        test([0.1, math.nan], [0.1, 0.2])
    with pytest.raises(MmtkError, match="one or more"):
        test([], [0.1])


def test_pairs_need_a_partner():
    with pytest.raises(MmtkError, match="3 and 2 scores"):
        stats.paired([0.1, 0.2, 0.3], [0.1, 0.2])


VALUES = st.one_of(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.5, 0.7, 1.0, math.nan]), SCORES)


@settings(max_examples=60)
@given(st.data(), st.integers(1, 3), st.integers(1, 8))
def test_no_result_is_ever_nan_and_no_warning_is_printed(data, seeds, cases):
    table = st.lists(st.lists(VALUES, min_size=cases, max_size=cases), min_size=seeds, max_size=seeds)
    a, b = np.array(data.draw(table)), np.array(data.draw(table))
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one, images in ((a, np.arange(cases)), (a[:, np.arange(24) % cases], np.arange(24) // 2)):
            of_a = stats.two_way(stats.jackknife("mean:x", {"x": one}, images))
            assert (of_a.low is None) == (of_a.p is None) == (of_a.half(0.9) is None)
            assert of_a.low is not None or of_a.note
            results += [of_a] * bool(np.isfinite(a).all())
        if np.isfinite([a, b]).all():
            results += [stats.student(a[0], b[0]), stats.paired(a[0], b[0]), stats.summary(a[0])]
            results += stats.factorial(
                {frozenset(): dict(enumerate(a[0])), frozenset("f"): dict(enumerate(b[0]))}, ["f"]
            )
    for result in results:
        assert all(math.isfinite(value) for value in astuple(result) if isinstance(value, float))
        assert result.low is None or result.low <= result.high
        p = getattr(result, "p", None)
        assert p is None or 0 <= p <= 1


# Holm


@pytest.fixture(scope="module")
def _small_heap():
    """For multipletests, which collects garbage at every call."""
    gc.collect()
    gc.freeze()


def holm(values: list[float | None]) -> list[float | None]:
    test = stats.student([0.5], [0.5])
    tests = [stats.Test(**{**vars(test), "p": p, "name": str(i)}) for i, p in enumerate(values)]
    adjusted = stats.holm(tests)
    assert [(t.name, t.p) for t in adjusted] == [(t.name, t.p) for t in tests]
    return [t.adjusted for t in adjusted]


@pytest.mark.usefixtures("_small_heap")
@few
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels_and_never_below_p(values):
    adjusted = holm(values)
    assert adjusted == pytest.approx(multipletests(values, method="holm")[1])
    assert all(p <= q <= 1 for p, q in zip(values, adjusted, strict=True))
    ordered = [adjusted[i] for i in np.argsort(values)]
    assert ordered == sorted(ordered)


def test_holm_passes_over_what_was_not_tested():
    assert holm([0.04, None, 0.01]) == [0.04, None, 0.02]
    assert holm([None]) == [None]
    assert stats.holm([]) == []


# Designs

FACTORS = ("saliency", "ssl", "consistency")


def test_factorial_is_a_linear_model_with_seeds_as_blocks():
    import pandas as pd
    from statsmodels.formula.api import ols

    scores = normal(8, 5)
    rows = [
        {"score": scores[i, seed], "seed": seed} | {f: 1 if f in cell else -1 for f in FACTORS}
        for i, cell in enumerate(subsets(FACTORS))
        for seed in range(5)
    ]
    fitted = ols(f"score ~ {' * '.join(FACTORS)} + C(seed)", pd.DataFrame(rows)).fit()
    found = stats.factorial(design(FACTORS, scores), FACTORS)
    assert [effect.factors for effect in found] == [tuple(c) for r in (1, 2, 3) for c in combinations(FACTORS, r)]
    # Coded −1 and 1, a coefficient is half of the difference between on and off.
    for effect in found:
        assert effect.value == pytest.approx(2 * fitted.params[":".join(effect.factors)])
    # The model pools the errors that the contrasts have of their own.
    errors = [(effect.high - effect.low) / 2 / oracle.t.ppf(0.975, 4) for effect in found]
    assert np.mean(np.square(errors)) == pytest.approx((2 * fitted.bse["ssl"]) ** 2)


def test_factorial_by_hand():
    # 0.5, + 0.1 with a, + 0.2 with b, and 0.04 more with both.
    cells = design(("a", "b"), np.array([[0.5], [0.6], [0.7], [0.84]]))
    found = {effect.factors: effect for effect in stats.factorial(cells, ["a", "b"])}
    assert found["a",].value == pytest.approx((0.1 + 0.14) / 2)
    assert found["b",].value == pytest.approx((0.2 + 0.24) / 2)
    assert found["a", "b"].value == pytest.approx(0.04 / 2)
    assert {(e.low, e.high, e.p, e.n) for e in found.values()} == {(None, None, None, 1)}


@pytest.mark.parametrize("effects", [stats.factorial, stats.shapley])
def test_one_factor_is_the_paired_test(effects):
    off, on = normal(2, 6)
    (found,) = effects(design(("ssl",), np.array([off, on])), ["ssl"])
    expected = stats.paired(on, off)
    assert (found.value, found.low, found.high, found.p, found.n) == pytest.approx(
        (expected.difference, expected.low, expected.high, expected.p, 6)
    )


@pytest.mark.parametrize("effects", [stats.factorial, stats.shapley])
def test_only_seeds_that_all_cells_have_count(effects):
    scores = normal(8, 4)
    cells = design(FACTORS, scores)
    del cells[frozenset()][1]
    cells[frozenset(FACTORS)][9] = 0.1
    assert effects(cells, FACTORS) == effects(design(FACTORS, scores[:, [0, 2, 3]]), FACTORS)


@pytest.mark.parametrize("effects", [stats.factorial, stats.shapley])
def test_an_incomplete_design_says_what_is_missing(effects):
    cells = design(FACTORS, normal(8, 3))
    fewer = {cell: runs for cell, runs in cells.items() if cell not in ({"ssl", "consistency"}, frozenset())}
    with pytest.raises(MmtkError, match=r"2 without a run: none of them; ssl \+ consistency\."):
        effects(fewer, FACTORS)
    with pytest.raises(MmtkError, match=r"1 without a run: ssl\."):
        effects(cells | {frozenset(["ssl"]): {}}, FACTORS)
    with pytest.raises(MmtkError, match=r"there is none \(.*ssl: 7;"):
        effects(cells | {frozenset(["ssl"]): {7: 0.5}}, FACTORS)
    with pytest.raises(MmtkError, match="kl, which is not among"):
        effects(cells | {frozenset(["kl"]): {0: 0.5}}, FACTORS)
    with pytest.raises(MmtkError, match="scores of ssl must be finite"):
        effects(cells | {frozenset(["ssl"]): {0: math.nan}}, FACTORS)
    for factors in ([], ["ssl", "ssl"]):
        with pytest.raises(MmtkError, match="different names"):
            effects(cells, factors)


def games(k: int) -> st.SearchStrategy[np.ndarray]:
    row = st.lists(SCORES, min_size=2, max_size=2)
    return st.lists(row, min_size=2**k, max_size=2**k).map(np.array)


def shares(scores: np.ndarray, factors: tuple[str, ...] = FACTORS) -> np.ndarray:
    found = stats.shapley(design(factors, scores), factors)
    assert [effect.factors for effect in found] == [(factor,) for factor in factors]
    return np.array([effect.value for effect in found])


@few
@given(games(3))
def test_shapley_is_the_mean_over_all_orders_and_sums_to_the_gain(scores):
    value = dict(zip(subsets(FACTORS), scores.mean(1), strict=True))
    expected = dict.fromkeys(FACTORS, 0.0)
    for order in permutations(FACTORS):
        for i, factor in enumerate(order):
            expected[factor] += (value[frozenset(order[: i + 1])] - value[frozenset(order[:i])]) / 6
    assert shares(scores) == pytest.approx(list(expected.values()), abs=1e-9)
    assert shares(scores).sum() == pytest.approx(value[frozenset(FACTORS)] - value[frozenset()], abs=1e-9)


@few
@given(games(3), games(3), st.floats(-5, 5))
def test_shapley_is_linear(first, second, scale):
    assert shares(first + scale * second) == pytest.approx(shares(first) + scale * shares(second), abs=1e-9)


@few
@given(games(2), SCORES)
def test_a_dummy_gets_what_it_adds_and_the_others_what_they_had(scores, gain):
    small = dict(zip(subsets(FACTORS[:2]), scores, strict=True))
    large = np.array([small[cell - {"consistency"}] + gain * ("consistency" in cell) for cell in subsets(FACTORS)])
    assert shares(large) == pytest.approx([*shares(scores, FACTORS[:2]), gain], abs=1e-9)


@few
@given(games(3))
def test_factors_that_do_the_same_get_the_same(scores):
    swap = {"saliency": "ssl", "ssl": "saliency", "consistency": "consistency"}
    value = dict(zip(subsets(FACTORS), scores, strict=True))
    symmetric = np.array([value[cell] + value[frozenset(swap[f] for f in cell)] for cell in subsets(FACTORS)])
    first, second, _ = shares(symmetric)
    assert first == pytest.approx(second, abs=1e-9)
