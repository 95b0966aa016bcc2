"""Distributions of a study: intensities of the data sets, Dice per image, agreement on the size of masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmtk.report.figures import style
from mmtk.report.figures.systems import (
    Budget,
    Figure,
    Look,
    class_names,
    domains,
    first_run,
    folded,
    images,
    in_brackets,
    labelled,
    legend,
    looks,
    mark,
    per_image,
    reference,
    seeds,
    signed,
    systems,
    titled,
)
from mmtk.runs.finished import Run
from mmtk.study.results import Cell, Study
from mmtk.tasks import CROSS_DOMAIN, DOMAINS, IN_DOMAIN, SEGMENTATION, TASKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Span = tuple[float, float]

MASKS = SEGMENTATION.name
SETS: dict[str, dict[str, Any]] = {
    IN_DOMAIN: {"color": style.BLUE, "ls": "-"},
    CROSS_DOMAIN: {"color": style.VERMILION, "ls": "--"},
}


def intensities(study: Study, path: Path) -> Figure | None:
    """Distribution of the pixel values of every data set, a panel for each task (Fig. 2b)."""
    runs = [run for cell in study.cells for run in cell.runs.values() if run.folder.data_file.is_file()]
    runs_by_set: dict[str, dict[str, Run]] = {}
    for task in TASKS:
        for domain in DOMAINS:
            first = next((run for run in runs if f"{task}/{domain}" in run.data), None)
            if first:
                runs_by_set.setdefault(task, {})[domain] = first
    if not runs_by_set:
        return None
    title = "Intensities of the data sets"
    with style.chart(path, title, 0.6 + 4.1 * len(runs_by_set), 3.5, vector=True) as fig:
        panels = fig.subplots(1, len(runs_by_set), squeeze=False, sharey=True)[0]
        for axes, (task, sets) in zip(panels, runs_by_set.items(), strict=True):
            for domain, run in sets.items():
                facts = run.data[f"{task}/{domain}"]
                counts = np.asarray(facts["intensities"], float)
                edges = np.linspace(0, 256, len(counts) + 1)
                name = f"{domain}: {_source(run, task, domain)} (n = {facts['images']:,})"
                axes.stairs(100 * counts / counts.sum(), edges, label=name, lw=1.5, **SETS[domain])
            axes.set(
                title=task, xlabel="pixel value (0 black, 255 white)", xlim=(-3, 259), xticks=range(0, 257, 64)
            )
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
        panels[0].set_ylabel("share of the pixels (%)")
    caption = (
        "Share of the pixels in 64 equal intervals of their value, over all images of the hospital of training "
        "and the scored ones of the other."
    )
    return Figure(path.stem, title, caption, path, "data")


def _source(run: Run, task: str, domain: str) -> str:
    """The recipe word of a data set, as ``chex``."""
    prefix = f"data.{task}.{'source' if domain == IN_DOMAIN else 'cross'}=source/"
    return next(
        (part.removeprefix(prefix) for part in run.provenance["components"] if part.startswith(prefix)), "own"
    )


def dice_distribution(study: Study, budget: Budget, path: Path, *, vector: bool = True) -> Figure | None:
    """Dice of every test image of every seed, by system and domain: points, quartiles, median (Fig. 3).

    study: systems and their runs
    budget: label budget of each task
    path: of the PNG
    vector: write an SVG beside it
    """
    cells = systems(study, budget, MASKS)
    dice: dict[str, dict[str, list[np.ndarray]]] = {}
    for domain in domains(cells.values()):
        for system, cell in cells.items():
            if runs := per_image(cell, domain, MASKS, ["dice"]):
                dice.setdefault(domain, {})[system] = runs
    if not dice:
        return None
    rows = [system for system in cells if any(system in values for values in dice.values())]
    points = sum(len(run) for values in dice.values() for runs in values.values() for run in runs)
    title = titled(cells, f"Dice of every test image{in_brackets(budget)}")
    with style.chart(
        path, title, 1.6 + (4.0 if len(dice) == 1 else 3.3) * len(dice), 1.6 + 0.5 * len(rows), vector=vector
    ) as fig:
        panels = fig.subplots(1, len(dice), squeeze=False, sharex=True, sharey=True)[0]
        for axes, (domain, values) in zip(panels, dice.items(), strict=True):
            for row, system in enumerate(rows):
                if system in values:
                    _box(
                        axes,
                        row,
                        np.concatenate(values[system])[:, 0],
                        looks(study)[system],
                        points > style.MOST_MARKS,
                    )
            axes.set_yticks(range(len(rows)), [folded(cells[system].name) for system in rows])
            axes.tick_params(axis="y", length=0, labelsize=9)
            axes.set(xlabel=f"Dice, {domain}", ylim=(len(rows) - 0.45, -0.55))
            axes.grid(axis="y", visible=False)
            axes.use_sticky_edges = False  # a box at the end of the axis would lose its margin
            axes.margins(x=0.03)
        marks = [mark("an image", marker="o", ms=3), mark("middle half", marker="s", ms=9, mfc="#6B728030")]
        legend(fig, [*marks, mark("median", ls="-", color="black", lw=2)], 3.3 * len(dice))
    counts = {domain: max(len(run) for runs in values.values() for run in runs) for domain, values in dice.items()}
    caption = (
        f"Dice of {images(counts)} with {seeds(cells.values())}: points are images, the box holds "
        "the middle half, the line and the number are the median."
    )
    return Figure(path.stem, title, caption, path, MASKS)


def _box(axes: Axes, row: int, values: np.ndarray, look: Look, raster: bool) -> None:
    """Draw the points, quartiles and median of ``values`` in a row, the points as one film with ``raster``."""
    values = np.sort(values)
    low, middle, high = np.percentile(values, [25, 50, 75])
    # Multiples of the golden ratio spread neighbours apart, the same way every time.
    aside = row + (np.arange(1, len(values) + 1) * 0.618034 % 1 - 0.5) * 0.6
    axes.barh(
        row, high - low, left=low, height=0.7, color=look.colour + "30", edgecolor=look.colour, lw=1.2, zorder=2
    )
    axes.scatter(values, aside, s=7, color=look.colour, alpha=0.6, lw=0, zorder=3, rasterized=raster)
    axes.vlines(middle, row - 0.35, row + 0.35, color="black", lw=2, zorder=4)
    axes.text(1.01, row, f"{middle:.3f}", transform=axes.get_yaxis_transform(), va="center", fontsize=8, zorder=5)


# --- agreement ------------------------------------------------------------------------------------------------


class Agreement(NamedTuple):
    """Mean difference and the limits between which 95 % of the differences lie."""

    bias: float
    low: float
    high: float


def agreement(reference_sizes: np.ndarray, predicted: np.ndarray) -> Agreement | None:
    """Bias and limits bias ± 1.96 sd of predicted − reference (Bland and Altman 1986); None with one pair."""
    if len(reference_sizes) < 2:
        return None
    difference = predicted - reference_sizes
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    return Agreement(bias, bias - 1.96 * spread, bias + 1.96 * spread)


def bland_altman(study: Study, budget: Budget, path: Path) -> Figure | None:
    """Predicted minus reference pixel counts against their mean, of all seeds (Fig. 5).

    The reference system at every label budget; with one budget every system at it.
    """
    cells = systems(study, budget, MASKS)
    heads = study.systems
    title = f"Agreement on the size of the masks{in_brackets(budget)}"
    reference_system = reference(study, budget, MASKS)
    if reference_system is not None and len(study.budgets) > 1:
        cells = {labelled(b): c for b in study.budgets if (c := study.cell(reference_system.system, b)) and c.runs}
        heads = dict(zip(cells, cells, strict=True))
        title = f"{reference_system.name}: agreement on the size of the masks, by label budget"
    columns = ["pixels-reference", "pixels-predicted"]
    sizes = {
        (key, domain): runs
        for key, cell in cells.items()
        for domain in DOMAINS
        if (runs := per_image(cell, domain, MASKS, columns))
    }
    if not sizes:
        return None
    grid = _Grid(
        [key for key in cells if any(key == other for other, _ in sizes)],
        [domain for domain in DOMAINS if any(domain == other for _, other in sizes)],
    )
    with style.chart(path, title, max(5.6, 0.8 + 2.25 * grid.columns), 0.9 + 2.25 * grid.rows, vector=True) as fig:
        panels = fig.subplots(grid.rows, grid.columns, squeeze=False)
        pairs = {key: np.concatenate(runs) for key, runs in sizes.items()}
        limits = _common(pairs.values())  # not shared axes: of forty, matplotlib spends its time on who shares
        raster = sum(map(len, pairs.values())) > style.MOST_MARKS
        for (key, domain), pairs_of_panel in pairs.items():
            axes = panels[grid.position(key, domain)]
            words = _differences(axes, pairs_of_panel, SETS[domain]["color"], raster)
            axes.set(xlim=limits[0], ylim=limits[1])
            head = f"{folded(heads[key], 20)}\n" if domain == grid.domains[0] else ""
            axes.set_title(head + words, fontsize=7.5)
        grid.finish(panels, {grid.position(*key): key[1] for key in sizes})
        structures = ", ".join(class_names(first_run(next(iter(cells.values()))), MASKS))
        fig.supxlabel(f"mean of both pixel counts ({structures})", fontsize=9)
        fig.supylabel("predicted − reference pixels", fontsize=9)
    return Figure(path.stem, title, _agreed(sizes, cells), path, MASKS)


class _Grid(NamedTuple):
    """Panels by key and domain: up to five keys side by side, then another block of rows."""

    keys: list[str]
    domains: list[str]

    @property
    def columns(self) -> int:
        """Panels of a row, as even as possible."""
        return -(-len(self.keys) // -(-len(self.keys) // 5))

    @property
    def rows(self) -> int:
        """Rows of all blocks; a block has one for each domain."""
        return -(-len(self.keys) // self.columns) * len(self.domains)

    def position(self, key: str, domain: str) -> tuple[int, int]:
        """Row and column of a panel."""
        block, column = divmod(self.keys.index(key), self.columns)
        return block * len(self.domains) + self.domains.index(domain), column

    def finish(self, panels: np.ndarray, domains: dict[tuple[int, int], str]) -> None:
        """Hide the panels without data; number axes where no panel stands below or at the left."""
        for (row, column), axes in np.ndenumerate(panels):
            axes.set_visible((row, column) in domains)
            axes.tick_params(labelbottom=(row + 1, column) not in domains, labelleft=column == 0)
            if column == 0 and (row, column) in domains:
                axes.set_ylabel(domains[row, column])


def _common(pairs: Iterable[np.ndarray]) -> tuple[Span, Span]:
    """Limits of means and differences that fit all panels, their lines included, with a margin."""
    listed = list(pairs)
    means = np.concatenate([one.mean(1) for one in listed])
    lines = [limits for one in listed if (limits := agreement(one[:, 0], one[:, 1]))]
    differences = np.concatenate([np.zeros(1), *(one[:, 1] - one[:, 0] for one in listed), *lines])
    return _span(means), _span(differences)


def _span(values: np.ndarray) -> Span:
    """From the lowest to the highest value, with a margin at both ends."""
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 0.5
    return low - margin, high + margin


def _agreed(sizes: dict[tuple[str, str], list[np.ndarray]], cells: dict[str, Cell]) -> str:
    counts: dict[str, int] = {}
    for (_, domain), runs in sizes.items():
        counts[domain] = max(counts.get(domain, 0), *map(len, runs))
    counts = {domain: counts[domain] for domain in DOMAINS if domain in counts}
    return (
        f"Bland-Altman plot of the pixels in each mask of {images(counts)} with {seeds(cells.values())}, every "
        "seed a point: solid line the bias, dashed lines (in brackets) the 95 % limits of agreement."
    )


def _differences(axes: Axes, pairs: np.ndarray, colour: str, raster: bool) -> str:
    """Points, as one film with ``raster``, bias and limits; returns them in words."""
    reference_sizes, predicted = pairs[:, 0], pairs[:, 1]
    axes.scatter(
        (reference_sizes + predicted) / 2,
        predicted - reference_sizes,
        s=9,
        color=colour,
        alpha=0.5,
        lw=0,
        rasterized=raster,
    )
    axes.axhline(0, color="#9CA3AF", lw=0.8)
    words = "one image"
    if limits := agreement(reference_sizes, predicted):
        axes.axhline(limits.bias, color="black", lw=1.3)
        for limit in (limits.low, limits.high):
            axes.axhline(limit, color="black", lw=1, ls="--")
        words = f"bias {signed(limits.bias, 0)} ({signed(limits.low, 0)} to {signed(limits.high, 0)})"
    axes.locator_params(nbins=5)
    axes.tick_params(labelsize=7)
    return words
