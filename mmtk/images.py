"""Decoding images and masks to arrays, and bringing them to the run size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmtk.errors import MmtkError
from mmtk.image_files import SUFFIXES, is_dicom

# What the suffixes say, and no more: Pillow hands PostScript to a program.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
MOST_PIXELS = 178_956_970  # where Pillow refuses by itself
JSRT_SIDE = 2048
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_LOSSY = ("JPEG", "MPO", "WEBP")
_LABEL_VALUES = 8


def read_image(path: Path) -> np.ndarray:
    """One image as gray uint8 [H,W]; the first frame of an animated file.

    8-bit files keep their values (colour becomes luminance, transparent pixels black, the EXIF orientation
    is applied). Deeper files are stretched from their own minimum to their maximum, where NaN and −∞ count
    as the minimum and +∞ as the maximum. DICOM goes through its window, MONOCHROME1 is inverted. A JSRT
    film (``.IMG``: 2048 × 2048, big-endian, 12 bits used) is inverted. Errors name the file.
    """
    if is_dicom(path):
        return _read_dicom(path)
    if path.suffix.lower() == ".img":
        return _stretch(4095.0 - np.minimum(_read_film(path), 4095))
    with _decoding(path) as image:
        return gray_pixels(image)


def gray_pixels(image: Image.Image) -> np.ndarray:
    """An opened image as gray uint8 [H,W], by the rules of ``read_image`` but for the orientation."""
    if image.mode in _DEEP:
        return _stretch(np.asarray(image))
    return np.array(_gray(image))


def read_spacing(path: Path) -> tuple[float, float] | None:
    """Pixel spacing (row, column) in mm from a DICOM header; None without one.

    Other formats say nothing: the resolution of a PNG, JPEG or TIFF is the printer's, not the detector's.
    """
    if not is_dicom(path):
        return None
    header = _dicom_header(path)
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            row, column = (float(value) for value in header.get(name) or ())
        except (TypeError, ValueError):
            continue
        if 0 < row < np.inf and 0 < column < np.inf:
            return row, column
    return None


def read_patient(path: Path) -> str:
    """The patient of a DICOM file: PatientID, with IssuerOfPatientID where there is one; "" where nothing is said.

    The form is that of HL7: ``ID^^^ISSUER``. Other formats say nothing of the patient.
    """
    if not is_dicom(path):
        return ""
    header = _dicom_header(path)
    patient, issuer = (str(header.get(name) or "").strip() for name in ("PatientID", "IssuerOfPatientID"))
    return f"{patient}^^^{issuer}" if patient and issuer else patient


def image_size(path: Path) -> tuple[int, int]:
    """Height and width, from the header alone."""
    if is_dicom(path):
        return _dicom_size(_dicom_header(path), path)
    if path.suffix.lower() == ".img":
        _check_film(path)
        return JSRT_SIDE, JSRT_SIDE
    with _decoding(path, oriented=False) as image:
        # A PNG is asked only where its header has the tag: elsewhere it would be decoded to look for one.
        tagged = image.format != "PNG" or "exif" in image.info
        turned = tagged and image.getexif().get(0x0112, 1) >= 5
        return (image.width, image.height) if turned else (image.height, image.width)


def read_mask(path: Path) -> np.ndarray:
    """One mask as bool [H,W]: true above half of the file's maximum, so 0/1, 0/255 and soft edges all work.

    A lossless file with three to eight values is refused: it is a label map, where a cut would lose labels.
    """
    with _decoding(path) as image:
        lossy = image.format in _LOSSY
        gray = image if image.mode in _DEEP else _gray(image)
        values = np.nan_to_num(np.asarray(gray))
        distinct = np.flatnonzero(gray.histogram()) if gray.mode == "L" else np.unique(values)
        if image.mode == "P" and len(distinct) == 1 and np.ptp(np.asarray(image)) > 0:
            values = np.asarray(image)  # a palette that draws all labels alike
    if not lossy and 2 < len(distinct) <= _LABEL_VALUES:
        raise MmtkError(
            f"is not a mask: it has the values {', '.join(f'{value:g}' for value in distinct)}.",
            str(path),
            "Save it with two values (0 and 255), or read it as a label map with exclusive = true.",
        )
    # The noise around an empty JPEG mask is no foreground.
    cut = max(float(values.max()) / 2, 32.0 if lossy else 0.0)
    return np.asarray(values > cut)


def read_labels(path: Path) -> np.ndarray:
    """One label map as integers [H,W]; of a palette image the indexes, not the colours."""
    with _decoding(path) as image:
        if image.format in _LOSSY:
            raise MmtkError(f"is no label map: {image.format} changes the labels.", str(path), "Save it as PNG.")
        values = np.asarray(image)
    if values.ndim == 3:
        colour = values[..., :3] if values.shape[2] > 2 else values[..., :1]
        if (colour != colour[..., :1]).any():
            raise MmtkError("is no label map: it is in colour.", str(path), "Save it as a gray or palette PNG.")
        values = colour[..., 0]
    labels = values.astype(np.int64) if np.isfinite(values).all() else np.full((), -1)
    if not np.array_equal(labels, values) or labels.min() < 0:
        raise MmtkError("is no label map: its values are not whole numbers from 0.", str(path))
    return np.asarray(labels)


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H,W] → [size,size], both axes stretched; bilinear, antialiased when it gets smaller."""
    if image.shape == (size, size):
        return image
    return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """uint8 [K,H,W] in {0, 1, 255} → [K,size,size]: foreground where at least half of the area is.

    A mask with exactly one channel per pixel keeps that (the largest share wins). Ignored pixels (255) are
    resized by nearest and have no say in the shares of their neighbours.
    """
    if mask.shape[1:] == (size, size):
        return mask
    known = mask != 255
    weight = _resize_soft(known, size)
    share = _resize_soft(mask == 1, size) / np.maximum(weight, 1e-6)
    if len(mask) > 1 and known.any() and (np.where(known, mask, 0).sum(0)[known.all(0)] == 1).all():
        resized = (np.arange(len(mask))[:, None, None] == share.argmax(0)).astype(np.uint8)
    else:
        resized = (share >= 0.5 - 1e-6).astype(np.uint8)  # a tie is foreground, whatever the rounding
    nearest = [Image.fromarray(channel).resize((size, size), Image.Resampling.NEAREST) for channel in ~known]
    return np.where(np.stack([np.asarray(channel) for channel in nearest]), np.uint8(255), resized)


