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
    """Additions of a component, mean over its systems.

    seconds: per training step; of the median run of each system, so that one that waited does not count
    share: the same as a share of a step without the component
    memory: peak of a run's training, in GB; None where a run does not say it
    parameters: of the network; None where a run of mmtk 0.1 did not list its layers
    """

    seconds: float
    share: float
    memory: float | None
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
    memory = _sum_of_present(weights, [_memory(cell) for _, cell in weights])
    parameters = _sum_of_present(weights, [_parameters(cell) for _, cell in weights])
    return Price(added, added / base, memory, parameters)


def _sum(weights: Weights, values: Sequence[float]) -> float:
    return float(np.dot([weight for weight, _ in weights], values))


def _sum_of_present(weights: Weights, values: Sequence[float | None]) -> float | None:
    present_values = [value for value in values if value is not None]
    return _sum(weights, present_values) if len(present_values) == len(values) else None


def _memory(cell: Cell) -> float | None:
    """Peak memory in GB, mean over runs; None where a run does not say it."""
    peaks = [run.memory for run in cell.runs.values()]
    present_peaks = [peak for peak in peaks if peak is not None]
    return float(np.mean(present_peaks)) if present_peaks and len(present_peaks) == len(peaks) else None


def _seconds_per_step(cell: Cell) -> float:
    """Seconds of training over steps, median over runs; 0 where a run has none."""
    steps = [(run.seconds, run.scores.get("selected", {}).get("steps", 0)) for run in cell.runs.values()]
    times = [seconds / count for seconds, count in steps if count]
    return float(np.median(times)) if times and len(times) == len(steps) else 0.0


def _parameters(cell: Cell) -> int | None:
    """Parameters of the network in all layers of one run."""
    try:
        layers, _ = cell.runs[min(cell.runs)].layers
    except (MmtkError, ValueError):
        return None
    return sum(layer["parameters"] for layer in layers)
