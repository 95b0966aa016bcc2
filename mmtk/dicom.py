"""DICOM films: one frame through padding, modality and window to gray levels, with what the header says."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmtk.errors import MmtkError
from mmtk.extras import install_line
from mmtk.gray import between, stretch
from mmtk.raster import Raster, check_size, check_there

_WINDOWS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_DEFLATED = "1.2.840.10008.1.2.1.99"
_LOSSY = {
    "1.2.840.10008.1.2.4.50": "JPEG",
    "1.2.840.10008.1.2.4.51": "JPEG",
    "1.2.840.10008.1.2.4.81": "near-lossless JPEG-LS",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.203": "high-throughput JPEG 2000",
}
_MOST_INFLATED = 1 << 29  # bytes: more than any film of MOST_PIXELS takes
_NEW_HEADER = "Let the archive export it again, or write a header: dcmconv +Fm of dcmtk."


def read_film(path: Path) -> np.ndarray:
    """The first frame as gray uint8 [H,W]: window bounds become 0 and 255, without a window the extremes do.

    Padding is outside of the stretch and black. MONOCHROME1 is inverted, colour becomes luminance.
    """
    header = _header(path)
    stored = _first_frame(path, header)
    if stored.ndim == 3:
        colour = stored if stored.dtype == np.uint8 else stretch(stored)
        return np.array(Image.fromarray(colour).convert("L"))
    try:
        return _gray(stored, header)
    except Exception as error:  # missing elements, wrong lengths
        raise _undecodable(error, path) from error


def read_stored(path: Path) -> Raster:
    """The only frame as it is stored, for masks and label maps."""
    header = _header(path)
    if (frames := _number(header, "NumberOfFrames")) > 1:
        raise MmtkError(f"has {frames:g} frames; a mask has one.", str(path), "Save each as a file of its own.")
    stored = np.atleast_3d(_first_frame(path, header))
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    return Raster(stored, stored.shape[2], lossy=_LOSSY.get(syntax, ""))


def film_size(path: Path) -> tuple[int, int]:
    """Height and width, from the header alone."""
    return _size(_header(path), path)


def film_spacing(path: Path) -> tuple[float, float] | None:
    """Pixel spacing (row, column) in mm; that of the patient before the detector's; None without one."""
    header = _header(path)
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            row, column = (float(value) for value in header.get(name) or ())
        except Exception:  # absent, one number, a text; elements are decoded when they are asked for
            continue
        if 0 < row < np.inf and 0 < column < np.inf:
            return row, column
    return None


def film_patient(path: Path) -> str:
    """PatientID, as ``ID^^^ISSUER`` where there is an issuer; "" without one."""
    header = _header(path)
    try:
        patient, issuer = (str(header.get(name) or "").strip() for name in ("PatientID", "IssuerOfPatientID"))
    except Exception as error:  # elements are decoded when they are asked for
        raise MmtkError(f"its PatientID cannot be read: {error}", str(path)) from error
    return f"{patient}^^^{issuer}" if patient and issuer else patient


def _header(path: Path) -> Any:
    """The elements before the pixels, those of the first frame's functional groups among them."""
    check_there(path)
    try:
        import pydicom
    except ImportError as error:
        raise MmtkError(
            "is DICOM, and pydicom is not installed.", str(path), f"Install it: {install_line('dicom')}"
        ) from error
    try:
        _check_inflated(path)
        header = pydicom.dcmread(path, stop_before_pixels=True)
        _lift_groups(header)
    except MmtkError:
        raise
    except pydicom.errors.InvalidDicomError as error:
        raise MmtkError(
            "has no DICOM header: the mark DICM at byte 128 is missing.", str(path), _NEW_HEADER
        ) from error
    except Exception as error:  # a broken header raises nearly everything
        raise MmtkError(f"is not a DICOM file that can be read: {error}", str(path)) from error
    return header


def _check_inflated(path: Path) -> None:
    """Refuse a deflated file that would fill the memory."""
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != _DEFLATED:
        return
    size, inflater = 0, zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as file:
        file.seek(
            144 + meta.FileMetaInformationGroupLength
        )  # preamble, mark, and the element that says the length
        while (block := file.read(1 << 16)) and size <= _MOST_INFLATED:
            size += len(inflater.decompress(block, _MOST_INFLATED + 1))
    if size > _MOST_INFLATED:
        raise MmtkError(f"is too large: it inflates to more than {_MOST_INFLATED / 1e6:.0f} MB.", str(path))


