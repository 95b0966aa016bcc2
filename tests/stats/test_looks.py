"""Levels of looks at growing numbers of seeds, and where a study stands after them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_verdict_words import interval

from mmtk.errors import MmtkError
from mmtk.stats.comparisons import adjusted_p
from mmtk.stats.jackknife import Jackknife
from mmtk.stats.looks import lacks_patients, looks, repeated_p, settle, shared_level
from mmtk.stats.make_levels import simulate
from mmtk.stats.two_way import Interval, two_way

# The levels of the specification, simulated with other draws by another program, rounded to four places.
PUBLISHED = {
    20: (
        "75 39 38 42 47 53 60 66 73 80 87 94 100 108 115 123 131 139",
        "150 84 85 95 106 120 136 150 167 183 199 215 233 252 269 288 306 326",
    ),
    15: ("100 55 54 59 67 76 84 93 103 112 122 132 142", "201 119 120 135 152 171 190 214 238 259 283 308 334"),
    10: ("149 85 86 95 108 121 136 151", "300 190 195 218 247 280 315 351"),
}


@pytest.mark.parametrize("maximum", PUBLISHED)
def test_shipped_levels_are_the_published_ones(maximum):
    plan = looks(maximum)
    assert [*plan.levels] == [*range(3, maximum + 1)]
    for part, line in enumerate(PUBLISHED[maximum]):
        ours = np.array([pair[part] for pair in plan.levels.values()])
        assert np.abs(ours - np.array(line.split(), float) / 1e4).max() < 0.0002 + 1e-9


def test_the_script_makes_the_shipped_levels():
    """With a tenth of the paths; the error of a level is that of counting those that stop at it."""
    for part, alpha in enumerate((0.05, 0.10)):
        found = np.array(simulate(15, alpha, 200_000, seed=3))
        expected = np.array([pair[part] for pair in looks(15).levels.values()])
        assert found == pytest.approx(expected, rel=0.12)
        assert abs(found / expected - 1).mean() < 0.04


@pytest.mark.long
def test_two_million_paths_make_the_shipped_levels():
    for maximum in PUBLISHED:
        found = simulate(maximum, 0.05, seed=99)
        assert found == pytest.approx([first for first, _ in looks(maximum).levels.values()], abs=0.0003)


def test_another_maximum_is_simulated_once_and_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "mmtk.stats.make_levels.simulate", lambda maximum, alpha, seed: [alpha / 10] * (maximum - 2)
    )
    first = looks(12, tmp_path)
    assert [path.name for path in tmp_path.glob("levels-12/*.json")]
    looks.cache_clear()
    monkeypatch.setattr("mmtk.stats.make_levels.simulate", None)
    assert looks(12, tmp_path) == first
    assert first.at(7) == pytest.approx((0.005, 0.01))


def test_few_seeds_have_one_look_at_the_end():
    plan = looks(7)
    assert [plan.at(seeds) for seeds in range(2, 8)] == [None] * 5 + [(0.05, 0.10)]
    assert plan.at(6, is_last=True) == (0.05, 0.10)
    assert looks(20).at(6, is_last=True) == looks(20).at(6)
    assert repeated_p([(0.01, 0.05)], is_single=True) == 0.01
    with pytest.raises(MmtkError, match="tests nothing"):
        looks(1)


def test_more_seeds_than_planned_void_the_levels():
    with pytest.raises(MmtkError, match="more than the 10 that were planned"):
        looks(10).at(11)


def test_repeated_p_is_at_most_five_percent_where_a_look_is_below_its_level():
    assert repeated_p([(0.5, 0.01), (0.01, 0.01), (0.9, 0.02)]) == pytest.approx(0.05)
    assert repeated_p([(0.5, 0.01), (0.0101, 0.01)]) > 0.05
    assert repeated_p([(0.001, 0.01)]) == pytest.approx(0.05 * 0.1 ** (1 / 1.13))
    assert repeated_p([(0.9, 0.001)]) == 1
    assert repeated_p([]) == 1
    assert shared_level(0.01, 1) == 0.01
    # An interval of several comparisons leaves out 0 where Bonferroni over the repeated p would find it.
    assert 5 * repeated_p([(shared_level(0.01, 5), 0.01)]) == pytest.approx(0.05)
    assert adjusted_p([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def steps(est: float, seeds: range, seed_sd: float = 0.02, patient_sd: float = 0.0) -> list[Interval]:
    return [interval(est, seed_sd / math.sqrt(j), patient_sd, j) for j in seeds]


def test_a_study_stops_where_a_look_settles_it():
    plan = looks(20)
    found = settle({"a": steps(0.03, range(2, 21))}, {"a": 0.001}, plan)["a"]
    assert (found.verdict.word, found.state, found.is_early) == ("helps", "settled", True)
    early = [one for one in steps(0.03, range(3, 21)) if one.p <= plan.at(one.seeds)[0]]
    stopped = settle({"a": steps(0.03, range(2, early[0].seeds + 1))}, {"a": 0.001}, plan)["a"]
    assert (stopped.verdict.word, stopped.seeds) == ("helps", early[0].seeds)
    assert stopped.interval.low == pytest.approx(0.03 - early[0].half(1 - plan.at(stopped.seeds)[0]))
    assert stopped.interval.low > 0
    before = settle({"a": steps(0.03, range(2, early[0].seeds))}, {"a": 0.001}, plan)["a"]
    assert (before.verdict.word, before.state) == ("open", "more seeds")
    worse = settle({"a": steps(0.03, range(2, 21))}, {"a": None}, plan, {"a": "lower"})["a"]
    assert worse.verdict.word == "harms"


def test_equivalence_is_found_at_its_first_look_and_stays():
    looked = steps(0.0, range(3, 10), seed_sd=0.01)
    found = settle({"a": looked}, {"a": 0.02}, looks(10))["a"]
    first = next(one for one in looked if one.half(1 - looks(10).at(one.seeds)[1]) < 0.02)
    assert (found.verdict.word, found.seeds, found.state) == ("no difference that matters", first.seeds, "settled")
    assert found.interval.est == 0


def test_states_before_between_and_after_the_looks():
    plan = looks(10)
    history = {
        "before": steps(0.0, range(2, 3)),
        "open": steps(0.004, range(3, 9)),
        "patients": steps(0.004, range(3, 9), patient_sd=0.05),
        "all": steps(0.004, range(3, 11)),
    }
    found = settle(history, dict.fromkeys(history), plan)
    assert [one.state for one in found.values()] == ["more seeds", "more seeds", "more patients", "no more seeds"]
    assert [one.verdict.word for one in found.values()] == ["open"] * 4
    assert found["before"].interval is None
    ended = settle(history, dict.fromkeys(history), plan, is_last=True)
    assert [one.state for one in ended.values()] == [
        "no more seeds",
        "no more seeds",
        "more patients",
        "no more seeds",
    ]
    assert [lacks_patients(interval(0.004, patient_sd=0.05, seeds=j), None) for j in (4, 5)] == [False, True]
    assert not lacks_patients(interval(0.004, patient_sd=0.05), 0.5)


def test_a_test_set_without_an_interval_asks_for_patients_at_once():
    history = {"few": [two_way(Jackknife(np.array([0.1, 0.2, 0.3]), np.full((3, 9), 0.2)))]}
    assert settle(history, {"few": 0.01}, looks(10))["few"].state == "more patients"


def test_a_lone_finding_needs_more_in_a_family():
    plan = looks(10)
    (shown,) = steps(0.02, range(10, 11))
    history = {"a": [shown], "b": steps(0.0, range(10, 11)), "c": steps(0.0, range(10, 11))}
    p = repeated_p([(shown.p, plan.at(10)[0])])
    alone, family = (settle(part, dict.fromkeys(part), plan)["a"] for part in ({"a": [shown]}, history))
    assert (alone.p, family.p) == pytest.approx((p, 3 * p))
    assert (alone.verdict.word, family.verdict.word) == ("helps", "open")
    assert "not after Holm's adjustment" in family.verdict.note
