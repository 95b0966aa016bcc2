"""DICOM films: one frame through padding, modality and window to gray levels, with what the header says."""

from __future__ import annotations

import warnings
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmtk.errors import MmtkError
from mmtk.images.gray_levels import between, stretch
from mmtk.images.raster import Raster, check_size, check_there
from mmtk.io.extras import install_line

_WINDOWS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_PLAIN = {  # by implicit and little-endian
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}
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
        raise MmtkError(
            f"has {frames:g} frames; a mask has one.",
            str(path),
            f"Name what each frame shows: classes = [{frames:g} names]. Or save each as a file of its own.",
        )
    stored = np.atleast_3d(_first_frame(path, header))
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    return Raster(stored, stored.shape[2], lossy=_LOSSY.get(syntax, ""))


def read_frames(path: Path) -> np.ndarray:
    """All frames [N,H,W] as they are stored; those of a segmentation by the numbers of their segments."""
    header = _header(path)
    if int(_number(header, "SamplesPerPixel")) != 1:
        raise MmtkError("is in colour; the frames of a mask are gray.", str(path))
    frames = _pixels(path, header, None).reshape(-1, *_size(header, path))
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
    """The number from 1 on of the segment that a frame shows."""
    try:
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
    return number if number > 0 else None


def film_size(path: Path) -> tuple[int, int]:
    """Height and width, from the header alone."""
    return _size(_header(path), path)


def film_spacing(path: Path) -> tuple[float, float] | None:
    """Pixel spacing (row, column) in mm; that of the patient before the detector's; None without one."""
    return _facts(path)[1]


def film_patient(path: Path) -> str:
    """PatientID, as ``ID^^^ISSUER`` where there is an issuer; "" without one."""
    if isinstance(patient := _facts(path)[0], Exception):
        raise MmtkError(f"its PatientID cannot be read: {patient}", str(path)) from patient
    return patient


def _facts(path: Path) -> tuple[str | Exception, tuple[float, float] | None]:
    """Patient and spacing; a file is opened once for both, as long as it does not change."""
    check_there(path)
    state = path.stat()
    return _read_facts(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1 << 17)
def _read_facts(path: Path, _changed: int, _bytes: int) -> tuple[str | Exception, tuple[float, float] | None]:
    header = _header(path)
    return _patient(header), _spacing(header)


def _patient(header: Any) -> str | Exception:
    try:
        patient, issuer = (str(header.get(name) or "").strip() for name in ("PatientID", "IssuerOfPatientID"))
    except Exception as error:  # elements are decoded when they are asked for
        return error
    return f"{patient}^^^{issuer}" if patient and issuer else patient


def _spacing(header: Any) -> tuple[float, float] | None:
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            row, column = (float(value) for value in header.get(name) or ())
        except Exception:  # absent, one number, a text; elements are decoded when they are asked for
            continue
        if 0 < row < np.inf and 0 < column < np.inf:
            return row, column
    return None


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
        header = _elements(path, before_pixels=True)
        _lift_groups(header)
    except MmtkError:
        raise
    except pydicom.errors.InvalidDicomError as error:
        raise MmtkError(
            "has no DICOM header: neither the mark DICM at byte 128 nor elements of a film.",
            str(path),
            _NEW_HEADER,
        ) from error
    except Exception as error:  # a broken header raises nearly everything
        raise MmtkError(f"is not a DICOM file that can be read: {error}", str(path)) from error
    return header


def _elements(path: Path, *, before_pixels: bool = False) -> Any:
    """The elements of a file; without the mark only where they are those of an image."""
    import pydicom
    from pydicom.uid import UID

    try:
        return pydicom.dcmread(path, stop_before_pixels=before_pixels)
    except pydicom.errors.InvalidDicomError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what follows when bytes are no elements
            try:
                bare = pydicom.dcmread(path, stop_before_pixels=before_pixels, force=True)
                whole = "Rows" in bare and "Columns" in bare and "BitsAllocated" in bare
            except Exception:  # whatever bytes that are no elements raise
                whole = False
        if not whole:
            raise
        if "TransferSyntaxUID" not in bare.file_meta:
            implicit, little = bare.original_encoding
            bare.file_meta.TransferSyntaxUID = UID(_PLAIN[bool(implicit), bool(little)])
        return bare


def _check_inflated(path: Path) -> None:
    """Refuse a deflated file that would fill the memory."""
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_file_meta_info

    try:
        meta = read_file_meta_info(path)
    except InvalidDicomError:
        return
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
    return _pixels(path, header, 0)


def _pixels(path: Path, header: Any, frame: int | None) -> np.ndarray:
    """The stored values of one frame, or of all."""
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
    from pydicom.pixels.utils import pixel_array

    from mmtk.images.dicom_codecs import register

    register()
    try:
        try:
            return np.asarray(pixel_array(path, index=frame))  # without the others
        except Exception:  # deflated files, those without a mark, and elements not packed as the file says
            return np.asarray(pixel_array(_elements(path), index=frame))
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
    """Mask of the stored values that are PixelPaddingValue, or between it and PixelPaddingRangeLimit."""
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
