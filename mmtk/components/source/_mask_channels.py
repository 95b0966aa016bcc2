"""Several mask channels in one file: colour channels, pages, or an array of numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from mmtk.components.source._layout import fit_size
from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.images.files import is_dicom
from mmtk.images.loader import image_size
from mmtk.images.raster import FORMATS, lossy_format

NUMPY = ".npy"
_MOST_VALUES = 8


def read_stack(path: Path, image: Path, count: int, resize: bool = False) -> np.ndarray:
    """Read [K,H,W], uint8 in {0, 1}: channel, page or plane i of the file is class i, 1 above half of its maximum.

    Further channels must be empty (or a constant alpha channel). ``resize`` as in ``fit_size``.
    """
    values = _planes(path, image_size(image), count)
    values = fit_size(values, path, image, resize)
    if len(values) > count and len(values) in (2, 4) and np.ptp(values[-1]) == 0:
        values = values[:-1]  # alpha
    if len(values) < count or values[count:].any():
        raise MmtkError(
            f"has {counted(len(values), 'channel')} with something in them, but classes names {count}.",
            str(path),
            "Channel i of the file is class i. A label map needs exclusive = true.",
        )
    values = np.nan_to_num(values[:count])
    for plane in values:
        if 2 < len(distinct := np.unique(plane)) <= _MOST_VALUES:
            values_text = ", ".join(f"{value:g}" for value in distinct)
            raise MmtkError(
                f"a channel is no mask: it has the values {values_text}.",
                str(path),
                "Save it with two values (0 and 255), or read it as a label map with exclusive = true.",
            )
    return (values > float(values.max()) / 2).astype(np.uint8)


def _planes(path: Path, size: tuple[int, int], count: int) -> np.ndarray:
    """Read all channels, pages or planes of a file as [K,H,W]; where both axes fit the size, ``count`` decides."""
    try:
        values = np.load(path, allow_pickle=False) if path.suffix.lower() == NUMPY else _decode(path)
    except MmtkError:
        raise
    except Exception as error:  # decoders of broken files raise nearly everything
        raise MmtkError(f"cannot be decoded: {error}", str(path)) from error
    if values.dtype.kind not in "buif" or values.ndim not in (2, 3):
        raise MmtkError(f"holds {values.dtype} of shape {values.shape}, no mask [H,W] or [K,H,W].", str(path))
    if values.ndim == 2:
        return np.asarray(values[None])
    first, last = values.shape[1:] == size, values.shape[:2] == size
    if last and not (first and len(values) == count):
        values = np.moveaxis(values, -1, 0)
    return np.asarray(values)


def _decode(path: Path) -> np.ndarray:
    """Decode to [H,W], [H,W,bands] of a single page, or [pages,H,W]."""
    if is_dicom(path):
        from mmtk.images.dicom import read_frames

        return read_frames(path)
    with Image.open(path, formats=FORMATS) as file:
        if lossy := lossy_format(file):
            raise MmtkError(
                f"is no file of mask channels: {lossy} mixes them.", str(path), "Save it as PNG or TIFF."
            )
        if file.mode == "P":
            raise MmtkError(
                "has a palette, not channels.", str(path), "If it is a label map, set exclusive = true."
            )
        pages = [np.asarray(ImageOps.exif_transpose(page)) for page in ImageSequence.Iterator(file)]
    return np.stack(pages) if len(pages) > 1 else pages[0]
