"""Finished trials of the systems of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FinishedTrial:
    """One trial of a system.

    number: of the trial; 0 has the recipe's own settings
    settings: value of every tuned key that the recipe has
    value: mean validation score of its runs, the larger the better; None where one diverged
    steps: of its runs; 0 where an earlier trial has the same settings
    seconds: of their training
    same: number of the earlier trial with the same settings, which is not run again
    """

    number: int
    settings: Mapping[str, Any]
    value: float | None
    steps: int
    seconds: float
    same: int | None = None


@dataclass(frozen=True)
class TunedSystem:
    """A system at a label budget, its finished trials, and which one is the best; None before all have run.

    name: of the system
    budget: its labels
    trials: those that have finished
    best: number of the best trial
    """

    name: str
    budget: str
    trials: Sequence[FinishedTrial]
    best: int | None

    @property
    def keys(self) -> list[str]:
        """The tuned keys, in the order of the space."""
        return list(dict.fromkeys(key for trial in self.trials for key in trial.settings))

    @property
    def steps(self) -> int:
        """Steps of all trials."""
        return sum(trial.steps for trial in self.trials)


def shown_value(value: Any) -> str:
    """A setting for readers: numbers at three digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)
