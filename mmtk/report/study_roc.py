"""ROC curves of a study: the mean over seeds of every system, with its spread and the area below it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmtk.report import style
from mmtk.report.study_systems import (
    Budget,
    Figure,
    Look,
    class_names,
    first_run,
    images,
    labelled,
    looks,
    per_image,
    seeds,
    systems,
)
from mmtk.results import DOMAINS, Cell, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TASK = "classification"
RESAMPLES = 200


def roc_points(target: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """False and true positive rates from (0, 0) to (1, 1), one point per distinct score; None for one class.

    ``target`` [N] is 1 for the positive class, ``score`` [N] its probability.
    """
    order = np.argsort(-score, kind="stable")
    hits, ranked = np.cumsum(target[order] == 1), score[order]
    if not 0 < hits[-1] < len(hits):
        return None
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    false = last + 1 - hits[last]
    return np.append(0, false / false[-1]), np.append(0, hits[last] / hits[-1])


def band(target: np.ndarray, score: np.ndarray, grid: np.ndarray) -> np.ndarray | None:
    """True positive rates [2, grid] that hold 95 % of bootstrap samples of the images; None for one class."""
    draw, rates = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = draw.integers(0, len(target), len(target))
        if curve := roc_points(target[rows], score[rows]):
            rates.append(np.interp(grid, *curve))
    return np.percentile(rates, [2.5, 97.5], axis=0) if rates else None


@dataclass(frozen=True)
class MeanRoc:
    """True positive rates [seeds, points] on a common grid of false positive rates, and the area of every seed.

    ``ends`` [2, points] bound one standard deviation over seeds; of one seed, 95 % of bootstrap samples of images.
    """

    grid: np.ndarray
    rates: np.ndarray
    areas: np.ndarray
    ends: np.ndarray | None = None


def mean_roc(runs: list[np.ndarray], points: int = 501) -> MeanRoc | None:
    """ROC curves of runs, each [images, 2] of target and probability, on one grid; areas are exact."""
    curves = [curve for run in runs if (curve := roc_points(run[:, 0], run[:, 1]))]
    if not curves:
        return None
    grid = np.linspace(0, 1, points)
    rates = np.array([np.interp(grid, false, true) for false, true in curves])
    areas = np.array([np.trapezoid(true, false) for false, true in curves])
    if len(curves) == 1:
        return MeanRoc(grid, rates, areas, band(runs[0][:, 0], runs[0][:, 1], grid) if len(runs) == 1 else None)
    mean, spread = rates.mean(0), rates.std(0, ddof=1)
    return MeanRoc(grid, rates, areas, np.clip([mean - spread, mean + spread], 0, 1))


def operating_point(cell: Cell, domain: str) -> tuple[float, float] | None:
    """Mean false and true positive rates at the thresholds that validation chose; None where there was none."""
    found = [cell.values(domain, TASK, f"{name}-at-threshold") for name in ("specificity", "sensitivity")]
    if not all(found):
        return None
    specificity, sensitivity = (float(np.mean(list(values.values()))) for values in found)
    return 1 - specificity, sensitivity


def roc(study: Study, budget: Budget, path: Path) -> Figure | None:
    """Mean ROC curve of every system at a budget with one standard deviation over seeds (Fig. 7).

    The last class is the positive one. None where no test set has both classes.
    """
    cells = systems(study, budget, TASK)
    found: dict[str, dict[str, MeanRoc]] = {}
    counts: dict[str, int] = {}
    for domain in DOMAINS:
        for system, cell in cells.items():
            tested = per_image(cell, domain, TASK, ["target", f"p-{positive(cell)}"])
            if curve := mean_roc([_against_rest(cell, run) for run in tested]):
                found.setdefault(domain, {})[system] = curve
                counts[domain] = max(counts.get(domain, 0), len(tested[0]))
    if not found:
        return None
    title = f"ROC curves ({labelled(budget)})"
    # Names with areas stand in a row of their own, as long as there are systems.
    tall = 0.35 + 0.18 * (1 + max(len(curves) for curves in found.values()))
    with style.chart(path, title, 0.4 + 4.5 * len(found), 5.3 + tall, vector=True) as fig:
        panels, below = fig.subplots(2, len(found), squeeze=False, height_ratios=[4.1, tall])
        shown = looks(study)
        for axes, legend, (domain, curves) in zip(panels, below, found.items(), strict=True):
            for system, curve in curves.items():
                mean, words = curve.rates.mean(0), f"{curve.areas.mean():.3f}"
                if curve.ends is not None:
                    axes.fill_between(curve.grid, *curve.ends, color=shown[system].colour, alpha=0.1, lw=0)
                if len(curve.areas) > 1:
                    words += f" ± {curve.areas.std(ddof=1):.3f}"
                # The mean of the curves leaves the corner upwards.
                x, y = np.append(0, curve.grid), np.append(0, mean)
                label = f"{cells[system].name}: {words}"
                axes.plot(x, y, **shown[system].line, lw=1.6, clip_on=False, zorder=3, label=label)
                if point := operating_point(cells[system], domain):
                    _mark(axes, point, shown[system])
            axes.plot([0, 1], [0, 1], color=style.GREY, ls=(0, (1, 2)), lw=1.2, label="chance: 0.500")
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=f"{domain} (n = {counts[domain]:,})")
            axes.set(xlabel="false positive rate (1 − specificity)", ylabel="true positive rate (sensitivity)")
            legend.set_axis_off()
            legend.legend(*axes.get_legend_handles_labels(), loc="upper center", title="AUC", handlelength=3.2)
    several = any(len(cell.runs) > 1 for cell in cells.values())
    names = sorted({positive(cell) for cell in cells.values()})
    caption = (
        f"ROC curves for {' or '.join(names)} on {images(counts)}: mean over {seeds(cells.values())}"
        f", band: {'one standard deviation' if several else '95 % of bootstrap samples of the images'}; "
        "marker: the threshold that validation chose; dotted: chance, AUC 0.5."
    )
    return Figure(path.stem, title, caption, path, "classification")


def _mark(axes: Axes, point: tuple[float, float], look: Look) -> None:
    axes.plot(*point, look.marker, ms=look.size, mfc=look.colour, mec="white", mew=0.8, zorder=5, clip_on=False)


def positive(cell: Cell) -> str:
    """The class that counts as positive: the last."""
    return class_names(first_run(cell))[-1]


def _against_rest(cell: Cell, run: np.ndarray) -> np.ndarray:
    """Targets as 1 for the positive class and 0 for every other one."""
    last = len(class_names(first_run(cell))) - 1
    return np.column_stack([run[:, 0] == last, run[:, 1]])
