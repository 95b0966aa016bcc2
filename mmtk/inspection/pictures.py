"""Pictures of ``mmtk data inspect``: intensities of all sets, and a contact sheet with masks outlined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.counts import counted
from mmtk.data.mask_checks import MaskCheck
from mmtk.data.store import IGNORED, UNKNOWN, ImageStore
from mmtk.report.figures import style
from mmtk.tasks import TASKS

LEVELS = 256
SAMPLES = 6


def draw_intensities(reports: Mapping[str, Mapping[str, Any]], path: Path) -> Path:
    """Draw Fig. 2b: a line per data set; level 0 (black borders) stands in the legend alone."""
    intensities = {name: report["intensity"] for name, report in reports.items() if "intensity" in report}
    with style.chart(path, "Intensity distributions of the data sets", 6.4, 3.8) as figure:
        axes = figure.add_subplot()
        for number, (name, levels) in enumerate(intensities.items()):
            colour = style.CYCLE[number % len(style.CYCLE)]
            label = f"{name}: {levels['mean']:.0f} ± {levels['sd']:.0f}, {levels['density'][0]:.1%}"
            dashes = style.DASHES[number % len(style.DASHES)]
            axes.plot(range(1, LEVELS), levels["density"][1:], color=colour, linestyle=dashes, label=label)
        top = 1.6 * np.percentile([levels["density"][1:] for levels in intensities.values()], 98)
        axes.set(xlim=(0, LEVELS - 1), ylim=(0, top or None), xticks=[*range(0, LEVELS - 1, 32), LEVELS - 1])
        axes.set(xlabel="Intensity (0 black … 255 white)", ylabel="Density (share of pixels per level)")
        axes.legend(title="mean ± sd, share of level 0 (not drawn)", ncols=2, loc="upper center")
    return path


def draw_samples(stores: Mapping[str, ImageStore], masks: Mapping[str, MaskCheck], path: Path) -> Path:
    """Draw Fig. 2a: a row of images for every class of a set, masks as outlines, and rows of doubtful masks."""
    rows = [
        (name, label, indices)
        for name, store in stores.items()
        for label, indices in (*_groups(store), *_doubtful(store, masks.get(name)))
    ]
    sheet = style.Sheet("Sample images", len(rows), SAMPLES, 1.0, 1.2, left=2.1)
    with sheet.open(path, "evenly spaced in the order of the ids; masks outlined") as figure:
        for row, (name, label, indices) in enumerate(rows):
            store = stores[name]
            for column, index in enumerate(indices[_spread(len(indices))]):
                axes = sheet.image(figure, row, column, store.images[index, 0] / (LEVELS - 1))
                if TASKS[store.labels.task].has_masks:
                    for channel, (_, colour) in _mask_channels(store).items():
                        style.outline(axes, store.targets[index, [channel]], {"colors": colour})
            left, bottom, _, tall = sheet.box(row, 0)
            lines = [(name, "black"), *label, (counted(len(indices), "image"), style.GREY)]
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


def _groups(store: ImageStore) -> Iterator[tuple[list[tuple[str, str]], np.ndarray]]:
    """Yield the rows of the picture: lines of the label with their colours, and indices of images."""
    if TASKS[store.labels.task].has_masks:
        masked = np.array([(mask != IGNORED).any() for mask in store.targets])
        yield list(_mask_channels(store).values()), np.flatnonzero(masked if masked.any() else ~masked)
        return
    for number, label in [*enumerate(store.labels.names), (UNKNOWN, "unlabelled")]:
        if (indices := np.flatnonzero(store.targets == number)).size:
            yield [(label, "black")], indices


def _doubtful(store: ImageStore, check: MaskCheck | None) -> Iterator[tuple[list[tuple[str, str]], np.ndarray]]:
    """Yield a row for each kind of masks that need a look."""
    for kind in ("empty", "full", "inverted", "turned", "misaligned", "tagged"):
        if check is not None and (ids := getattr(check, kind)):
            yield [(f"{kind}: look", style.CYCLE[1])], store.rows(ids)


def _mask_channels(store: ImageStore) -> dict[int, tuple[str, str]]:
    """Name and colour of every mask channel with an outline; the background of exclusive masks has none."""
    first = 1 if store.labels.exclusive and len(store.labels.names) > 1 else 0
    return {
        channel: (name, style.CYCLE[(channel - first + 2) % len(style.CYCLE)])
        for channel, name in enumerate(store.labels.names)
        if channel >= first
    }


def _spread(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLES)).round().astype(int))
