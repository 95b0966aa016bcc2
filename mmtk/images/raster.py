"""Stored samples of an image file, upright, as the source of gray levels, masks and labels."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmtk.errors import MmtkError
from mmtk.images.files import SUFFIXES, unread_format

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
    """Stored samples of a file, upright.

    values: [H,W,C]; 8-bit files and palettes as uint8 from 0 to 255, 1-bit ones as bool, deeper ones as stored.
    colours: how many of the channels are the picture: 1 (gray) or 3 (red, green, blue).
    alpha: [H,W] in the type of the values, or None; ``premultiplied``: the colours are composed on black already.
    indexes: [H,W] of a palette image, else None.
    scale: factor from 8-bit values to the stored numbers, such as 3/255 for two bits.
    white_is_zero: the largest value means black; ``fax``: as always in this compression.
    lossy: the name of a format that changes values, or "".
    missing: [H,W] bool, the pixels that the file says to have no value; masks and labels keep what is stored.

    ValueError for one without pixels, which decoders give of some damaged files without a word.
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
    missing: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.values.size:
            raise ValueError("it has no pixels")


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored [H,W,…] by the orientation 1 to 8 of EXIF and TIFF; other numbers change nothing."""
    turns = {
        2: lambda: values[:, ::-1],
        3: lambda: np.rot90(values, 2),
        4: lambda: values[::-1],
        5: lambda: values.swapaxes(0, 1),
        6: lambda: np.rot90(values, -1),
        7: lambda: np.rot90(values, 2).swapaxes(0, 1),
        8: lambda: np.rot90(values, 1),
    }
    return turns[orientation]() if orientation in turns else values


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Size (height, width) after :func:`upright`, from the stored one."""
    return (size[1], size[0]) if orientation in (5, 6, 7, 8) else size


def check_there(path: Path) -> None:
    """Refuse a path that is no file, and a file without content."""
    if path.is_dir():
        raise MmtkError("is a folder, not an image.", str(path))
    if not path.is_file():
        raise MmtkError("no such file.", str(path))
    if path.stat().st_size == 0:
        raise MmtkError("is empty (0 bytes).", str(path))


def check_size(height: int, width: int, path: Path) -> tuple[int, int]:
    """Return the size, or refuse none and more than MOST_PIXELS."""
    if height <= 0 or width <= 0:
        raise MmtkError(f"has no pixels: it is {height} × {width}.", str(path))
    if height * width > MOST_PIXELS:
        raise too_large(path)
    return height, width


def too_large(path: Path) -> MmtkError:
    """Error for a file with more than MOST_PIXELS."""
    return MmtkError(f"is too large: more than {MOST_PIXELS / 1e6:.0f} megapixels.", str(path))


def silence_decoders() -> None:
    """Keep the libraries that decode from printing their warnings: what matters is raised."""
    for name in ("imagecodecs", "tifffile"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Convert any error of the block into an MmtkError that names the file."""
    silence_decoders()
    try:
        yield
    except MmtkError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except UnidentifiedImageError as error:
        if name := unread_format(path):
            raise MmtkError(f"holds {name}, a format that is not read.", str(path), "Save it as PNG.") from error
        raise MmtkError(
            "is not an image that can be read.", str(path), f"Known: {' '.join(sorted(SUFFIXES))}."
        ) from error
    except Exception as error:  # decoders of broken files raise nearly everything
        raise MmtkError(f"cannot be decoded, it may be truncated: {error}", str(path)) from error


def xmp_orientation(packet: bytes | str) -> int:
    """Orientation 1 to 8 of an XMP packet, by attribute or element; 1 without one."""
    text = packet.encode(errors="replace") if isinstance(packet, str) else packet
    match = re.search(rb"""tiff:Orientation(?:\s*=\s*["']|\s*>)\s*([1-8])\s*["'<]""", text)
    return int(match[1]) if match else 1


def oriented(raster: Raster, orientation: int) -> Raster:
    """Turn a raster upright."""
    if orientation == 1:
        return raster
    parts = {name: getattr(raster, name) for name in ("values", "alpha", "indexes", "missing")}
    turned = {name: part if part is None else upright(part, orientation) for name, part in parts.items()}
    return Raster(**{**vars(raster), **turned})


def picture_raster(image: Image.Image, scale: float = 1.0) -> Raster:
    """Read the pixels that Pillow decodes, as stored."""
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
    """Format of an opened image, where it changes values; "" for lossless ones such as lossless WebP."""
    file = getattr(image, "fp", None) if image.format == "WEBP" else None
    if file is not None and b"VP8L" in _webp_chunks(file):
        return ""
    return str(image.format) if image.format in _LOSSY else ""


def _webp_chunks(file: IO[bytes]) -> list[bytes]:
    """Names of the chunks of a WebP file: ``VP8L`` has pixels without loss, ``VP8 `` with loss."""
    position, names = file.tell(), []
    file.seek(12)
    while len(head := file.read(8)) == 8:
        names.append(head[:4])
        length = int.from_bytes(head[4:], "little")
        file.seek(length + length % 2, 1)
    file.seek(position)
    return names


def _tile(image: Any) -> Any:
    """Packing of the pixels of an opened image; None where Pillow has none."""
    return image.tile[0] if getattr(image, "tile", None) else None
