"""Classes of a study: ROC curves and calibration of every system, a panel for each test set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from mmtk.report.figures import style
from mmtk.report.figures.classes import draw_reliability, finish_reliability, reliability
from mmtk.report.figures.roc_curves import MeanRoc, mean_roc
from mmtk.report.figures.systems import (
    Budget,
    Figure,
    Look,
    class_names,
    domains,
    first_run,
    images,
    in_brackets,
    looks,
    per_image,
    seeds,
    systems,
    titled,
)
from mmtk.report.places import places
from mmtk.study.results import Cell, Study
from mmtk.tasks import CLASSIFICATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TASK = CLASSIFICATION.name
Shown = TypeVar("Shown")


def roc(study: Study, budget: Budget, path: Path, *, vector: bool = True) -> Figure | None:
    """Mean ROC curve of every system at a budget with one standard deviation over seeds (Fig. 7).

    Of two classes the last is the positive one; of more it is the mean over the classes, each against the rest.
    None where no test set has two classes.

    study: systems and their runs
    budget: label budget of each task
    path: of the PNG
    vector: write an SVG beside it
    """
    cells = systems(study, budget, TASK)
    sets = _by_set(cells, lambda cell, domain, runs: mean_roc(runs, _patients(study, cell, domain)))
    if not sets.values:
        return None
    title = titled(cells, f"ROC curves{in_brackets(budget)}")
    styles = looks(study)
    several = any(len(cell.runs) > 1 for cell in cells.values())
    band = "one standard deviation" if several else "95 % of bootstrap samples of the patients"
    marker = styles[next(iter(cells))].marker
    with _page(path, title, sets, "AUROC", vector, marks=3) as panels:
        for domain, axes in panels.items():
            curves = sets.values[domain]
            digits = places([float(one.areas.std(ddof=1)) for one in curves.values() if len(one.areas) > 1], 3)
            for system, curve in curves.items():
                _draw_roc(axes, curve, cells[system], domain, styles[system], digits)
            axes.plot([0, 1], [0, 1], color=style.GREY, ls=(0, (1, 2)), lw=1.2, label="chance: 0.500")
            _explain_marks(axes, [operating_point(cell, domain) for cell in cells.values()], marker, band)
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
            axes.set(xlabel="false positive rate (1 − specificity)", ylabel="true positive rate (sensitivity)")
    marked = any(operating_point(cell, domain) for cell in cells.values() for domain in sets.values)
    caption = (
        f"ROC curves {_what(cells)} on {images(sets.images)}: mean over {seeds(cells.values())}"
        f", band: {band}; "
        f"{'marker: the threshold that validation chose; ' if marked else ''}dotted: chance, AUROC 0.5."
    )
    return Figure(path.stem, title, caption, path, TASK)


def _explain_marks(axes: Axes, points: Sequence[object], marker: str, band: str) -> None:
    """Name the band and, where there is one of the ``points``, the ``marker`` in the legend."""
    axes.fill(np.nan, np.nan, color=style.GREY, alpha=0.25, lw=0, label=f"band: {band}")  # a patch: no collection
    if any(points):
        axes.plot([], [], marker, ms=10, mfc=style.GREY, mec="white", label="threshold chosen on validation")


def _draw_roc(axes: Axes, curve: MeanRoc, cell: Cell, domain: str, look: Look, digits: int) -> None:
    """The mean ``curve`` of a ``cell`` in a ``domain`` with its band and its operating point, in its ``look``.

    digits: decimal places of the area
    """
    label = f"{cell.name}: {curve.areas.mean():.{digits}f}"
    if curve.ends is not None:
        axes.fill_between(curve.grid, *curve.ends, color=look.colour, alpha=0.1, lw=0)
    if len(curve.areas) > 1:
        label += f" ± {curve.areas.std(ddof=1):.{digits}f}"
    # The mean of the curves leaves the corner upwards.
    x, y = np.append(0, curve.grid), np.append(0, curve.rates.mean(0))
    axes.plot(x, y, **look.line, lw=1.6, clip_on=False, zorder=3, label=label)
    if point := operating_point(cell, domain):
        marker: dict[str, Any] = {"ms": look.size, "mfc": look.colour, "mec": "white", "mew": 0.8}
        axes.plot(*point, look.marker, **marker, zorder=5, clip_on=False)


def calibration(study: Study, budget: Budget, path: Path, *, vector: bool = True) -> Figure | None:
    """Reliability diagram of every system at a budget, the images of all its seeds together, by test set.

    study: systems and their runs
    budget: label budget of each task
    path: of the PNG
    vector: write an SVG beside it
    """
    cells = systems(study, budget, TASK)
    sets = _by_set(cells, lambda cell, domain, runs: reliability(*confidences(np.concatenate(runs))))
    if not sets.values:
        return None
    title = titled(cells, f"calibration of the classes{in_brackets(budget)}")
    styles = looks(study)
    with _page(path, title, sets, "calibration error", vector, marks=1) as panels:
        for domain, axes in panels.items():
            for system, bins in sets.values[domain].items():
                draw_reliability(axes, bins, styles[system].line)
                axes.plot([], [], **styles[system].line, label=f"{cells[system].name}: {bins.error:.3f}")
            finish_reliability(axes)
    caption = (
        f"Share of right answers against the confidence in the likeliest class on {images(sets.images)}, "
        f"{seeds(cells.values())} together: above the dotted line a system is more often right than confident."
    )
    return Figure(path.stem, title, caption, path, TASK)


def operating_point(cell: Cell, domain: str) -> tuple[float, float] | None:
    """Mean false and true positive rates at the thresholds that validation chose; None where there was none."""
    scores = [cell.values(domain, TASK, f"{name}-at-threshold") for name in ("specificity", "sensitivity")]
    if not all(scores):
        return None
    specificity, sensitivity = (float(np.mean(list(values.values()))) for values in scores)
    return 1 - specificity, sensitivity


def answers(cell: Cell, domain: str) -> list[np.ndarray]:
    """Target and probabilities of the classes, [images, 1 + classes] of every run."""
    columns = ["target", *(f"p-{name}" for name in class_names(first_run(cell)))]
    return per_image(cell, domain, TASK, columns)


def _patients(study: Study, cell: Cell, domain: str) -> np.ndarray:
    """Patients of the images in the first of ``answers``, as numbers."""
    table, images = cell.cases[domain, TASK], study.jackknives.images(domain, TASK)
    columns = ["target", *(f"p-{name}" for name in class_names(first_run(cell)))]
    complete = np.isfinite([table[name][0] for name in columns]).all(0)
    codes: np.ndarray = images.patients[np.searchsorted(images.ids, table["id"][complete])]
    return codes


def confidences(run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence in the likeliest class [N] and whether it was right [N], of target and probabilities."""
    return run[:, 1:].max(1), run[:, 1:].argmax(1) == run[:, 0]


