"""Learning curves of a study: validation scores and loss terms over steps, mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmtk.report.figures import style
from mmtk.report.figures.systems import (
    Budget,
    Figure,
    Look,
    band,
    handles,
    labelled,
    legend,
    looks,
    seeds,
    systems,
)
from mmtk.runs.arrays import Series
from mmtk.scores import selecting
from mmtk.study.results import Cell, Study
from mmtk.tasks import TASKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def score_keys(study: Study) -> dict[str, str]:
    """Titles of the validation scores by the keys of their curves: the mean that selects, and its parts."""
    parts = {
        f"val/{task}/{name}": f"validation {declared[name].heading}"
        for task in reversed(TASKS)
        if (name := selecting(declared := study.declared.get(task, {})))
    }
    return {"val/score": "validation score (selects)", **parts}


def loss_terms(study: Study, budget: Budget) -> list[str]:
    """The keys of all loss terms at a budget, the total first."""
    keys = {key for cell in systems(study, budget).values() for key in cell.curves}
    terms = sorted(key for key in keys if key.startswith("train/") and key.count("/") == 2)
    return ["train/loss"] * ("train/loss" in keys) + terms


def validation(study: Study, path: Path) -> Figure | None:
    """Validation scores over steps of every cell: a row of panels for every label budget."""
    score_titles = score_keys(study)
    lines_by_panel = {
        (row, key): system_lines
        for row, budget in enumerate(study.budgets)
        for key in score_titles
        if (system_lines := _lines(systems(study, budget), key))
    }
    if not lines_by_panel:
        return None
    keys = [key for key in score_titles if any(key == other for _, other in lines_by_panel)]
    alone = len(keys) == 2  # the score of one task is its metric
    titles = {key: score_titles[key] + " (selects)" * alone for key in keys}
    keys = keys[1:] if alone else keys
    rows = sorted({row for row, _ in lines_by_panel})
    title, cells = "Validation scores while training", [cell for cell in study.cells if cell.runs]
    with style.chart(path, title, 9.6, 1.2 + 2.5 * len(rows), vector=True) as fig:
        panels = fig.subplots(len(rows), len(keys), squeeze=False, sharex=True)
        styles = looks(study)
        for (row, key), lines in lines_by_panel.items():
            if key not in keys:
                continue
            axes = panels[rows.index(row), keys.index(key)]
            _draw(axes, lines, styles, smooth=False)
        for axes, key in zip(panels[0], keys, strict=True):
            axes.set_title(titles[key])
        for axes, row in zip(panels[:, 0], rows, strict=True):
            axes.set_ylabel(labelled(study.budgets[row]).replace(" and ", "\n"))
        _finish(panels)
        points = any(len(steps) == 1 for lines in lines_by_panel.values() for steps, _ in lines.values())
        entries = handles(study, {system for lines in lines_by_panel.values() for system in lines}, marked=points)
        legend(fig, [*entries, *([] if points else band(cells, _range(cells)))], 9.6)
    caption = f"Scores on the validation images over training steps: mean over {seeds(cells)}{_band(cells)}."
    return Figure(path.stem, title, caption, path, "training")


def losses(study: Study, budget: Budget, path: Path) -> Figure | None:
    """Every loss term over steps, one panel each, all systems of one budget in it."""
    cells = systems(study, budget)
    lines_by_term = {key: lines for key in loss_terms(study, budget) if (lines := _lines(cells, key))}
    if not lines_by_term:
        return None
    columns = min(3, len(lines_by_term))
    title = f"Loss terms while training ({labelled(budget)})"
    with style.chart(path, title, 9.6, 1.2 + 2.4 * -(-len(lines_by_term) // columns), vector=True) as fig:
        panels = fig.subplots(-(-len(lines_by_term) // columns), columns, squeeze=False)
        styles = looks(study)
        for axes, (key, lines) in zip(panels.flat, lines_by_term.items(), strict=False):
            _draw(axes, lines, styles, smooth=True)
            axes.set_title(key.removeprefix("train/").replace("/", ": ") if key != "train/loss" else "total")
            dead = [cells[system].name for system, (_, values) in lines.items() if not values.any()]
            if dead:
                words = f"always 0: {', '.join(dead)}"
                axes.text(
                    0.03, 0.04, words, transform=axes.transAxes, fontsize=7.5, color=style.VERMILION, wrap=True
                )
        for axes in panels.flat[len(lines_by_term) :]:
            axes.set_visible(False)
        _finish(panels)
        for axes in panels[:, 0]:
            axes.set_ylabel("value (no unit)")
        legend(fig, [*handles(study, cells), *band(cells.values(), _range(cells.values()))], 9.6)
    spread = f"{seeds(cells.values())}{_band(cells.values())}"
    caption = f"Loss terms, and what the strategies count, over training steps, smoothed: mean over {spread}."
    return Figure(path.stem, title, caption, path, "training")


def _lines(cells: Mapping[str, Cell], key: str) -> dict[str, Series]:
    return {system: cell.curves[key] for system, cell in cells.items() if key in cell.curves}


def _draw(axes: Axes, lines: Mapping[str, Series], styles: Mapping[str, Look], *, smooth: bool) -> None:
    """Mean over seeds in the band from the lowest to the highest seed; a single step is a point."""
    for system, (steps, values) in lines.items():
        smoothed = style.smooth(values) if smooth else values
        mean, look = smoothed.mean(0), styles[system]
        axes.plot(steps, mean, **look.line, lw=1.6, marker=look.marker if len(steps) == 1 else None)
        if len(smoothed) > 1:
            axes.fill_between(steps, smoothed.min(0), smoothed.max(0), color=look.colour, alpha=0.11, lw=0)


def _band(cells: Collection[Cell]) -> str:
    return f", band: from the {_range(cells)}" if any(len(cell.runs) > 1 for cell in cells) else ""


def _range(cells: Iterable[Cell]) -> str:
    return f"lowest to the highest {next(iter(cells)).unit}"


def _finish(panels: np.ndarray) -> None:
    for axes in panels.flat:
        axes.locator_params(axis="x", integer=True, nbins=6, min_n_ticks=1)
    for column in panels.T:
        if visible_axes := [axes for axes in column if axes.get_visible()]:
            visible_axes[-1].set_xlabel("step")
