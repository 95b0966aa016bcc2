"""TIFF files by their tags: depth, sign, planes, photometry and orientation."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmtk.errors import MmtkError
from mmtk.images.raster import (
    ORIENTATION,
    Raster,
    check_size,
    oriented,
    picture_raster,
    upright_size,
    xmp_orientation,
)

_GRAY = ("MINISWHITE", "MINISBLACK", "MASK")
_COLOURS = {**dict.fromkeys(_GRAY, 1), "PALETTE": 1, "RGB": 3, "SEPARATED": 4}
_BY_PILLOW = ("YCBCR", "CIELAB", "ICCLAB", "ITULAB")  # colour spaces that it converts
_LOSSY = ("JPEG", "OJPEG", "ALT_JPEG", "JPEG_LOSSY", "JPEG2000", "JPEGXR", "JPEGXR_NDPI", "JPEGXL", "WEBP", "LERC")
_XMP = 700
_NO_DATA = 42113  # GDAL_NODATA: a number as text
_FAX = ("CCITTRLE", "CCITTFAX3", "CCITTFAX4")


def tiff_size(path: Path) -> tuple[int, int]:
    """Height and width of the first page, upright."""
    with _page(path) as page:
        return upright_size((page.imagelength, page.imagewidth), _orientation(page))


def read_tiff(path: Path) -> Raster:
    """Read the first page but thumbnails, upright; refuse an unknown colour space, number format or packing."""
    with _page(path) as page:
        photometry = _name(page.photometric)
        orientation = _orientation(page)
        if photometry in _BY_PILLOW:
            raster = _by_pillow(path, page)
        elif photometry in _COLOURS:
            raster = _raster(page, photometry, path)
        else:
            raise _unknown(f"its photometric interpretation is {photometry}", path)
        return oriented(raster, orientation)


@contextmanager
def _page(path: Path) -> Iterator[Any]:
    import tifffile

    with ExitStack() as stack:
        try:
            page = _film_page(stack.enter_context(tifffile.TiffFile(path)).pages)
        except Exception as error:  # a damaged header raises nearly everything
            raise MmtkError("is not an image that can be read: its TIFF header is damaged.", str(path)) from error
        check_size(page.imagelength, page.imagewidth, path)
        yield page


def _film_page(pages: Any) -> Any:
    """First page that is no reduced copy of another, as programs for photographs put in front; else the first."""
    if not pages.first.is_reduced:
        return pages.first
    return next(
        (page for page in map(pages.__getitem__, range(1, len(pages))) if not page.is_reduced), pages.first
    )


def _orientation(page: Any) -> int:
    """Orientation by the tag, else by the XMP packet."""
    tag, packet = page.tags.get(ORIENTATION), page.tags.get(_XMP)
    if tag is not None and isinstance(tag.value, int) and 1 <= tag.value <= 8:
        return tag.value
    return xmp_orientation(packet.value) if packet is not None and isinstance(packet.value, (bytes, str)) else 1


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))


def _unknown(what: str, path: Path) -> MmtkError:
    return MmtkError(f"is a TIFF of a kind that is not known: {what}.", str(path), "Save it as gray or RGB.")


def _raster(page: Any, photometry: str, path: Path) -> Raster:
    if page.dtype is None or page.dtype.kind not in "buif":
        raise _unknown(f"its samples are {page.dtype or 'of no known number format'}", path)
    if page.imagedepth > 1:
        raise _unknown(f"it is a volume of {page.imagedepth} planes", path)
    _check_complete(page, path)
    values = page.asarray(maxworkers=1)
    values = values.reshape(page.shaped[0] * page.imagelength, page.imagewidth, -1)  # planes lie behind each other
    if page.shaped[0] > 1:
        values = np.moveaxis(values.reshape(page.shaped[0], page.imagelength, page.imagewidth), 0, -1)
    channels = _COLOURS[photometry]
    if values.shape[2] < channels:
        raise _unknown(f"it has {values.shape[2]} samples per pixel for {channels} colours", path)
    kinds = [int(kind) for kind in page.extrasamples]
    # The codes of the last samples: 1 composed on black, 2 not composed; anything else says nothing of them.
    codes = dict(zip(range(values.shape[2] - len(kinds), values.shape[2]), kinds, strict=True))
    at = next((index for index, code in codes.items() if code in (1, 2) and index >= channels), None)
    alpha = None if at is None else values[..., at] * (np.uint8(255) if values.dtype == bool else 1)
    values = np.delete(values, at, 2) if at is not None else values
    details: dict[str, Any] = {
        "alpha": alpha,
        "premultiplied": at is not None and codes[at] == 1,
        "lossy": _lossy(page),
        "missing": _missing(page, values[..., :channels]),
    }
    if photometry == "PALETTE":
        return Raster(_coloured(page, values[..., 0], path), 3, indexes=values[..., 0], **details)
    if photometry == "SEPARATED":
        return Raster(_from_inks(values), 3, **details)
    values, scale = _spread(values, page.bitspersample)
    white, fax = photometry == "MINISWHITE", _name(page.compression) in _FAX
    return Raster(values, channels, scale=scale, white_is_zero=white, fax=fax, **details)


def _missing(page: Any, values: np.ndarray) -> np.ndarray | None:
    """Pixels bool [H,W] of ``values`` [H,W,C] without a value by GDAL's tag; None without such a number."""
    tag = page.tags.get(_NO_DATA)
    try:
        level = float(str(tag.value).strip(" \0")) if tag is not None else None
    except ValueError:
        return None
    if level is None:
        return None
    if np.isnan(level):
        return np.asarray(np.isnan(values).all(-1)) if values.dtype.kind == "f" else None
    exact = values.astype(np.float32) if values.dtype == np.float16 else values
    return np.asarray((exact == (np.float32(level) if exact.dtype == np.float32 else level)).all(-1))


