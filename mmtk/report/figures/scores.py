"""Scores of a study: every seed of every system, and scores against the label budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtk.report.figures import style
from mmtk.report.figures.systems import (
    Budget,
    Figure,
    Look,
    folded,
    handles,
    images,
    in_brackets,
    label_words,
    legend,
    looks,
    mark,
    seeds,
    systems,
)
from mmtk.report.intervals import bounded, sensible
from mmtk.report.places import places
from mmtk.scores import ScoreInfo, info, shown
from mmtk.stats import summary
from mmtk.study.results import Cell, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class Metric:
    """A score of one task, as its metric declares it."""

    task: str
    key: str
    info: ScoreInfo

    def baseline(self, cell: Cell, domain: str) -> float | None:
        """The score without a look at the image, on a cell's test images."""
        return cell.level(self.info, domain, self.task)


def figure_metrics(study: Study) -> list[Metric]:
    """The scores that figures show, task by task, in the order of their declaration."""
    return [
        Metric(task, name, declared[name])
        for task in study.tasks
        if (declared := study.declared.get(task))
        for name in shown(declared, "figures")
    ]


def first_metrics(study: Study) -> list[Metric]:
    """The first of these scores of each task."""
    metrics = figure_metrics(study)
    return [next(metric for metric in metrics if metric.task == task) for task in {m.task: None for m in metrics}]


def _chance(study: Study, metrics: Sequence[Metric]) -> str:
    """Meaning of dashed lines; "" where no score has a chance level."""
    levels = []
    for metric in metrics:
        if isinstance(metric.info.chance, str):
            label = info(study.declared[metric.task], metric.info.chance).label
            levels.append(f"{label} for {metric.info.label}")
        elif metric.info.chance is not None:
            levels.append(f"chance for {metric.info.label}")
    return f"; dashed: {', '.join(levels)}" if levels else ""


def scores(study: Study, budget: Budget, path: Path) -> Figure | None:
    """Dot plot of all systems at a budget: every seed, their mean, the 95 % interval that a report leads with."""
    values_by_panel = {
        (metric, domain): values
        for metric in figure_metrics(study)
        for domain in study.domains
        if (values := _values(systems(study, budget, metric.task), metric, domain))
    }
    if not values_by_panel:
        return None
    ends_by_panel = {
        (metric, domain): {system: _interval(study, cells[system], metric, domain) for system in values}
        for (metric, domain), values in values_by_panel.items()
        for cells in (systems(study, budget, metric.task),)
    }
    lows = [low for ends in ends_by_panel.values() for low, _ in ends.values()]
    metrics = list(dict.fromkeys(metric for metric, _ in values_by_panel))
    domains = [domain for domain in study.domains if any(domain == other for _, other in values_by_panel)]
    cells = systems(study, budget)
    rows = {metric: {s: c.name for s, c in systems(study, budget, metric.task).items()} for metric in metrics}
    tall = [0.9 + 0.3 * sum(folded(n).count("\n") * 0.4 + 1 for n in rows[m].values()) for m in metrics]
    raster = sum(len(runs) for by in values_by_panel.values() for runs in by.values()) > style.MOST_MARKS
    title = f"Scores of every system{in_brackets(budget)}"
    with style.chart(path, title, 1.4 + 4.1 * len(domains), 0.9 + sum(tall), vector=True) as fig:
        panels = fig.subplots(
            len(metrics), len(domains), squeeze=False, sharex="row", sharey="row", height_ratios=tall
        )
        for (metric, domain), values in values_by_panel.items():
            axes = panels[metrics.index(metric), domains.index(domain)]
            _dots(axes, rows[metric], values, looks(study), ends_by_panel[metric, domain], raster)
            _write_values(axes, rows[metric], values, metric.info.digits)
            _draw_level(axes, [metric.baseline(cell, domain) for cell in cells.values()])
            axes.set(xlabel=f"{metric.info.heading}, {domain}")
        for row in panels:
            row[0].set_ylim(row[0].get_ylim()[::-1])
        legend(fig, _marks(next(iter(cells.values())).unit, lows, metrics), 4.1 * len(domains))
    caption = (
        f"Scores on the test images: small points are seeds, large ones the mean over {seeds(cells.values())}"
        f"{_bars(cells, lows)}{_tested(cells, metrics)}{_chance(study, metrics)}."
    )
    return Figure(path.stem, title, caption, path, "scores")


def _marks(unit: str, lows: Sequence[float | None], metrics: Sequence[Metric]) -> list[Any]:
    """Legend entries of the marks: seed or fold, mean, interval where a lower end is known, and chance."""
    bars = [mark("95 % interval", ls="-", lw=2.2)] if any(low is not None for low in lows) else []
    one, mean = mark(f"one {unit}", marker="o", mfc="white", ms=3.6), mark("mean", marker="o")
    return [one, mean, *bars, *_dashes(metrics)]


