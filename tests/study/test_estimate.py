"""Wall time of runs and studies, by hand-computed figures."""

from __future__ import annotations

import pytest

from mmtk.study import estimate
from mmtk.study.estimate import Machine, RunTime, Work

WORK = Work(steps=100, batch=5, size=64, tasks=2, validation=120, validations=3, test=480)


def test_the_rest_of_a_run_counts_every_scored_image():
    assert WORK.scored == 120 * 4 + 480
    image = estimate.PIXEL * 4096 + 0.25 / (estimate.FORWARD * 5)
    expected = estimate.DATA + 2 * estimate.EXAMPLES + 960 * image
    assert estimate.rest_seconds(WORK, 0.25) == pytest.approx(expected)


def test_a_shared_machine_stretches_all_but_the_steps_which_are_timed_there():
    alone = estimate.run_time(WORK, 0.25, Machine())
    shared = estimate.run_time(WORK, 0.5, Machine(stretch=2))
    assert (alone.training, shared.training) == (25, 50)
    assert (shared.start, shared.rest) == pytest.approx((2 * alone.start, 2 * alone.rest))


def test_a_run_beside_warm_workers_starts_at_once():
    cold, warm = (
        estimate.run_time(WORK, 0.25, Machine(), start=start) for start in (estimate.START, estimate.FORK)
    )
    assert (cold.training, cold.rest) == (warm.training, warm.rest)
    assert cold.total - warm.total == pytest.approx(estimate.START - estimate.FORK)


def test_finished_runs_correct_the_rest():
    usual = estimate.rest_seconds(WORK, 0.25)
    ratio = estimate.rest_ratio(
        [(WORK, 25.0, 25 + 3 * usual), (WORK, 25.0, 25 + usual), (WORK, 25.0, 25 + 4 * usual)]
    )
    assert ratio == pytest.approx(3)
    assert estimate.run_time(WORK, 0.25, Machine(), ratio).rest == pytest.approx(3 * usual)
    assert estimate.rest_ratio([]) is None


@pytest.mark.parametrize(
    ("seconds", "workers", "end"),
    [([], 2, 0), ([3, 3, 3], 1, 9), ([3, 3, 3], 2, 6), ([1, 5, 1, 1], 2, 5), ([4], 8, 4)],
)
def test_runs_side_by_side_begin_when_a_place_is_free(seconds, workers, end):
    assert estimate.makespan(seconds, workers) == end


@pytest.mark.parametrize(
    ("load", "workers", "stretch", "beside"), [(1, 1, 1, 1), (1, 2, 1, 1), (1, 4, 1, 2), (4, 2, 2, 1.25)]
)
def test_more_threads_than_cores_slow_each_other(load, workers, stretch, beside):
    found = estimate.machine_now(wall=stretch, cpu=1, threads=1, load=load, cores=2, workers=workers)
    assert (found.stretch, found.beside) == (stretch, beside)


def test_a_study_has_a_report_and_mlflow_after_its_runs():
    runs = [RunTime(4, 10, 6)] * 4
    plain = estimate.study_seconds(runs, 2, Machine(), tracked=False)
    assert plain == 40 + estimate.REPORT + 4 * estimate.REPORT_RUN
    tracked = estimate.study_seconds(runs, 2, Machine(), tracked=True)
    assert tracked == plain + estimate.MLFLOW_START + 4 * estimate.MLFLOW_RUN


def test_what_remains_is_corrected_by_finished_runs_and_less_what_has_passed():
    expected = {"a": 10.0, "b": 10.0, "c": 20.0}
    assert estimate.remaining(expected, {}, {"b": 4.0, "c": 0.0}) == [6, 20]
    assert estimate.remaining(expected, {"a": 15.0}, {"b": 4.0, "c": 0.0}) == [11, 30]
    assert estimate.remaining({}, {"a": 15.0}, {"b": 20.0, "c": 0.0}) == [0, 15]
    assert estimate.remaining({}, {"x": 8.0}, {}) == []
