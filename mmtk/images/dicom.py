"""Pixels of DICOM films: one frame through padding, modality and window to gray levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmtk.errors import MmtkError
from mmtk.images.dicom_header import NEW_HEADER, number_of, read_elements, read_header, size_of
from mmtk.images.gray_levels import between, stretch
from mmtk.images.raster import Raster, decoding

_WINDOWS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_LOSSY = {
    "1.2.840.10008.1.2.4.50": "JPEG",
    "1.2.840.10008.1.2.4.51": "JPEG",
    "1.2.840.10008.1.2.4.81": "near-lossless JPEG-LS",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.203": "high-throughput JPEG 2000",
}


def read_film(path: Path) -> np.ndarray:
    """Read the first frame as gray uint8 [H,W]: window bounds become 0 and 255, without a window the extremes do.

    Padding is outside of the stretch and black. MONOCHROME1 is inverted, colour becomes luminance.
    """
    header = read_header(path)
    values = _first_frame(path, header)
    if values.ndim == 3:
        colour = values if values.dtype == np.uint8 else stretch(values)
        return np.array(Image.fromarray(colour).convert("L"))
    try:
        return _gray(values, header)
    except Exception as error:  # missing elements, wrong lengths
        raise _undecodable(error, path) from error


def read_single_frame(path: Path) -> Raster:
    """Read the only frame as stored, for masks and label maps."""
    header = read_header(path)
    if (frames := number_of(header, "NumberOfFrames")) > 1:
        raise MmtkError(
            f"has {frames:g} frames; a mask has one.",
            str(path),
            f"Name what each frame shows: classes = [{frames:g} names]. Or save each as a file of its own.",
        )
    values = np.atleast_3d(_first_frame(path, header))
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    with decoding(path):
        return Raster(values, values.shape[2], lossy=_LOSSY.get(syntax, ""))


def read_frames(path: Path) -> np.ndarray:
    """Read all frames [N,H,W] as stored; those of a segmentation by the numbers of their segments."""
    header = read_header(path)
    if int(number_of(header, "SamplesPerPixel")) != 1:
        raise MmtkError("is in colour; the frames of a mask are gray.", str(path), "Save it as gray frames.")
    frames = _pixels(path, header, None).reshape(-1, *size_of(header, path))
    segments = [_segment(groups) for groups in header.get("PerFrameFunctionalGroupsSequence") or ()]
    if len(segments) != len(frames) or None in segments:
        return frames
    if len({*segments}) < len(segments):
        raise MmtkError("has several frames of one segment; a film has one.", str(path))
    count = max(len(header.get("SegmentSequence") or ()), *(number or 0 for number in segments))
    planes = np.zeros((count, *frames.shape[1:]), frames.dtype)  # a segment without a frame is empty
    for number, frame in zip(segments, frames, strict=True):
        planes[(number or 1) - 1] = frame
    return planes


def _segment(groups: Any) -> int | None:
    """Number, from 1 on, of the segment of a frame."""
    try:
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
    return number if number > 0 else None


def _first_frame(path: Path, header: Any) -> np.ndarray:
    """Read the first frame as stored: [H,W] or, in colour, [H,W,3]."""
    return _pixels(path, header, 0)


def _pixels(path: Path, header: Any, frame: int | None) -> np.ndarray:
    """Read the stored values of one frame, or of all."""
    size_of(header, path)
    try:
        kind = header.get("PhotometricInterpretation")
    except Exception as error:  # elements are decoded when they are asked for
        raise _undecodable(error, path) from error
    if kind not in ("MONOCHROME1", "MONOCHROME2") and header.get("SamplesPerPixel") == 1:
        raise MmtkError(f"is no radiograph: its PhotometricInterpretation is {kind}.", str(path))
    if "TransferSyntaxUID" not in header.file_meta:
        raise MmtkError("has no Transfer Syntax UID, which says how its pixels are packed.", str(path), NEW_HEADER)
    from pydicom.pixels.utils import pixel_array

    from mmtk.images.dicom_codecs import register

    register()
    try:
        try:
            return np.asarray(pixel_array(path, index=frame))  # without the others
        except Exception:  # deflated files, those without a mark, and elements not packed as the file says
            return np.asarray(pixel_array(read_elements(path), index=frame))
    except Exception as error:  # missing codecs, missing elements, wrong lengths
        raise _undecodable(error, path) from error


def _undecodable(error: Exception, path: Path) -> MmtkError:
    return MmtkError(f"its pixels cannot be decoded: {error}", str(path))


def _gray(values: np.ndarray, header: Any) -> np.ndarray:
    from pydicom.pixels.processing import apply_modality_lut

    _drop_empty(header)
    padding = _padding(values, header)
    gray = _windowed(np.asarray(apply_modality_lut(values, header)), header, ~padding)
    if header.PhotometricInterpretation == "MONOCHROME1":
        gray = 255 - gray
    gray[padding] = 0
    return gray


def _drop_empty(header: Any) -> None:
    """Remove empty rescale and window elements, so that they count as absent."""
    names = ("RescaleSlope", "RescaleIntercept")
    present = [header.get(name) not in (None, "") for name in names]
    if number_of(header, "RescaleSlope") == 0 and present[0]:
        present = [False, False]
    if any(present) and not all(present):
        header.RescaleSlope, header.RescaleIntercept = (
            number_of(header, names[0]) or 1,
            number_of(header, names[1]),
        )
    for name in names:
        if name in header and not any(present):
            del header[name]
    if header.get("VOILUTFunction") not in _WINDOWS and "VOILUTFunction" in header:
        del header["VOILUTFunction"]


def _padding(values: np.ndarray, header: Any) -> np.ndarray:
    """Mask of the stored values that are PixelPaddingValue, or between it and PixelPaddingRangeLimit."""
    for kind in ("", "Float", "DoubleFloat"):
        value = header.get(f"{kind}PixelPaddingValue")
        if value in (None, ""):
            continue
        limit = header.get(f"{kind}PixelPaddingRangeLimit")
        # Signed files often say it unsigned, and the other way round.
        bounds = np.array([value, value if limit in (None, "") else limit]).astype(values.dtype)
        return np.asarray((values >= bounds.min()) & (values <= bounds.max()))
    return np.zeros(values.shape, bool)


def _windowed(values: np.ndarray, header: Any, inside: np.ndarray) -> np.ndarray:
    from pydicom.pixels.processing import apply_voi_lut

    if header.get("VOILUTSequence"):
        return _stretch(np.asarray(apply_voi_lut(values, header)), inside)
    if (index := _window(header)) is None:
        return _stretch(values, inside)
    # What the window makes of the two extremes are its bounds, for linear and sigmoid windows alike.
    with np.errstate(over="ignore"):
        low, high = apply_voi_lut(np.array([-1e9, 1e9]), header, index, prefer_lut=False)
        display = apply_voi_lut(values, header, index, prefer_lut=False)
        return between(np.asarray(display, np.float64), low, high)


def _window(header: Any) -> int | None:
    """Number of the first window with a centre and a width that its function allows."""
    pairs = [
        np.atleast_1d(header.get(name) if header.get(name) is not None else [])
        for name in ("WindowCenter", "WindowWidth")
    ]
    least = 1 if header.get("VOILUTFunction", "LINEAR") == "LINEAR" else 0
    for index, (centre, width) in enumerate(zip(*pairs, strict=False)):
        if np.isfinite(float(centre)) and (float(width) >= least and float(width) > 0):
            return index
    return None


def _stretch(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Stretch the values between the smallest and the largest of those ``inside``."""
    if inside.all():
        return stretch(values)
    finite = values[inside & np.isfinite(values)].astype(np.float64)
    if finite.size == 0 or finite.min() == finite.max():
        return np.zeros(values.shape, np.uint8)
    return between(values.astype(np.float64), finite.min(), finite.max())
