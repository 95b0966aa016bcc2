"""The pictures of a single run: from arrays to PNG files.

Images are [N,H,W], 8-bit or float; masks [N,K,H,W] in [0, 1]. Every function returns ``path``, or None
without writing a file where there is nothing to show (no image, no finite value).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.report.figures import style

Scores = Sequence[float] | np.ndarray


def boundaries(
    images: np.ndarray,
    references: np.ndarray,
    predictions: np.ndarray,
    ids: Sequence[str],
    dice: Scores,
    path: Path,
    title: str,
    note: str = "",
) -> Path | None:
    """Reference and predicted boundaries on up to 8 X-rays, the Dice under each (Fig. 4)."""
    count = min(8, len(images))
    if not count:
        return None
    columns = {1: 1, 2: 2, 3: 3, 5: 3, 6: 3}.get(count, 4)
    aspect, tile = images.shape[1] / images.shape[2], min(2.3, 7.2 / columns)
    sheet = style.Sheet(title, -(-count // columns), columns, aspect, tile, bottom=0.08, below=0.4)
    with sheet.open(path, note or style.sample(count, len(images)), legend=True) as fig:
        for i in range(count):
            axes = sheet.image(fig, i // columns, i % columns, style.gray(images[i]))
            style.outline(axes, references[i], style.REFERENCE)
            if not style.outline(axes, predictions[i], style.PREDICTION):
                style.tag(axes, "nothing predicted")
            style.caption(axes, [f"Dice {style.number(dice[i])}", style.short(ids[i], int(tile * 13))])
    return path


def saliency(
    images: np.ndarray, maps: np.ndarray, names: Sequence[str], ids: Sequence[str], path: Path, title: str
) -> Path | None:
    """Class-specific saliency [N,C,H,W] beside up to 8 X-rays, each map scaled by itself (Figs. 9, 10)."""
    count = min(8, len(images))
    if not count:
        return None
    panels_per_image = 1 + maps.shape[1]
    groups = 2 if panels_per_image <= 3 and count > 3 else 1
    aspect, tile = images.shape[1] / images.shape[2], max(1.05, min(2.1, 6.5 / panels_per_image / groups))
    sheet = style.Sheet(
        title,
        -(-count // groups),
        panels_per_image * groups,
        aspect,
        tile,
        above=0.15,
        right=0.62,
        group=panels_per_image,
    )
    note = "gradient of each class score with respect to the image; 1 = the map's 99th percentile"
    with sheet.open(path, f"{style.sample(count, len(images))}; {note}") as fig:
        for i in range(count):
            row, first = i // groups, i % groups * panels_per_image
            tiles = [sheet.image(fig, row, first, style.gray(images[i]))]
            style.tag(tiles[0], style.short(ids[i], int(tile * 10)))
            for c, relevance in enumerate(maps[i], 1):
                tiles.append(sheet.image(fig, row, first + c, style.heat(images[i], relevance)))
                if not style.relative(relevance).any():
                    style.tag(tiles[-1], "zero everywhere")
            if row == 0:
                for axes, name in zip(tiles, ["X-ray", *names], strict=True):
                    axes.set_title(style.short(name, int(tile * 12)), pad=4)
        sheet.bar(fig, "relative |gradient|")
    return path


def overview(
    images: np.ndarray,
    references: np.ndarray | None,
    predictions: np.ndarray | None,
    saliency: np.ndarray | None,
    class_probabilities: np.ndarray | None,
    class_names: Sequence[str],
    dice: Scores | None,
    path: Path,
    title: str,
    note: str = "",
) -> Path | None:
    """Up to 6 X-rays: image, boundaries, saliency [N,H,W], predicted class, Dice; None leaves a part out."""
    count = min(6, len(images))
    if not count:
        return None
    outlines = [
        (masks, look)
        for masks, look in ((references, style.REFERENCE), (predictions, style.PREDICTION))
        if masks is not None
    ]
    kinds = ["X-ray", *["boundary"] * bool(outlines), *["saliency"] * (saliency is not None)]
    below = 2 * (class_probabilities is not None) + (dice is not None)
    aspect, tile = images.shape[1] / images.shape[2], min(1.8, 6.9 / count)
    sheet = style.Sheet(title, len(kinds), count, aspect, tile, bottom=0.12 + 0.17 * below, left=0.38, gap=0.06)
    words = note or style.sample(count, len(images))
    words += "; saliency: |gradient of the class score|" if saliency is not None else ""
    with sheet.open(path, words, legend=bool(outlines)) as fig:
        for i in range(count):
            pixels = style.gray(images[i])
            for row, kind in enumerate(kinds):
                maps = saliency if kind == "saliency" else None
                axes = sheet.image(fig, row, i, pixels if maps is None else style.heat(pixels, maps[i]))
                for masks, look in outlines if kind == "boundary" else []:
                    style.outline(axes, masks[i], look)
                if i == 0:
                    axes.set_ylabel(kind)
            lines = [] if class_probabilities is None else style.verdict(class_probabilities[i], class_names)
            style.caption(axes, lines + ([] if dice is None else [f"Dice {style.number(dice[i])}"]))
    return path


def dice_distribution(values: Mapping[str, np.ndarray], path: Path, title: str) -> Path | None:
    """Dice per image of each set: all points, the quartile box, the median and n (Fig. 3)."""
    sets = {name: np.asarray(dice, float).ravel() for name, dice in values.items()}
    finite = {name: np.sort(dice[np.isfinite(dice)]) for name, dice in sets.items()}
    if not any(map(len, finite.values())):
        return None
    lowest = min(dice[0] for dice in finite.values() if len(dice))
    with style.chart(path, title, 7.4, 1.4 + 0.62 * len(sets)) as fig:
        axes = fig.add_subplot()
        for row, (name, dice) in enumerate(finite.items()):
            missing = len(sets[name]) - len(dice)
            words = f"n = {len(dice):,}" + (f" ({missing} missing)" if missing else "")
            if len(dice):
                colour = style.CYCLE[row % len(style.CYCLE)]
                low, middle, high = np.percentile(dice, [25, 50, 75])
                box: dict[str, Any] = {"color": colour + "30", "edgecolor": colour, "lw": 1.2, "zorder": 2}
                axes.barh(row, high - low, left=low, height=0.66, **box)
                axes.vlines(middle, row - 0.33, row + 0.33, color="black", lw=2.2, zorder=5)
                # Multiples of the golden ratio spread neighbours apart, the same way every time.
                spread = row + (np.arange(1, len(dice) + 1) * 0.618034 % 1 - 0.5) * 0.56
                axes.scatter(
                    dice,
                    spread,
                    s=18,
                    color=colour,
                    alpha=0.75,
                    lw=0.4,
                    edgecolor="white",
                    clip_on=False,
                    zorder=4,
                )
                words = f"median {middle:.3f}\n{words}"
            transform = axes.get_yaxis_transform()
            axes.text(1.02, row, words, transform=transform, va="center", fontsize=8, linespacing=1.4)
        axes.set_yticks(range(len(sets)), [style.short(name, 30) for name in sets])
        axes.tick_params(axis="y", length=0, labelsize=9)
        axes.set(xlim=(max(0.0, np.floor(lowest * 10 - 0.5) / 10), 1), ylim=(len(sets) - 0.45, -0.55))
        axes.set_xlabel("Dice (points: images, box: quartiles, line: median)")
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
    return path


def confusion(counts: np.ndarray, names: Sequence[str], path: Path, title: str) -> Path | None:
    """Counts [C,C], reference in rows and prediction in columns, with each row's shares."""
    table = np.nan_to_num(np.asarray(counts, float))
    if not table.any():
        return None
    rows = table.sum(1, keepdims=True)
    shares = np.divide(table, rows, out=np.full_like(table, np.nan), where=rows > 0)
    side = max(3.0, 0.95 * len(table))
    with style.chart(path, f"{title} (n = {table.sum():,.0f})", side + 2.8, side + 1.2) as fig:
        axes = fig.add_subplot()
        matrix_image = axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1)
        for (i, j), share in np.ndenumerate(shares):
            ink = "white" if share > 0.55 else "black"
            axes.annotate(f"{table[i, j]:,.0f}", (j, i), color=ink, ha="center", fontsize=12, fontweight="bold")
            words = f"{share:.1%}" if np.isfinite(share) else "–"
            below: dict[str, Any] = {"xytext": (0, -5), "textcoords": "offset points", "va": "top"}
            axes.annotate(words, (j, i), color=ink, ha="center", fontsize=8.5, **below)
        ticks = [style.short(name, 14) for name in names]
        axes.set_xticks(range(len(table)), ticks)
        sizes = [f"{tick}\nn = {n:,.0f}" for tick, n in zip(ticks, rows[:, 0], strict=True)]
        axes.set_yticks(range(len(table)), sizes)
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted class", ylabel="reference class")
        bar = fig.colorbar(matrix_image, ax=axes, shrink=0.8, aspect=22, ticks=[0, 0.5, 1])
        bar.set_label("share of the reference class", fontsize=8)
        bar.outline.set_visible(False)
    return path
