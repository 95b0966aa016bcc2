"""Effects of components from all their combinations: factorial contrasts and Shapley values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.stats.intervals import numbers, t_mean

Cells = Mapping[frozenset[str], Mapping[int, float]]


@dataclass(frozen=True)
class Effect:
    """Effect of one factor, or of several together, on a score: mean over ``n`` seeds with 95 % interval.

    ``p`` is that of the one-sample t-test against 0. Interval and p are None with one seed or without variation.
    """

    factors: tuple[str, ...]
    value: float
    low: float | None
    high: float | None
    p: float | None
    n: int


@dataclass(frozen=True)
class Weights:
    """Effects as weighted sums over the cells of a full 2^k design.

    effects: the factors of each effect, in their order
    cells: the factors that are on in each cell
    table: weights [effects, cells]
    """

    effects: list[tuple[str, ...]]
    cells: list[frozenset[str]]
    table: np.ndarray


def factorial_weights(factors: Sequence[str]) -> Weights:
    """Main effects and all interactions, by order of interaction: 1/2^(k−1) · Π_{f∈E} (+1 if f ∈ S else −1)."""
    subsets = _subsets(factors)
    contrasts = [effect for effect in subsets if effect]
    table = np.array([[(-1.0) ** len(effect - cell) for cell in subsets] for effect in contrasts])
    return Weights([_ordered(effect, factors) for effect in contrasts], subsets, table / 2 ** (len(factors) - 1))


def shapley_weights(factors: Sequence[str]) -> Weights:
    """Shapley shares of the factors: |S|! (k − |S| − 1)! / k!, negative where the factor is off."""
    subsets, k = _subsets(factors), len(factors)
    alone = [frozenset([factor]) for factor in factors]
    table = np.array([[_share(len(cell - one), k, one <= cell) for cell in subsets] for one in alone])
    return Weights([_ordered(one, factors) for one in alone], subsets, table)


def factorial(cells: Cells, factors: Sequence[str]) -> list[Effect]:
    """Main effects and all interactions of a full 2^k design, by order of interaction.

    ``cells`` maps the set of factors that are on to the score by seed. The effect of a set E of factors is the
    contrast 1/2^(k−1) · Σ_S y(S) · Π_{f∈E} (+1 if f ∈ S else −1) (Yates 1937; Box, Hunter and Hunter 2005, chapter
    5). A main effect is the mean of the half with the factor on minus that of the half with it off; an interaction
    of two is half of how much one's effect changes when the other is switched on.

    Each contrast is taken within each seed, then summarised with Student's t over the seeds that all cells have. A
    linear model with seeds as blocks has the same estimates; it pools the spread of all contrasts into one (more
    degrees of freedom, right if all vary alike), while here every contrast has its own. Its squared standard error
    is the mean of those here.

    MmtkError names the cells that are missing, or the seeds of each if no seed has all of them.
    """
    scores = _table(cells, factors, "main effects and interactions")
    return _effects(factorial_weights(factors), scores)


def shapley(cells: Cells, factors: Sequence[str]) -> list[Effect]:
    """The share of every factor in the gain y(all) − y(none), in the order of ``factors`` (Shapley 1953).

    φ_f = Σ_{S∌f} |S|! (k − |S| − 1)! / k! · (y(S ∪ f) − y(S)): what f adds, averaged over all orders of switching
    the factors on. Exact, within each seed, then mean and Student's t interval over the seeds that all cells have.
    The shares sum to the mean gain of those seeds. ``cells`` and errors as in ``factorial``.
    """
    scores = _table(cells, factors, "Shapley values")
    return _effects(shapley_weights(factors), scores)


def _subsets(factors: Sequence[str]) -> list[frozenset[str]]:
    sizes = range(len(factors) + 1)
    return [frozenset(c) for c in chain.from_iterable(combinations(factors, size) for size in sizes)]


def _ordered(names: frozenset[str], factors: Sequence[str]) -> tuple[str, ...]:
    return tuple(factor for factor in factors if factor in names)


def _share(count: int, k: int, on: bool) -> float:
    """The weight of a cell in a Shapley value, by the number of the other factors that are on."""
    size = math.factorial(count) * math.factorial(k - count - 1) / math.factorial(k)
    return size if on else -size


def _effects(weights: Weights, scores: np.ndarray) -> list[Effect]:
    """Weighted sums [effects, cells] @ [cells, seeds], each summarised over seeds."""
    effects = []
    for names, by_seed in zip(weights.effects, weights.table @ scores, strict=True):
        interval = t_mean(by_seed)
        low, high, p = (interval.low, interval.high, interval.p) if interval else (None, None, None)
        effects.append(Effect(names, float(by_seed.mean()), low, high, p, len(by_seed)))
    return effects


def _table(cells: Cells, factors: Sequence[str], purpose: str) -> np.ndarray:
    """Scores [cells, seeds] of all 2^k sets of factors, at the seeds that all have."""
    if not factors or len(set(factors)) < len(factors):
        raise MmtkError(f"factors must be one or more different names; they are {list(factors)}.")
    subsets = _subsets(factors)
    label = {cell: " + ".join(f for f in factors if f in cell) or "none of them" for cell in subsets}
    if strange := {name for cell in cells for name in cell} - set(factors):
        raise MmtkError(
            f"a cell has {', '.join(sorted(strange))}, which is not among the factors {list(factors)}."
        )
    if missing := [cell for cell in subsets if not cells.get(cell)]:
        raise MmtkError(
            f"{purpose} of {', '.join(factors)} need all {counted(len(subsets), 'combination')}; "
            f"{len(missing)} without a run: {'; '.join(label[cell] for cell in missing)}.",
            hint="Run the missing cells, or leave out a factor. Single differences can still be tested.",
        )
    seeds = sorted(set.intersection(*(set(cells[cell]) for cell in subsets)))
    if not seeds:
        present = "; ".join(f"{label[cell]}: {', '.join(map(str, sorted(cells[cell])))}" for cell in subsets)
        raise MmtkError(
            f"{purpose} of {', '.join(factors)} need a seed in all combinations; there is none ({present}).",
            hint="Run one seed in every cell.",
        )
    rows = [numbers([cells[cell][seed] for seed in seeds], f"the scores of {label[cell]}") for cell in subsets]
    return np.array(rows)
