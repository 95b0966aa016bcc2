"""Masks and label maps from stored samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmtk.errors import MmtkError
from mmtk.images.raster import LUMINANCE, Raster

LABEL_VALUES = 8  # so many values, and more than two, are a label map
NOISE = 32  # of 255: what a lossy format may leave of a black area
_CURE = "Save it with two values (0 and 255), or read it as a label map with exclusive = true."


def foreground(raster: Raster, path: Path) -> np.ndarray:
    """Mask bool [H,W]: the brighter of two values; of more, where any channel is above half of its own maximum.

    Refused by name: label maps, values that a lossy format may have made up, and what leaves nothing to see.
    """
    values = _visible(raster, path)
    distinct, top = _distinct(values), float(values.max())
    if top <= 0 and values.min() < 0:
        raise MmtkError("is not a mask: none of its values is above 0.", str(path), _CURE)
    if raster.lossy and 0 < top < NOISE:
        raise MmtkError(
            f"is not a mask: its largest value is {top:g} of 255, which {raster.lossy} does not tell from noise.",
            str(path),
            "Save it as PNG.",
        )
    if len(distinct) == 1:
        return np.asarray(values.any(-1))
    shades = values @ np.array(LUMINANCE) if values.shape[2] == 3 else values.max(-1)
    if not raster.lossy and len(distinct) == 2 and shades.min() < shades.max():
        return np.asarray(shades > shades.min())
    if not raster.lossy and len(distinct) <= LABEL_VALUES:
        shades_text = ", ".join(_shade_text(row) for row in distinct)
        raise MmtkError(f"is not a mask: it has the values {shades_text}.", str(path), _CURE)
    noise = NOISE if raster.lossy else 0
    bright = np.asarray(shades > max(shades.max() / 2, noise))
    rest = values[~bright].max(-1)
    if rest.size == 0 or np.quantile(rest, 0.1) > top * NOISE / 255:
        return bright  # the background is coloured as well
    return np.asarray((values > np.maximum(values.max((0, 1)) / 2, noise)).any(-1))


def label_numbers(raster: Raster, path: Path, compact: bool = False) -> np.ndarray:
    """Label numbers [H,W] as stored; of a palette the indexes, not the colours.

    raster: the stored samples
    path: of the file, for messages
    compact: keep unsigned numbers in the type of the file, else int64
    """
    if raster.lossy:
        raise MmtkError(f"is no label map: {raster.lossy} changes the labels.", str(path), "Save it as PNG.")
    values = raster.values if raster.indexes is None else raster.indexes[..., None]
    if values.shape[2] > 1 and (values != values[..., :1]).any():
        raise MmtkError("is no label map: it is in colour.", str(path), "Save it as a gray or palette PNG.")
    values = values[..., 0] ^ (raster.white_is_zero and raster.fax) if values.dtype == bool else values[..., 0]
    if raster.scale != 1 and raster.indexes is None:
        values = np.rint(values * raster.scale)
    if values.dtype.kind == "u":
        return values if compact else np.asarray(values.astype(np.int64))
    labels = values.astype(np.int64) if np.isfinite(values).all() else np.full((), -1)
    if not np.array_equal(labels, values) or labels.min() < 0:
        raise MmtkError("is no label map: its values are not whole numbers from 0.", str(path))
    return np.asarray(labels)


def label_colours(raster: Raster, path: Path) -> np.ndarray:
    """Label colours [H,W] of 8-bit pixels as 65536 red + 256 green + blue."""
    if raster.lossy:
        raise MmtkError(f"is no label map: {raster.lossy} changes the colours.", str(path), "Save it as PNG.")
    values = raster.values.astype(np.uint8) * np.uint8(255) if raster.values.dtype == bool else raster.values
    if values.dtype != np.uint8:
        raise MmtkError(f"is no label map in colours: it holds {values.dtype}.", str(path), "Save it with 8 bits.")
    return np.asarray(
        values[..., :3].astype(np.int64)
        @ (
            np.array([65536, 256, 1])
            if values.shape[2] > 2
            else np.array([0x010101] + [0] * (values.shape[2] - 1))
        )
    )


def _visible(raster: Raster, path: Path) -> np.ndarray:
    """Channels [H,W,C] in which the mask is drawn: colours, palette indexes or alpha, as finite numbers."""
    values, alpha, indexes = raster.values, raster.alpha, raster.indexes
    if values.dtype == bool:
        values = (values ^ (raster.white_is_zero and raster.fax)).astype(np.uint8)
    elif values.dtype.kind == "f":
        values = np.nan_to_num(values, posinf=np.max(values, initial=0, where=np.isfinite(values)) or 1, neginf=0)
    if indexes is not None and np.ptp(indexes) > 0 and np.ptp(np.rint(values @ np.array(LUMINANCE))) == 0:
        return indexes[..., None]  # a palette that draws all labels alike
    if alpha is None:
        return values
    varied = bool((values != values[:1, :1]).any())
    if np.ptp(alpha) == 0:
        return values if varied or alpha.any() else np.zeros_like(values)
    if not varied:
        return alpha[..., None]
    if raster.premultiplied:
        return values
    composed = np.rint(values * (alpha[..., None] / 255)) if alpha.dtype == np.uint8 else values * alpha[..., None]
    if (composed == composed[:1, :1]).all():
        raise MmtkError("is not a mask: what is bright in it is transparent.", str(path), "Save it without alpha.")
    return composed


def _distinct(values: np.ndarray) -> np.ndarray:
    """Distinct values or colours of [H,W,C], one row each."""
    if values.shape[2] > 1 and (values == values[..., :1]).all():
        values = values[..., :1]
    if values.dtype == np.uint8 and values.shape[2] in (1, 3):
        powers = 256 ** np.arange(values.shape[2])
        codes = np.flatnonzero(np.bincount((values @ powers).ravel()))
        return codes[:, None] // powers % 256
    return np.unique(values.reshape(-1, values.shape[2]), axis=0 if values.shape[2] > 1 else None).reshape(
        -1, values.shape[2]
    )


def _shade_text(colour: np.ndarray) -> str:
    numbers = [f"{number:g}" for number in colour]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"
