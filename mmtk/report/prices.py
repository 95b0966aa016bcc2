"""Prices of components: what they add to a step and to the network, measured in the runs of the study itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmtk.errors import MmtkError
from mmtk.study.jackknives import Weights
from mmtk.study.results import Cell


@dataclass(frozen=True)
class Price:
    """Additions of a component, mean over its systems and their runs.

    seconds: per training step
    share: the same as a share of a step without the component
    parameters: of the network; None where a run of mmtk 0.1 did not list its layers
    """

    seconds: float
    share: float
    parameters: float | None


def price(weights: Weights) -> Price | None:
    """Price of the difference between systems with positive and with negative weights, each summing to one.

    None where a run says no time.
    """
    times = [_seconds_per_step(cell) for _, cell in weights]
    if not all(times):
        return None
    added = _sum(weights, times)
    base = -_sum(
        [pair for pair in weights if pair[0] < 0], [t for (w, _), t in zip(weights, times, strict=True) if w < 0]
    )
    counts = [_parameters(cell) for _, cell in weights]
    present_counts = [count for count in counts if count is not None]
    return Price(
        added, added / base, _sum(weights, present_counts) if len(present_counts) == len(counts) else None
    )


def _sum(weights: Weights, values: Sequence[float]) -> float:
    return float(np.dot([weight for weight, _ in weights], values))


def _seconds_per_step(cell: Cell) -> float:
    """Seconds of training over steps, mean over runs; 0 where a run has none."""
    steps = [(run.seconds, run.scores.get("selected", {}).get("steps", 0)) for run in cell.runs.values()]
    return float(np.mean([seconds / count if count else 0.0 for seconds, count in steps])) if steps else 0.0


def _parameters(cell: Cell) -> int | None:
    """Parameters of the network in all layers of one run."""
    try:
        layers, _ = cell.runs[min(cell.runs)].layers
    except (MmtkError, ValueError):
        return None
    return sum(layer["parameters"] for layer in layers)
