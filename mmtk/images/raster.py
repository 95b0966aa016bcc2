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
from mmtk.images.jpeg import decode_jpeg, deep_jpeg

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


def read_raster(path: Path) -> Raster:
    """The first frame of a PNG, JPEG, BMP, GIF, WebP or PNM file, or the first page of a TIFF."""
    check_there(path)
    with decoding(path):
        if is_tiff(path):
            from mmtk.images.tiff import read_tiff

            return read_tiff(path)
        if (jpeg := deep_jpeg(path)) is not None:
            check_size(jpeg.height, jpeg.width, path)
            values = decode_jpeg(path)
            lossy = "" if jpeg.lossless else "JPEG"
            return turned(Raster(values, min(values.shape[2], 3), lossy=lossy), _exif_orientation(jpeg.exif) or 1)
        with Image.open(path, formats=FORMATS) as image:
            scale, deep = _scale(image), _deep_colour(image, path)
            raster = picture_raster(image, scale) if deep is None else deep
            return turned(raster, orientation(image))


def raster_size(path: Path) -> tuple[int, int]:
    """Height and width of what :func:`read_raster` gives, from the header."""
    check_there(path)
    with decoding(path):
        if is_tiff(path):
            from mmtk.images.tiff import tiff_size

            return tiff_size(path)
        if (jpeg := deep_jpeg(path)) is not None:
            check_size(jpeg.height, jpeg.width, path)
            return upright_size((jpeg.height, jpeg.width), _exif_orientation(jpeg.exif) or 1)
        with Image.open(path, formats=FORMATS) as image:
            if image.format == "PNG" and _late_chunks(path):
                image.load()  # what stands behind the pixels is read with them
            return upright_size((image.height, image.width), orientation(image))


def is_tiff(path: Path) -> bool:
    """Whether the file begins as TIFF or BigTIFF do."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def orientation(image: Image.Image) -> int:
    """The orientation 1 to 8 that EXIF or XMP gives an opened image; 1 where they say none."""
    try:
        value = _exif_orientation(image.getexif())  # Pillow looks into XMP, too, but not for single quotes
    except Exception:  # a damaged EXIF block says nothing
        value = None
    return value or xmp_orientation(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b"")


def _exif_orientation(exif: Image.Exif) -> int | None:
    value = exif.get(ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else None


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


def _scale(image: Image.Image) -> float:
    """Stored numbers by Pillow's, for the formats that it spreads over the full range."""
    tile = _tile(image)
    if tile is not None and image.format == "PNG":
        return {"L;2": 3 / 255, "L;4": 15 / 255}.get(str(tile.args), 1.0)
    if tile is not None and tile.codec_name.startswith("ppm") and isinstance(tile.args, tuple):
        return int(tile.args[1]) / (65535 if image.mode == "I" else 255)
    return 1.0


def _deep_colour(image: Image.Image, path: Path) -> Raster | None:
    """16-bit colour or gray with alpha of a PNG or PPM, of which Pillow keeps 8; None for any other file."""
    tile = _tile(image)
    if tile is None or image.mode in _DEEP:
        return None
    if image.format == "PNG" and str(tile.args).endswith(";16B"):
        import imagecodecs

        image.load()  # for what stands behind the pixels
        values = np.atleast_3d(imagecodecs.png_decode(path.read_bytes()))
        colours = 3 if values.shape[2] > 2 else 1
        return Raster(values[..., :colours], colours, values[..., colours] if values.shape[2] > colours else None)
    if tile.codec_name.startswith("ppm") and isinstance(tile.args, tuple) and int(tile.args[1]) > 255:
        return Raster(_ppm_values(path.read_bytes(), tile, image.size), 3)
    return None


def _ppm_values(content: bytes, tile: Any, size: tuple[int, int]) -> np.ndarray:
    """The numbers of a PPM of more than 8 bits, binary or as text."""
    body, count = content[tile.offset :], size[0] * size[1] * 3
    if tile.codec_name == "ppm_plain":
        values = np.array(re.sub(rb"#[^\r\n]*", b"", body).split()[:count], dtype=np.uint16)
    else:
        values = np.frombuffer(body, ">u2", count).astype(np.uint16)
    return values.reshape(size[1], size[0], 3)


def _late_chunks(path: Path) -> bool:
    """Whether a PNG has chunks behind its pixels that say something of them."""
    behind = False
    with path.open("rb", buffering=0) as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            kind = head[4:]
            if behind and kind not in _PNG_PIXELS:
                return True
            behind |= kind == b"IDAT"
            file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return False
