"""Films and masks as people have them: right to the gray level, or refused by name."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pixel_inputs import (
    CURVE,
    DICOM,
    FILMS,
    FRAMES,
    GRAY,
    MASK,
    MASKS,
    PACKINGS,
    RAMP,
    REFUSED_MASKS,
    SHARED,
    SIGNED,
    Write,
    chunk,
    dicom,
    group,
    look_up_table,
    png,
    stretched,
    upright,
    windowed,
)
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from mmtk.errors import MmtkError
from mmtk.images.dicom_header import _read_facts
from mmtk.images.files import is_image_file
from mmtk.images.loader import image_size, read_image, read_labels, read_mask, read_patient, read_spacing


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("orientation", [*range(10), 99])
def test_every_orientation_of_every_packing(tmp_path, packing, orientation):
    if orientation == 99 and packing.startswith("xmp"):
        return  # two digits are no XMP orientation: Pillow reads the first
    for stored in (GRAY, GRAY[:16, :16], GRAY[:5]):
        path = tmp_path / f"x.{packing}"
        PACKINGS[packing](path, stored, orientation)
        image, right = read_image(path), upright(stored, orientation)
        assert image.shape == image_size(path) == right.shape
        if packing in ("deep.tif", "float.tif"):
            right = stretched(right)
        assert np.abs(image - right.astype(float)).max() <= (4 if "j" in packing or "ycbcr" in packing else 0.5)


@pytest.mark.parametrize(("name", "write", "right"), FILMS, ids=[name for name, *_ in FILMS])
def test_depth_sign_photometry_and_planes(tmp_path, caplog, name: str, write: Write, right: np.ndarray):
    write(path := tmp_path / name)
    image = read_image(path)
    assert not caplog.records  # a line for each film would bury what matters
    assert image_size(path) == image.shape == right.shape
    assert np.abs(image - right).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("bands", [1, 3])
def test_an_old_style_jpeg_in_a_tiff(tmp_path, bands):
    gray = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8) * 2
    stored = gray if bands == 1 else np.stack([gray, 255 - gray, gray // 2], -1)
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, "JPEG", quality=95, subsampling=0)
    jpeg, count = stream.getvalue(), 11
    behind = 8 + 2 + 12 * count + 4  # the header and its directory
    tags = [(256, 4, 1, 48), (257, 4, 1, 64), (258, 3, bands, behind if bands > 2 else 8), (259, 3, 1, 6)]
    tags += [(262, 3, 1, 6 if bands > 2 else 1), (273, 4, 1, behind + 6), (277, 3, 1, bands), (278, 4, 1, 64)]
    tags += [(279, 4, 1, len(jpeg)), (513, 4, 1, behind + 6), (514, 4, 1, len(jpeg))]
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path = tmp_path / "old.tif"
    head = struct.pack("<2sHIH", b"II", 42, 8, count)
    path.write_bytes(head + directory + struct.pack("<IHHH", 0, 8, 8, 8) + jpeg)
    right = np.asarray(Image.open(stream).convert("L"), int)
    assert np.abs(read_image(path) - right).max() <= 1
    assert image_size(path) == right.shape


@pytest.mark.parametrize(("name", "write"), MASKS, ids=[name for name, _ in MASKS])
def test_masks(tmp_path, name: str, write: Write):
    write(path := tmp_path / name)
    assert np.array_equal(read_mask(path), MASK)


@pytest.mark.parametrize(("name", "write", "words"), REFUSED_MASKS, ids=[name for name, *_ in REFUSED_MASKS])
def test_masks_that_cannot_be_told_are_refused(tmp_path, name: str, write: Write, words: str):
    write(path := tmp_path / name)
    with pytest.raises(MmtkError, match=words) as caught:
        read_mask(path)
    assert str(caught.value).startswith(str(path))


def test_label_numbers_are_those_stored(tmp_path):
    labels = np.arange(24 * 18).reshape(24, 18) % 4
    (tmp_path / "x.pgm").write_bytes(b"P5\n18 24\n3\n" + labels.astype(np.uint8).tobytes())
    dicom(tmp_path / "x.dcm", labels)
    Image.fromarray(np.dstack([labels.astype(np.uint8)] * 3)).save(tmp_path / "x.webp", lossless=True)
    (tmp_path / "x.png").write_bytes(two_bits(labels))
    for name in ("x.pgm", "x.dcm", "x.png", "x.webp"):
        assert np.array_equal(read_labels(tmp_path / name), labels), name


def two_bits(labels: np.ndarray) -> bytes:
    """A gray PNG of two bits."""
    rows = [np.packbits(np.unpackbits(row[:, None].astype(np.uint8), axis=1)[:, 6:].ravel()) for row in labels]
    head = labels.shape[1].to_bytes(4, "big") + labels.shape[0].to_bytes(4, "big") + b"\2\0\0\0\0"
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(("name", "write", "right"), DICOM, ids=[name for name, *_ in DICOM])
def test_dicom(tmp_path, name: str, write: Write, right: np.ndarray):
    write(path := tmp_path / f"{name}.dcm")
    image = read_image(path)
    assert image_size(path) == image.shape
    assert np.abs(image - right).max() <= 0.51


@pytest.mark.parametrize(
    ("centre", "right"),
    [(b"abcd", stretched(RAMP)), (b"nan ", stretched(RAMP)), (b"20,5", windowed(RAMP, 20.5, 1000))],
)
def test_a_window_that_is_no_number_is_none(tmp_path, centre, right):
    dicom(path := tmp_path / "x.dcm", RAMP, WindowCenter="2000", WindowWidth="1000")
    path.write_bytes(path.read_bytes().replace(b"2000", centre))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.abs(read_image(path) - right).max() <= 0.51


def test_the_first_value_of_a_table_may_be_written_unsigned(tmp_path):
    dicom(path := tmp_path / "x.dcm", SIGNED, bits=16, VOILUTSequence=look_up_table(-2048, 8, CURVE, "US"))
    descriptor = b"\x28\0\2\x30"
    assert path.read_bytes().count(descriptor + b"SS") == 1
    path.write_bytes(path.read_bytes().replace(descriptor + b"SS", descriptor + b"US"))
    assert np.array_equal(read_image(path), CURVE[RAMP])


@pytest.mark.parametrize("bits", [2, 4])
def test_a_transparent_level_of_few_bits(tmp_path, bits):
    top, stored = 2**bits - 1, np.arange(24 * 16).reshape(24, 16) % 2**bits
    rows = [np.packbits(np.unpackbits(row[:, None].astype(np.uint8), axis=1)[:, -bits:].ravel()) for row in stored]
    head = struct.pack(">IIBBBBB", 16, 24, bits, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    parts = chunk(b"IHDR", head) + chunk(b"tRNS", struct.pack(">H", top)) + body + chunk(b"IEND", b"")
    (path := tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    assert np.array_equal(read_image(path), np.where(stored == top, 0, stored * (255 // top)))


def test_deep_colour_is_the_same_film_in_every_format(tmp_path):
    colour = np.dstack([RAMP, RAMP[::-1], RAMP // 2])
    png(tmp_path / "x.png", colour, 2)
    extra = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    dicom(tmp_path / "x.dcm", colour, bits=16, Rows=24, Columns=18, **extra)
    film = pydicom.dcmread(tmp_path / "x.dcm")
    del film.NumberOfFrames
    film.save_as(tmp_path / "x.dcm")
    assert np.abs(read_image(tmp_path / "x.dcm").astype(int) - read_image(tmp_path / "x.png")).max() <= 1


@pytest.mark.parametrize("order", ["thumbnail first", "film first"])
def test_a_reduced_page_is_not_the_film(tmp_path, order):
    pages = [(GRAY[::4, ::4], 1), (GRAY, 0)]
    with tifffile.TiffWriter(path := tmp_path / "x.tif") as file:
        for pixels, kind in pages if order == "thumbnail first" else pages[::-1]:
            file.write(pixels, subfiletype=kind)
    assert np.array_equal(read_image(path), GRAY)
    assert image_size(path) == GRAY.shape


def test_a_file_of_reduced_pages_alone_is_its_first(tmp_path):
    tifffile.imwrite(path := tmp_path / "x.tif", GRAY, subfiletype=1)
    assert np.array_equal(read_image(path), GRAY)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_alpha_that_is_the_same_everywhere_says_nothing(tmp_path, level):
    alpha = np.full_like(GRAY, level)
    Image.fromarray(np.dstack([GRAY, GRAY, GRAY, alpha])).save(tmp_path / "colour.png")
    Image.fromarray(np.dstack([GRAY, alpha])).save(tmp_path / "gray.png")
    png(tmp_path / "deep.png", np.dstack([RAMP, np.full_like(RAMP, level * 257)]), 4)
    tifffile.imwrite(
        tmp_path / "x.tif", np.dstack([GRAY, GRAY, GRAY, alpha]), photometric="rgb", extrasamples=["unassalpha"]
    )
    for name in ("colour.png", "gray.png", "x.tif"):
        assert np.array_equal(read_image(tmp_path / name), GRAY), name
    assert np.abs(read_image(tmp_path / "deep.png") - stretched(RAMP)).max() <= 0.51


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "pbm", "pnm"])
def test_films_and_masks_under_rarer_suffixes_of_known_formats(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    if suffix in ("pbm", "pnm"):
        Image.fromarray(MASK).save(path, "PPM")
        assert np.array_equal(read_mask(path), MASK)
    else:
        Image.fromarray(GRAY).save(path, "JPEG", quality=100)
        assert np.abs(read_image(path).astype(int) - GRAY).max() <= 2
    assert is_image_file(path)


def test_spacing_of_an_enhanced_file(tmp_path):
    shared = group(
        FrameVOILUTSequence=SHARED[0].FrameVOILUTSequence, PixelMeasuresSequence=group(PixelSpacing=[0.2, 0.1])
    )
    dicom(tmp_path / "x.dcm", FRAMES, SharedFunctionalGroupsSequence=shared)
    assert read_spacing(tmp_path / "x.dcm") == (0.2, 0.1)


@pytest.mark.parametrize(
    ("syntax", "encode", "error"),
    [
        (JPEGLosslessSV1, lambda values: imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=12), 0),
        (JPEGLSLossless, imagecodecs.jpegls_encode, 0),
        (JPEGExtended12Bit, lambda values: imagecodecs.jpeg8_encode(values, level=100, bitspersample=12), 1),
        (HTJ2KLossless, lambda values: imagecodecs.htj2k_encode(values), 0),
    ],
    ids=["lossless", "ls", "twelve-bits", "high-throughput"],
)
def test_compressed_dicom(tmp_path, syntax, encode, error):
    dicom(path := tmp_path / "x.dcm", RAMP)
    film = pydicom.dcmread(path)
    film.file_meta.TransferSyntaxUID = syntax
    film.PixelData = encapsulate([encode(RAMP)])
    film["PixelData"].VR = "OB"
    film.save_as(path)
    assert np.abs(read_image(path) - stretched(RAMP)).max() <= 0.51 + error


def test_files_that_come_with_pydicom():
    """Every one that it can decode is read, and of gray ones without window and padding the values are right."""
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    values, images = 0, 0
    for path in sorted(path for path in folder.rglob("*.dcm") if path.is_file()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = read_image(path)
            except MmtkError as error:
                assert str(error).startswith(str(path))  # noqa: PT017 - any other error fails the test
                continue
            images += 1
            film = pydicom.dcmread(path)
        plain = not {"WindowCenter", "VOILUTSequence", "ModalityLUTSequence", "PixelPaddingValue"} & {*film.dir()}
        if (
            plain
            and image.ndim == 2
            and film.SamplesPerPixel == 1
            and film.PhotometricInterpretation == "MONOCHROME2"
        ):
            try:
                stored = film.pixel_array
            except Exception:  # decoded by mmtk's own plugin alone, under another name of the file
                continue
            stored = stored[0] if stored.ndim == 3 else stored
            right = stretched(stored) if np.ptp(stored) else stored * 0
            assert np.abs(image - right).max() <= 0.51, path.name
            values += 1
    assert images >= 57
    assert values >= 14


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("name", ["x.dcm", "IM0001"])
@pytest.mark.parametrize("meta", [True, False])
def test_films_without_preamble_are_read(tmp_path, name, meta, implicit):
    dicom(path := tmp_path / name, RAMP, PatientID="p1", PixelSpacing=[0.2, 0.1])
    film = pydicom.dcmread(path)
    if meta:
        path.write_bytes(path.read_bytes()[132:])
    else:
        film.file_meta = pydicom.dataset.FileMetaDataset()
        film.preamble = None
        film.save_as(path, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert path.read_bytes()[128:132] != b"DICM"
    assert is_image_file(path)
    assert image_size(path) == RAMP.shape
    assert (read_patient(path), read_spacing(path)) == ("p1", (0.2, 0.1))
    assert np.abs(read_image(path) - stretched(RAMP)).max() <= 0.51


def test_a_header_is_read_once_for_patient_and_spacing(tmp_path):
    dicom(path := tmp_path / "x.dcm", RAMP, PatientID="p1", PixelSpacing=[0.2, 0.1])
    before = _read_facts.cache_info().misses
    for _ in range(3):
        assert (read_patient(path), read_spacing(path)) == ("p1", (0.2, 0.1))
    assert _read_facts.cache_info().misses == before + 1
    dicom(path, RAMP, PatientID="somebody else", PixelSpacing=[0.3, 0.1])
    assert (read_patient(path), read_spacing(path)) == ("somebody else", (0.3, 0.1))


@pytest.mark.parametrize(
    "content", [b"hello, this is a text " * 40, b"\x08\0\x05\0CS\x0a\0ISO_IR 100", bytes(4000)]
)
def test_files_without_a_header_get_the_cure(tmp_path, content):
    (path := tmp_path / "x.dcm").write_bytes(content)
    with pytest.raises(MmtkError, match=r"x\.dcm: has no .*\n  .*dcmconv"):
        read_image(path)


def test_a_file_without_transfer_syntax_gets_the_cure(tmp_path):
    dicom(path := tmp_path / "x.dcm", RAMP)
    film = pydicom.dcmread(path)
    del film.file_meta.TransferSyntaxUID
    film.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=False)
    with pytest.raises(MmtkError, match=r"x\.dcm: has no .*\n  .*dcmconv"):
        read_image(path)


def test_a_deflated_file_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mmtk.images.dicom_header._MOST_INFLATED", 1 << 24)
    dicom(path := tmp_path / "x.dcm", RAMP, syntax=DeflatedExplicitVRLittleEndian)
    start = 144 + pydicom.filereader.read_file_meta_info(path).FileMetaInformationGroupLength
    squeeze = zlib.compressobj(wbits=-15)
    block = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(path.read_bytes()[:start] + block * 20 + squeeze.flush())
    with pytest.raises(MmtkError, match="is too large: it inflates to more than 17 MB"):
        read_image(path)
