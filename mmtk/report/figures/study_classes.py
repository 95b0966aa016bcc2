"""Classes of a study: ROC curves and calibration of every system, a panel for each test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mmtk.report.figures import style
from mmtk.report.figures.classes import Reliability, draw_reliability, finish_reliability, reliability
from mmtk.report.figures.roc_curves import MeanRoc, mean_roc
from mmtk.report.figures.systems import (
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
from mmtk.study.results import Cell, Study
from mmtk.tasks import DOMAINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TASK = "classification"
Shown = TypeVar("Shown")


def roc(study: Study, budget: Budget, path: Path) -> Figure | None:
    """Mean ROC curve of every system at a budget with one standard deviation over seeds (Fig. 7).

    Of two classes the last is the positive one; of more it is the mean over the classes, each against the rest.
    None where no test set has two classes.
    """
    cells = systems(study, budget, TASK)
    curves, counts = _by_set(cells, mean_roc)
    if not curves:
        return None

    def draw(axes: Axes, domain: str, system: str, curve: MeanRoc, look: Look) -> None:
        words = f"{cells[system].name}: {curve.areas.mean():.3f}"
        if curve.ends is not None:
            axes.fill_between(curve.grid, *curve.ends, color=look.colour, alpha=0.1, lw=0)
        if len(curve.areas) > 1:
            words += f" ± {curve.areas.std(ddof=1):.3f}"
        # The mean of the curves leaves the corner upwards.
        x, y = np.append(0, curve.grid), np.append(0, curve.rates.mean(0))
        axes.plot(x, y, **look.line, lw=1.6, clip_on=False, zorder=3, label=words)
        if point := operating_point(cells[system], domain):
            axes.plot(
                *point, look.marker, ms=look.size, mfc=look.colour, mec="white", mew=0.8, zorder=5, clip_on=False
            )

    def finish(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=style.GREY, ls=(0, (1, 2)), lw=1.2, label="chance: 0.500")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.set(xlabel="false positive rate (1 − specificity)", ylabel="true positive rate (sensitivity)")

    title = f"ROC curves ({labelled(budget)})"
    _draw(study, path, title, curves, counts, "AUC", draw, finish)
    several = any(len(cell.runs) > 1 for cell in cells.values())
    marked = any(operating_point(cell, domain) for cell in cells.values() for domain in curves)
    caption = (
        f"ROC curves {_what(cells)} on {images(counts)}: mean over {seeds(cells.values())}"
        f", band: {'one standard deviation' if several else '95 % of bootstrap samples of the images'}; "
        f"{'marker: the threshold that validation chose; ' if marked else ''}dotted: chance, AUC 0.5."
    )
    return Figure(path.stem, title, caption, path, TASK)


def calibration(study: Study, budget: Budget, path: Path) -> Figure | None:
    """Reliability diagram of every system at a budget, the images of all its seeds together, by test set."""
    cells = systems(study, budget, TASK)
    curves, counts = _by_set(cells, lambda runs: reliability(*confidences(np.concatenate(runs))))
    if not curves:
        return None

    def draw(axes: Axes, domain: str, system: str, one: Reliability, look: Look) -> None:
        draw_reliability(axes, one, look.line)
        axes.plot([], [], **look.line, label=f"{cells[system].name}: {one.error:.3f}")

    title = f"Calibration of the classes ({labelled(budget)})"
    _draw(study, path, title, curves, counts, "calibration error", draw, finish_reliability)
    caption = (
        f"Share of right answers against the confidence in the likeliest class on {images(counts)}, "
        f"{seeds(cells.values())} together: above the dotted line a system is more often right than confident."
    )
    return Figure(path.stem, title, caption, path, TASK)


def operating_point(cell: Cell, domain: str) -> tuple[float, float] | None:
    """Mean false and true positive rates at the thresholds that validation chose; None where there was none."""
    rates = [cell.values(domain, TASK, f"{name}-at-threshold") for name in ("specificity", "sensitivity")]
    if not all(rates):
        return None
    specificity, sensitivity = (float(np.mean(list(values.values()))) for values in rates)
    return 1 - specificity, sensitivity


def answers(cell: Cell, domain: str) -> list[np.ndarray]:
    """Target and probabilities of the classes, [images, 1 + classes] of every run."""
    columns = ["target", *(f"p-{name}" for name in class_names(first_run(cell)))]
    return per_image(cell, domain, TASK, columns)


def confidences(run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence in the likeliest class [N] and whether it was right [N], of target and probabilities."""
    return run[:, 1:].max(1), run[:, 1:].argmax(1) == run[:, 0]


def _what(cells: Mapping[str, Cell]) -> str:
    """What the curves are of: the positive class, or the mean over the classes."""
    names = [class_names(first_run(cell)) for cell in cells.values()]
    if any(len(one) != 2 for one in names):
        return "as means over the classes, each against the rest,"
    return f"for {' or '.join(sorted({one[-1] for one in names}))}"


def _by_set(
    cells: Mapping[str, Cell], measure: Callable[[list[np.ndarray]], Shown | None]
) -> tuple[dict[str, dict[str, Shown]], dict[str, int]]:
    """What ``measure`` makes of the runs of each system by test set, and how many images each set has."""
    curves: dict[str, dict[str, Shown]] = {}
    counts: dict[str, int] = {}
    for domain in DOMAINS:
        for system, cell in cells.items():
            if (runs := answers(cell, domain)) and (one := measure(runs)) is not None:
                curves.setdefault(domain, {})[system] = one
                counts[domain] = max(counts.get(domain, 0), len(runs[0]))
    return curves, counts


def _draw(
    study: Study,
    path: Path,
    title: str,
    curves: Mapping[str, Mapping[str, Shown]],
    counts: Mapping[str, int],
    measure: str,
    draw: Callable[[Axes, str, str, Shown, Look], None],
    finish: Callable[[Axes], None],
) -> None:
    """A panel for each test set with a line for each system, and their names with the ``measure`` below it."""
    # Names with numbers stand in a row of their own, as long as there are systems.
    tall = 0.35 + 0.18 * (1 + max(len(set_curves) for set_curves in curves.values()))
    with style.chart(path, title, 0.4 + 4.5 * len(curves), 5.3 + tall, vector=True) as fig:
        panels = fig.subplots(2, len(curves), squeeze=False, height_ratios=[4.1, tall])
        styles = looks(study)
        for axes, legend, (domain, set_curves) in zip(*panels, curves.items(), strict=True):
            for system, one in set_curves.items():
                draw(axes, domain, system, one, styles[system])
            finish(axes)
            axes.set_title(f"{domain} (n = {counts[domain]:,})")
            legend.set_axis_off()
            lines = axes.get_legend_handles_labels()
            legend.legend(*lines, loc="upper center", title=measure, handlelength=3.2)
