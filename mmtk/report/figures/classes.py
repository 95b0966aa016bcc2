"""Pictures of the classes of a run: ROC curves with their band and operating point, and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmtk.report.figures import style
from mmtk.report.figures.roc_curves import band, curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 15  # as many as the calibration error has
POINT: dict[str, Any] = {"ls": "", "marker": "o", "mec": "black", "mew": 0.9, "zorder": 5, "clip_on": False}


class Ranking(NamedTuple):
    """Class indices [N] and probabilities [N,C] of the images of a test set, and the threshold of the run."""

    target: np.ndarray
    probabilities: np.ndarray
    threshold: float


def operating_point(positive: np.ndarray, score: np.ndarray, threshold: float) -> tuple[float, float]:
    """False and true positive rate where an image counts as positive from ``threshold`` on."""
    predicted = score >= threshold
    return float(predicted[~positive].mean()), float(predicted[positive].mean())


def roc(sets: Mapping[str, Ranking], path: Path, title: str) -> Path | None:
    """ROC curve of every test set with the band over its images (Fig. 7).

    Of two classes it is the last one's, with the operating point; of more the mean over those that occur, each
    against the rest.
    """
    usable = {n: (one, line) for n, one in sets.items() if (line := curve(one.target, one.probabilities))}
    if not usable:
        return None
    grid, note = np.linspace(0, 1, 201), "band: 95 % of bootstrap samples of the images"
    with style.chart(path, title, 6.2, 6.9) as fig:
        axes = fig.add_subplot()
        for k, (name, (one, line)) in enumerate(usable.items()):
            colour, dash = style.CYCLE[k % len(style.CYCLE)], style.DASHES[k % len(style.DASHES)]
            label = f"{style.short(name, 44)}: AUC {line.area:.3f} (n = {len(one.target):,})"
            axes.plot(line.false, line.true, color=colour, ls=dash, label=label, clip_on=False, zorder=3)
            if (ends := band(one.target, one.probabilities, grid)) is not None:
                axes.fill_between(grid, *ends, color=colour, alpha=0.13, lw=0)
            if one.probabilities.shape[1] == 2:
                x, y = operating_point(one.target == 1, one.probabilities[:, 1], one.threshold)
                words = f"threshold {one.threshold:.2f}: sensitivity {y:.3f}, specificity {1 - x:.3f}"
                axes.plot(x, y, **POINT, color=colour, ms=8, label=words)
            else:
                note = "mean over the classes, each against the rest; band: 95 % of bootstrap samples"
        axes.plot([0, 1], [0, 1], color=style.GREY, ls=(0, (1, 2)), lw=1.2, label="chance: AUC 0.5")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.set(xlabel="false positive rate (1 − specificity)", ylabel="true positive rate (sensitivity)")
        fig.legend(loc="outside lower center", title=note)
    return path


class Reliability(NamedTuple):
    """Of every bin of confidence that has images: mean confidence, share of right answers, images."""

    confidence: np.ndarray
    right: np.ndarray
    images: np.ndarray

    @property
    def error(self) -> float:
        """The calibration error (Guo et al. 2017)."""
        return float(np.average(np.abs(self.confidence - self.right), weights=self.images))


def reliability(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """Confidence [N] in the likeliest class and whether it was right [N], in bins of equal width."""
    places = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    present = counts > 0
    counts = counts[present]
    confident, answered = (
        np.bincount(places, values, BINS)[present] for values in (confidence, right.astype(float))
    )
    return Reliability(confident / counts, answered / counts, counts)


def calibration(sets: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path, title: str) -> Path | None:
    """Reliability diagram: share of right answers against confidence, by test set [confidence, right]."""
    curves = {name: reliability(*values) for name, values in sets.items() if len(values[0])}
    if not curves:
        return None
    with style.chart(path, title, 6.2, 6.6) as fig:
        axes = fig.add_subplot()
        for k, (name, one) in enumerate(curves.items()):
            colour, dash = style.CYCLE[k % len(style.CYCLE)], style.DASHES[k % len(style.DASHES)]
            draw_reliability(axes, one, {"color": colour, "ls": dash})
            label = f"{style.short(name, 44)}: calibration error {one.error:.3f} (n = {one.images.sum():,})"
            axes.plot([], [], color=colour, ls=dash, label=label)
        finish_reliability(axes)
        fig.legend(loc="outside lower center")
    return path


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
