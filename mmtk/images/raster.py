"""The samples that an image file stores, upright, before gray levels, masks or labels are made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmtk.errors import MmtkError
from mmtk.images.files import SUFFIXES

# What the suffixes say, and no more: Pillow hands PostScript to a program.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
MOST_PIXELS = 178_956_970  # where Pillow refuses by itself
ORIENTATION = 0x0112
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R 601
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_LOSSY = ("JPEG", "MPO", "WEBP")
_PNG_PIXELS = (b"IDAT", b"IEND", b"fcTL", b"fdAT")


@dataclass(frozen=True)
class Raster:
    """What a file stores, upright.

    values: [H,W,C]; 8-bit files and palettes as uint8 from 0 to 255, 1-bit ones as bool, deeper ones as stored.
    colours: how many of the channels are the picture: 1 (gray) or 3 (red, green, blue).
    alpha: [H,W] in the type of the values, or None; ``premultiplied``: the colours are composed on black already.
    indexes: [H,W] of a palette image, else None.
    scale: what brings 8-bit values back to the stored numbers, such as 3/255 for two bits.
    white_is_zero: the largest value is meant to be black; ``fax``: as it always is in this compression.
    lossy: the name of a format that changes values, or "".
    """

    values: np.ndarray
    colours: int
    alpha: np.ndarray | None = None
    premultiplied: bool = False
    indexes: np.ndarray | None = None
    scale: float = 1.0
    white_is_zero: bool = False
    fax: bool = False
    lossy: str = ""


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Stored [H,W,…] → what the orientation 1 to 8 of EXIF and TIFF says; other numbers say nothing."""
    turned = {
        2: lambda: values[:, ::-1],
        3: lambda: np.rot90(values, 2),
        4: lambda: values[::-1],
        5: lambda: values.swapaxes(0, 1),
        6: lambda: np.rot90(values, -1),
        7: lambda: np.rot90(values, 2).swapaxes(0, 1),
        8: lambda: np.rot90(values, 1),
    }
    return turned[orientation]() if orientation in turned else values


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Stored (height, width) → the size after :func:`upright`."""
    return (size[1], size[0]) if orientation in (5, 6, 7, 8) else size


def check_there(path: Path) -> None:
    """Refuse what is no file, and a file without content."""
    if path.is_dir():
        raise MmtkError("is a folder, not an image.", str(path))
    if not path.is_file():
        raise MmtkError("no such file.", str(path))
    if path.stat().st_size == 0:
        raise MmtkError("is empty (0 bytes).", str(path))


def check_size(height: int, width: int, path: Path) -> tuple[int, int]:
    """The size, unless it is none or more than MOST_PIXELS."""
    if height <= 0 or width <= 0:
        raise MmtkError(f"has no pixels: it is {height} × {width}.", str(path))
    if height * width > MOST_PIXELS:
        raise too_large(path)
    return height, width


def too_large(path: Path) -> MmtkError:
    """The error for a file with more than MOST_PIXELS."""
    return MmtkError(f"is too large: more than {MOST_PIXELS / 1e6:.0f} megapixels.", str(path))


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a file inside the block into an error that names it."""
    try:
        yield
    except MmtkError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except UnidentifiedImageError as error:
        raise MmtkError(
            "is not an image that can be read.", str(path), f"Known: {' '.join(sorted(SUFFIXES))}."
        ) from error
    except Exception as error:  # decoders of broken files raise nearly everything
        raise MmtkError(f"cannot be decoded, it may be truncated: {error}", str(path)) from error


def xmp_orientation(packet: bytes | str) -> int:
    """The orientation 1 to 8 that an XMP packet gives as attribute or element; 1 where it gives none."""
    text = packet.encode(errors="replace") if isinstance(packet, str) else packet
    found = re.search(rb"""tiff:Orientation(?:\s*=\s*["']|\s*>)\s*([1-8])\s*["'<]""", text)
    return int(found[1]) if found else 1


def turned(raster: Raster, orientation: int) -> Raster:
    """The raster upright."""
    if orientation == 1:
        return raster
    alpha, indexes = (
        part if part is None else upright(part, orientation) for part in (raster.alpha, raster.indexes)
    )
    return Raster(
        **{**vars(raster), "values": upright(raster.values, orientation), "alpha": alpha, "indexes": indexes}
    )


def picture_raster(image: Image.Image, scale: float = 1.0) -> Raster:
    """Return the pixels that Pillow decodes, as they are stored."""
    lossy = lossy_format(image)
    image.load()
    if image.mode in _DEEP:
        values, level = np.asarray(image), image.info.get("transparency")
        hidden = values == level if isinstance(level, int) else None
        alpha = None if hidden is None else np.where(hidden, 0, 65535).astype(np.uint16)
        return Raster(values[..., None], 1, alpha, scale=scale, lossy=lossy)
    if image.mode in ("1", "L") and not image.has_transparency_data:
        return Raster(np.asarray(image)[..., None], 1, scale=scale, lossy=lossy)
    indexes = np.asarray(image) if image.mode == "P" else None
    gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        colour = np.asarray(image.convert("RGBA"))
        values, alpha = colour[..., : 1 if gray else 3], colour[..., 3]
    else:
        values, alpha = np.asarray(image.convert("RGB")), None
    return Raster(values, values.shape[2], alpha, indexes=indexes, scale=scale, lossy=lossy)


def lossy_format(image: Image.Image) -> str:
    """The format of an opened image, where it changes values; "" for lossless WebP too."""
    file = getattr(image, "fp", None) if image.format == "WEBP" else None
    if file is not None and b"VP8L" in _webp_chunks(file):
        return ""
    return str(image.format) if image.format in _LOSSY else ""


def _webp_chunks(file: IO[bytes]) -> list[bytes]:
    """The names of the chunks of a WebP file: ``VP8L`` holds pixels without loss, ``VP8 `` with it."""
    place, names = file.tell(), []
    file.seek(12)
    while len(head := file.read(8)) == 8:
        names.append(head[:4])
        length = int.from_bytes(head[4:], "little")
        file.seek(length + length % 2, 1)
    file.seek(place)
    return names


def _tile(image: Any) -> Any:
    """How the pixels of an opened image are packed; None where it does not say."""
    return image.tile[0] if getattr(image, "tile", None) else None
