"""Four words for a difference, what would close an open one, and what a study can see."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as oracle
from statsmodels.stats.power import TTestPower

from mmtk.errors import MmtkError
from mmtk.stats.power import seeds_for, smallest_difference
from mmtk.stats.two_way import Interval, from_variances
from mmtk.stats.verdicts import more_seeds, verdict


def interval(
    est: float, seed_sd: float = 0.01, patient_sd: float = 0.0, seeds: int = 5, patients: int = 100, **kw
) -> Interval:
    """With standard errors of its two parts."""
    return from_variances(est, (seed_sd**2, patient_sd**2), (seeds, patients), **kw)


def test_the_words_follow_the_interval_and_the_margin():
    half, equivalence_half = interval(0).half(0.95), interval(0).half(0.90)
    for est, margin, better, word, within in (
        (half + 1e-9, None, "higher", "helps", False),
        (-half - 1e-9, None, "higher", "harms", False),
        (half + 1e-9, None, "lower", "harms", False),
        (-half - 1e-9, None, "lower", "helps", False),
        (half - 1e-9, None, "higher", "open", False),
        (half + 1e-9, 0.1, "higher", "helps", True),
        (0.001, equivalence_half + 0.0011, "higher", "no difference that matters", True),
        (-0.001, equivalence_half + 0.0011, "higher", "no difference that matters", True),
        (0.001, equivalence_half + 0.0009, "higher", "open", False),
        (0.001, None, "higher", "open", False),
    ):
        found = verdict(interval(est), margin, better)
        assert (found.word, found.within_margin) == (word, within), (est, margin, better)
    assert verdict(interval(half + 1e-9), 0.1).text == "helps, by less than the margin"
    assert verdict(interval(0.001), 0.1).text == "no difference that matters"


def test_reversal_is_one_side_of_the_t():
    found = interval(0.015, patient_sd=0.005)
    assert verdict(found, None).reversal == found.p / 2
    assert verdict(interval(0.015), None).reversal == pytest.approx(oracle.t.sf(1.5, 4))
    assert verdict(interval(0.0), None).reversal == 0.5


@pytest.mark.parametrize("margin", [0, -0.01, math.nan, math.inf])
def test_a_margin_is_a_number_above_zero(margin):
    with pytest.raises(MmtkError, match="a margin is a number above 0"):
        verdict(interval(0.1), margin)


def test_a_finding_has_to_stand_after_holm_and_says_where_it_does_not():
    alone = interval(0.05)
    assert verdict(alone, None).word == "helps"
    assert verdict(alone, None, adjusted=0.04).word == "helps"
    family = verdict(alone, None, adjusted=0.06)
    assert family.word == "open"
    assert "not after Holm's adjustment" in family.note
    assert verdict(alone, 0.5, adjusted=0.06).word == "no difference that matters"


def test_more_seeds_until_it_closes():
    for est, margin, patient_sd in ((0.012, None, 0.0), (0.012, None, 0.004), (0.0, 0.012, 0.002)):
        found = interval(est, patient_sd=patient_sd)
        assert verdict(found, margin).word == "open"
        more = more_seeds(found, margin)
        for seeds, closed in ((5 + more, True), (4 + more, False)):
            then = interval(est, seed_sd=0.01 * math.sqrt(5 / seeds), patient_sd=patient_sd, seeds=seeds)
            assert (verdict(then, margin).word != "open") == closed, (est, margin, seeds)
    assert more_seeds(interval(0.0), None) is None
    assert more_seeds(interval(0.01, patient_sd=0.01), None) is None  # new patients alone leave 0.0198
    assert more_seeds(interval(0.01, patient_sd=0.01), 0.02) is None
    one = interval(0.1, seed_sd=0.0, patient_sd=0.1, seeds=1, flags=frozenset({"one seed"}))
    assert more_seeds(one, None) == 2


@pytest.mark.parametrize(("seeds", "power"), [(3, 0.8), (5, 0.8), (20, 0.9)])
def test_power_is_that_of_the_paired_t_where_patients_add_nothing(seeds, power):
    expected = TTestPower().solve_power(nobs=seeds, alpha=0.05, power=power)
    assert smallest_difference(seeds, 100, 0.04, 0.0, power) == pytest.approx(0.2 * expected, rel=1e-3)


def test_power_with_both_sources_is_what_simulated_studies_find():
    rng = np.random.default_rng(0)
    seeds, patients, sd = 5, 60, 0.3
    edge = smallest_difference(seeds, patients, 0.02**2, sd**2 / patients)
    hits = 0
    for _ in range(2000):
        seed_effects, spread = rng.normal(edge, 0.02, seeds), sd * math.sqrt(rng.chisquare(59) / 59)
        est = seed_effects.mean() + rng.normal(0, sd / math.sqrt(patients))
        parts = seed_effects.var(ddof=1) / seeds, spread**2 / patients
        hits += from_variances(est, parts, (seeds, patients)).p < 0.05
    assert hits / 2000 == pytest.approx(0.8, abs=0.03)


def test_seeds_for_a_difference():
    seeds = seeds_for(0.01, 200, 0.02**2, 0.001**2)
    assert smallest_difference(seeds, 200, 0.02**2, 0.001**2) <= 0.01
    assert smallest_difference(seeds - 1, 200, 0.02**2, 0.001**2) > 0.01
    assert seeds_for(0.01, 200, 0.02**2, 0.01**2) is None
    assert seeds_for(1.0, 200, 0.02**2, 0.0) == 3
    for wrong in ((1, 200, 0.1, 0.1), (3, 1, 0.1, 0.1), (3, 200, 0.0, 0.0)):
        with pytest.raises(MmtkError, match="power needs two seeds"):
            smallest_difference(*wrong)
