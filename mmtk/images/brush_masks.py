"""Masks that a brush drew in a box of an image, as run lengths of the whole image."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from mmtk.counts import counted


def cvat_runs(attributes: Mapping[str, str], size: tuple[int, int]) -> dict[str, Any]:
    """CVAT's element ``mask``: lengths of runs row by row in its box, background first; as COCO's run lengths.

    attributes: ``rle``, ``left``, ``top``, ``width`` and ``height`` of the box, in pixels
    size: height and width of the image

    Raises ValueError for runs that do not fill the box.
    """
    left, top, width, height = (int(float(attributes[key])) for key in ("left", "top", "width", "height"))
    runs = [int(length) for length in attributes["rle"].split(",")]
    if sum(runs) != width * height:
        raise ValueError(f"the runs of a mask cover {counted(sum(runs), 'pixel')} of a box of {width} × {height}")
    box = np.repeat(np.arange(len(runs)) % 2, runs).reshape(height, width)
    return _runs(box, left, top, size)


def labelme_runs(shape: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """LabelMe's shape ``mask``: a PNG in base64 with its first corner in ``points``; as COCO's run lengths."""
    (left, top), *_ = shape["points"]
    with Image.open(BytesIO(b64decode(shape["mask"]))) as picture:
        box = np.asarray(picture.convert("L")) > 0
    return _runs(box, round(left), round(top), size)


def _runs(box: np.ndarray, left: int, top: int, size: tuple[int, int]) -> dict[str, Any]:
    """Run lengths, down the columns, of an image with [h,w] at ``left`` and ``top``, cut at its edges."""
    height, width = box.shape
    mask = np.zeros(size, bool)
    part = mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    part[...] = box[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]
    pixels = mask.T.ravel()
    ends = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    counts = np.diff(np.concatenate([[0], ends, [pixels.size]])).tolist()
    return {"counts": [0, *counts] if pixels[0] else counts, "size": [*size]}