def _dashes(metrics: Sequence[Metric]) -> list[Any]:
    """Legend entry of the line of chance, where one of the metrics has it."""
    chance = any(metric.info.chance is not None for metric in metrics)
    return [mark("chance or majority", color="black", ls=(0, (4, 2)), lw=1.2)] * chance


def _bars(cells: Mapping[str, Cell], lows: Sequence[float | None]) -> str:
    """Meaning of the bars, whose lower ends are ``lows``; "" without one."""
    if all(low is None for low in lows):
        return ""
    return f", bars the 95 % interval for {_speaks(cells)}" + (
        ", none where it holds every value" * (None in lows)
    )


def _speaks(cells: Mapping[str, Cell]) -> str:
    """Words on the bars: the chance that they speak of."""
    if max(len(cell.runs) for cell in cells.values()) == 1:
        return "new patients"
    return "new trainings and new patients (without values per image: new trainings)"


def _interval(study: Study, cell: Cell, metric: Metric, domain: str) -> Ends:
    """The ends of the interval of a score: two-way, else Student's t over seeds."""
    interval = study.jackknives.contrast([(1.0, cell)], domain, metric.task, metric.key)
    if interval is not None:
        one = bounded(interval, metric.info, difference=False)
        return one.low, one.high
    over_seeds = sensible(summary(list(cell.values(domain, metric.task, metric.key).values())), metric.info)
    return over_seeds.low, over_seeds.high


def _values(cells: Mapping[str, Cell], metric: Metric, domain: str) -> dict[str, list[float]]:
    values = {system: list(c.values(domain, metric.task, metric.key).values()) for system, c in cells.items()}
    return {system: runs for system, runs in values.items() if runs}


def _tested(cells: Mapping[str, Cell], metrics: list[Metric]) -> str:
    """Number of test images of each task behind a semicolon, in words; "" where none is known."""
    parts = []
    for task in sorted({metric.task for metric in metrics}):
        counts: dict[str, int] = {}
        for domain in dict.fromkeys(domain for cell in cells.values() for domain, _, _ in cell.scores):
            sizes = [n for cell in cells.values() if (n := cell.images(domain, task))]
            counts |= {domain: sizes[0]} if sizes else {}
        if counts:
            parts.append(f"{task}: {images(counts)}")
    return f"; {', '.join(parts)}" if parts else ""


def _dots(
    axes: Axes,
    names: Mapping[str, str],
    values: Mapping[str, list[float]],
    looks: Mapping[str, Look],
    ends: Mapping[str, Ends],
    raster: bool,
) -> None:
    """Draw seeds, mean and interval of every system in ``names``.

    values: one score of every run, by system
    looks: colour and marker by system
    ends: of the interval by system
    raster: draw the seeds as one film
    """
    for row, system in enumerate(names):
        if system not in values:
            continue
        look, points = looks[system], np.array(values[system])
        low, high = ends[system]
        if low is not None and high is not None:
            axes.plot([low, high], [row, row], color=look.colour, lw=2.2, zorder=2)
        axes.plot(
            points,
            np.full(len(points), row),
            "o",
            ms=3.6,
            mfc="white",
            mec=look.colour,
            mew=0.9,
            zorder=3,
            rasterized=raster,
        )
        mean = float(points.mean())
        axes.plot(mean, row, look.marker, ms=look.size, mfc=look.colour, mec="white", mew=0.8, zorder=4)
    axes.set_yticks(range(len(names)), [folded(name) for name in names.values()])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=6)


def _draw_level(axes: Axes, levels: Sequence[float | None]) -> None:
    """Draw the line of chance: the first of the ``levels`` of the systems that is known."""
    if (level := next((one for one in levels if one is not None), None)) is not None:
        axes.axvline(level, color="black", lw=1.2, ls=(0, (4, 2)), zorder=1)


def _write_values(axes: Axes, names: Mapping[str, str], values: Mapping[str, list[float]], least: int) -> None:
    """Write mean and standard deviation of every system behind its row.

    values: one score of every run, by system
    least: decimal places of the score
    """
    spreads = {system: float(np.std(runs, ddof=1)) for system, runs in values.items() if len(runs) > 1}
    digits = places(spreads.values(), least)
    for row, system in enumerate(names):
        if system in values:
            sd = f" ± {spreads[system]:.{digits}f}" if system in spreads else ""
            words = f"{np.mean(values[system]):.{digits}f}{sd}"
            # Above the points: rasterised artists share one picture while nothing else is drawn between them.
            axes.text(1.01, row, words, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5, zorder=5)