def _check_complete(page: Any, path: Path) -> None:
    """Refuse a file shorter than its header says, and one whose pixels would fill the memory."""
    if page.nbytes > 1 << 32:
        raise MmtkError(f"is too large: its pixels take {page.nbytes / 1e9:.1f} GB.", str(path))
    size, counts = path.stat().st_size, page.databytecounts
    ends = [offset + count for offset, count in zip(page.dataoffsets, counts, strict=False)]
    if len(ends) < math.prod(page.chunked) or 0 in counts or max(ends, default=0) > size:
        raise MmtkError("cannot be decoded, it may be truncated: a part of its pixels is missing.", str(path))


def _spread(values: np.ndarray, bits: int) -> tuple[np.ndarray, float]:
    """2 to 7 bits over the range of 8, and the scale that brings them back; other depths as they are."""
    if values.dtype != np.uint8 or bits == 8:
        return values, 1.0
    top = 2**bits - 1
    return np.rint(values * (255 / top)).astype(np.uint8), top / 255


def _coloured(page: Any, indexes: np.ndarray, path: Path) -> np.ndarray:
    """Palette indexes [H,W] → colours [H,W,3] uint8."""
    palette = page.colormap
    if palette is None or indexes.dtype.kind not in "bu" or indexes.max() >= palette.shape[-1]:
        raise MmtkError("cannot be decoded: its palette has too few colours.", str(path))
    # Old programs wrote 8-bit colours where the format wants 16 bits.
    colours = palette if palette.max() < 256 else palette >> 8
    return np.moveaxis(colours[:, indexes.astype(np.intp)], 0, -1).astype(np.uint8)


def _from_inks(values: np.ndarray) -> np.ndarray:
    """Cyan, magenta, yellow and black → red, green and blue, in the type of the values."""
    if values.dtype == np.uint8:
        inks = np.ascontiguousarray(values[..., :4])
        return np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    top = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    return (top - values[..., :3]) * ((top - values[..., 3:4]) / top)


def _lossy(page: Any) -> str:
    """Name of the compression if it changes values, else ""."""
    compression = _name(page.compression)
    return compression if compression in _LOSSY else ""


def _by_pillow(path: Path, page: Any) -> Raster:
    """Colours of a space that Pillow converts, turned upright here: Pillow turns uncompressed pages wrongly."""
    if page.compression == 1 and page.subsampling and page.subsampling != (1, 1):
        raise _unknown("its colours are sub-sampled without JPEG", path)
    content = bytearray(path.read_bytes())
    if (packet := page.tags.get(_XMP)) is not None:
        content[packet.valueoffset : packet.valueoffset + packet.count] = bytes(packet.count)
    if (tag := page.tags.get(ORIENTATION)) is not None:
        content[tag.valueoffset : tag.valueoffset + 2] = (1).to_bytes(
            2, "big" if page.parent.byteorder == ">" else "little"
        )
    with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
        raster = picture_raster(image)
    return Raster(**{**vars(raster), "lossy": _lossy(page)})
