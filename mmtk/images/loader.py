"""Images as gray levels, masks and label maps, resized to the run size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.images.decoder import orientation, raster_size, read_raster
from mmtk.images.files import is_dicom
from mmtk.images.gray_levels import gray_levels, stretch
from mmtk.images.masks import foreground, label_colours, label_numbers
from mmtk.images.raster import FORMATS, Raster, check_there, oriented, picture_raster, silence_decoders

JSRT_SIDE = 2048


def read_image(path: Path) -> np.ndarray:
    """Read one image as gray uint8 [H,W], upright; the first frame or page of several.

    8-bit files keep their values (colour becomes luminance, transparent pixels black, white-is-zero is inverted).
    Deeper files are stretched from their own minimum to their maximum, where NaN and −∞ count as the minimum and
    +∞ as the maximum; pixels without a value (DICOM's padding, GDAL_NODATA of TIFF) are left out, and black. DICOM
    goes through its window, MONOCHROME1 is inverted. A JSRT film (``.IMG``: 2048 × 2048, big-endian, 12 bits used)
    is inverted. Errors name the file.
    """
    if is_dicom(path):
        from mmtk.images.dicom import read_film

        return read_film(path)
    if path.suffix.lower() == ".img":
        return stretch(4095.0 - np.minimum(_read_jsrt(path), 4095))
    return gray_levels(read_raster(path))


def gray_pixels(image: Image.Image) -> np.ndarray:
    """Convert an opened image to gray uint8 [H,W], upright, by the rules of ``read_image``."""
    untouched = getattr(image, "tile", None) and image.tell() == 0
    if untouched and image.format in FORMATS and (file := Path(getattr(image, "filename", ""))).is_file():
        return gray_levels(read_raster(file))  # Pillow keeps 8 bits of deep colour and tears turned TIFF files
    raster = picture_raster(image)  # decoding turns some formats, and removes what says so
    return gray_levels(oriented(raster, orientation(image)))


def read_spacing(path: Path) -> tuple[float, float] | None:
    """Pixel spacing (row, column) in mm from a DICOM header; None without one.

    Other formats say nothing: the resolution of a PNG, JPEG or TIFF is the printer's, not the detector's.
    """
    if not is_dicom(path):
        return None
    from mmtk.images.dicom_header import film_spacing

    return film_spacing(path)


def read_patient(path: Path) -> str:
    """Patient of a DICOM file: PatientID, with IssuerOfPatientID where there is one; "" without one.

    The form is that of HL7: ``ID^^^ISSUER``. Other formats say nothing of the patient.
    """
    if not is_dicom(path):
        return ""
    from mmtk.images.dicom_header import film_patient

    return film_patient(path)


def read_view(path: Path) -> str:
    """ViewPosition of a DICOM file, else the name of its series; "" without one, and of other formats."""
    if not is_dicom(path):
        return ""
    from mmtk.images.dicom_header import film_view

    return film_view(path)


def read_body_part(path: Path) -> str:
    """BodyPartExamined of a DICOM file; "" without one, and of other formats."""
    if not is_dicom(path):
        return ""
    from mmtk.images.dicom_header import film_body_part

    return film_body_part(path)


def read_metadata(path: Path) -> dict[str, str | float]:
    """Age, sex, view, manufacturer and site of a DICOM file, without those that it lacks; {} of other formats."""
    if not is_dicom(path):
        return {}
    from mmtk.images.dicom_header import film_metadata

    return film_metadata(path)


def read_kind(path: Path) -> str:
    """Modality of a DICOM file without an image, such as RTSTRUCT; "" of every other file."""
    if not is_dicom(path):
        return ""
    from mmtk.images.dicom_header import kind_without_pixels

    return kind_without_pixels(path)


def read_segments(path: Path) -> tuple[str, ...]:
    """Names of the segments of a DICOM segmentation, in order; none of every other file."""
    if not is_dicom(path):
        return ()
    from mmtk.images.dicom_header import segment_labels

    return segment_labels(path)


def read_frame_count(path: Path) -> int:
    """Number of frames of a DICOM file, or of pages of a TIFF; 1 of other formats, and of what cannot be read."""
    if path.suffix.lower() in (".tif", ".tiff"):
        return _page_count(path)
    if not is_dicom(path):
        return 1
    from mmtk.images.dicom_header import film_frames

    return film_frames(path)


def _page_count(path: Path) -> int:
    from tifffile import TiffFile

    silence_decoders()
    try:
        with TiffFile(path) as file:
            sizes = [page.shape[:2] for page in file.pages]
            return sizes.count(sizes[0])  # without thumbnails
    except (OSError, ValueError):  # TiffFileError is a ValueError; reading names the fault
        return 1


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of the result of :func:`read_image`, from the header alone."""
    if is_dicom(path):
        from mmtk.images.dicom_header import film_size

        return film_size(path)
    if path.suffix.lower() == ".img":
        _check_jsrt(path)
        return JSRT_SIDE, JSRT_SIDE
    return raster_size(path)


def read_mask(path: Path) -> np.ndarray:
    """Read one mask as bool [H,W], from stored values: 0/1, 0/255, soft edges, one colour or alpha.

    Foreground is the brighter of two values; of more, where any channel is above half of its own maximum. Alpha is
    the mask where the colours are constant, and says nothing where it is constant itself. Refused by name: a
    lossless file with three to eight values, which is a label map, and a lossy one that stays below 32 of 255.
    """
    return foreground(_samples(path), path)


def read_labels(path: Path, compact: bool = False) -> np.ndarray:
    """Read one label map as integers [H,W]: numbers as stored; of a palette image the indexes, not the colours.

    ``compact``: keep unsigned numbers in the type of the file
    """
    return label_numbers(_samples(path), path, compact)


def read_colours(path: Path) -> np.ndarray:
    """Read one label map in colours as integers [H,W]: 65536 red + 256 green + blue, each from 0 to 255."""
    return label_colours(_samples(path), path)


def _samples(path: Path) -> Raster:
    if is_dicom(path):
        from mmtk.images.dicom import read_single_frame

        return read_single_frame(path)
    return read_raster(path)


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H,W] → [size,size], both axes stretched; bilinear, antialiased when it gets smaller."""
    if image.shape == (size, size):
        return image
    return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 [K,H,W] in {0, 1, 255} to [K,size,size]: foreground where at least half of the area is.

    A mask with exactly one channel per pixel keeps that (the largest share wins). Ignored pixels (255) are
    resized by nearest and have no say in the shares of their neighbours.
    """
    if mask.shape[1:] == (size, size):
        return mask
    known_pixels = mask != 255
    weight = _resize_soft(known_pixels, size)
    share = _resize_soft(mask == 1, size) / np.maximum(weight, 1e-6)
    if (
        len(mask) > 1
        and known_pixels.any()
        and (np.where(known_pixels, mask, 0).sum(0)[known_pixels.all(0)] == 1).all()
    ):
        resized = (np.arange(len(mask))[:, None, None] == share.argmax(0)).astype(np.uint8)
    else:
        resized = (share >= 0.5 - 1e-6).astype(np.uint8)  # a tie is foreground, whatever the rounding
    nearest = [
        Image.fromarray(channel).resize((size, size), Image.Resampling.NEAREST) for channel in ~known_pixels
    ]
    return np.where(np.stack([np.asarray(channel) for channel in nearest]), np.uint8(255), resized)


def _resize_soft(channels: np.ndarray, size: int) -> np.ndarray:
    pictures = [Image.fromarray(channel.astype(np.float32)) for channel in channels]
    return np.stack([np.asarray(p.resize((size, size), Image.Resampling.BILINEAR)) for p in pictures])


def _check_jsrt(path: Path) -> None:
    check_there(path)
    size, expected = path.stat().st_size, JSRT_SIDE * JSRT_SIDE * 2
    if size != expected:
        raise MmtkError(
            f"is not a JSRT film: it has {counted(size, 'byte')}, not {expected:,} (2048 × 2048, 16 bits).",
            str(path),
        )


def _read_jsrt(path: Path) -> np.ndarray:
    _check_jsrt(path)
    return np.fromfile(path, dtype=">u2").reshape(JSRT_SIDE, JSRT_SIDE)
