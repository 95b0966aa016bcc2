"""Class-specific saliency of the reference system on test images of both tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmtk.report.figures import style
from mmtk.report.figures.systems import (
    Budget,
    Figure,
    class_names,
    domains,
    first_run,
    labelled,
    reference,
    samples,
    seed_shown,
)
from mmtk.study.results import Study
from mmtk.tasks import CLASSIFICATION, SEGMENTATION

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Arrays = Mapping[str, np.ndarray]

CLASSES, MASKS = CLASSIFICATION.name, SEGMENTATION.name
ROWS = 4  # images below each other


def saliency_classification(
    study: Study, budget: Budget, path: Path, *, domain: str = "", vector: bool = True
) -> Figure | None:
    """Class-specific saliency of the reference system on classification images (Fig. 9).

    study: systems and their runs
    budget: label budget of each task
    path: of the PNG
    domain: the one to show; empty for all
    vector: write an SVG beside it
    """
    return _saliency(study, budget, path, CLASSES, domain, vector)


def saliency_segmentation(
    study: Study, budget: Budget, path: Path, *, domain: str = "", vector: bool = True
) -> Figure | None:
    """Class-specific saliency of the reference system on segmentation images (Fig. 10).

    study: systems and their runs
    budget: label budget of each task
    path: of the PNG
    domain: the one to show; empty for all
    vector: write an SVG beside it
    """
    return _saliency(study, budget, path, MASKS, domain, vector)


class Block(NamedTuple):
    """Columns of a page that belong together: the domain, its arrays, and which of their images are shown."""

    domain: str
    head: str
    arrays: Arrays
    indices: range

    def draw(self, fig: Canvas, sheet: style.Sheet, first: int, names: Sequence[str]) -> None:
        """Show the X-ray and a map for every class from column ``first`` on, images in rows.

        fig: the page
        sheet: its tiles
        names: of the classes
        """
        for row, index in enumerate(self.indices):
            image = self.arrays["image"][index]
            axes = sheet.image(fig, row, first, style.gray(image))
            target = int(self.arrays["target"][index]) if "target" in self.arrays else -1
            tag = names[target] if target >= 0 else style.short(self.arrays["ids"][index], int(sheet.tile * 10))
            style.tag(axes, tag)
            tiles = [axes]
            for k, relevance in enumerate(self.arrays["maps"][index]):
                tiles.append(sheet.image(fig, row, first + 1 + k, style.heat(image, relevance)))
                p = f"p = {self.arrays['probabilities'][index, k]:.2f}"
                style.tag(tiles[-1], p if style.relative(relevance).any() else f"{p}, zero everywhere")
            if row == 0:
                for axes, head in zip(tiles, [self.head, *names], strict=True):
                    axes.set_title(head, fontsize=8, pad=4)


def _blocks(maps: Mapping[str, Arrays]) -> list[Block]:
    """A block for each domain of ``maps``; more than three images of a single domain fill two blocks."""
    if len(maps) > 1:
        return [
            Block(name, f"{name}\nX-ray", arrays, range(min(ROWS, len(arrays["ids"]))))
            for name, arrays in maps.items()
        ]
    (name, arrays), *_ = maps.items()
    count = min(2 * ROWS, len(arrays["ids"]))
    rows = count if count <= 3 else -(-count // 2)
    starts = range(0, count, rows)
    return [Block(name, "X-ray", arrays, range(first, min(count, first + rows))) for first in starts]


def _saliency(study: Study, budget: Budget, path: Path, task: str, domain: str, vector: bool) -> Figure | None:
    """The maps of the images of a ``task``, in all domains or in ``domain`` alone."""
    cell = reference(study, budget, CLASSES)
    names_of_sets = ([domain] if domain else domains([cell])) if cell else []
    maps = {
        name: arrays
        for name in names_of_sets
        if cell and "maps" in (arrays := samples(first_run(cell), name, task))
    }
    if cell is None or not maps:
        return None
    blocks, names = _blocks(maps), class_names(first_run(cell))
    width, rows = 1 + len(names), max(len(block.indices) for block in blocks)
    height, length = blocks[0].arrays["image"].shape[1:]
    images = f"{next(iter(maps))} {task} images" if len(maps) == 1 else f"{task} images"
    title = f"{cell.name}: class-specific saliency, {images} ({labelled(cell.labels)})"
    tile = max(1.05, min(1.6, 7.2 / width / len(blocks)))
    columns = width * len(blocks)
    sheet = style.Sheet(title, rows, columns, height / length, tile, above=0.36, right=0.62, group=width)
    note = f"{seed_shown([cell])}; gradient of each class score; p: the probability of the class"
    with sheet.open(path, note, vector=vector) as fig:
        for k, block in enumerate(blocks):
            block.draw(fig, sheet, k * width, names)
        sheet.bar(fig, "relative saliency")
    counts = {name: sum(len(block.indices) for block in blocks if block.domain == name) for name in maps}
    amounts = " and ".join(f"{count} {name}" for name, count in counts.items())
    caption = (
        f"Size of the gradient of each class score with respect to {amounts} {task} images, {cell.name}, "
        f"{seed_shown([cell])}; each map is scaled by its own 99th percentile."
    )
    return Figure(path.stem, title, caption, path, "saliency", films=True)
