"""Figure of the mass of saliency maps inside lungs and boxes, beside the share of the area."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmtk.report.figures import style
from mmtk.report.figures.systems import Figure, folded
from mmtk.report.saliency import MapResults, MapScore, by_test_set

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REGIONS = {"mass-in-lungs": "lungs", "mass-in-boxes": "boxes"}
MOST = 24  # rows of a panel


def map_scores(result: MapResults, path: Path) -> Figure | None:
    """Mass of every kind of map inside lungs and boxes; None without measured maps.

    result: of the study
    path: of the PNG, with an SVG beside it
    """
    panels = [
        (f"{name}, {region}", rows)
        for name, scores in by_test_set(result).items()
        for score, region in REGIONS.items()
        if (rows := [one for one in scores if one.name == score][:MOST])
    ]
    if not panels:
        return None
    columns = min(len(panels), 2)
    lines = -(-len(panels) // columns)
    most = max(len(rows) for _, rows in panels)
    title = "Where the mass of the maps lies"
    with style.chart(path, title, 0.8 + 4.6 * columns, 0.9 + lines * (0.8 + 0.24 * most), vector=True) as fig:
        axes = fig.subplots(lines, columns, squeeze=False)
        for index, panel in enumerate(axes.flat):
            if index < len(panels):
                _panel(panel, *panels[index])
            else:
                panel.set_visible(False)
    caption = (
        "Share of the mass of each map inside the lungs, or inside the boxes of pneumonia, with 95 % intervals. "
        "The gray line is the share of the area, where a map that knows nothing would lie; open circles are maps "
        "that look at no image."
    )
    return Figure(path.stem, title, caption, path, "saliency maps")


def _panel(axes: Axes, title: str, rows: Sequence[MapScore]) -> None:
    """One test set and region: a line per system and map."""
    for line, row in enumerate(rows):
        one, is_control = row.interval, row.maps.is_control
        colour = style.GREY if is_control else style.BLUE
        if one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [line, line], color=colour, lw=2)
        axes.plot([one.est], [line], "o", color=colour, mfc="white" if is_control else colour, ms=6)
    areas = [row.area for row in rows if row.area is not None]
    if areas:
        axes.axvline(float(np.mean(areas)), color=style.GREY, lw=1, ls="--")
    systems = {row.maps.cell.name for row in rows}
    names = [row.maps.name if len(systems) == 1 else f"{row.maps.cell.name}: {row.maps.name}" for row in rows]
    axes.set_yticks(range(len(rows)), [folded(name, 34) for name in names])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_title(title)
    axes.set_xlabel("share of the mass")