def _resize_soft(channels: np.ndarray, size: int) -> np.ndarray:
    pictures = [Image.fromarray(channel.astype(np.float32)) for channel in channels]
    return np.stack([np.asarray(p.resize((size, size), Image.Resampling.BILINEAR)) for p in pictures])


@contextmanager
def _decoding(path: Path, oriented: bool = True) -> Iterator[Image.Image]:
    """The opened (and upright, decoded) file; whatever goes wrong becomes an error that names it."""
    _check_there(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            if not oriented:
                yield image
                return
            upright = ImageOps.exif_transpose(image)
            upright.format = image.format
        yield upright
    except MmtkError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except UnidentifiedImageError as error:
        raise MmtkError(
            "is not an image that can be read.", str(path), f"Known: {' '.join(sorted(SUFFIXES))}."
        ) from error
    except Exception as error:  # decoders of broken files raise nearly everything
        raise MmtkError(f"cannot be decoded, it may be truncated: {error}", str(path)) from error


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise MmtkError("no such file.", str(path))
    if path.stat().st_size == 0:
        raise MmtkError("is empty (0 bytes).", str(path))


def _too_large(path: Path) -> MmtkError:
    return MmtkError(f"is too large: more than {MOST_PIXELS / 1e6:.0f} megapixels.", str(path))


def _gray(image: Image.Image) -> Image.Image:
    """Luminance, mode L; what is transparent becomes black."""
    if image.mode == "L" and not image.has_transparency_data:
        return image
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        image = Image.new("RGBA", colour.size, "black")
        image.alpha_composite(colour)
    if image.mode not in ("1", "P"):
        image = image.convert("RGB")  # CMYK, YCbCr and Lab have no direct way to L
    return image.convert("L")


def _stretch(values: np.ndarray) -> np.ndarray:
    """Any numbers → uint8, from the smallest finite value to the largest; a constant becomes 0."""
    exact = values.astype(np.float64)
    finite = exact[np.isfinite(exact)]
    if finite.size == 0 or finite.min() == finite.max():
        return np.zeros(values.shape, np.uint8)
    return _between(exact, finite.min(), finite.max())


def _between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _check_film(path: Path) -> None:
    _check_there(path)
    size, wanted = path.stat().st_size, JSRT_SIDE * JSRT_SIDE * 2
    if size != wanted:
        raise MmtkError(
            f"is not a JSRT film: it has {size:,} bytes, not {wanted:,} (2048 × 2048, 16 bits).", str(path)
        )


def _read_film(path: Path) -> np.ndarray:
    _check_film(path)
    return np.fromfile(path, dtype=">u2").reshape(JSRT_SIDE, JSRT_SIDE)


def _dicom_header(path: Path) -> Any:
    _check_there(path)
    try:
        import pydicom
    except ImportError as error:
        raise MmtkError(
            "is DICOM, and pydicom is not installed.", str(path), "Install it: pip install 'mmtk[dicom]'"
        ) from error
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except Exception as error:  # a broken header raises nearly everything
        raise MmtkError(f"is not a DICOM file that can be read: {error}", str(path)) from error


def _dicom_size(header: Any, path: Path) -> tuple[int, int]:
    try:
        height, width = int(header.Rows), int(header.Columns)
    except Exception as error:  # absent, a list, a text; elements are decoded when they are asked for
        raise MmtkError("has no size: Rows and Columns should be numbers.", str(path)) from error
    if height <= 0 or width <= 0:
        raise MmtkError(f"has no pixels: it is {height} × {width}.", str(path))
    if height * width > MOST_PIXELS:
        raise _too_large(path)
    return height, width


def _read_dicom(path: Path) -> np.ndarray:
    """The first frame through its modality and VOI look-up; window bounds become 0 and 255."""
    header = _dicom_header(path)
    _dicom_size(header, path)
    kind = header.get("PhotometricInterpretation")
    if kind not in ("MONOCHROME1", "MONOCHROME2") and header.get("SamplesPerPixel") == 1:
        raise MmtkError(f"is no radiograph: its PhotometricInterpretation is {kind}.", str(path))
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
    from pydicom.pixels.utils import pixel_array

    try:
        # pixel_array converts YBR to RGB, and decodes one frame of many.
        stored = pixel_array(path, index=0)
        if stored.ndim == 3:
            colour = stored if stored.dtype == np.uint8 else _stretch(stored)
            return np.array(Image.fromarray(colour).convert("L"))
        values = apply_modality_lut(stored, header)
        gray = _windowed(values, header, apply_voi_lut)
    except Exception as error:  # missing codecs, missing elements, wrong lengths
        raise MmtkError(f"its pixels cannot be decoded: {error}", str(path)) from error
    return 255 - gray if kind == "MONOCHROME1" else gray


def _windowed(values: np.ndarray, header: Any, apply_voi_lut: Any) -> np.ndarray:
    window = (header.get("WindowCenter"), header.get("WindowWidth"))
    if "VOILUTSequence" in header or None in window:
        return _stretch(apply_voi_lut(values, header))
    # What the window makes of the two extremes are its bounds, for linear and sigmoid windows alike.
    with np.errstate(over="ignore"):
        low, high = apply_voi_lut(np.array([-1e9, 1e9]), header)
        return _between(np.asarray(apply_voi_lut(values, header), np.float64), low, high)
