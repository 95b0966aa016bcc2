"""The same test images through the systems of a study: boundaries, and overlap of masks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmtk.counts import counted, share
from mmtk.report.figures import style
from mmtk.report.figures.systems import (
    Budget,
    Figure,
    domains,
    first_run,
    folded,
    labelled,
    reference,
    samples,
    seed_shown,
    systems,
)
from mmtk.study.results import Cell, Study
from mmtk.tasks import SEGMENTATION

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Arrays = Mapping[str, np.ndarray]

MASKS = SEGMENTATION.name
MOST = 8  # images of one system on a page
PER_DOMAIN = 3  # images of a domain beside those of other systems

# Light, lighter and dark on an X-ray, so that gray print keeps them apart.
OVERLAP = {"both": "#56B4E9", "only the reference": "#F0E442", "only the prediction": "#D55E00"}


def dice_of(cell: Cell, domain: str) -> dict[str, float]:
    """Dice of the test images by id, of the run with the lowest seed."""
    table = cell.cases.get((domain, MASKS), {})
    pairs = zip(table["id"], table["dice"][0].tolist(), strict=True) if "dice" in table else ()
    return {name: dice for name, dice in pairs if math.isfinite(dice)}


class Tile(NamedTuple):
    """An image of a page: its place, its arrays, and the words around it; without ``below`` the X-ray alone."""

    row: int
    column: int
    arrays: Arrays
    image: int
    below: tuple[str, ...] = ()
    head: str = ""
    side: str = ""

    def draw(self, fig: Canvas, sheet: style.Sheet) -> None:
        """Show the X-ray with both boundaries."""
        axes = sheet.image(fig, self.row, self.column, style.gray(self.arrays["image"][self.image]))
        if self.below:
            style.outline(axes, self.arrays["reference"][self.image], style.REFERENCE)
            if not style.outline(axes, self.arrays["predicted"][self.image], style.PREDICTION):
                style.tag(axes, "nothing predicted")
            style.caption(axes, list(self.below))
        if self.head:
            axes.set_title(self.head, fontsize=8, pad=4)
        if self.side:
            axes.set_ylabel(self.side)


def boundaries(
    study: Study, budget: Budget, path: Path, *, domain: str = "", vector: bool = True
) -> Figure | None:
    """Reference and predicted outlines (Fig. 4), the Dice below each.

    Images in rows, systems in columns; of a single system all images, from the worst to the best Dice.

    study: systems and their runs
    budget: label budget of each task
    path: of the PNG
    domain: the one to show; empty for all
    vector: write an SVG beside it
    """
    cells = systems(study, budget, MASKS)
    examples = {
        (system, name): arrays
        for system, cell in cells.items()
        for name in ([domain] if domain else domains([cell]))
        if (arrays := samples(first_run(cell), name, MASKS))
    }
    cells = {system: cell for system, cell in cells.items() if any(system == other for other, _ in examples)}
    if not cells:
        return None
    if len(cells) == 1:
        return _one_system(
            next(iter(cells.values())), {name: arrays for (_, name), arrays in examples.items()}, path, vector
        )
    return _by_system(cells, examples, labelled(budget), path, vector)


def _one_system(cell: Cell, examples: Mapping[str, Arrays], path: Path, vector: bool) -> Figure:
    """All images of one system in a grid, the domains below each other; ``examples`` by domain."""
    count = min(MOST, max(len(arrays["ids"]) for arrays in examples.values()))
    columns = {1: 1, 2: 2, 3: 3, 5: 3, 6: 3}.get(count, 4)
    first = next(iter(examples.values()))["image"]
    aspect, size = first.shape[1] / first.shape[2], min(2.3, 7.2 / columns)
    tiles: list[Tile] = []
    images = 0
    for name, arrays in examples.items():
        dice = dice_of(cell, name)
        images += len(dice)
        ids = arrays["ids"].tolist()
        order = sorted(range(len(ids)), key=lambda i: np.nan_to_num(dice.get(ids[i], np.inf), nan=np.inf))[:MOST]
        row = 1 + max((tile.row for tile in tiles), default=-1)
        for k, i in enumerate(order):
            below = (f"Dice {style.number(dice.get(ids[i]))}", style.short(ids[i], int(size * 13)))
            side = name if k % columns == 0 and len(examples) > 1 else ""
            tiles.append(Tile(row + k // columns, k % columns, arrays, i, below, side=side))
    title = f"{cell.name}: boundaries, {' and '.join(examples)} test images"
    rows = 1 + tiles[-1].row
    sheet = style.Sheet(
        title, rows, columns, aspect, size, bottom=0.08, left=0.4 if len(examples) > 1 else 0.15, below=0.4
    )
    note = f"{share(len(tiles), max(images, len(tiles)), 'image')}, worst to best Dice; {seed_shown([cell])}"
    with sheet.open(path, note, legend=True, vector=vector) as fig:
        for tile in tiles:
            tile.draw(fig, sheet)
    caption = (
        f"Reference (solid) and predicted (dashed) boundaries of {counted(len(tiles), 'test image')}, "
        f"{cell.name}, {seed_shown([cell])}, from the worst to the best Dice."
    )
    return Figure(path.stem, title, caption, path, MASKS, films=True)


def _by_system(
    cells: Mapping[str, Cell], examples: Mapping[tuple[str, str], Arrays], budget: str, path: Path, vector: bool
) -> Figure:
    """Images in rows, the X-ray and systems in columns; ``examples`` by system and domain, ``budget`` in words."""
    by_domain: dict[str, list[Arrays]] = {}
    for (_, name), arrays in examples.items():
        by_domain.setdefault(name, []).append(arrays)
    rows = [(name, image) for name in by_domain for image in _common(by_domain[name])[:PER_DOMAIN]]
    first = next(iter(examples.values()))["image"]
    aspect, size = first.shape[1] / first.shape[2], max(1.05, min(1.7, 10 / (len(cells) + 1)))
    heads = {system: folded(cell.name, int(size * 12)) for system, cell in cells.items()}
    tiles = []
    for row, (name, image) in enumerate(rows):
        arrays = by_domain[name][0]
        head = "X-ray" if row == 0 else ""
        tiles.append(Tile(row, 0, arrays, arrays["ids"].tolist().index(image), head=head, side=name))
        for column, (system, cell) in enumerate(cells.items(), 1):
            if (system, name) in examples:
                arrays = examples[system, name]
                below = (style.number(dice_of(cell, name).get(image)),)
                head = heads[system] if row == 0 else ""
                tiles.append(Tile(row, column, arrays, arrays["ids"].tolist().index(image), below, head))
    title = f"Boundaries by system ({budget})"
    above = 0.1 + 0.15 * max(head.count("\n") + 1 for head in heads.values())
    sheet = style.Sheet(title, len(rows), len(cells) + 1, aspect, size, above=above, left=0.4, below=0.22)
    seed = seed_shown(cells.values())
    with sheet.open(path, f"{seed}; the Dice below each", legend=True, vector=vector) as fig:
        for tile in tiles:
            tile.draw(fig, sheet)
    caption = (
        f"Reference (solid) and predicted (dashed) boundaries of {counted(len(rows), 'test image')} for every "
        f"system, {seed}, with the Dice below each."
    )
    return Figure(path.stem, title, caption, path, MASKS, films=True)


def _common(examples: list[Arrays]) -> list[str]:
    """The ids that all have, in the order of the first."""
    return [i for i in examples[0]["ids"].tolist() if all(i in other["ids"] for other in examples)]


def overlap(image: np.ndarray, reference_masks: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Masks [K,H,W] as colours on a dimmed X-ray [H,W], as [H,W,3]: in both, missed, or added; errors on top."""
    from matplotlib.colors import to_rgb

    picture = np.repeat(0.8 * style.gray(image)[..., None], 3, axis=2)
    parts = (reference_masks & predicted, reference_masks & ~predicted, predicted & ~reference_masks)
    for part, colour, strength in zip(parts, OVERLAP.values(), (0.45, 0.9, 0.9), strict=True):
        inside = part.any(0)
        picture[inside] = (1 - strength) * picture[inside] + strength * np.array(to_rgb(colour))
    return picture


