"""Figure of the mass of saliency maps inside lungs and boxes, beside the share of the area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtk.counts import counted
from mmtk.report.figures import style
from mmtk.report.figures.systems import Figure, folded, legend
from mmtk.report.saliency import MapResults, MapScore, by_test_set

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REGIONS = {"mass-in-lungs": "lungs", "mass-in-boxes": "boxes"}
COLOURS = [colour for colour in style.CYCLE if colour != style.GREY]  # of as many systems as are shown
APART, MOST = 0.2, 0.7  # of a row: between two systems, and what all of them take at most


def map_scores(result: MapResults, path: Path) -> Figure | None:
    """Mass of every kind of map inside lungs and boxes; None without measured maps.

    result: of the study
    path: of the PNG, with an SVG beside it
    """
    systems = list(dict.fromkeys(one.maps.cell.name for one in result.scores if one.name in REGIONS))
    colours = dict(zip(systems, COLOURS, strict=False))
    panels = [
        (f"{name}, {region}", rows)
        for name, scores in by_test_set(result).items()
        for score, region in REGIONS.items()
        if (rows := [one for one in scores if one.name == score and one.maps.cell.name in colours])
    ]
    if not panels:
        return None
    columns = min(len(panels), 2)
    lines, width = -(-len(panels) // columns), 0.8 + 4.6 * columns
    most = max(len({row.maps.name for row in rows}) for _, rows in panels)
    height = 1.2 + lines * (0.8 + most * (0.2 + 0.05 * len(colours)))
    title = "Where the mass of the maps lies"
    with style.chart(path, title, width, height, vector=True) as fig:
        axes = fig.subplots(lines, columns, squeeze=False)
        for index, panel in enumerate(axes.flat):
            if index < len(panels):
                _panel(panel, *panels[index], colours)
            else:
                panel.set_visible(False)
        legend(fig, _handles(colours), width)
    left_out = (
        f" Of {counted(len(systems), 'system')} the first {len(colours)} are shown."
        if len(systems) > len(colours)
        else ""
    )
    caption = (
        "Share of the mass of each map inside the lungs, or inside the boxes of pneumonia, with 95 % intervals. "
        "A map that knows nothing would lie on the share of the area; noise and a bell in the centre look at no "
        f"image.{left_out}"
    )
    return Figure(path.stem, title, caption, path, "saliency maps")


def _panel(axes: Axes, title: str, rows: Sequence[MapScore], colours: Mapping[str, str]) -> None:
    """One test set and region: a line for each kind of map, the systems close to each other."""
    names = list(dict.fromkeys(row.maps.label for row in rows))
    for row in rows:
        one, number = row.interval, [*colours].index(row.maps.cell.name)
        line = names.index(row.maps.label) + min(APART, MOST / len(colours)) * (number - (len(colours) - 1) / 2)
        colour = colours[row.maps.cell.name]
        if one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [line, line], color=colour, lw=1.5)
        axes.plot([one.est], [line], "o", color=colour, mfc="white" if row.maps.is_control else colour, ms=5)
    areas = [row.area for row in rows if row.area is not None]
    if areas:
        axes.axvline(float(np.mean(areas)), color=style.GREY, lw=1, ls="--", zorder=0)
    axes.set_yticks(range(len(names)), [folded(name, 34) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.06 * max([*areas, *(row.interval.high or row.interval.est for row in rows)]))
    axes.set_title(title)
    axes.set_xlabel("share of the mass")


def _handles(colours: Mapping[str, str]) -> list[Any]:
    """Legend entries: each system, maps that look at no image, and the share of the area."""
    from matplotlib.lines import Line2D

    return [
        *(Line2D([], [], color=colour, lw=1.5, marker="o", ms=5, label=name) for name, colour in colours.items()),
        Line2D([], [], color=style.GREY, lw=0, marker="o", mfc="white", ms=5, label="looks at no image"),
        Line2D([], [], color=style.GREY, lw=1, ls="--", label="share of the area"),
    ]
