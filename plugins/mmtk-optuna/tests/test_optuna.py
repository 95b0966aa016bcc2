"""Optuna keeps the contract of a search, and learns from the trials."""

from __future__ import annotations

import pytest
from mmtk.api import Choice, Range, Space, Trial
from mmtk.search import draws
from mmtk.testing import suite

from mmtk_optuna.search import Optuna

SPACE: Space = {"train.lr": Range(1e-5, 1e-1, log=True), "ssl.views": Choice((1, [2, 3]))}


def trials(count: int, seed: int) -> list[Trial]:
    """Trials whose value is the higher, the nearer the rate is to 0.001, and higher with the second choice."""
    search, history = Optuna(startup=3), [Trial({}, 0.0)]
    for number in range(1, count):
        settings = search.propose(SPACE, history, draws(seed, number))
        distance = abs(float(settings["train.lr"]) - 1e-3) / 1e-3
        history.append(Trial(settings, (settings["ssl.views"] != 1) - min(distance, 10.0)))
    return history


@pytest.mark.parametrize("check", [*suite("search", Optuna), *suite("search", Optuna, {"startup": 1})], ids=str)
def test_contract(check):
    check()


def test_the_first_trials_are_shared_draws_and_later_ones_follow_the_history():
    search = Optuna(startup=2)
    history = [Trial({}, 0.0), Trial({}, 0.0)]
    fewer: Space = {"train.lr": SPACE["train.lr"]}
    first, second = (search.propose(space, history, draws(0, 2)) for space in (SPACE, fewer))
    assert first["train.lr"] == second["train.lr"]
    good, bad = (
        [*history, *(Trial({"train.lr": rate, "ssl.views": 1}, value) for rate, value in rows)]
        for rows in (((1e-5, 1.0), (1e-1, 0.0), (2e-5, 0.9)), ((1e-5, 0.0), (1e-1, 1.0), (5e-2, 0.9)))
    )
    low, high = (search.propose(SPACE, rows, draws(0, 9))["train.lr"] for rows in (good, bad))
    assert low < high


def test_later_trials_are_better_than_the_first_ones():
    early, late = [], []
    for seed in range(4):
        values = [trial.value or 0.0 for trial in trials(24, seed)]
        early += values[1:6]
        late += values[18:]
    assert sum(late) / len(late) > sum(early) / len(early) + 1
