"""Thirteen ways to get an interval, a test or a verdict wrong, each closed by a test of its name."""

from __future__ import annotations

import math

import numpy as np
import pytest
import worlds
from patients import by_hand, classes, clusters
from scipy import stats as oracle
from test_verdict_words import interval

from mmtk import stats
from mmtk.errors import MmtkError
from mmtk.stats.looks import looks, repeated_p, settle
from mmtk.stats.two_way import from_variances
from mmtk.stats.verdicts import verdict


def draw(seeds: int = 3, patients: int = 40, seed: int = 0, setting: str = "both") -> stats.Jackknife:
    return worlds.mean(np.random.default_rng(seed), seeds, patients, setting)


def test_1_a_missing_value_is_no_number_and_a_collapse_is_one():
    rng = np.random.default_rng(1)
    a, b, of = rng.random((3, 60)), rng.random((3, 60)), np.arange(60) // 2
    a[1, 4] = b[2, 7] = np.nan
    a[2] = 0.0  # collapsed
    gap = stats.difference(*(stats.jackknife("mean:x", {"x": one}, of) for one in (a, b)))
    assert "1 image without a value of 'x'" in gap.note
    assert (stats.two_way(gap).low, stats.two_way(gap).flags) == (None, {"undefined"})
    rest = np.isfinite(a + b).all(0)  # as mmtk.study.jackknives leaves them out of all runs, and counts them
    gap = stats.difference(*(stats.jackknife("mean:x", {"x": one[:, rest]}, of[rest]) for one in (a, b)))
    assert gap.score == pytest.approx(a[:, rest].mean(1) - b[:, rest].mean(1))
    assert gap.patients == 30  # both lost one image of two
    short = stats.jackknife("mean:x", {"x": b[:2, rest]}, of[rest])
    with pytest.raises(MmtkError, match="same seeds and patients"):
        stats.difference(gap, short)
    assert gap.rows([0, 1]).score.tolist() == gap.score[:2].tolist()


def test_2_images_taken_for_patients_are_too_narrow():
    rng = np.random.default_rng(2)
    of = np.repeat(np.arange(40), 5)
    values = rng.normal(0, 1, 40)[of] + rng.normal(0, 1, (3, 200))
    jackknives = (stats.jackknife("mean:x", {"x": values}, one) for one in (of, np.arange(200)))
    by_patient, by_image = map(stats.two_way, jackknives)
    assert by_image.half(0.95) < by_patient.half(0.95) / 1.4
    assert (by_patient.patients, by_image.patients) == (40, 200)


def test_3_patients_are_those_with_a_scored_image_and_few_of_them_are_named():
    rng = np.random.default_rng(3)
    names = np.array([f"patient {k}" for k in rng.integers(0, 1000, 50)])
    found = stats.two_way(stats.jackknife("mean:x", {"x": rng.random((3, 50))}, names))
    assert found.patients == len(set(names))
    for count, flags, has_interval in (
        (9, {"too few patients"}, False),
        (10, {"few patients"}, True),
        (34, {"few patients"}, True),
        (35, set(), True),
    ):
        found = stats.two_way(stats.jackknife("mean:x", {"x": rng.random((3, count))}, np.arange(count)))
        assert (found.flags, found.low is not None, found.p is not None) == (flags, has_interval, has_interval)
        assert bool(found.note) == bool(flags)
    columns = classes(rng, np.arange(60))
    columns["target"][:] = np.arange(60) < 6  # of 60 patients, 6 are positive
    found = stats.two_way(stats.jackknife("auroc", columns, np.arange(60)))
    assert "rests on 6 patients of the smallest class only" in found.note
    columns["target"][:] = np.arange(60) < 1
    found = stats.two_way(stats.jackknife("auroc", columns, np.arange(60)))
    assert (found.low, found.note) == (None, "all images of class 'class 1' come from one patient")
    columns["target"][:] = 0
    assert stats.two_way(stats.jackknife("auroc", columns, np.arange(60))).note == "a class has no image"


def test_4_the_estimate_is_the_score_and_not_the_mean_pseudo_value():
    rng = np.random.default_rng(4)
    of = clusters(rng, 35)
    gap = stats.difference(*(stats.jackknife("auroc", classes(rng, of), of) for _ in range(2)))
    pseudo = 35 * gap.score[:, None] - 34 * gap.without
    found = stats.two_way(gap)
    assert found.est == gap.score.mean()
    assert found.seed_variance == pytest.approx(gap.score.var(ddof=1) / 3)
    assert abs(pseudo.mean() - found.est) > 1e-4
    assert pseudo.mean(1).var(ddof=1) / 3 != pytest.approx(found.seed_variance, rel=1e-3)


