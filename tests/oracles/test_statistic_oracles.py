"""Intervals, tests and effects of drawn scores against SciPy, statsmodels, enumeration and resampling by loops."""

from __future__ import annotations

import math
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle_inputs import FEW, TOLERANCE
from scipy import special
from scipy import stats as oracle
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from mmtk import stats

SCORE = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1, width=32)
LEVEL = st.sampled_from([0.5, 0.9, 0.95, 0.999])
close = pytest.approx


def scores(least=2, most=6):
    """Scores of a few seeds that vary by more than rounding."""
    vectors = hnp.arrays(np.float64, st.integers(least, most), elements=SCORE)
    return vectors.filter(lambda values: np.ptp(values) > 1e-3)


def hedges(df):
    """J(m) = Γ(m/2) / (√(m/2) Γ((m − 1)/2)) (Hedges 1981)."""
    return special.gamma(df / 2) / (math.sqrt(df / 2) * special.gamma((df - 1) / 2))


# --- intervals -----------------------------------------------------------------------------------------------


@FEW
@given(scores(), LEVEL)
def test_summary(values, level):
    found = stats.summary(values, level)
    low, high = oracle.t.interval(level, len(values) - 1, values.mean(), oracle.sem(values))
    assert (found.mean, found.sd, found.n) == (close(values.mean()), close(np.std(values, ddof=1)), len(values))
    assert (found.low, found.high) == (close(low, abs=TOLERANCE), close(high, abs=TOLERANCE))


# --- tests ---------------------------------------------------------------------------------------------------


@FEW
@given(scores(), scores())
def test_student(a, b):
    found = stats.student(a, b)
    compared = CompareMeans(DescrStatsW(a), DescrStatsW(b))
    t, p, df = compared.ttest_ind()
    assert (found.p, found.statistic) == (close(p, abs=TOLERANCE), close(t, rel=TOLERANCE, abs=TOLERANCE))
    assert (found.low, found.high) == close(compared.tconfint_diff(), abs=TOLERANCE)
    assert found.difference == close(a.mean() - b.mean(), abs=TOLERANCE)
    # With equal group sizes or not: Cohen's d is t · √(1/n + 1/m).
    d = t * math.sqrt(1 / len(a) + 1 / len(b))
    assert found.effect == close(hedges(df) * d, rel=TOLERANCE, abs=TOLERANCE)


@FEW
@given(st.integers(2, 6).flatmap(lambda n: st.tuples(scores(n, n), scores(n, n))))
def test_paired(pair):
    a, b = pair
    assume(np.ptp(a - b) > 1e-3)
    found, expected = stats.paired(a, b), oracle.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert (found.p, found.difference) == close((expected.pvalue, (a - b).mean()), abs=TOLERANCE)
    assert found.statistic == close(expected.statistic, rel=TOLERANCE, abs=TOLERANCE)
    assert (found.low, found.high) == close((interval.low, interval.high), rel=TOLERANCE, abs=TOLERANCE)
    if len(a) > 2:
        d_z = (a - b).mean() / (a - b).std(ddof=1)
        assert found.effect == close(hedges(len(a) - 1) * d_z, rel=TOLERANCE, abs=TOLERANCE)
    else:
        assert found.effect is None