def masks(study: Study, budget: Budget, path: Path, most: int = 6) -> Figure | None:
    """Overlap of reference and predicted masks of the reference system, domains in rows (Fig. 8).

    study: systems and their runs
    budget: label budget of each task
    path: of the PNG, with an SVG beside it
    most: images of a domain
    """
    from matplotlib.patches import Patch

    cell = reference(study, budget, MASKS)
    if cell is None:
        return None
    sample_arrays = {d: arrays for d in domains([cell]) if (arrays := samples(first_run(cell), d, MASKS))}
    if not sample_arrays:
        return None
    columns = min(most, max(len(arrays["image"]) for arrays in sample_arrays.values()))
    height, width = next(iter(sample_arrays.values()))["image"].shape[1:]
    title = f"{cell.name}: predicted and reference masks"
    tile = min(1.9, 9 / columns)
    sheet = style.Sheet(title, len(sample_arrays), columns, height / width, tile, left=0.4, below=0.22, bottom=0.4)
    with sheet.open(
        path, f"{labelled(cell.labels)}; {seed_shown([cell])}; the Dice below each", vector=True
    ) as fig:
        for row, (domain, arrays) in enumerate(sample_arrays.items()):
            scores = dice_of(cell, domain)
            for i in range(min(columns, len(arrays["image"]))):
                picture = overlap(arrays["image"][i], arrays["reference"][i], arrays["predicted"][i])
                axes = sheet.image(fig, row, i, picture)
                style.caption(axes, [style.number(scores.get(str(arrays["ids"][i])))])
                if i == 0:
                    axes.set_ylabel(domain)
        swatches = [Patch(color=colour, label=name) for name, colour in OVERLAP.items()]
        fig.legend(handles=swatches, loc="lower center", ncols=3)
    counts = " and ".join(
        f"{min(columns, len(arrays['image']))} {domain}" for domain, arrays in sample_arrays.items()
    )
    caption = f"Predicted and reference masks of {counts} test images, {cell.name}, {seed_shown([cell])}."
    return Figure(path.stem, title, caption, path, MASKS, films=True)
