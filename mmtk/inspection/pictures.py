"""The pictures of ``mmtk data inspect``: intensities of all sets, and a contact sheet with masks outlined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.counts import counted
from mmtk.data import store
from mmtk.data.mask_checks import MaskCheck
from mmtk.data.store import Stored
from mmtk.report.figures import style
from mmtk.tasks import TASKS

LEVELS = 256
SAMPLES = 6


def draw_intensities(reports: Mapping[str, Mapping[str, Any]], path: Path) -> Path:
    """Fig. 2b: a line per data set; black borders would dwarf the rest, so the legend tells of them."""
    shown = {name: report["intensity"] for name, report in reports.items() if "intensity" in report}
    with style.chart(path, "Intensity distributions of the data sets", 6.4, 3.8) as figure:
        axes = figure.add_subplot()
        for number, (name, found) in enumerate(shown.items()):
            colour = style.CYCLE[number % len(style.CYCLE)]
            label = f"{name}: {found['mean']:.0f} ± {found['sd']:.0f}, {found['density'][0]:.1%}"
            dashes = style.DASHES[number % len(style.DASHES)]
            axes.plot(range(1, LEVELS), found["density"][1:], color=colour, linestyle=dashes, label=label)
        top = 1.6 * np.percentile([found["density"][1:] for found in shown.values()], 98)
        axes.set(xlim=(0, LEVELS - 1), ylim=(0, top or None), xticks=[*range(0, LEVELS - 1, 32), LEVELS - 1])
        axes.set(xlabel="Intensity (0 black … 255 white)", ylabel="Density (share of pixels per level)")
        axes.legend(title="mean ± sd, share of level 0 (not drawn)", ncols=2, loc="upper center")
    return path


def draw_samples(stores: Mapping[str, Stored], masks: Mapping[str, MaskCheck], path: Path) -> Path:
    """Fig. 2a: a row of images for every class of every set, masks as outlines, and rows of doubtful masks."""
    rows = [
        (name, label, found)
        for name, stored in stores.items()
        for label, found in (*_groups(stored), *_doubtful(stored, masks.get(name)))
    ]
    sheet = style.Sheet("Sample images", len(rows), SAMPLES, 1.0, 1.2, left=2.1)
    with sheet.open(path, "evenly spaced in the order of the ids; masks outlined") as figure:
        for row, (name, label, found) in enumerate(rows):
            stored = stores[name]
            for column, index in enumerate(found[_spread(len(found))]):
                axes = sheet.image(figure, row, column, stored.images[index, 0] / (LEVELS - 1))
                if TASKS[stored.labels.task].has_masks:
                    for channel, (_, colour) in _outlined(stored).items():
                        style.outline(axes, stored.targets[index, [channel]], {"colors": colour})
            left, bottom, _, tall = sheet.box(row, 0)
            lines = [(name, "black"), *label, (counted(len(found), "image"), style.GREY)]
            for line, (words, colour) in enumerate(lines):
                figure.text(
                    left - 0.1 / sheet.width,
                    bottom + tall - (0.12 + 0.17 * line) / sheet.height,
                    style.short(words, 24),
                    color=colour,
                    ha="right",
                    va="top",
                    fontweight="normal" if line else "bold",
                )
    return path


def _groups(stored: Stored) -> Iterator[tuple[list[tuple[str, str]], np.ndarray]]:
    """The rows of the picture: lines of the label with their colours, and which images."""
    if TASKS[stored.labels.task].has_masks:
        masked = np.array([(mask != store.IGNORED).any() for mask in stored.targets])
        yield list(_outlined(stored).values()), np.flatnonzero(masked if masked.any() else ~masked)
        return
    for number, label in [*enumerate(stored.labels.names), (store.UNKNOWN, "unlabelled")]:
        if (found := np.flatnonzero(stored.targets == number)).size:
            yield [(label, "black")], found


def _doubtful(stored: Stored, check: MaskCheck | None) -> Iterator[tuple[list[tuple[str, str]], np.ndarray]]:
    """A row for each kind of masks that need a look."""
    for kind in ("empty", "full", "turned", "misaligned", "tagged"):
        if check is not None and (ids := getattr(check, kind)):
            yield [(f"{kind}: look", style.CYCLE[1])], stored.rows(ids)


def _outlined(stored: Stored) -> dict[int, tuple[str, str]]:
    """Mask channel → its name and colour; the background of exclusive masks has no outline."""
    first = 1 if stored.labels.exclusive and len(stored.labels.names) > 1 else 0
    return {
        channel: (name, style.CYCLE[(channel - first + 2) % len(style.CYCLE)])
        for channel, name in enumerate(stored.labels.names)
        if channel >= first
    }


def _spread(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLES)).round().astype(int))