@FEW
@given(st.lists(st.none() | st.sampled_from([0.0, 1e-300, 0.01, 1.0]) | st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(values):
    """The largest of set size times smallest p, over all sets with this hypothesis (Marcus et al. 1976)."""
    blank = stats.student([0.5], [0.5])
    tests = stats.holm([stats.Test(**{**vars(blank), "p": p}) for p in values])
    tested = [i for i, p in enumerate(values) if p is not None]
    sets = list(chain.from_iterable(combinations(tested, size) for size in range(1, len(tested) + 1)))
    for i, test in enumerate(tests):
        if values[i] is None:
            assert test.adjusted is None
        else:
            worst = max(len(each) * min(values[j] for j in each) for each in sets if i in each)
            assert test.adjusted == close(min(1.0, worst), abs=TOLERANCE)


# --- designs -------------------------------------------------------------------------------------------------


@st.composite
def designs(draw):
    """One to three factors, all cells in any order, scores [cells, seeds]."""
    factors = ("a", "b", "c")[: draw(st.integers(1, 3))]
    cells = [frozenset(c) for c in chain.from_iterable(combinations(factors, r) for r in range(len(factors) + 1))]
    cells = draw(st.permutations(cells))
    return factors, cells, draw(hnp.arrays(np.float64, (len(cells), draw(st.integers(1, 4))), elements=SCORE))


def check_effects(found, expected):
    """Effects against values [effects, seeds]: the mean and SciPy's t-test over seeds."""
    for effect, by_seed in zip(found, expected, strict=True):
        assert (effect.value, effect.n) == (close(by_seed.mean(), abs=TOLERANCE), len(by_seed))
        if len(by_seed) > 1 and np.ptp(by_seed) > 1e-3:
            test = oracle.ttest_1samp(by_seed, 0)
            interval = test.confidence_interval(0.95)
            assert effect.p == close(test.pvalue, abs=TOLERANCE)
            assert (effect.low, effect.high) == close((interval.low, interval.high), abs=TOLERANCE)
        elif np.ptp(by_seed) == 0:
            assert (effect.low, effect.high, effect.p) == (None, None, None)


@FEW
@given(designs())
def test_factorial_is_least_squares(design):
    """Twice the coefficients of the saturated model with factors coded −1 and 1, seed by seed."""
    factors, cells, y = design
    effects = [e for r in range(1, len(factors) + 1) for e in combinations(factors, r)]
    columns = [[math.prod(1 if f in cell else -1 for f in effect) for cell in cells] for effect in [(), *effects]]
    coefficients = np.linalg.lstsq(np.array(columns, float).T, y, rcond=None)[0]
    found = stats.factorial({c: dict(enumerate(row)) for c, row in zip(cells, y, strict=True)}, factors)
    assert [effect.factors for effect in found] == effects
    check_effects(found, 2 * coefficients[1:])


@FEW
@given(designs())
def test_shapley_shares_every_dividend_equally(design):
    """φ_f = Σ over sets with f of d(S) / |S|, with d(S) = Σ over T ⊆ S of (−1)^|S−T| y(T) (Harsanyi 1963)."""
    factors, cells, y = design
    value = dict(zip(cells, y, strict=True))
    dividend = {s: sum((-1) ** len(s - t) * value[t] for t in cells if t <= s) for s in cells}
    expected = [sum(dividend[s] / len(s) for s in cells if f in s) for f in factors]
    found = stats.shapley({c: dict(enumerate(row)) for c, row in zip(cells, y, strict=True)}, factors)
    assert [effect.factors for effect in found] == [(f,) for f in factors]
    check_effects(found, expected)


# --- new patients and new trainings ------------------------------------------------------------------------------

RANKED = {"auroc": roc_auc_score, "average-precision": average_precision_score}
COUNTED = {
    "balanced-accuracy": balanced_accuracy_score,
    "f1:b": f1_score,
    "mean:predicted": lambda _, predicted: predicted.mean(),
}


@st.composite
def classified(draw):
    """Columns [seeds, images] of two classes, few distinct probabilities, and a patient of each image."""
    images, seeds = draw(st.integers(8, 30)), draw(st.integers(1, 3))
    target = draw(hnp.arrays(np.int64, images, elements=st.integers(0, 1)))
    shares = draw(hnp.arrays(np.float64, (seeds, images), elements=SCORE))
    patients = draw(hnp.arrays(np.int64, images, elements=st.integers(0, 9)))
    columns = {"target": np.tile(target, (seeds, 1)), "predicted": shares > 0.5, "p-a": 1 - shares, "p-b": shares}
    return {name: values.astype(float) for name, values in columns.items()}, patients


@pytest.mark.long
@FEW
@given(classified())
def test_jackknife_is_the_score_of_the_other_images(drawn):
    """By scikit-learn on what is left, patient by patient."""
    columns, patients = drawn
    parts = [np.ones(len(patients), bool), *(patients != patient for patient in np.unique(patients))]
    assume(all(len(np.unique(columns["target"][0][part])) == 2 for part in parts))
    for formula, function in (RANKED | COUNTED).items():
        second = columns["p-b" if formula in RANKED else "predicted"]
        rows = zip(columns["target"], second, strict=True)
        expected = np.array([[function(first[part], row[part]) for part in parts] for first, row in rows])
        found = stats.jackknife(formula, columns, patients)
        assert found.score == close(expected[:, 0], abs=1e-12), formula
        defined = ~np.isnan(found.without)
        assert defined.all() or formula == "f1:b"  # 0 / 0, which scikit-learn takes for 0
        assert found.without[defined] == close(expected[:, 1:][defined], abs=1e-12), formula


@FEW
@given(st.integers(2, 5), st.integers(10, 40), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3]))
def test_two_way_is_an_analysis_of_variance(seeds, patients, draws, sd):
    """Of the differences of values, one image per patient: sums of squares by loops."""
    rng = np.random.default_rng(draws)
    tables = rng.normal(0, 1, (2, seeds, patients)) + rng.normal(0, sd, (2, 1, patients))
    a, b = (stats.jackknife("mean:x", {"x": table}, np.arange(patients)) for table in tables)
    found = stats.two_way(stats.difference(a, b))
    assert found == stats.two_way(stats.combine((1, 0, -1), (a, a, b)))
    y = tables[0] - tables[1]
    mean, v_s = y.mean(), y.mean(1).var(ddof=1) / seeds
    cells = [(j, p) for j in range(seeds) for p in range(patients)]
    between = sum(seeds * (y[:, p].mean() - mean) ** 2 for p in range(patients)) / (patients - 1)
    within = sum((y[j, p] - y[j].mean() - y[:, p].mean() + mean) ** 2 for j, p in cells)
    v_p = max(between - within / ((seeds - 1) * (patients - 1)), 0) / (seeds * patients)
    df = (v_s + v_p) ** 2 / (v_s**2 / (seeds - 1) + v_p**2 / (patients - 1))
    assert (found.seed_variance, found.patient_variance, found.df) == close((v_s, v_p, df), rel=1e-6, abs=1e-12)
    t_both, t_seeds = abs(mean) / math.sqrt(v_s + v_p), abs(mean) / math.sqrt(v_s)
    assert found.p == close(max(2 * oracle.t.sf(t_both, df), 2 * oracle.t.sf(t_seeds, seeds - 1)), rel=1e-6)
