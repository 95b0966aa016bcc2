"""Stored samples as gray levels from 0 to 255."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from mmtk.images.raster import LUMINANCE, Raster


def gray_levels(raster: Raster) -> np.ndarray:
    """Convert a raster to uint8 [H,W]: 8-bit values unchanged, deeper ones stretched; transparent is black.

    An alpha that is the same everywhere says nothing. Pixels without a value are outside of the stretch and black.
    """
    eight = raster.values.dtype == np.uint8 or raster.values.dtype == bool
    if raster.alpha is not None and np.ptp(raster.alpha) == 0 and not raster.premultiplied:
        raster = replace(raster, alpha=None)
    inside = None if raster.missing is None else ~raster.missing
    gray = _from_eight_bits(raster) if eight else stretch(_luminance(raster), inside)
    gray = 255 - gray if raster.white_is_zero else gray
    return gray if inside is None else np.where(inside, gray, np.uint8(0))


def _from_eight_bits(raster: Raster) -> np.ndarray:
    """Pillow's luminance, which rounds to whole numbers."""
    values = raster.values[..., : raster.colours]
    if values.dtype == bool:
        values = values * np.uint8(255)
    if raster.alpha is None:
        gray = values[..., 0] if raster.colours == 1 else np.asarray(_image(values).convert("L"))
        return np.array(gray)
    colours = np.broadcast_to(values, (*values.shape[:2], 3))
    layer = np.dstack([colours, raster.alpha])
    # What is composed on black already is taken apart first, so that both kinds are rounded alike.
    form = "RGBa" if raster.premultiplied else "RGBA"
    picture = Image.frombuffer("RGBA", layer.shape[1::-1], layer.tobytes(), "raw", form, 0, 1)
    black = Image.new("RGBA", picture.size, "black")
    black.alpha_composite(picture)
    return np.array(black.convert("RGB").convert("L"))


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(values))


def _luminance(raster: Raster) -> np.ndarray:
    """Deep samples as gray values [H,W]."""
    values = raster.values[..., : raster.colours]
    gray = values[..., 0] if raster.colours == 1 else values @ np.array(LUMINANCE)
    if raster.alpha is None or raster.premultiplied:
        return gray
    top = 1.0 if raster.alpha.dtype.kind == "f" else float(np.iinfo(raster.alpha.dtype).max)
    return gray * (raster.alpha / top)


def stretch(values: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Stretch numbers to uint8, from the smallest finite value ``inside`` to the largest; a constant becomes 0."""
    exact = values.astype(np.float64)
    finite = exact[np.isfinite(exact) & (True if inside is None else inside)]
    if finite.size == 0 or finite.min() == finite.max():
        return np.zeros(values.shape, np.uint8)
    return between(exact, finite.min(), finite.max())


def between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map numbers to uint8 with ``low`` at 0 and ``high`` at 255; NaN and −∞ count as ``low``, +∞ as ``high``."""
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
