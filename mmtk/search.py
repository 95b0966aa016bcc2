"""Search for settings: the contract that needs no torch, so that a study is planned without it."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Settings = Mapping[str, Any]  # dotted recipe key → value
Draw = Callable[[str], random.Random]  # a word, such as a key → a generator of this trial


@dataclass(frozen=True)
class Choice:
    """Values of a key to choose from.

    values: two or more, different ones
    """

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """Value at a ``share`` of the list, from 0 to below 1."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def __contains__(self, value: object) -> bool:
        return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.values)


@dataclass(frozen=True)
class Range:
    """Numbers of a key, ``low`` and ``high`` included.

    low: the smallest number
    high: the largest number
    log: whether equal factors are equally likely, in place of equal differences
    integer: whether the key takes whole numbers alone
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def at(self, share: float) -> float:
        """Number at a ``share`` of the way from low to high, from 0 to below 1; a whole one has its even share."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.integer else (self.low, self.high)
        if self.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        value = min(max(value, self.low), self.high)
        return min(max(math.floor(value + 0.5), int(self.low)), int(self.high)) if self.integer else value

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return (isinstance(value, int) or not self.integer) and self.low <= value <= self.high


Space = Mapping[str, Choice | Range]


@dataclass(frozen=True)
class Trial:
    """A finished trial: its settings, and its validation score; None where the training diverged.

    settings: value of every key of the space that the recipe has
    value: mean over the seeds of the trial; the larger, the better
    """

    settings: Settings
    value: float | None


class Search(ABC):
    """(*, …): proposes the settings of trials.

    sequential: whether a proposal depends on the values of earlier trials, so that they run one after the other
    """

    sequential: bool

    @abstractmethod
    def propose(self, space: Space, history: Sequence[Trial], draw: Draw) -> Settings:
        """Settings of the next trial of a system, a value for every key of the space.

        space: keys that mean something in the system, with their values
        history: earlier trials of the system, the first of them with the recipe's own settings; empty for a
            search that is not sequential
        draw: generators of this trial, the same in all systems: ``draw(key)`` gives every system the same number
        """


def draws(seed: int, trial: int) -> Draw:
    """Generators of a trial, each a pure function of the study's seed, the trial and a word."""
    return lambda word: random.Random(f"mmtk/{seed}/{trial}/{word}")
