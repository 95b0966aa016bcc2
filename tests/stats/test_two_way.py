"""The interval for new trainings on new patients, and the traps on the way to it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as oracle
from patients import clusters

from mmtk import stats
from mmtk.stats.two_way import from_variances, variances


def sample(rng: np.random.Generator, seeds: int, patients: int, sds: tuple[float, float] = (0.02, 0.1)):
    """Mean of values with effects of seeds, of patients, and noise."""
    of = clusters(rng, patients)
    values = rng.normal(0, sds[0], (seeds, 1)) + rng.normal(0, sds[1], patients)[of]
    return stats.jackknife("mean:x", {"x": values + rng.normal(0, 0.05, (seeds, len(of)))}, of)


def test_the_published_analysis_of_van_dyke():
    """5 readers, 114 cases: OR-DBM MRMC 2.51 in RJafroc; differences of the readers' areas, MS(TR), Cov2, Cov3."""
    gaps = [0.02818035, 0.04653784, 0.01787440, 0.02624799, 0.10016103]
    seed_variance, patient_variance = 2 * 0.00055103 / 5, 2 * (0.00034407 - 0.00023903)
    assert np.mean(gaps) == pytest.approx(0.04380032, abs=1e-8)
    assert np.var(gaps, ddof=1) / 5 == pytest.approx(seed_variance, abs=1e-8)
    found = from_variances(0.04380032, (seed_variance, patient_variance), (5, 114))
    assert found.df == pytest.approx(14.784, abs=0.002)
    assert found.p == pytest.approx(0.05223, abs=1e-5)
    assert found.half(0.95) == pytest.approx(0.04428, abs=1e-5)
    assert np.sqrt(seed_variance + patient_variance) == pytest.approx(0.02075, abs=1e-5)
    # Readers alone, as published with the other sign.
    alone = stats.paired(gaps, [0.0] * 5)
    assert (alone.p, alone.low, alone.high) == pytest.approx((0.0420, 0.00258, 0.08502), abs=1e-4)


def test_the_formulas_are_those_of_a_two_way_table():
    """With one image per patient the pseudo-values of a mean are the values: mean squares by hand."""
    rng = np.random.default_rng(0)
    seeds, count = 4, 50
    values = rng.normal(0, 0.1, (seeds, 1)) + rng.normal(0, 0.3, count) + rng.normal(0, 0.1, (seeds, count))
    found = stats.two_way(stats.jackknife("mean:x", {"x": values}, np.arange(count)))
    patients = seeds * values.mean(0).var(ddof=1)
    rest = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    rest = (rest**2).sum() / ((seeds - 1) * (count - 1))
    v_s, v_p = values.mean(1).var(ddof=1) / seeds, (patients - rest) / (seeds * count)
    df = (v_s + v_p) ** 2 / (v_s**2 / (seeds - 1) + v_p**2 / (count - 1))
    assert (found.seed_variance, found.patient_variance, found.df) == pytest.approx((v_s, v_p, df), rel=1e-9)
    half = max(oracle.t.ppf(0.975, df) * np.sqrt(v_s + v_p), oracle.t.ppf(0.975, 3) * np.sqrt(v_s))
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert found.patient_half == pytest.approx(oracle.t.ppf(0.975, count - 1) * np.sqrt(v_p))


def test_p_is_that_whose_interval_touches_zero():
    rng = np.random.default_rng(1)
    for seeds in (1, 2, 3, 8):
        found = stats.two_way(sample(rng, seeds, 40))
        assert found.half(1 - found.p) == pytest.approx(abs(found.est), rel=1e-6)


def test_it_is_never_narrower_than_the_paired_t():
    rng = np.random.default_rng(2)
    wider = 0
    for k in range(120):
        one = sample(rng, 3, 40, (0.05, 0.05) if k % 2 else (0.02, 0.2))
        found, paired = stats.two_way(one), stats.paired(one.score, [0.0] * 3)
        assert found.p >= paired.p
        assert found.low <= paired.low + 1e-15
        wider += found.low < paired.low - 1e-9
    assert 30 < wider < 110


def test_without_an_effect_of_patients_it_is_the_paired_t():
    rng = np.random.default_rng(3)
    samples = [sample(rng, 4, 40, (0.1, 0.0)) for _ in range(40)]
    intervals = [stats.two_way(one) for one in samples]
    floored = [k for k, found in enumerate(intervals) if found.patient_variance == 0]
    assert 5 < len(floored) < 35  # about half
    for k in floored:
        paired = stats.paired(samples[k].score, [0.0] * 4)
        assert (intervals[k].low, intervals[k].high, intervals[k].p) == pytest.approx(
            (paired.low, paired.high, paired.p)
        )
        assert intervals[k].df == pytest.approx(3)


def test_one_seed_speaks_of_new_patients_only():
    found = stats.two_way(sample(np.random.default_rng(4), 1, 40))
    assert found.flags == {"one seed"}
    assert "not new trainings" in found.note
    assert (found.df, found.seed_variance) == (39, 0)
    assert found.low < found.est < found.high


def test_variances_of_one_patient_and_of_none():
    one = stats.jackknife("mean:x", {"x": np.array([[0.1, 0.2], [0.3, 0.5]])}, np.zeros(2))
    assert stats.two_way(one).low is None
    assert variances(one)[1] == 0
    none = stats.two_way(stats.jackknife("mean:x", {"x": np.empty((2, 0))}, np.empty(0)))
    assert (none.low, none.patients) == (None, 0)
