"""The pictures that only a single run has: an overview of its images, and the confusion of its classes.

Every function returns ``path``, or None without writing a file where there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.report.figures import style

MOST = 6  # images of an overview


def overview(
    examples: Mapping[str, np.ndarray],
    dice: Sequence[float | None],
    names: Sequence[str],
    path: Path,
    title: str,
    note: str = "",
) -> Path | None:
    """Up to 6 X-rays, each with its boundaries, saliency, predicted class and Dice.

    ``examples``: arrays as in ``samples.npz``, of which only ``image`` has to be there
    ``dice``: of every image, empty where there is none
    ``names``: of the classes
    path: of the PNG
    title: of the picture
    note: the line below the title
    """
    images = examples["image"]
    count = min(MOST, len(images))
    if not count:
        return None
    outlines = [
        (examples[name], look)
        for name, look in (("reference", style.REFERENCE), ("predicted", style.PREDICTION))
        if name in examples
    ]
    kinds = ["X-ray"]
    kinds += ["boundary"] if outlines else []
    kinds += ["saliency"] if "saliency" in examples else []
    below = 2 * ("probabilities" in examples) + bool(len(dice))
    aspect, tile = images.shape[1] / images.shape[2], min(1.8, 6.9 / count)
    sheet = style.Sheet(title, len(kinds), count, aspect, tile, bottom=0.12 + 0.17 * below, left=0.38, gap=0.06)
    note = note or style.sample(count, len(images))
    note += "; saliency: |gradient of the class score|" if "saliency" in examples else ""
    with sheet.open(path, note, legend=bool(outlines)) as fig:
        for i in range(count):
            for row, kind in enumerate(kinds):
                pixels = style.gray(images[i])
                pixels = style.heat(pixels, examples["saliency"][i]) if kind == "saliency" else pixels
                axes = sheet.image(fig, row, i, pixels)
                for masks, look in outlines if kind == "boundary" else []:
                    style.outline(axes, masks[i], look)
                if i == 0:
                    axes.set_ylabel(kind)
            lines = style.verdict(examples["probabilities"][i], names) if "probabilities" in examples else []
            style.caption(axes, lines + ([f"Dice {style.number(dice[i])}"] if len(dice) else []))
    return path


def confusion(counts: np.ndarray, names: Sequence[str], path: Path, title: str) -> Path | None:
    """Draw a confusion matrix with the shares of each row; a class without images has no row.

    counts: images [C,C], reference in rows and prediction in columns
    names: of the classes
    path: of the PNG
    title: of the picture
    """
    table = np.nan_to_num(np.asarray(counts, float))
    if not table.any():
        return None
    present = table.any(1)
    table = table[present]
    rows = table.sum(1, keepdims=True)
    shares = table / rows
    width = max(3.0, 0.95 * len(names))
    height = width * len(table) / len(names)
    with style.chart(path, f"{title} (n = {table.sum():,.0f})", width + 2.8, height + 1.2) as fig:
        axes = fig.add_subplot()
        matrix = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (i, j), share in np.ndenumerate(shares):
            ink = "white" if share > 0.55 else "black"
            axes.annotate(f"{table[i, j]:,.0f}", (j, i), color=ink, ha="center", fontsize=12, fontweight="bold")
            below: dict[str, Any] = {"xytext": (0, -5), "textcoords": "offset points", "va": "top"}
            axes.annotate(f"{share:.1%}", (j, i), color=ink, ha="center", fontsize=8.5, **below)
        ticks = np.array([style.short(name, 14) for name in names])
        axes.set_xticks(range(len(names)), ticks)
        sizes = [f"{tick}\nn = {n:,.0f}" for tick, n in zip(ticks[present], rows[:, 0], strict=True)]
        axes.set_yticks(range(len(table)), sizes)
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted class", ylabel="reference class")
        bar = fig.colorbar(matrix, ax=axes, shrink=0.8, aspect=22, ticks=[0, 0.5, 1])
        bar.set_label("share of the reference class", fontsize=8)
        bar.outline.set_visible(False)
    return path