# --- against the label budget ---------------------------------------------------------------------------------


def levels(study: Study, task: str) -> list[int | str]:
    """The label budgets of a task, the smallest first and ``full`` last."""
    budgets_of_task = {cell.labels[task] for cell in study.cells if task in cell.labels}
    return sorted(budgets_of_task, key=lambda label: float("inf") if label == "full" else float(label))


def by_budget(study: Study, system: str, metric: Metric, domain: str) -> dict[int | str, list[float]]:
    """A system's scores by label budget of the task: one per seed, the mean over the other task's budgets.

    Only seeds with all budgets of the other task count, and only budgets with as many of them as any other.

    study: cells and their runs
    system: digest of the system
    metric: the score, with its task
    domain: of the test set
    """
    cells = [cell for cell in study.cells if cell.system == system and metric.task in cell.labels]
    values_by_label: dict[int | str, list[dict[int, float]]] = {}
    for cell in cells:
        values_by_label.setdefault(cell.labels[metric.task], []).append(
            cell.values(domain, metric.task, metric.key)
        )
    most = max((len(parts) for parts in values_by_label.values()), default=0)
    curve = {}
    for label in levels(study, metric.task):
        parts = values_by_label.get(label, [])
        shared = sorted(set.intersection(*map(set, parts))) if len(parts) == most and parts else []
        if shared:
            curve[label] = [float(np.mean([part[seed] for part in parts])) for seed in shared]
    return curve


def budgets(study: Study, path: Path) -> Figure | None:
    """The first score of each task against the label budget with one standard deviation over seeds (Fig. 6).

    None where no task has two budgets.
    """
    curves_by_panel = {
        (metric, domain): curves
        for metric in first_metrics(study)
        if len(levels(study, metric.task)) > 1
        for domain in study.domains
        if (curves := {s: c for s in study.systems if (c := by_budget(study, s, metric, domain))})
    }
    if not curves_by_panel:
        return None
    metrics = list(dict.fromkeys(metric for metric, _ in curves_by_panel))
    domains = [domain for domain in study.domains if any(domain == other for _, other in curves_by_panel)]
    title, wide = "Scores against the label budget", 0.6 + 4.3 * len(domains)
    with style.chart(path, title, wide, 1.5 + 2.9 * len(metrics), vector=True) as fig:
        panels = fig.subplots(len(metrics), len(domains), squeeze=False)
        styles = looks(study)
        for (metric, domain), curves in curves_by_panel.items():
            axes = panels[metrics.index(metric), domains.index(domain)]
            places = levels(study, metric.task)
            _curves(axes, places, curves, styles)
            # Every budget of a task is tested on the same images.
            level = next(
                (b for c in study.cells if c.runs and (b := metric.baseline(c, domain)) is not None), None
            )
            if level is not None:
                axes.axhline(level, color="black", lw=1.2, ls=(0, (4, 2)), zorder=1)
            axes.set_xticks(range(len(places)), ["all" if label == "full" else str(label) for label in places])
            axes.set(xlabel=label_words(metric.task), ylabel=f"{metric.info.heading}, {domain}")
            axes.set_xlim(-0.5, len(places) - 0.5)
        lines = handles(study, {s for curves in curves_by_panel.values() for s in curves}, marked=True)
        legend(fig, [*lines, *_dashes(metrics)], wide)
    cells = {str(index): cell for index, cell in enumerate(study.cells) if cell.runs}
    caption = (
        f"Scores against the number of labels of the task, averaged over the budgets of the other task: mean and "
        f"standard deviation over {seeds(cells.values())}{_tested(cells, metrics)}"
        f"{_chance(study, metrics)}."
    )
    return Figure(path.stem, title, caption, path, "scores")


def _curves(
    axes: Axes,
    places: list[int | str],
    curves: Mapping[str, Mapping[int | str, list[float]]],
    styles: Mapping[str, Look],
) -> None:
    """Mean and standard deviation at every budget, the systems a little aside of each other."""
    for k, (system, curve) in enumerate(curves.items()):
        look, aside = styles[system], (k - (len(curves) - 1) / 2) * 0.5 / len(curves)
        x = [places.index(label) + aside for label in curve]
        y = [float(np.mean(values)) for values in curve.values()]
        spread = [float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 for values in curve.values()]
        axes.errorbar(x, y, spread, fmt="none", ecolor=look.colour, elinewidth=0.9, alpha=0.7, zorder=2)
        mark: dict[str, Any] = {"marker": look.marker, "ms": look.size, "mec": "white", "mew": 0.7}
        axes.plot(x, y, **look.line, **mark, lw=1.5, zorder=3)