def _what(cells: Mapping[str, Cell]) -> str:
    """Subject of the curves: the positive class, or the mean over the classes."""
    names = [class_names(first_run(cell)) for cell in cells.values()]
    if any(len(one) != 2 for one in names):
        return "as means over the classes, each against the rest,"
    return f"for {' or '.join(sorted({one[-1] for one in names}))}"


@dataclass(frozen=True)
class _Sets(Generic[Shown]):
    """Curves by test set and system, and the number of images of each set."""

    values: dict[str, dict[str, Shown]]
    images: dict[str, int]


def _by_set(
    cells: Mapping[str, Cell], measure: Callable[[Cell, str, list[np.ndarray]], Shown | None]
) -> _Sets[Shown]:
    """Apply ``measure`` to each system, every test set and the runs on it."""
    sets: _Sets[Shown] = _Sets({}, {})
    for domain in domains(cells.values()):
        for system, cell in cells.items():
            if (runs := answers(cell, domain)) and (value := measure(cell, domain, runs)) is not None:
                sets.values.setdefault(domain, {})[system] = value
                sets.images[domain] = max(sets.images.get(domain, 0), len(runs[0]))
    return sets


@contextmanager
def _page(
    path: Path, title: str, sets: _Sets[Shown], measure: str, vector: bool, marks: int
) -> Iterator[dict[str, Axes]]:
    """A panel for each of the ``sets``, to be drawn into; below it the legend, headed by the ``measure``.

    path: of the PNG
    title: of the page
    sets: what is shown
    measure: what the numbers behind the systems are
    vector: write an SVG beside it
    marks: lines of the legend besides those of the systems
    """
    # Names with numbers stand in a row of their own, as long as there are systems.
    tall = 0.35 + 0.18 * (marks + max(len(values) for values in sets.values.values()))
    count = len(sets.values)
    side = 4.5 if count == 1 else 3.9
    with style.chart(path, title, 0.4 + side * count, side + 0.8 + tall, vector=vector) as fig:
        panels = fig.subplots(2, count, squeeze=False, height_ratios=[side - 0.4, tall])
        yield dict(zip(sets.values, panels[0], strict=True))
        for domain, axes, legend in zip(sets.values, *panels, strict=True):
            axes.set_title(f"{domain} (n = {sets.images[domain]:,})")
            legend.set_axis_off()
            lines = axes.get_legend_handles_labels()
            legend.legend(*lines, loc="upper center", title=measure, handlelength=3.2)
