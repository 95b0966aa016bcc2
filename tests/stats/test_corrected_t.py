"""The corrected t over folds: its formula by hand, and simulated studies whose training sets overlap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loops import times
from scipy import stats as scipy_stats

from mmtk.errors import MmtkError
from mmtk.stats.folds import FoldPatients, corrected, overlap
from mmtk.stats.power import seeds_for, smallest_difference
from mmtk.stats.verdicts import more_seeds, verdict

FEATURES = 10
DRAWN = ("all labels", "few labels", "restless weights")


def test_the_formula_by_hand() -> None:
    """Nadeau and Bengio (2003): t = mean / √((1/J + n_test/n_train) S²) with J − 1 degrees of freedom."""
    gaps = [0.02, 0.05, -0.01, 0.04, 0.03, 0.00, 0.06, 0.02, 0.01, 0.03]
    one = corrected(gaps, 5, FoldPatients(100))
    assert overlap(5) == 0.25  # a fifth is tested, four fifths train
    mean = sum(gaps) / 10
    spread = sum((gap - mean) ** 2 for gap in gaps) / 9
    error = math.sqrt((1 / 10 + 1 / 4) * spread)
    t = scipy_stats.t.ppf(0.975, 9)
    assert one.est == pytest.approx(0.025)
    assert (one.low, one.high) == pytest.approx((mean - t * error, mean + t * error))
    assert one.p == pytest.approx(2 * scipy_stats.t.sf(mean / error, 9))
    assert (one.df, one.seeds, one.patients, one.overlap) == (9, 10, 100, 0.25)
    assert one.half(0.9) == pytest.approx(scipy_stats.t.ppf(0.95, 9) * error)
    # Ten folds once: 10-fold cross-validation corrects by 1/9.
    assert corrected(gaps, 10, FoldPatients(100)).high == pytest.approx(
        mean + t * math.sqrt((1 / 10 + 1 / 9) * spread)
    )


def test_repeats_alone_never_make_a_difference_certain() -> None:
    gaps = np.array([0.04, -0.02, 0.01, 0.03, -0.01])
    halves = [corrected(np.resize(gaps, count), 5, FoldPatients(100)).half(0.95) for count in (5, 50, 5000)]
    assert halves[0] > halves[1] > halves[2] > 1.96 * gaps.std() * 0.5
    far = corrected(np.tile([0.06, 0.0, 0.01, 0.03, 0.05], 2), 5, FoldPatients(100))
    assert verdict(far, None).word == "open"
    more = more_seeds(far, None)
    assert more is None or more % 5 == 0
    lasting = corrected([0.001, -0.03, 0.02, 0.04, -0.02], 5, FoldPatients(100))
    assert more_seeds(lasting, 0.001) is None  # more patients


@pytest.mark.parametrize(
    ("gaps", "tested", "note"),
    [
        ([0.1], FoldPatients(50), "one fold, so no interval"),
        ([0.1, 0.1, 0.1], FoldPatients(50), "the same with every fold, so no interval"),
        ([0.1, 0.2, 0.1], FoldPatients(9), "9 patients: too few for an interval"),
    ],
)
def test_where_there_is_no_interval(gaps: list[float], tested: FoldPatients, note: str) -> None:
    one = corrected(gaps, 3, tested)
    assert one.low is None
    assert note in one.note
    assert verdict(one, 0.5).word == "open"


def test_what_has_to_be_said_beside_it() -> None:
    gaps = [0.0001, -0.0001, 0.0]
    assert "rests on 20 patients only" in corrected(gaps, 3, FoldPatients(20)).note
    assert "3 patients of the smallest class" in corrected(gaps, 3, FoldPatients(50, 9.0, 3)).note
    near = corrected(gaps, 3, FoldPatients(50, 2.0))
    assert "near the ceiling" in near.flags
    assert verdict(near, 0.1).word == "open"
    assert verdict(corrected(gaps, 3, FoldPatients(50, 9.0)), 0.1).word == "no difference that matters"
    with pytest.raises(MmtkError, match="two folds or more; 1 were given"):
        overlap(1)


def test_a_plan_sees_with_its_power_what_it_says() -> None:
    """By drawing folds: of the smallest difference, four in five intervals leave out 0."""
    smallest = smallest_difference(10, 100, 0.03**2, 0.0, overlap=0.25)
    # Folds of this dependence: their mean has the variance that the formula takes, S² that of its expectation.
    shared = 0.03**2 * 0.25
    rng = np.random.default_rng(1)
    folds = rng.normal(0, 0.03, (4000, 10)) + rng.normal(smallest, math.sqrt(shared), (4000, 1))
    seen = np.mean([corrected(row, 5, FoldPatients(100)).p < 0.05 for row in folds])
    assert seen == pytest.approx(0.8, abs=0.03)
    assert seeds_for(smallest, 100, 0.03**2, 0.0, overlap=0.25) == 10
    assert seeds_for(0.001, 100, 0.03**2, 0.0, overlap=0.25) is None


# --- simulated: two classifiers of equal worth, each on features of its own


def gaps_of(rng: np.random.Generator, patients: int, folds: int, repeats: int, drawn: str) -> np.ndarray:
    """Differences of accuracy over the folds of a data set of 1 to 3 films of each patient."""
    of = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    ill = (rng.random(patients) < 0.5)[of]
    films = rng.normal(0, 0.6, (patients, 2 * FEATURES))[of] + rng.normal(0, 0.8, (len(of), 2 * FEATURES))
    films += np.where(ill, 0.25, -0.25)[:, None]
    gaps = []
    for _ in range(repeats):
        fold = rng.permutation(np.arange(patients) % folds)[of]
        for index in range(folds):
            training = [np.flatnonzero((fold != index) & (ill == kind)) for kind in (True, False)]
            if drawn == "few labels":
                training = [rng.permutation(rows)[:12] for rows in training]
            right = [_right(rng, half, training, fold == index, ill, drawn) for half in np.split(films, 2, 1)]
            gaps.append(right[0] - right[1])
    return np.array(gaps)


def _right(rng, films: np.ndarray, training: list[np.ndarray], test: np.ndarray, ill: np.ndarray, drawn: str):
    """Accuracy of the nearest mean of the classes."""
    first, second = (films[rows].mean(0) for rows in training)
    direction = first - second + (rng.normal(0, 0.4, FEATURES) if drawn == "restless weights" else 0)
    return ((((films[test] - (first + second) / 2) @ direction) > 0) == ill[test]).mean()


def covered(patients: int, folds: int, repeats: int, drawn: str, count: int) -> tuple[float, float]:
    """Shares of data sets in which the corrected t, and Student's t over folds, hold the truth 0."""
    rng = np.random.default_rng([patients, folds, repeats, DRAWN.index(drawn)])
    hits = []
    for _ in range(count):
        gaps = gaps_of(rng, patients, folds, repeats, drawn)
        one = corrected(gaps, folds, FoldPatients(patients))
        plain = scipy_stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps))
        hits.append((one.low <= 0 <= one.high, abs(gaps.mean()) <= plain))
    return tuple(np.mean(hits, 0))


