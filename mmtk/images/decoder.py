"""Image files of any format as stored samples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmtk.images.jpeg import decode_jpeg, deep_jpeg
from mmtk.images.png import plain_png
from mmtk.images.raster import (
    _DEEP,
    _PNG_PIXELS,
    FORMATS,
    ORIENTATION,
    Raster,
    _tile,
    check_size,
    check_there,
    decoding,
    oriented,
    picture_raster,
    upright_size,
    xmp_orientation,
)


def read_raster(path: Path) -> Raster:
    """Read the first frame of a PNG, JPEG, BMP, GIF, WebP or PNM file, or the first page of a TIFF."""
    check_there(path)
    with decoding(path):
        if (gray := plain_png(path)) is not None:
            return Raster(gray[..., None], 1)
        if is_tiff(path):
            from mmtk.images.tiff import read_tiff

            return read_tiff(path)
        if (jpeg := deep_jpeg(path)) is not None:
            check_size(jpeg.height, jpeg.width, path)
            values = decode_jpeg(path)
            if values.shape[:2] != (jpeg.height, jpeg.width):
                raise ValueError(f"{values.shape[0]} × {values.shape[1]} pixels came out")
            lossy = "" if jpeg.lossless else "JPEG"
            return oriented(
                Raster(values, min(values.shape[2], 3), lossy=lossy), _exif_orientation(jpeg.exif) or 1
            )
        with Image.open(path, formats=FORMATS) as image:
            scale, deep = _scale(image), _deep_colour(image, path)
            if image.mode == "L" and isinstance(level := image.info.get("transparency"), int):
                image.info["transparency"] = round(level / scale)  # Pillow spreads the pixels, but not this level
            raster = picture_raster(image, scale) if deep is None else deep
            return oriented(raster, orientation(image))


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
    """Orientation 1 to 8 of an opened image by EXIF or XMP; 1 without one."""
    try:
        value = _exif_orientation(image.getexif())  # Pillow looks into XMP, too, but not for single quotes
    except Exception:  # a damaged EXIF block says nothing
        value = None
    return value or xmp_orientation(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b"")


def _exif_orientation(exif: Image.Exif) -> int | None:
    value = exif.get(ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def _scale(image: Image.Image) -> float:
    """Ratio of stored numbers to Pillow's, for the formats that it spreads over the full range."""
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
    """Read the numbers of a PPM of more than 8 bits, binary or as text."""
    body, count = content[tile.offset :], size[0] * size[1] * 3
    if tile.codec_name == "ppm_plain":
        values = np.array(re.sub(rb"#[^\r\n]*", b"", body).split()[:count], dtype=np.uint16)
    else:
        values = np.frombuffer(body, ">u2", count).astype(np.uint16)
    return values.reshape(size[1], size[0], 3)


def _late_chunks(path: Path) -> bool:
    """Whether a PNG has chunks behind its pixels that describe them."""
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