@pytest.mark.parametrize("formula", ["median:x", "quantile:x", "percentile:x", "best-threshold:x"])
def test_5_scores_that_are_not_smooth_are_refused(formula):
    values = np.random.default_rng(5).random((3, 40))
    found = stats.two_way(stats.jackknife(formula, {"x": values}, np.arange(40)))
    assert "have no interval by jackknife" in found.note
    assert (found.low, found.p) == (None, None)
    assert stats.two_way(stats.jackknife("mean:hd95", {"hd95": values}, np.arange(40))).low is not None


def test_6_equal_scores_are_not_certainty():
    # The same accuracy with every seed, by other errors: patients vary alone.
    right = np.ones((3, 40))
    for row in range(3):
        right[row, [0, 1, 2, 3, 4, 5 + row]] = 0
    found = stats.two_way(stats.jackknife("mean:x", {"x": right}, np.arange(40)))
    assert found.seed_variance == 0
    assert found.patient_variance > 0
    assert found.df == pytest.approx(39)
    assert 0 < found.p < 1
    # Rounding is no variation, neither of seeds nor of patients.
    for values in (np.full((3, 40), 0.7), 0.7 + np.random.default_rng(6).normal(0, 1e-15, (3, 40))):
        found = stats.two_way(stats.jackknife("mean:x", {"x": values}, np.arange(40)))
        assert (found.low, found.p, found.flags) == (None, None, {"no variation"})
        assert verdict(found, 0.01).word == "open"
    # AUROC = 1 on both sides.
    target = np.tile(np.arange(40) % 2.0, (3, 1))
    perfect = {"target": target, "predicted": target, "p-a": 1 - target, "p-b": target}
    one = stats.jackknife("auroc", perfect, np.arange(40))
    assert stats.two_way(stats.difference(one, one)).note == "no variation, so no interval"


def test_7_ties_count_half_and_are_one_step_in_any_order():
    rng = np.random.default_rng(7)
    of = clusters(rng, 30)
    columns = classes(rng, of)
    columns["p-class 1"] = (columns["p-class 1"] * 4).round() / 4
    assert len(np.unique(columns["p-class 1"])) == 5
    order = rng.permutation(len(of))
    for formula in ("auroc", "average-precision"):
        found = stats.jackknife(formula, columns, of)
        assert found.without == pytest.approx(by_hand(formula, columns, of), abs=1e-12)
        other = stats.jackknife(formula, {name: values[:, order] for name, values in columns.items()}, of[order])
        assert found.score == pytest.approx(other.score, abs=1e-12)
    level = {"target": columns["target"], "predicted": columns["predicted"]}
    level |= {name: np.full_like(columns["target"], 0.5) for name in ("p-class 0", "p-class 1")}
    assert (stats.jackknife("auroc", level, of).score == 0.5).all()
    # In 16 bits close values tie: the precision of both systems has to be one.
    fine = {name: values + rng.random(values.shape) * 1e-6 for name, values in columns.items() if name[:2] == "p-"}
    both = [columns | {name: v.astype(kind) for name, v in fine.items()} for kind in (np.float16, np.float64)]
    scores = [stats.jackknife("auroc", one, of).score for one in both]
    assert (scores[0] != scores[1]).any()


def test_8_patients_are_not_dropped_where_their_effect_is_not_significant():
    kept = 0
    for seed in range(60):
        gap = draw(3, 40, seed, "noise")
        pseudo = 40 * gap.score[:, None] - 39 * gap.without
        rest = pseudo - pseudo.mean(0) - pseudo.mean(1, keepdims=True) + pseudo.mean()
        ratio = 3 * pseudo.mean(0).var(ddof=1) / ((rest**2).sum() / (2 * 39))
        if 1 < ratio < oracle.f.ppf(0.95, 39, 78):
            kept += 1
            assert stats.two_way(gap).patient_variance > 0
    assert kept > 10


def test_9_degrees_of_freedom_are_real_and_may_exceed_those_of_either_source():
    found = from_variances(0.1, (0.01, 0.01), (5, 30))
    assert found.df == pytest.approx(4 / (1 / 4 + 1 / 29))
    assert found.p == pytest.approx(2 * oracle.t.sf(0.1 / math.sqrt(0.02), found.df))
    assert from_variances(0.1, (0.01, 0.02), (20, 20)).df > 30
    assert found.half(0.9) == pytest.approx(oracle.t.ppf(0.95, found.df) * math.sqrt(0.02))


