"""The thirteen operations of the released RandAugment, by Pillow, at a level v of 1…9."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

Film = Image.Image
AFFINE = Image.Transform.AFFINE


def factor(v: int) -> float:
    """Of brightness, contrast and sharpness: 0.14 to 0.86."""
    return v * 0.9 / 10 + 0.05


# (image, level) → image of the same size.
INTENSITIES: dict[str, Callable[[Film, int], Film]] = {
    "autocontrast": lambda film, v: ImageOps.autocontrast(film),
    "brightness": lambda film, v: ImageEnhance.Brightness(film).enhance(factor(v)),
    "contrast": lambda film, v: ImageEnhance.Contrast(film).enhance(factor(v)),
    "equalize": lambda film, v: ImageOps.equalize(film),
    "identity": lambda film, v: film,
    "posterize": lambda film, v: ImageOps.posterize(film, int(v * 4 / 10) + 4),
    "sharpness": lambda film, v: ImageEnhance.Sharpness(film).enhance(factor(v)),
    "solarize": lambda film, v: ImageOps.solarize(film, 256 - int(v * 256 / 10)),
}
# (image, level with its sign, gray of what comes from outside) → image of the same size.
MOVES: dict[str, Callable[[Film, int, int], Film]] = {
    "rotate": lambda film, v, fill: film.rotate(3 * v, fillcolor=fill),
    "shear-x": lambda film, v, fill: film.transform(film.size, AFFINE, (1, 0.03 * v, 0, 0, 1, 0), fillcolor=fill),
    "shear-y": lambda film, v, fill: film.transform(film.size, AFFINE, (1, 0, 0, 0.03 * v, 1, 0), fillcolor=fill),
    "translate-x": lambda film, v, fill: film.transform(
        film.size, AFFINE, (1, 0, int(v * 0.3 / 10 * film.size[0]), 0, 1, 0), fillcolor=fill
    ),
    "translate-y": lambda film, v, fill: film.transform(
        film.size, AFFINE, (1, 0, 0, 0, 1, int(v * 0.3 / 10 * film.size[1])), fillcolor=fill
    ),
}
NAMES = tuple(sorted((*INTENSITIES, *MOVES)))


def planes(array: np.ndarray, change: Callable[[Film], Film]) -> np.ndarray:
    """``change`` on every channel of uint8 [channels,H,W]."""
    return np.stack([np.asarray(change(Image.fromarray(plane))) for plane in array])
