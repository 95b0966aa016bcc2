"""The same test images through the systems of a study: boundaries, overlap of masks, class-specific saliency."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmtk.counts import counted
from mmtk.report.figures import style
from mmtk.report.figures.systems import (
    Budget,
    Figure,
    class_names,
    first_run,
    folded,
    labelled,
    reference,
    samples,
    seed_shown,
    systems,
)
from mmtk.study.results import Cell, Study
from mmtk.tasks import DOMAINS

Arrays = Mapping[str, np.ndarray]

# Light, lighter and dark on an X-ray, so that gray print keeps them apart.
OVERLAP = {"both": "#56B4E9", "only the reference": "#F0E442", "only the prediction": "#D55E00"}


def dice_of(cell: Cell, domain: str) -> dict[str, float]:
    """Dice of the test images by id, of the run with the lowest seed."""
    table = cell.cases.get((domain, "segmentation"), {})
    return dict(zip(table["id"], table["dice"][0].tolist(), strict=True)) if "dice" in table else {}


def boundaries(study: Study, budget: Budget, path: Path, most: int = 3) -> Figure | None:
    """Reference and predicted outlines, ``most`` images of each domain in rows, systems in columns (Fig. 4)."""
    cells = systems(study, budget, "segmentation")
    sample_arrays = {
        (system, domain): arrays
        for system, cell in cells.items()
        for domain in DOMAINS
        if (arrays := samples(first_run(cell), domain, "segmentation"))
    }
    systems_drawn = {
        system: cell for system, cell in cells.items() if any(system == other for other, _ in sample_arrays)
    }
    rows = [
        (domain, image)
        for domain in DOMAINS
        for image in _common([arrays for (_, other), arrays in sample_arrays.items() if other == domain])[:most]
    ]
    if not rows:
        return None
    first = next(iter(sample_arrays.values()))["image"]
    aspect, tile = first.shape[1] / first.shape[2], max(1.05, min(1.7, 10 / (len(systems_drawn) + 1)))
    heads = [folded(cell.name, int(tile * 12)) for cell in systems_drawn.values()]
    title = f"Boundaries by system ({labelled(budget)})"
    above = 0.1 + 0.15 * max(head.count("\n") + 1 for head in heads)
    sheet = style.Sheet(title, len(rows), len(systems_drawn) + 1, aspect, tile, above=above, left=0.4, below=0.22)
    dice = {(system, domain): dice_of(cells[system], domain) for system, domain in sample_arrays}
    note = f"{seed_shown(systems_drawn.values())}; the Dice below each"
    with sheet.open(path, note, legend=True, vector=True) as fig:
        for row, (domain, image) in enumerate(rows):
            for column, system in enumerate(["", *systems_drawn]):
                arrays_here = sample_arrays.get((system or next(iter(systems_drawn)), domain))
                if arrays_here is None:
                    continue
                index = arrays_here["ids"].tolist().index(image)
                axes = sheet.image(fig, row, column, style.gray(arrays_here["image"][index]))
                if not system:
                    axes.set_ylabel(domain)
                else:
                    style.outline(axes, arrays_here["reference"][index], style.REFERENCE)
                    if not style.outline(axes, arrays_here["predicted"][index], style.PREDICTION):
                        style.tag(axes, "nothing predicted")
                    style.caption(axes, [style.number(dice[system, domain].get(image))])
                if row == 0:
                    axes.set_title(heads[column - 1] if system else "X-ray", fontsize=8, pad=4)
    caption = (
        f"Reference (solid) and predicted (dashed) boundaries of {counted(len(rows), 'test image')} for every "
        f"system, {seed_shown(systems_drawn.values())}, with the Dice below each."
    )
    return Figure(path.stem, title, caption, path, "segmentation")


def _common(sample_arrays: list[Arrays]) -> list[str]:
    """The ids that all have, in the order of the first."""
    return (
        [i for i in sample_arrays[0]["ids"].tolist() if all(i in other["ids"] for other in sample_arrays)]
        if sample_arrays
        else []
    )


def overlap(image: np.ndarray, reference_mask: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Masks [K,H,W] as colours on a dimmed X-ray [H,W], as [H,W,3]: in both, missed, or added; errors on top."""
    from matplotlib.colors import to_rgb

    picture = np.repeat(0.8 * style.gray(image)[..., None], 3, axis=2)
    parts = (reference_mask & predicted, reference_mask & ~predicted, predicted & ~reference_mask)
    for part, colour, strength in zip(parts, OVERLAP.values(), (0.45, 0.9, 0.9), strict=True):
        inside = part.any(0)
        picture[inside] = (1 - strength) * picture[inside] + strength * np.array(to_rgb(colour))
    return picture


