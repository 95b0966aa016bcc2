"""Pictures in fewer bytes that look the same: PNG in 256 colours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmtk.io.outputs import CHART

if TYPE_CHECKING:
    from PIL.Image import Image

GRAYS = np.repeat(3 * np.arange(86, dtype=np.uint8)[:, None], 3, axis=1)  # one level from every gray, at most
COLOURS = 256 - len(GRAYS)
SAMPLES = 5_000  # colours from which the palette is chosen


def save_chart(pixels: np.ndarray, path: Path, dpi: float) -> None:
    """Write a drawn picture [H,W,3], 8-bit, as a PNG that says that mmtk drew it."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text(*CHART)
    indexed(pixels).save(path, "PNG", dpi=(dpi, dpi), pnginfo=text)


def indexed(pixels: np.ndarray) -> Image:
    """A picture [H,W,3], 8-bit, with a palette of 256 colours: grays to one level, the others to the nearest.

    Grays stay gray: an X-ray shows neither bands nor tints beside the colours of a map.
    """
    from PIL import Image
    from scipy.spatial import KDTree

    red, green, blue = np.moveaxis(pixels.astype(np.uint32), -1, 0)
    flat = (red << 16 | green << 8 | blue).ravel()
    starts = np.append(0, 1 + np.flatnonzero(np.diff(flat)))  # of runs of equal pixels, which charts consist of
    lengths = np.diff(starts, append=len(flat))
    numbers, run_colours = np.unique(flat[starts], return_inverse=True)
    colours = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=1).astype(np.uint8)
    hued = np.ptp(colours.astype(int), axis=1) > 2
    counts = np.bincount(run_colours, lengths)
    palette = np.concatenate([GRAYS, _chosen(colours[hued], counts[hued])])
    nearest = np.zeros(len(colours), np.uint8)
    nearest[~hued] = KDTree(GRAYS).query(colours[~hued])[1]
    nearest[hued] = KDTree(palette).query(colours[hued])[1]
    picture = Image.fromarray(np.repeat(nearest[run_colours], lengths).reshape(pixels.shape[:2]))
    picture.putpalette(palette.tobytes())
    return picture


def _chosen(colours: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Colours [K,3] that stand for ``colours`` [N,3] of as many pixels as ``counts`` says.

    Drawn by the square root of the counts: what is rare, as a thin line, has its colour too.
    """
    from PIL import Image

    if len(colours) <= COLOURS:
        return colours
    share = np.sqrt(counts)
    drawn = np.random.default_rng(0).choice(len(colours), SAMPLES, p=share / share.sum())
    sample = Image.fromarray(colours[drawn][None])
    reduced = sample.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    return np.array(reduced.getpalette(), np.uint8).reshape(-1, 3)