def _lift_groups(header: Any) -> None:
    """Give an enhanced file the window, rescale and spacing of its first frame where others have them."""
    shared, frames = (
        list(header.get(name) or ())[:1]
        for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    )
    for groups in (*shared, *frames):  # what a frame says of itself counts
        for name in ("PixelMeasuresSequence", "PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for element in list(groups.get(name) or ())[:1]:
                header.update(element)


def _number(header: Any, name: str) -> float:
    """The first number of an element; 0 where there is none."""
    try:
        value = header.get(name)
        return float(value[0] if isinstance(value, (list, tuple)) or hasattr(value, "__iter__") else value)
    except Exception:  # elements are decoded when they are asked for
        return 0.0


def _size(header: Any, path: Path) -> tuple[int, int]:
    try:
        height, width = int(header.Rows), int(header.Columns)
    except Exception as error:  # absent, a list, a text; elements are decoded when they are asked for
        raise MmtkError("has no size: Rows and Columns should be numbers.", str(path)) from error
    return check_size(height, width, path)


def _first_frame(path: Path, header: Any) -> np.ndarray:
    """Stored values [H,W] or, in colour, [H,W,3]."""
    _size(header, path)
    try:
        kind = header.get("PhotometricInterpretation")
    except Exception as error:  # elements are decoded when they are asked for
        raise _undecodable(error, path) from error
    if kind not in ("MONOCHROME1", "MONOCHROME2") and header.get("SamplesPerPixel") == 1:
        raise MmtkError(f"is no radiograph: its PhotometricInterpretation is {kind}.", str(path))
    if "TransferSyntaxUID" not in header.file_meta:
        raise MmtkError(
            "has no Transfer Syntax UID, which says how its pixels are packed.", str(path), _NEW_HEADER
        )
    import pydicom
    from pydicom.pixels.utils import pixel_array

    from mmtk.dicom_codecs import register

    register()
    try:
        try:
            return np.asarray(pixel_array(path, index=0))  # one frame of many
        except Exception:  # deflated files, and elements that are not packed as the file says
            return np.asarray(pixel_array(pydicom.dcmread(path), index=0))
    except Exception as error:  # missing codecs, missing elements, wrong lengths
        raise _undecodable(error, path) from error


def _undecodable(error: Exception, path: Path) -> MmtkError:
    return MmtkError(f"its pixels cannot be decoded: {error}", str(path))


def _gray(stored: np.ndarray, header: Any) -> np.ndarray:
    from pydicom.pixels.processing import apply_modality_lut

    _drop_empty(header)
    padding = _padding(stored, header)
    gray = _windowed(np.asarray(apply_modality_lut(stored, header)), header, ~padding)
    if header.PhotometricInterpretation == "MONOCHROME1":
        gray = 255 - gray
    gray[padding] = 0
    return gray


def _drop_empty(header: Any) -> None:
    """Take away rescale and window elements that say nothing, so that they count as absent."""
    names = ("RescaleSlope", "RescaleIntercept")
    given = [header.get(name) not in (None, "") for name in names]
    if _number(header, "RescaleSlope") == 0 and given[0]:
        given = [False, False]
    if any(given) and not all(given):
        header.RescaleSlope, header.RescaleIntercept = _number(header, names[0]) or 1, _number(header, names[1])
    for name in names:
        if name in header and not any(given):
            del header[name]
    if header.get("VOILUTFunction") not in _WINDOWS and "VOILUTFunction" in header:
        del header["VOILUTFunction"]


def _padding(stored: np.ndarray, header: Any) -> np.ndarray:
    """Where the stored values are PixelPaddingValue, or between it and PixelPaddingRangeLimit."""
    for kind in ("", "Float", "DoubleFloat"):
        value = header.get(f"{kind}PixelPaddingValue")
        if value in (None, ""):
            continue
        limit = header.get(f"{kind}PixelPaddingRangeLimit")
        # Signed files often say it unsigned, and the other way round.
        bounds = np.array([value, value if limit in (None, "") else limit]).astype(stored.dtype)
        return np.asarray((stored >= bounds.min()) & (stored <= bounds.max()))
    return np.zeros(stored.shape, bool)


def _windowed(values: np.ndarray, header: Any, inside: np.ndarray) -> np.ndarray:
    from pydicom.pixels.processing import apply_voi_lut

    if header.get("VOILUTSequence"):
        return _stretch(np.asarray(apply_voi_lut(values, header)), inside)
    if (index := _window(header)) is None:
        return _stretch(values, inside)
    # What the window makes of the two extremes are its bounds, for linear and sigmoid windows alike.
    with np.errstate(over="ignore"):
        low, high = apply_voi_lut(np.array([-1e9, 1e9]), header, index, prefer_lut=False)
        shown = apply_voi_lut(values, header, index, prefer_lut=False)
        return between(np.asarray(shown, np.float64), low, high)


def _window(header: Any) -> int | None:
    """The number of the first window that has a centre and a width that its function allows."""
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
    """The values between the smallest and the largest of those ``inside``."""
    if inside.all():
        return stretch(values)
    finite = values[inside & np.isfinite(values)].astype(np.float64)
    if finite.size == 0 or finite.min() == finite.max():
        return np.zeros(values.shape, np.uint8)
    return between(values.astype(np.float64), finite.min(), finite.max())
