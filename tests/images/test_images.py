"""Decoding against PIL, NumPy and pydicom."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from mmtk.errors import MmtkError
from mmtk.images.loader import (
    image_size,
    read_image,
    read_labels,
    read_mask,
    read_patient,
    read_spacing,
    resize_image,
    resize_mask,
)
from mmtk.images.png import plain_png

GRAY = np.random.default_rng(0).integers(0, 256, (12, 9), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 9, 3), dtype=np.uint8)


def save(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif", "pgm", "PNG"])
def test_eight_bits_stay_as_they_are(tmp_path, suffix):
    path = save(tmp_path / f"x.{suffix}", GRAY)
    assert np.array_equal(read_image(path), GRAY)
    assert image_size(path) == (12, 9)
    assert read_spacing(path) is None


def test_jpeg_is_what_pil_decodes(tmp_path):
    path = save(tmp_path / "x.jpeg", GRAY, quality=93)
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))


def test_colour_becomes_luminance(tmp_path):
    image = read_image(save(tmp_path / "x.png", COLOUR)).astype(float)
    exact = COLOUR @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
    assert np.abs(image - exact).max() <= 0.51
    equal = np.repeat(GRAY[..., None], 3, 2)
    assert np.array_equal(read_image(save(tmp_path / "y.png", equal)), GRAY)


def test_palette_of_grays(tmp_path):
    palette = Image.fromarray(GRAY).convert("P")
    palette.putpalette([255 - value // 3 for value in range(768)])  # index i is drawn as 255 - i
    assert np.array_equal(read_image(save(tmp_path / "x.png", palette)), 255 - GRAY)


def test_one_bit(tmp_path):
    assert np.array_equal(read_image(save(tmp_path / "x.png", GRAY > 99)), np.where(GRAY > 99, 255, 0))


def test_cmyk(tmp_path):
    path = save(tmp_path / "x.tif", Image.fromarray(COLOUR).convert("CMYK"))
    exact = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_image(path) - exact).max() <= 1.5


def test_alpha_is_composed_on_black(tmp_path):
    alpha = np.where(np.arange(9) < 4, 255, 0).astype(np.uint8) * np.ones((12, 1), np.uint8)
    image = read_image(save(tmp_path / "x.png", np.dstack([GRAY, GRAY, GRAY, alpha])))
    assert np.array_equal(image[:, :4], GRAY[:, :4])
    assert not image[:, 4:].any()
    assert np.array_equal(read_image(save(tmp_path / "y.png", np.dstack([GRAY, alpha]))), image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for path in (tmp_path / "x.jpeg", tmp_path / "x.png"):
        save(path, GRAY, exif=exif)
        upright = ImageOps.exif_transpose(Image.open(path))
        assert np.array_equal(read_image(path), np.asarray(upright))
        assert image_size(path) == (upright.height, upright.width)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_images_are_stretched(tmp_path, dtype):
    deep = np.random.default_rng(2).integers(300, 4000, (12, 9)).astype(dtype)
    image = read_image(save(tmp_path / "x.tif", deep))
    exact = (deep.astype(float) - deep.min()) / (float(deep.max()) - deep.min()) * 255
    assert image.dtype == np.uint8
    assert np.abs(image - exact).max() <= 0.5
    assert (image.min(), image.max()) == (0, 255)


def test_sixteen_bit_png(tmp_path):
    deep = np.random.default_rng(2).integers(300, 4000, (12, 9)).astype(np.uint16)
    assert read_image(save(tmp_path / "x.png", deep)).max() == 255


def test_constant_and_not_finite(tmp_path):
    assert not read_image(save(tmp_path / "c.tif", np.full((4, 4), 700, np.uint16))).any()
    assert not read_image(save(tmp_path / "n.tif", np.full((4, 4), np.nan, np.float32))).any()
    values = np.array([[np.nan, -np.inf, np.inf, 1, 2, 3]], np.float32)
    assert read_image(save(tmp_path / "f.tif", values)).tolist() == [[0, 0, 255, 0, 128, 255]]


def test_first_frame(tmp_path):
    frames = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "x.tif", save_all=True, append_images=frames[1:])
    assert np.array_equal(read_image(tmp_path / "x.gif"), GRAY)
    assert np.array_equal(read_image(tmp_path / "x.tif"), GRAY)


def test_jsrt_film(tmp_path):
    film = np.random.default_rng(3).integers(100, 4000, (2048, 2048)).astype(np.uint16)
    path = tmp_path / "JPCLN001.IMG"
    film.astype(">u2").tofile(path)
    image = read_image(path)
    exact = (film.max() - film.astype(float)) / (film.max() - film.min()) * 255  # inverted
    assert np.abs(image - exact).max() <= 0.5
    assert image_size(path) == (2048, 2048)
    path.write_bytes(b"\0" * 1000)
    with pytest.raises(MmtkError, match=r"JPCLN001.IMG: is not a JSRT film: it has 1,000 bytes, not 8,388,608"):
        read_image(path)


def dicom(path: Path, values: np.ndarray, **elements: object) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = values.shape[-2:] if elements.get("SamplesPerPixel", 1) == 1 else values.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = values.dtype.itemsize * 8
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits, bits - 1, 0
    for name, value in elements.items():
        setattr(data, name, value)
    data.PixelData = values.tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


DEEP = np.random.default_rng(4).integers(0, 4096, (12, 10)).astype(np.uint16)


@pytest.mark.parametrize("slope", [1.0, 2.0])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_dicom_window(tmp_path, slope, kind):
    path = dicom(
        tmp_path / "x.dcm",
        DEEP,
        PhotometricInterpretation=kind,
        WindowCenter=1500,
        WindowWidth=1000,
        RescaleSlope=slope,
        RescaleIntercept=-100.0,
    )
    # PS3.3 C.11.2.1.2.1, linear.
    exact = np.clip((slope * DEEP.astype(float) - 100 - 1499.5) / 999 + 0.5, 0, 1) * 255
    exact = 255 - exact if kind == "MONOCHROME1" else exact
    assert np.abs(read_image(path) - exact).max() <= 0.51
    assert image_size(path) == (12, 10)


def test_dicom_without_window_is_stretched(tmp_path):
    image = read_image(dicom(tmp_path / "x.dcm", DEEP))
    exact = (DEEP - float(DEEP.min())) / (float(DEEP.max()) - DEEP.min()) * 255
    assert np.abs(image - exact).max() <= 0.5


def test_dicom_without_suffix_and_with_frames(tmp_path):
    frames = np.stack([DEEP, DEEP[::-1]])
    path = dicom(tmp_path / "IM0001", frames, NumberOfFrames=2)
    assert np.array_equal(read_image(path), read_image(dicom(tmp_path / "x.dcm", DEEP)))


def test_dicom_colour(tmp_path):
    path = dicom(
        tmp_path / "x.dcm",
        COLOUR[:, :8].copy(),
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
    )
    assert np.array_equal(read_image(path), np.asarray(Image.fromarray(COLOUR[:, :8]).convert("L")))


def test_spacing(tmp_path):
    assert read_spacing(dicom(tmp_path / "a.dcm", DEEP, PixelSpacing=[0.2, 0.1])) == (0.2, 0.1)
    assert read_spacing(dicom(tmp_path / "b.dcm", DEEP, ImagerPixelSpacing=[0.15, 0.15])) == (0.15, 0.15)
    both = dicom(tmp_path / "c.dcm", DEEP, PixelSpacing=[0.2, 0.1], ImagerPixelSpacing=[0.3, 0.3])
    assert read_spacing(both) == (0.2, 0.1)
    assert read_spacing(dicom(tmp_path / "d.dcm", DEEP)) is None
    assert read_spacing(dicom(tmp_path / "e.dcm", DEEP, PixelSpacing=[0, 0])) is None
    assert read_spacing(save(tmp_path / "x.png", GRAY, dpi=(300, 300))) is None


def test_patient(tmp_path):
    assert read_patient(dicom(tmp_path / "a.dcm", DEEP, PatientID=" P7 ")) == "P7"
    assert read_patient(dicom(tmp_path / "b.dcm", DEEP, PatientID="P7", IssuerOfPatientID="H")) == "P7^^^H"
    assert read_patient(dicom(tmp_path / "c.dcm", DEEP)) == ""
    assert read_patient(dicom(tmp_path / "d.dcm", DEEP, PatientID="", IssuerOfPatientID="H")) == ""
    assert read_patient(save(tmp_path / "x.png", GRAY)) == ""


def test_missing_pydicom_names_the_cure(tmp_path, monkeypatch):
    path = dicom(tmp_path / "x.dcm", DEEP)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MmtkError, match=r"x.dcm: is DICOM.*\n  Install it: python -m pip install 'pydicom>=3\.0'"):
        read_image(path)


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("read", [read_image, read_mask, read_labels])
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.png", b"", "is empty"),
        ("text.png", b"hello world", "is not an image"),
        ("bomb.png", png_of(60_000, 60_000), "is too large: more than 179 megapixels"),
        ("short.png", png_of(500, 500), "cannot be decoded"),
        ("noise.tif", b"II*\0" + b"\xff" * 60, "is not an image"),
    ],
)
def test_bad_files_are_named(tmp_path, read, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MmtkError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpeg", "tif", "dcm", "gif", "bmp", "webp"])
def test_truncated_files_are_named(tmp_path, suffix):
    path = tmp_path / f"whole.{suffix}"
    noise = np.random.default_rng(5).integers(0, 255, (64, 64), dtype=np.uint8)
    dicom(path, noise) if suffix == "dcm" else save(path, noise)
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.8):
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(MmtkError, match=f"cut.{suffix}: "):
            read_image(cut)


@given(st.data())
def test_damaged_files_never_give_a_traceback(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "x.png"
    suffix = data.draw(st.sampled_from(["png", "jpeg", "tif", "gif"]))
    path = path.with_suffix(f".{suffix}")
    content = bytearray(save(path, GRAY).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    for read in (read_image, read_mask, read_labels, image_size):
        try:
            read(path)
        except MmtkError as error:
            assert str(path) in str(error)  # noqa: PT017 - any other error fails the test


@pytest.mark.parametrize("bits", [0, 1, 2, 9, 10, 11, 13, 16, 17, 255])
def test_a_depth_that_a_jpeg_cannot_have_is_refused_by_name(tmp_path, bits):
    """Some decoders give no pixels then, and no error."""
    path = tmp_path / "x.jpeg"
    content = bytearray(save(path, GRAY).read_bytes())
    content[content.index(b"\xff\xc0") + 4] = bits
    path.write_bytes(content)
    for read in (read_image, read_mask, read_labels):
        with pytest.raises(MmtkError, match=r"x\.jpeg: "):
            read(path)


def test_no_such_file(tmp_path):
    with pytest.raises(MmtkError, match=r"gone.png: no such file"):
        read_image(tmp_path / "gone.png")


DISC = np.hypot(*np.mgrid[-16:16, -16:16]) < 9


@pytest.mark.parametrize("low", [0, 1])
@pytest.mark.parametrize("high", [2, 255])
def test_mask_of_two_values(tmp_path, low, high):
    path = save(tmp_path / "m.png", np.where(DISC, high, low).astype(np.uint8))
    assert np.array_equal(read_mask(path), DISC)


def test_plain_png_is_what_pillow_decodes_and_every_other_one_is_left_to_it(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    values = (np.arange(35).reshape(5, 7) * 7).astype(np.uint8)
    image, text, exif = Image.fromarray(values), PngInfo(), Image.Exif()
    text.add_text("XML:com.adobe.xmp", '<x tiff:Orientation="6">')
    exif[0x0112] = 6
    path = tmp_path / "a.png"
    for options in ({}, {"compress_level": 0}, {"dpi": (72, 72)}):
        image.save(path, **options)
        assert (plain_png(path) == values).all()
        assert np.array_equal(plain_png(path), np.asarray(Image.open(path)))
    for other, options in (
        (image, {"transparency": 3}),
        (image, {"pnginfo": text}),
        (image, {"exif": exif}),
        *((image.convert(mode), {}) for mode in ("1", "P", "RGB", "LA", "I;16")),
    ):
        other.save(path, **options)
        assert plain_png(path) is None, options or other.mode
    image.save(path)
    content = bytearray(path.read_bytes())
    content[-14] ^= 255  # the checksum of the pixels, which Pillow does not read
    path.write_bytes(content)
    assert plain_png(path) is None
    assert (read_labels(path) == values).all()


def test_masks_of_other_kinds(tmp_path):
    assert np.array_equal(read_mask(save(tmp_path / "one.png", DISC)), DISC)
    assert np.array_equal(read_mask(save(tmp_path / "m.gif", DISC.astype(np.uint8) * 255)), DISC)
    assert np.array_equal(read_mask(save(tmp_path / "deep.png", DISC.astype(np.uint16) * 900)), DISC)
    assert np.array_equal(read_mask(save(tmp_path / "m.jpeg", DISC.astype(np.uint8) * 255, quality=90)), DISC)
    assert not read_mask(save(tmp_path / "none.png", np.zeros((8, 8), np.uint8))).any()
    assert not read_mask(save(tmp_path / "none.jpeg", np.zeros((8, 8), np.uint8))).any()
    assert read_mask(save(tmp_path / "all.png", np.ones((8, 8), np.uint8))).all()
    palette = Image.fromarray(DISC.astype(np.uint8))
    palette.putpalette([0, 0, 0, 128, 0, 0])
    assert np.array_equal(read_mask(save(tmp_path / "p.png", palette)), DISC)
    soft = Image.fromarray(DISC.astype(np.uint8) * 255).resize((128, 128), Image.Resampling.BICUBIC)
    assert np.array_equal(read_mask(save(tmp_path / "soft.png", soft)), np.asarray(soft) > 127)


def test_a_label_map_is_no_mask(tmp_path):
    path = save(tmp_path / "m.png", np.arange(64, dtype=np.uint8).reshape(8, 8) % 4)
    with pytest.raises(MmtkError, match=r"m.png: is not a mask: it has the values 0, 1, 2, 3\.") as caught:
        read_mask(path)
    assert "exclusive = true" in str(caught.value)


def test_labels(tmp_path):
    labels = np.arange(64).reshape(8, 8) % 5
    for dtype in (np.uint8, np.uint16):
        assert np.array_equal(read_labels(save(tmp_path / "m.png", labels.astype(dtype))), labels)
    palette = Image.fromarray(labels.astype(np.uint8))
    palette.putpalette(list(range(250, 235, -1)))
    assert np.array_equal(read_labels(save(tmp_path / "p.png", palette)), labels)
    same = np.repeat(labels[..., None], 3, 2).astype(np.uint8)
    assert np.array_equal(read_labels(save(tmp_path / "c.png", same)), labels)
    with pytest.raises(MmtkError, match="it is in colour"):
        read_labels(save(tmp_path / "rgb.png", COLOUR))
    with pytest.raises(MmtkError, match="JPEG changes the labels"):
        read_labels(save(tmp_path / "m.jpeg", labels.astype(np.uint8)))
    with pytest.raises(MmtkError, match="whole numbers"):
        read_labels(save(tmp_path / "m.tif", (labels + 0.5).astype(np.float32)))
    with pytest.raises(MmtkError, match="whole numbers"):
        read_labels(save(tmp_path / "n.tif", np.full((4, 4), np.nan, np.float32)))


def test_resize_image():
    image = np.random.default_rng(6).integers(0, 256, (64, 32), dtype=np.uint8)
    small = resize_image(image, 16)
    assert (small.shape, small.dtype) == ((16, 16), np.uint8)
    assert abs(small.mean() - image.mean()) < 3  # antialiased: the mean of noise stays, its spread falls
    assert small.std() < image.std() / 2
    assert resize_image(image[:32], 32) is not None
    assert np.array_equal(resize_image(image[:32], 32), image[:32])


def test_resize_mask_keeps_areas():
    big = np.hypot(*np.mgrid[-64:64, -64:64]) < 40
    for size in (32, 50, 128, 200):
        small = resize_mask(big[None].astype(np.uint8), size)
        assert small.shape == (1, size, size)
        assert set(np.unique(small)) == {0, 1}
        assert abs(small.mean() - big.mean()) < 0.01
    whole = resize_mask(np.ones((1, 7, 9), np.uint8), 4)
    assert whole.all()


def test_resize_keeps_one_class_per_pixel():
    labels = np.random.default_rng(7).integers(0, 3, (40, 56)).repeat(3, 0)
    onehot = (np.arange(3)[:, None, None] == labels).astype(np.uint8)
    small = resize_mask(onehot, 24)
    assert (small.sum(0) == 1).all()
    overlapping = np.ones((2, 30, 30), np.uint8)
    assert resize_mask(overlapping, 11).all()


def test_resize_keeps_what_is_ignored():
    mask = np.zeros((2, 32, 32), np.uint8)
    mask[1, :, 16:] = 1
    mask[0, :, :16] = 1
    mask[:, :8] = 255
    small = resize_mask(mask, 16)
    assert (small[:, :4] == 255).all()
    assert (small[:, 4:].sum(0) == 1).all()
    assert small[1, 4:, 8:].all()
    assert not small[1, 4:, :8].any()
    # An ignored neighbour takes no share from the foreground beside it.
    alone = np.full((1, 32, 32), 255, np.uint8)
    alone[0, 16:] = 1
    assert (resize_mask(alone, 16)[0, 8:] == 1).all()
