"""Headers of DICOM files: size, spacing and patient of a film."""

from __future__ import annotations

import warnings
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.errors import MmtkError
from mmtk.images.ages import age_in_years
from mmtk.images.raster import check_size, check_there
from mmtk.io.extras import install_line

_PLAIN = {  # by implicit and little-endian
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}
_DEFLATED = "1.2.840.10008.1.2.1.99"
_MOST_INFLATED = 1 << 29  # bytes: more than any film of MOST_PIXELS takes
CONTOURS = (
    "Its contours are no pixels: save them as a mask, as DICOM SEG or PNG, such as with 3D Slicer or rt-utils."
)
NEW_HEADER = "Let the archive export it again, or write a header: dcmconv +Fm of dcmtk."

warnings.filterwarnings("ignore", module=r"pydicom\.")  # of odd headers, a line for every film; faults are raised


def film_size(path: Path) -> tuple[int, int]:
    """Height and width, from the header alone."""
    return size_of(read_header(path), path)


def film_spacing(path: Path) -> tuple[float, float] | None:
    """Pixel spacing (row, column) in mm; that of the patient before the detector's; None without one."""
    return _facts(path)[1]


def film_patient(path: Path) -> str:
    """PatientID, as ``ID^^^ISSUER`` where there is an issuer; "" without one."""
    if isinstance(patient := _facts(path)[0], Exception):
        raise MmtkError(f"its PatientID cannot be read: {patient}", str(path)) from patient
    return patient


def film_view(path: Path) -> str:
    """ViewPosition, such as PA, AP or LL, else the name of the series or protocol; "" without one."""
    return _facts(path)[2]


def film_body_part(path: Path) -> str:
    """BodyPartExamined, such as CHEST; "" without one."""
    return _facts(path)[5]


def film_metadata(path: Path) -> dict[str, str | float]:
    """Age in years, sex, view, manufacturer and site (InstitutionName); what a header lacks is absent.

    Nothing else of a person is read but the patient (``film_patient``): no name, birth date or address.
    """
    return dict(_facts(path)[4])


def film_frames(path: Path) -> int:
    """Number of frames, at least 1."""
    return _facts(path)[3]


def kind_without_pixels(path: Path) -> str:
    """Modality of a file without an image, such as RTSTRUCT or SR; "" of an image, and of what cannot be read."""
    try:
        header = read_header(path)
    except MmtkError:
        return ""  # whoever reads its pixels names the fault
    return "" if "Rows" in header else _text(header, "Modality")


def segment_labels(path: Path) -> tuple[str, ...]:
    """Names of the segments of a segmentation in the order of their numbers; none of another file."""
    try:
        segments = read_header(path).get("SegmentSequence") or ()
        return tuple(
            str(segment.SegmentLabel).strip()
            for segment in sorted(segments, key=lambda one: int(one.SegmentNumber))
        )
    except (MmtkError, AttributeError, TypeError, ValueError):
        return ()


_Facts = tuple[str | Exception, tuple[float, float] | None, str, int, dict[str, str | float], str]
_METADATA = {
    "sex": "PatientSex",
    "view": "ViewPosition",
    "manufacturer": "Manufacturer",
    "site": "InstitutionName",
}


def _facts(path: Path) -> _Facts:
    """Read patient, spacing, view, frames, metadata, body part; a file is opened once while it is unchanged."""
    check_there(path)
    state = path.stat()
    return _read_facts(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1 << 17)
def _read_facts(path: Path, _changed: int, _bytes: int) -> _Facts:
    header = read_header(path)
    frames = max(1, int(number_of(header, "NumberOfFrames")))
    views = (_text(header, name) for name in ("ViewPosition", "SeriesDescription", "ProtocolName"))
    view = next(filter(None, views), "")
    return _patient(header), _spacing(header), view, frames, _metadata(header), _text(header, "BodyPartExamined")


def _patient(header: Any) -> str | Exception:
    try:
        patient, issuer = (str(header.get(name) or "").strip() for name in ("PatientID", "IssuerOfPatientID"))
    except Exception as error:  # elements are decoded when they are asked for
        return error
    return f"{patient}^^^{issuer}" if patient and issuer else patient


def _text(header: Any, name: str) -> str:
    try:
        return str(header.get(name) or "").strip()
    except Exception:  # elements are decoded when they are asked for
        return ""


def _metadata(header: Any) -> dict[str, str | float]:
    metadata: dict[str, str | float] = {
        name: text for name, element in _METADATA.items() if (text := _text(header, element))
    }
    age = age_in_years(_text(header, "PatientAge"))
    if age is not None:
        metadata["age"] = age
    return metadata


def _spacing(header: Any) -> tuple[float, float] | None:
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            row, column = (float(value) for value in header.get(name) or ())
        except Exception:  # absent, one number, a text; elements are decoded when they are asked for
            continue
        if 0 < row < np.inf and 0 < column < np.inf:
            return row, column
    return None


def read_header(path: Path) -> Any:
    """Read the elements before the pixels, with those of the first frame's functional groups."""
    check_there(path)
    try:
        import pydicom
    except ImportError as error:
        raise MmtkError(
            "is DICOM, and pydicom is not installed.", str(path), f"Install it: {install_line('dicom')}"
        ) from error
    try:
        _check_inflated(path)
        header = read_elements(path, before_pixels=True)
        _lift_groups(header)
    except MmtkError:
        raise
    except pydicom.errors.InvalidDicomError as error:
        raise MmtkError(
            "has no DICOM header: neither the mark DICM at byte 128 nor elements of a film.", str(path), NEW_HEADER
        ) from error
    except Exception as error:  # a broken header raises nearly everything
        raise MmtkError(f"is not a DICOM file that can be read: {error}", str(path)) from error
    return header


def read_elements(path: Path, *, before_pixels: bool = False) -> Any:
    """Read the elements of a file; without the mark DICM only where they are those of an image."""
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
    """Copy window, rescale and spacing of an enhanced file's first frame to where other files have them."""
    shared, frames = (
        list(header.get(name) or ())[:1]
        for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    )
    for groups in (*shared, *frames):  # what a frame says of itself counts
        for name in ("PixelMeasuresSequence", "PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for element in list(groups.get(name) or ())[:1]:
                header.update(element)


def number_of(header: Any, name: str) -> float:
    """First number of an element; 0 where there is none."""
    try:
        value = header.get(name)
        return float(value[0] if isinstance(value, (list, tuple)) or hasattr(value, "__iter__") else value)
    except Exception:  # elements are decoded when they are asked for
        return 0.0


def size_of(header: Any, path: Path) -> tuple[int, int]:
    """Height and width by a header."""
    try:
        height, width = int(header.Rows), int(header.Columns)
    except Exception as error:  # absent, a list, a text; elements are decoded when they are asked for
        if "Rows" not in header and (kind := _text(header, "Modality")):
            cure = CONTOURS if kind == "RTSTRUCT" else "Give the image that it speaks of."
            raise MmtkError(f"has no pixels: it is DICOM's {kind}.", str(path), cure) from error
        raise MmtkError("has no size: Rows and Columns should be numbers.", str(path)) from error
    return check_size(height, width, path)
