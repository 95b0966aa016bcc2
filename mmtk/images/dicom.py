"""Pixels of DICOM films: one frame through padding, modality and window to gray levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmtk.errors import MmtkError
from mmtk.images.dicom_header import NEW_HEADER, number_of, read_elements, read_header, size_of
from mmtk.images.dicom_tables import look_up, through_table, window
from mmtk.images.gray_levels import gray_levels, stretch
from mmtk.images.raster import Raster, decoding

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
        return gray_levels(Raster(values, values.shape[2]))
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
    shift = _unused_low_bits(header)
    options: dict[str, Any] = {"correct_unused_bits": False} if shift else {}
    try:
        try:
            values = np.asarray(pixel_array(path, index=frame, **options))  # without the others
        except Exception:  # deflated files, those without a mark, and elements not packed as the file says
            values = np.asarray(pixel_array(read_elements(path), index=frame, **options))
    except Exception as error:  # missing codecs, missing elements, wrong lengths
        raise _undecodable(error, path) from error
    above = 8 * values.dtype.itemsize - int(number_of(header, "HighBit")) - 1
    return (values << above) >> (above + shift) if shift else values


def _unused_low_bits(header: Any) -> int:
    """Number of bits below the stored ones, in old files that keep 12 bits at the upper end of 16; else 0."""
    allocated, stored, high = (int(number_of(header, name)) for name in ("BitsAllocated", "BitsStored", "HighBit"))
    packed = header.file_meta.TransferSyntaxUID.is_encapsulated or allocated not in (8, 16, 32)
    return max(high + 1 - stored, 0) if stored and not packed and high < allocated else 0


def _undecodable(error: Exception, path: Path) -> MmtkError:
    return MmtkError(f"its pixels cannot be decoded: {error}", str(path))


def _gray(values: np.ndarray, header: Any) -> np.ndarray:
    padding = _padding(values, header)
    gray = _windowed(_modality(values, header), header, ~padding)
    if header.PhotometricInterpretation == "MONOCHROME1":
        gray = 255 - gray
    gray[padding] = 0
    return gray


def _modality(values: np.ndarray, header: Any) -> np.ndarray:
    """Map stored values by the modality table or the rescaling; an empty element, or a slope of 0, is absent."""
    if tables := header.get("ModalityLUTSequence"):
        return look_up(values, tables[0])
    slope, intercept = (header.get(name) for name in ("RescaleSlope", "RescaleIntercept"))
    if slope not in (None, "") and float(slope) == 0:
        return values
    if slope in (None, "") and intercept in (None, ""):
        return values
    return values.astype(np.float64) * float(slope or 1) + float(intercept or 0)


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
    if tables := header.get("VOILUTSequence"):
        return through_table(values, tables[0])
    if (chosen := window(header)) is not None:
        return chosen.gray(values)
    return stretch(values, inside)