def masks(study: Study, budget: Budget, path: Path, most: int = 6) -> Figure | None:
    """Overlap of reference and predicted masks of the reference system, domains in rows (Fig. 8)."""
    from matplotlib.patches import Patch

    cell = reference(study, budget, "segmentation")
    sample_arrays = {
        d: arrays for d in DOMAINS if cell and (arrays := samples(first_run(cell), d, "segmentation"))
    }
    if cell is None or not sample_arrays:
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
    return Figure(path.stem, title, caption, path, "segmentation")


def saliency_classification(study: Study, budget: Budget, path: Path) -> Figure | None:
    """Class-specific saliency of the reference system on classification images (Fig. 9)."""
    return _saliency(study, budget, path, "classification")


def saliency_segmentation(study: Study, budget: Budget, path: Path) -> Figure | None:
    """Class-specific saliency of the reference system on segmentation images (Fig. 10)."""
    return _saliency(study, budget, path, "segmentation")


def _saliency(study: Study, budget: Budget, path: Path, task: str, most: int = 4) -> Figure | None:
    """A block of columns for each domain: the X-ray and a map for every class, images in rows."""
    cell = reference(study, budget, "classification")
    samples_by_domain = {d: samples(first_run(cell), d, task) for d in DOMAINS} if cell else {}
    sample_arrays = {domain: arrays for domain, arrays in samples_by_domain.items() if "maps" in arrays}
    if cell is None or not sample_arrays:
        return None
    names = class_names(first_run(cell))
    panels_per_image, rows = (
        1 + len(names),
        min(most, max(len(arrays["image"]) for arrays in sample_arrays.values())),
    )
    height, width = next(iter(sample_arrays.values()))["image"].shape[1:]
    title = f"{cell.name}: class-specific saliency, {task} images ({labelled(cell.labels)})"
    sheet = style.Sheet(
        title,
        rows,
        panels_per_image * len(sample_arrays),
        height / width,
        max(1.05, min(1.6, 9.4 / panels_per_image / len(sample_arrays))),
        above=0.36,
        right=0.62,
        group=panels_per_image,
    )
    note = f"{seed_shown([cell])}; gradient of each class score; p: the probability of the class"
    with sheet.open(path, note, vector=True) as fig:
        for block, (domain, arrays) in enumerate(sample_arrays.items()):
            for row in range(min(rows, len(arrays["image"]))):
                image = arrays["image"][row]
                tiles = [sheet.image(fig, row, block * panels_per_image, style.gray(image))]
                if "target" in arrays and arrays["target"][row] >= 0:
                    style.tag(tiles[0], names[int(arrays["target"][row])])
                for c, relevance in enumerate(arrays["maps"][row], 1):
                    tiles.append(sheet.image(fig, row, block * panels_per_image + c, style.heat(image, relevance)))
                    style.tag(tiles[-1], f"p = {arrays['probabilities'][row, c - 1]:.2f}")
                if row == 0:
                    for axes, head in zip(tiles, [f"{domain}\nX-ray", *names], strict=True):
                        axes.set_title(head, fontsize=8, pad=4)
        sheet.bar(fig, "relative saliency")
    counts = " and ".join(
        f"{min(rows, len(arrays['image']))} {domain}" for domain, arrays in sample_arrays.items()
    )
    caption = (
        f"Size of the gradient of each class score with respect to {counts} {task} images, {cell.name}, "
        f"{seed_shown([cell])}; each map is scaled by its own 99th percentile."
    )
    return Figure(path.stem, title, caption, path, "saliency")