def test_folds_with_overlapping_training_sets_are_covered() -> None:
    """Two repeats of five folds: the corrected t holds the truth, Student's t over folds finds too much."""
    corrected_rate, plain_rate = covered(60, 5, 2, "few labels", 300)
    assert corrected_rate >= 0.93
    assert plain_rate < 0.88


@pytest.mark.long
def test_a_look_after_every_repeat_finds_too_much() -> None:
    """Why ``--until settled`` takes no folds: one of six looks at the same patients errs too often."""
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(count := 3000):
        gaps = gaps_of(rng, 60, 5, 6, "restless weights")
        looks = (corrected(gaps[: 5 * repeats], 5, FoldPatients(60)).p for repeats in range(1, 7))
        found += any(p is not None and p < 0.05 for p in looks)
    assert found / count > 0.055


@pytest.mark.long
@pytest.mark.parametrize("drawn", DRAWN)
@pytest.mark.parametrize(("folds", "repeats"), [(5, 1), (10, 1), (5, 2), (5, 4)])
@pytest.mark.parametrize("patients", [60, 200])
def test_the_corrected_t_covers(patients: int, folds: int, repeats: int, drawn: str) -> None:
    count = times(1000)
    rate, _ = covered(patients, folds, repeats, drawn, count)
    assert rate >= 0.95 - 3.1 * math.sqrt(0.95 * 0.05 / count)
