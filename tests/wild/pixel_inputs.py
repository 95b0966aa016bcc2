"""Films and masks as people have them, written from the format's rules, with the values that a reader should see.

The right values come from NumPy, never from mmtk.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

RAMP = np.linspace(0, 4095, 24 * 18).reshape(24, 18).astype(np.uint16)  # 12 bits, taller than wide
GRAY = (RAMP // 16).astype(np.uint8)
MASK = np.zeros((24, 18), bool)
MASK[4:16, 3:12] = True
ON = MASK * np.uint8(255)
NONE = np.zeros_like(ON)
ONE = MASK.astype(np.uint8)

Write = Callable[[Path], object]


def stretched(values: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Float [H,W] from 0 to 255 between the extremes of those ``inside``."""
    exact = values.astype(np.float64)
    low, high = (f(exact if inside is None else exact[inside]) for f in (np.min, np.max))
    return np.clip((exact - low) / (high - low), 0, 1) * 255


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Stored → shown, by where EXIF says that row 0 and column 0 of the stored raster are."""
    row, column = {
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }.get(orientation, ("top", "left"))
    if row in ("left", "right"):
        values = values.T
        row, column = column, row
    if row == "bottom":
        values = values[::-1]
    return values[:, ::-1] if column == "right" else values


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path: Path, values: np.ndarray, colour: int, late: bytes = b"") -> None:
    """A PNG that Pillow cannot write: several channels of 16 bits, chunks behind the pixels."""
    height, width = values.shape[:2]
    bits = 8 * values.dtype.itemsize
    raw = b"".join(b"\0" + row.tobytes() for row in values.astype(f">u{values.dtype.itemsize}"))
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + late + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def exif(orientation: int) -> bytes:
    """A TIFF block with the orientation alone."""
    return b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + struct.pack("<HHI", orientation, 0, 0)


# --- orientation: every way to write it, for a raster [H,W] uint8 ---


def _tagged(form: str, **options: object) -> Callable[[Path, np.ndarray, int], None]:
    def write(path: Path, values: np.ndarray, orientation: int) -> None:
        Image.fromarray(values).save(path, form, exif=b"Exif\0\0" + exif(orientation), **options)

    return write


def _png_text(key: str, text: Callable[[int], str]) -> Callable[[Path, np.ndarray, int], None]:
    def write(path: Path, values: np.ndarray, orientation: int) -> None:
        said = PngImagePlugin.PngInfo()
        said.add_itxt(key, text(orientation))
        Image.fromarray(values).save(path, "PNG", pnginfo=said)

    return write


def _xmp(orientation: int, quote: str = '"') -> str:
    attribute = f"tiff:Orientation={quote}{orientation}{quote}"
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description {attribute}/></x:xmpmeta>'


def _xmp_tagged(form: str, **options: object) -> Callable[[Path, np.ndarray, int], None]:
    def write(path: Path, values: np.ndarray, orientation: int) -> None:
        Image.fromarray(values).save(path, form, xmp=_xmp(orientation, "'").encode(), **options)

    return write


def _xmp_tiff(path: Path, values: np.ndarray, orientation: int, **options: object) -> None:
    packet = _xmp(orientation, "'").encode()
    tifffile.imwrite(path, values, extratags=[(700, 1, len(packet), packet, True)], **options)


def _xmp_ycbcr(path: Path, values: np.ndarray, orientation: int) -> None:
    coding = {"compression": "jpeg", "compressionargs": {"level": 100}}
    _xmp_tiff(path, np.dstack([values] * 3), orientation, photometric="rgb", **coding)


def _lossless(path: Path, values: np.ndarray, orientation: int) -> None:
    """A lossless JPEG with the EXIF block behind its first marker."""
    content, block = imagecodecs.ljpeg_encode(values), b"Exif\0\0" + exif(orientation)
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:])


def _profile(orientation: int) -> str:
    block = b"Exif\0\0" + exif(orientation)
    return f"\nexif\n{len(block):8}\n{block.hex()}\n"


def _late(path: Path, values: np.ndarray, orientation: int) -> None:
    png(path, values, 0, chunk(b"eXIf", exif(orientation)))


def _tiff(**options: object) -> Callable[[Path, np.ndarray, int], None]:
    def write(path: Path, values: np.ndarray, orientation: int) -> None:
        deep = options.get("dtype", np.uint8)
        rest = {key: value for key, value in options.items() if key not in ("dtype", "colour")}
        values = np.dstack([values] * 3) if options.get("colour") else values
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, values.astype(deep), extratags=tags, **rest)

    return write


PACKINGS: dict[str, Callable[[Path, np.ndarray, int], None]] = {
    "jpg": _tagged("JPEG", quality=100),
    "png": _tagged("PNG"),
    "webp": _tagged("WEBP", lossless=True),
    "xmp.png": _png_text("XML:com.adobe.xmp", _xmp),
    "xmp.webp": _xmp_tagged("WEBP", lossless=True),
    "xmp.jpg": _xmp_tagged("JPEG", quality=100),
    "xmp.tif": _xmp_tiff,
    "xmp-ycbcr.tif": _xmp_ycbcr,
    "lossless.jpg": _lossless,
    "profile.png": _png_text("Raw profile type exif", _profile),
    "late.png": _late,
    "plain.tif": _tiff(),
    "zlib.tif": _tiff(compression="zlib"),
    "lzw.tif": _tiff(compression="lzw"),
    "jpeg.tif": _tiff(compression="jpeg", compressionargs={"level": 100}),
    "tiles.tif": _tiff(tile=(16, 16)),
    "strips.tif": _tiff(rowsperstrip=5),
    "deep.tif": _tiff(dtype=np.uint16),
    "float.tif": _tiff(dtype=np.float32, compression="zlib"),
    "big.tif": _tiff(bigtiff=True),
    "motorola.tif": _tiff(byteorder=">"),
    "colour.tif": _tiff(colour=True, photometric="rgb"),
    "ycbcr.tif": _tiff(colour=True, photometric="rgb", compression="jpeg", compressionargs={"level": 100}),
}

# --- depth, sign, photometry, planes: file name, how it is written, the gray values that are right ---

DEEP16 = RAMP * np.uint16(16)


def _save(values: np.ndarray, **options: object) -> Write:
    return lambda path: tifffile.imwrite(path, values, **options)


def _image(values: np.ndarray, **options: object) -> Write:
    return lambda path: Image.fromarray(values).save(path, **options)


def _ppm(text: bool) -> Write:
    colour = np.dstack([RAMP] * 3)
    body = " ".join(map(str, colour.ravel())).encode() if text else colour.astype(">u2").tobytes()
    return lambda path: path.write_bytes(b"P%d\n18 24\n4095\n" % (3 if text else 6) + body)


def _hidden(path: Path) -> None:
    """A gray PNG of 16 bits in which the brightest level is transparent."""
    png(path, RAMP, 0)
    content = path.read_bytes()
    path.write_bytes(content[:33] + chunk(b"tRNS", struct.pack(">H", RAMP.max())) + content[33:])


def _jpeg12(path: Path) -> None:
    path.write_bytes(imagecodecs.jpeg8_encode(RAMP, level=100, bitspersample=12))


def _interlaced(path: Path) -> None:
    """Red, green and blue of 16 bits in the seven passes of Adam7."""
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    colours = np.dstack([RAMP] * 3).astype(">u2")
    rows = [row for x, y, right, down in steps for row in colours[y::down, x::right]]
    head = struct.pack(">IIBBBBB", *RAMP.shape[::-1], 16, 2, 0, 0, 1)
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body)


def _without_values(values: np.ndarray, level: str, **options: object) -> Write:
    """A TIFF whose pixels of one level have no value, as GDAL writes it."""
    return _save(values, extratags=[(42113, "s", 0, level, True)], **options)


HOLES = np.where(MASK, RAMP.astype(np.float32), -9999)
FILMS: list[tuple[str, Write, np.ndarray]] = [
    ("interlaced-16.png", _interlaced, stretched(RAMP)),
    ("holes-float.tif", _without_values(HOLES, "-9999"), stretched(HOLES, MASK)),
    (
        "holes-lowest.tif",
        _without_values(np.where(MASK, HOLES, np.finfo("f4").min), "-3.40282346638529e+38"),
        stretched(HOLES, MASK),
    ),
    ("holes-16.tif", _without_values(np.where(MASK, RAMP, 65535).astype("u2"), "65535"), stretched(HOLES, MASK)),
    ("holes-8.tif", _without_values(np.where(MASK, GRAY, 255).astype("u1"), "255"), GRAY * ONE),
    (
        "holes-white-16.tif",
        _without_values(np.where(MASK, RAMP, 0), "0", photometric="miniswhite"),
        np.where(MASK, 255 - stretched(RAMP, MASK), 0),
    ),
    (
        "holes-colour.tif",
        _without_values(np.dstack([np.where(MASK, RAMP, 7)] * 3).astype("u2"), "7", photometric="rgb"),
        stretched(HOLES, MASK),
    ),
    ("no-holes.tif", _without_values(GRAY, "none"), GRAY),
    ("no-holes-8.tif", _without_values(GRAY, "-9999"), GRAY),
    ("nan-holes.tif", _without_values(np.where(MASK, RAMP, np.nan).astype("f4"), "nan"), stretched(HOLES, MASK)),
    ("hidden-16.png", _hidden, stretched(np.where(RAMP.max() == RAMP, 0, RAMP))),
    ("twelve.jpg", _jpeg12, stretched(RAMP)),
    ("lossless-12.jpg", lambda path: path.write_bytes(imagecodecs.ljpeg_encode(RAMP)), stretched(RAMP)),
    ("rgb-16.png", lambda path: png(path, np.dstack([RAMP] * 3), 2), stretched(RAMP)),
    ("gray-alpha-16.png", lambda path: png(path, np.dstack([RAMP, RAMP * 0 + 65535]), 4), stretched(RAMP)),
    (
        "rgba-16.png",
        lambda path: png(path, np.dstack([*[RAMP] * 3, MASK * 65535]).astype(np.uint16), 6),
        stretched(RAMP * MASK),
    ),
    ("rgb-12.ppm", _ppm(False), stretched(RAMP)),
    ("rgb-12-text.ppm", _ppm(True), stretched(RAMP)),
    ("rgb-16.tif", _save(np.dstack([DEEP16] * 3), photometric="rgb"), stretched(RAMP)),
    ("planes-16.tif", _save(np.stack([DEEP16] * 3), photometric="rgb", planarconfig="separate"), stretched(RAMP)),
    ("planes-8.tif", _save(np.stack([GRAY] * 3), photometric="rgb", planarconfig="separate"), GRAY),
    ("white-16.tif", _save(RAMP, photometric="miniswhite"), 255 - stretched(RAMP)),
    ("white-8.tif", _save(GRAY, photometric="miniswhite"), 255.0 - GRAY),
    ("white-float.tif", _save(RAMP.astype(np.float32), photometric="miniswhite"), 255 - stretched(RAMP)),
    ("white-1.tif", _save(MASK), 255.0 - ON),
    ("signed-8.tif", _save((GRAY.astype(int) - 128).astype(np.int8)), stretched(GRAY)),
    ("signed-16.tif", _save(RAMP.astype(np.int16) - 2000), stretched(RAMP)),
    ("unsigned-32.tif", _save(RAMP.astype(np.uint32) * 1_000_000), stretched(RAMP)),
    ("signed-64.tif", _save(RAMP.astype(np.int64) - 7), stretched(RAMP)),
    ("unsigned-64.tif", _save(RAMP.astype(np.uint64) << 40), stretched(RAMP)),
    ("float-16.tif", _save(RAMP.astype(np.float16)), stretched(RAMP.astype(np.float16))),
    ("float-64.tif", _save(RAMP / 7), stretched(RAMP)),
    ("twelve.tif", _save(RAMP, bitspersample=12), stretched(RAMP)),
    ("predictor.tif", _save(RAMP, compression="lzw", predictor=True), stretched(RAMP)),
    (
        "gray-and-more.tif",
        _save(
            np.dstack([RAMP, RAMP[::-1]]),
            photometric="minisblack",
            planarconfig="contig",
            extrasamples=["unspecified"],
        ),
        stretched(RAMP),
    ),
    (
        "palette.tif",
        _save(
            GRAY, photometric="palette", colormap=np.stack([np.arange(255, -1, -1) * 257] * 3).astype(np.uint16)
        ),
        255.0 - GRAY,
    ),
]

# --- masks: the foreground of every one is MASK ---

NUMBERS = tuple(np.dtype(kind) for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"))
PURPLE, YELLOW = [68, 1, 84], [253, 231, 36]

MASKS: list[tuple[str, Write]] = [
    ("black-with-alpha.png", _image(np.dstack([NONE, NONE, NONE, ON]))),
    ("white-with-alpha.png", _image(np.dstack([NONE + 255, NONE + 255, NONE + 255, ON]))),
    ("gray-with-alpha.png", _image(np.dstack([NONE, ON]))),
    ("alpha-all-zero.png", _image(np.dstack([ON, ON, ON, NONE]))),
    ("alpha-all-one.png", _image(np.dstack([ON, ON, ON, NONE + 255]))),
    ("one.webp", _image(np.dstack([ONE] * 3), lossless=True)),
    ("rgb-16.png", lambda path: png(path, np.dstack([ONE] * 3).astype(np.uint16), 2)),
    ("rgb-16.tif", _save(np.dstack([ONE] * 3).astype(np.uint16), photometric="rgb")),
    ("half-red.png", _image(np.dstack([ON, NONE, NONE, MASK * np.uint8(128)]))),
    ("lossless.jpg", lambda path: path.write_bytes(imagecodecs.ljpeg_encode(ONE))),
    ("both.png", _image(np.dstack([ON, ON, ON, ON]))),
    ("alpha-16.png", lambda path: png(path, np.dstack([RAMP * 0, MASK * np.uint16(65535)]), 4)),
    *[(f"one-in-{c}.png", _image(np.dstack([ONE * np.uint8(c == k) for k in range(3)]))) for c in range(3)],
    *[
        (
            f"all-in-{c}.jpg",
            _image(np.dstack([ON * (c == k) for k in range(3)]).astype(np.uint8), quality=100, subsampling=0),
        )
        for c in range(3)
    ],
    ("colours.png", _image(np.where(MASK[..., None], YELLOW, PURPLE).astype(np.uint8))),
    ("red-on-blue.png", _image(np.where(MASK[..., None], [255, 0, 0], [0, 0, 255]).astype(np.uint8))),
    ("upper-half.png", _image(np.where(MASK, 255, 128).astype(np.uint8))),
    ("bool.tif", _save(MASK)),
    ("bool-zlib.tif", _save(MASK, compression="zlib")),
    ("fax.tif", _image(MASK, compression="group4")),
    ("white-is-zero.tif", _save(ON, photometric="miniswhite")),
    ("planes.tif", _save(np.stack([ON] * 3), photometric="rgb", planarconfig="separate")),
    *[(f"one-{kind}.tif", _save(MASK.astype(kind))) for kind in NUMBERS],
    ("unsigned-32.tif", _save(MASK.astype(np.uint32) * np.uint32(2**32 - 1))),
    ("infinite.tif", _save(np.where(MASK, np.inf, 0).astype(np.float32))),
    ("one.pgm", lambda path: path.write_bytes(b"P5\n18 24\n1\n" + ONE.tobytes())),
    ("stored.dcm", lambda path: dicom(path, ONE)),
    ("inverted-by-name.dcm", lambda path: dicom(path, ONE, PhotometricInterpretation="MONOCHROME1")),
]

REFUSED_MASKS: list[tuple[str, Write, str]] = [
    ("one.jpg", _image(ONE, quality=95), "does not tell from noise"),
    ("one.webp", _image(ONE, quality=95), "does not tell from noise"),
    ("one-jpeg.tif", _save(ONE, compression="jpeg"), "does not tell from noise"),
    ("negative.tif", _save(-MASK.astype(np.int8)), "above 0"),
    ("holes.png", _image(np.dstack([ON, ON, ON, 255 - ON])), "transparent"),
    ("organs.png", _image(np.dstack([ON, np.roll(ON, 9, 0), NONE])), "has the values"),
    ("complex.tif", _save(MASK.astype(np.complex64)), "complex"),
]

# --- DICOM: elements, and the gray values that are right ---


def dicom(
    path: Path, pixels: np.ndarray, bits: int = 12, syntax: str = ExplicitVRLittleEndian, **elements: object
):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid()
    meta.TransferSyntaxUID = syntax
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.Rows, made.Columns, made.SamplesPerPixel = *pixels.shape[-2:], 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, bits, bits - 1
    if pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    for name, value in elements.items():
        setattr(made, name, value)
    made.PixelData = pixels.astype(np.int16 if pixels.dtype.kind == "i" else np.uint16).tobytes()
    made["PixelData"].VR = "OW"
    made.save_as(str(path), enforce_file_format=True)


def windowed(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """The linear window of PS3.3 C.11.2.1.2.1, from 0 to 255."""
    return np.clip((values.astype(np.float64) - centre + 0.5) / (width - 1) + 0.5, 0, 1) * 255


def group(**elements: object) -> Sequence:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return Sequence([item])


BORDER = np.zeros(RAMP.shape, bool)
BORDER[:4] = True
RIM = np.where(BORDER, 60000, RAMP).astype(np.uint16)
BELOW = np.where(BORDER, -2000, RAMP.astype(np.int16)).astype(np.int16)
PADDED = np.where(BORDER, 0, stretched(RAMP, ~BORDER))
FRAMES = np.stack([RAMP, RAMP[::-1]])
SHARED = group(FrameVOILUTSequence=group(WindowCenter=2000, WindowWidth=1000))
OWN = group(FrameVOILUTSequence=group(WindowCenter=500, WindowWidth=300))

SIGNED = RAMP.astype(np.int16) - np.int16(2048)
CURVE = np.clip(np.arange(4096) // 8, 0, 255)  # 12 bits to 8, with a shoulder
DARK = (RAMP // 4 + 100).astype(np.uint16)  # a quarter of the table


def look_up_table(first: int, bits: int, outputs: np.ndarray, form: str) -> Sequence:
    """A LUT sequence of one item; ``form``: US numbers, OW words, or OW bytes as old writers pack eight bits."""
    item = Dataset()
    item.LUTDescriptor = [len(outputs), first, bits]
    item.LUTData = (
        [int(number) for number in outputs]
        if form == "US"
        else outputs.astype("<u2" if form == "words" else "u1").tobytes()
    )
    item["LUTData"].VR = "US" if form == "US" else "OW"
    return Sequence([item])


DICOM: list[tuple[str, Write, np.ndarray]] = [
    (name, lambda path, pixels=pixels, elements=elements: dicom(path, pixels, **elements), right)
    for name, pixels, elements, right in (
        ("plain", RAMP, {}, stretched(RAMP)),
        ("padding", RIM, {"bits": 16, "PixelPaddingValue": 60000}, PADDED),
        (
            "padding-range",
            np.where(BORDER, RIM - RAMP % 7, RAMP),
            {"bits": 16, "PixelPaddingValue": 59000, "PixelPaddingRangeLimit": 60000},
            PADDED,
        ),
        ("padding-signed", BELOW, {"bits": 16, "PixelPaddingValue": -2000}, PADDED),
        (
            "padding-inverted",
            RIM,
            {"bits": 16, "PixelPaddingValue": 60000, "PhotometricInterpretation": "MONOCHROME1"},
            np.where(BORDER, 0, 255 - stretched(RAMP, ~BORDER)),
        ),
        (
            "padding-window",
            RIM,
            {"bits": 16, "PixelPaddingValue": 60000, "WindowCenter": 2000, "WindowWidth": 1000},
            np.where(BORDER, 0, windowed(RAMP, 2000, 1000)),
        ),
        (
            "padding-rescaled",
            RIM,
            {"bits": 16, "PixelPaddingValue": 60000, "RescaleSlope": -2.0, "RescaleIntercept": 9.0},
            np.where(BORDER, 0, 255 - stretched(RAMP, ~BORDER)),
        ),
        ("padding-empty", RAMP, {"PixelPaddingValue": None}, stretched(RAMP)),
        ("rescale-empty", RAMP, {"RescaleSlope": None, "RescaleIntercept": None}, stretched(RAMP)),
        (
            "slope-empty",
            RAMP,
            {"RescaleSlope": None, "RescaleIntercept": -1024.0, "WindowCenter": 500, "WindowWidth": 300},
            windowed(RAMP.astype(float) - 1024, 500, 300),
        ),
        ("slope-zero", RAMP, {"RescaleSlope": 0.0, "RescaleIntercept": 0.0}, stretched(RAMP)),
        *[
            (f"width{width}", RAMP, {"WindowCenter": 2000, "WindowWidth": width}, stretched(RAMP))
            for width in (0, -5, 0.5, None)
        ],
        ("widths", RAMP, {"WindowCenter": [2000, 500], "WindowWidth": [0, 300]}, windowed(RAMP, 500, 300)),
        (
            "function-unknown",
            RAMP,
            {"WindowCenter": 500, "WindowWidth": 300, "VOILUTFunction": ""},
            windowed(RAMP, 500, 300),
        ),
        ("lut-empty", RAMP, {"VOILUTSequence": Sequence([])}, stretched(RAMP)),
        *[
            (f"lut-{form}", pixels, {"VOILUTSequence": look_up_table(0, 8, CURVE, form)}, CURVE[pixels])
            for form in ("US", "words", "bytes")
            for pixels in (RAMP, DARK)
        ],
        ("lut-signed", SIGNED, {"bits": 16, "VOILUTSequence": look_up_table(-2048, 8, CURVE, "US")}, CURVE[RAMP]),
        (
            "lut-of-twelve-bits",
            RAMP,
            {"ModalityLUTSequence": look_up_table(0, 12, np.arange(4095, -1, -1), "US")},
            255 - stretched(RAMP),
        ),
        (
            "lut-and-window",
            RAMP,
            {
                "ModalityLUTSequence": look_up_table(0, 16, np.arange(4096) * 3, "US"),
                "WindowCenter": 6000,
                "WindowWidth": 3000,
            },
            windowed(RAMP.astype(float) * 3, 6000, 3000),
        ),
        ("upper-bits", RAMP << 4, {"HighBit": 15}, stretched(RAMP)),
        ("upper-bits-signed", SIGNED << 4, {"HighBit": 15}, stretched(RAMP)),
        ("middle-bits", (RAMP << 2) | np.uint16(0x8003), {"HighBit": 13}, stretched(RAMP)),
        ("other-bits-set", RAMP | np.uint16(0xA000), {}, stretched(RAMP)),
        ("deflated", RAMP, {"syntax": DeflatedExplicitVRLittleEndian}, stretched(RAMP)),
        ("enhanced", FRAMES, {"SharedFunctionalGroupsSequence": SHARED}, windowed(RAMP, 2000, 1000)),
        (
            "enhanced-own",
            FRAMES,
            {"SharedFunctionalGroupsSequence": SHARED, "PerFrameFunctionalGroupsSequence": OWN},
            windowed(RAMP, 500, 300),
        ),
    )
]
