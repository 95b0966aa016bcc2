"""Calibration of the classes: reliability in bins of confidence, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmtk.report.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 15  # as many as the calibration error has


class Reliability(NamedTuple):
    """Mean confidence, share of right answers and number of images of every non-empty bin of confidence."""

    confidence: np.ndarray
    right: np.ndarray
    images: np.ndarray

    @property
    def error(self) -> float:
        """The calibration error (Guo et al. 2017)."""
        return float(np.average(np.abs(self.confidence - self.right), weights=self.images))


def reliability(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """Confidence [N] in the likeliest class and whether it was right [N], in bins of equal width."""
    bins = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts > 0
    counts = counts[filled]
    confident, answered = (np.bincount(bins, values, BINS)[filled] for values in (confidence, right.astype(float)))
    return Reliability(confident / counts, answered / counts, counts)


def draw_reliability(axes: Axes, one: Reliability, look: Mapping[str, Any]) -> None:
    """A line with a point for each bin, as large as the bin has images."""
    axes.plot(one.confidence, one.right, **look, lw=1.6, zorder=3)
    sizes = 12 + 150 * one.images / one.images.sum()
    axes.scatter(one.confidence, one.right, s=sizes, color=look["color"], alpha=0.8, lw=0, zorder=4)


def finish_reliability(axes: Axes) -> None:
    """The line of perfect calibration, and what the axes are."""
    axes.plot([0, 1], [0, 1], color=style.GREY, ls=(0, (1, 2)), lw=1.2, label="as often right as confident")
    axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xlabel="confidence in the likeliest class (size: images)", ylabel="share of right answers")
