"""Attributes that anybody can compute of an image: what a network may read in place of its label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmtk.data.store import ImageStore

FLAT = 12  # gray levels: a row or column that differs by less belongs to the border
STROKE = 1 / 16  # of the side: brighter signs that are narrower count as burned in
STANDS_OUT = 64  # gray levels above what lies around a sign


def image_attributes(store: ImageStore, rows: Sequence[int]) -> dict[str, dict[str, float]]:
    """Attributes of images by id, of pixels at run size and of the size of their files.

    store: with the images
    rows: of the store

    ``mean intensity`` and ``contrast`` (standard deviation) as shares of white; ``border``: share of the area that
    is flat rows and columns at the edges; ``burned-in signs``: share of pixels that stand out as narrow bright
    strokes, such as letters; ``sharpness``: difference of neighbours, in standard deviations of the image;
    ``file size`` in megapixels and ``file aspect``, width by height.
    """
    attributes = {}
    for row in rows:
        height, width = (int(length) for length in store.shapes[row])
        attributes[store.ids[row]] = {
            **_of_pixels(np.asarray(store.images[row]).mean(0, dtype=np.float32)),
            "file size": height * width / 1e6,
            "file aspect": width / height,
        }
    return attributes


def _of_pixels(image: np.ndarray) -> dict[str, float]:
    """Attributes of gray levels [H,W], 0 to 255."""
    contrast = float(image.std())
    steps = (np.abs(np.diff(image, axis=axis)).mean() for axis in (0, 1))
    return {
        "mean intensity": float(image.mean()) / 255,
        "contrast": contrast / 255,
        "border": _border(image),
        "burned-in signs": _signs(image),
        "sharpness": float(sum(steps)) / 2 / contrast if contrast else 0.0,
    }


def _border(image: np.ndarray) -> float:
    inner = 1.0
    for axis in (0, 1):
        is_flat = np.ptp(image, axis=1 - axis) < FLAT
        outer = is_flat.cumprod() | is_flat[::-1].cumprod()[::-1]
        inner *= 1 - float(outer.mean())
    return 1 - inner


def _signs(image: np.ndarray) -> float:
    """Share of the white top-hat above a threshold (Serra 1982): where a square of that side fits not."""
    from scipy.ndimage import grey_opening

    side = max(3, round(STROKE * len(image)))
    return float((image - grey_opening(image, size=(side, side)) > STANDS_OUT).mean())