def test_10_looks_at_several_comparisons_keep_the_error():
    """Five comparisons without a difference, a look at every number of seeds: naive Holm finds one in 28 %."""
    rng, plan, studies = np.random.default_rng(10), looks(20), 1500
    naive = kept = 0
    levels = np.array([pair[0] for pair in plan.levels.values()])
    seeds = np.arange(3, 21)
    sums, squares = (np.cumsum(part, 2)[:, :, 2:] for part in _paths(rng, studies))
    t = sums / np.sqrt(seeds * (squares - sums**2 / seeds) / (seeds - 1))
    p = 2 * oracle.t.sf(np.abs(t), seeds - 1)  # [studies, 5, looks]
    for study in p:
        naive += (study.min(0) * 5 <= 0.05).any()
        kept += min(repeated_p(list(zip(one, levels, strict=True))) for one in study) * 5 <= 0.05
    assert naive / studies > 0.20
    assert oracle.binom.ppf(1e-3, studies, 0.045) <= kept <= oracle.binom.ppf(1 - 1e-3, studies, 0.055)


def _paths(rng: np.random.Generator, studies: int) -> tuple[np.ndarray, np.ndarray]:
    draws = rng.normal(size=(studies, 5, 20))
    return draws, draws**2


def test_11_more_seeds_than_planned_are_refused():
    assert looks(20).at(20) is not None
    with pytest.raises(MmtkError, match="planned before the first run"):
        looks(20).at(22)
    with pytest.raises(MmtkError, match="planned before the first run"):
        settle({"a": [interval(0.1, seeds=11)]}, {"a": None}, looks(10))


def test_12_a_large_p_is_not_equivalence_and_holm_does_not_touch_it():
    wide = interval(0.001, seed_sd=0.05)
    assert wide.p > 0.9
    assert verdict(wide, 0.02).word == "open"
    narrow = interval(0.001, seed_sd=0.005)
    assert {verdict(narrow, 0.02, adjusted=p).word for p in (None, 1.0, 0.5)} == {"no difference that matters"}
    # Two one-sided tests at 5 % take the interval of 90 %, not of 95 %.
    between = (narrow.half(0.90) + narrow.half(0.95)) / 2 + 0.001
    assert verdict(narrow, between).word == "no difference that matters"
    # And both sides.
    assert verdict(interval(-0.03, seed_sd=0.005), 0.02).word == "harms"
    assert not verdict(interval(-0.03, seed_sd=0.005), 0.02).within_margin
    ceiling = from_variances(0.001, (0.001**2, 0.001**2), (5, 50), flags=frozenset({"near the ceiling"}))
    assert verdict(ceiling, 0.02).word == "open"


def test_13_rounding_for_display_does_not_decide():
    half = interval(0.0).half(0.95)
    assert verdict(interval(half + 1e-12), None).word == "helps"
    assert verdict(interval(half), None).word == "open"
    assert verdict(interval(half - 1e-12), None).word == "open"
    edge = interval(0.0).half(0.90)
    assert verdict(interval(0.0), edge).word == "open"
    assert verdict(interval(0.0), edge + 1e-12).word == "no difference that matters"


def test_near_the_ceiling_counts_patients_of_the_smaller_class_in_a_wrong_pair():
    target = np.tile((np.arange(60) < 20) * 1.0, (2, 1))
    shares = 0.2 + 0.6 * target + np.linspace(0, 0.01, 60)
    shares[:, 25] = 0.9  # one negative above all positives: all 20 positive patients are in a wrong pair
    columns = {"target": target, "predicted": target, "p-a": 1 - shares, "p-b": shares}
    of = np.arange(60)
    assert stats.jackknife("auroc", columns, of).errors == 20
    shares[:, 25], shares[0, [3, 4]], shares[1, [3, 4, 5, 6]] = 0.2, 0.1, 0.1
    better = stats.jackknife("auroc", columns, of)
    assert better.errors == 3  # 2 and 4
    worse = stats.jackknife("auroc", columns | {"p-b": np.random.default_rng(1).random((2, 60))}, of)
    gap = stats.two_way(stats.difference(better, worse))
    assert "near the ceiling" in gap.flags
    assert "near the ceiling" not in stats.two_way(worse).flags
