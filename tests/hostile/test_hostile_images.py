"""Damaged and unusual images through every source that reads files, and through predict.

Each is read, in the right shape, or refused by an MmtkError that names it. A child process does the reading, with
a limit of its memory and an alarm for every image, so that a bomb or a hang ends the child and fails the test.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import resource
import signal
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from loops import times
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from tiny import tiny

from mmtk.api import Source
from mmtk.components.source.chex import CheX
from mmtk.components.source.folder import Folder
from mmtk.components.source.jsrt import JSRT
from mmtk.components.source.mcu import MCU
from mmtk.components.source.nihx import NIHX
from mmtk.errors import MmtkError
from mmtk.images.loader import image_size, read_image, resize_image
from mmtk.workflows import run as run_workflow
from mmtk.workflows.predict import predict

SHAPE = (24, 20)  # rows, columns of every image that is in order
SECONDS = 10  # for one image
MEMORY = 1 << 30  # bytes of address space beyond what the libraries take


@dataclass(frozen=True)
class Case:
    """A file: what was done to it, its suffix and bytes; ``shape`` where it must be read, () where refused."""

    kind: str
    suffix: str
    data: bytes
    shape: tuple[int, ...] | None = None


# --- files in order -------------------------------------------------------------------------------------------


def encoded(values: np.ndarray | Image.Image, form: str, **options: Any) -> bytes:
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(file := io.BytesIO(), form, **options)
    return file.getvalue()


def dicom(values: np.ndarray, window: tuple[float, float] | None) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = values.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelSpacing = 1, "MONOCHROME1", [0.2, 0.2]
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    if window:
        data.WindowCenter, data.WindowWidth = window
    data.PixelData = values.astype(np.uint16).tobytes()
    pydicom.dcmwrite(file := io.BytesIO(), data, enforce_file_format=True)
    return file.getvalue()


def in_order(rng: np.random.Generator) -> list[Case]:
    """One file of every kind that must be read, with its shape."""
    gray = rng.integers(0, 256, SHAPE, dtype=np.uint8)
    colour = rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    deep = rng.integers(0, 4096, SHAPE).astype(np.uint16)
    holes = np.where(gray < 128, np.nan, gray).astype(np.float32)
    frames = [Image.fromarray(gray), Image.fromarray(255 - gray)]
    turned = Image.Exif()
    turned[0x0112] = 6
    made = {
        ("gray", "png"): encoded(gray, "PNG"),
        ("gray", "jpeg"): encoded(gray, "JPEG"),
        ("gray", "bmp"): encoded(gray, "BMP"),
        ("gray", "pgm"): encoded(gray, "PPM"),
        ("gray", "webp"): encoded(colour, "WEBP", lossless=True),
        ("colour", "jpg"): encoded(colour, "JPEG"),
        ("colour", "ppm"): encoded(colour, "PPM"),
        ("1-bit", "png"): encoded(gray > 99, "PNG"),
        ("1-bit", "tif"): encoded(gray > 99, "TIFF", compression="group4"),
        ("16-bit", "png"): encoded(deep, "PNG"),
        ("16-bit", "tiff"): encoded(deep, "TIFF", compression="tiff_lzw"),
        ("CMYK", "tif"): encoded(Image.fromarray(colour).convert("CMYK"), "TIFF"),
        ("CMYK", "jpeg"): encoded(Image.fromarray(colour).convert("CMYK"), "JPEG"),
        ("palette", "png"): encoded(Image.fromarray(colour).quantize(32), "PNG"),
        ("palette", "gif"): encoded(Image.fromarray(colour).quantize(16), "GIF"),
        ("transparent", "png"): encoded(np.dstack([colour, gray]), "PNG"),
        ("animated", "gif"): encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        ("animated", "png"): encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        ("animated", "tif"): encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        ("animated", "webp"): encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        ("NaN", "tif"): encoded(holes, "TIFF"),
        ("all NaN", "tif"): encoded(np.full(SHAPE, np.nan, np.float32), "TIFF"),
    }
    cases = [Case(kind, suffix, data, SHAPE) for (kind, suffix), data in made.items()]
    cases += [
        Case("DICOM", "dcm", dicom(deep, window), SHAPE) for window in (None, (2000, 3000), (500, 1), (0, 9e9))
    ]
    for suffix, form in (("jpeg", "JPEG"), ("png", "PNG")):
        cases.append(Case("EXIF turned", suffix, encoded(gray, form, exif=turned), SHAPE[::-1]))
    return cases


# --- files that are not ---------------------------------------------------------------------------------------


def png_header(height: int, width: int, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG of a size that its few bytes do not hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    body = chunk(b"IDAT", zlib.compress(b"\0" * 4096))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def gif_header(height: int, width: int) -> bytes:
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b"GIF89a" + size + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + b",\0\0\0\0" + size + b"\0\x02\x02D\x01\0;"


def sized(height: int, width: int) -> list[tuple[str, bytes]]:
    """Files of several formats whose headers claim a size."""
    bmp = bytearray(encoded(np.zeros((2, 2), np.uint8), "BMP"))
    bmp[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    tiff = bytearray(encoded(np.zeros((2, 2), np.uint8), "TIFF"))
    at = int.from_bytes(tiff[4:8], "little") + 2
    for tag, value in ((256, width), (257, height)):
        entry = tiff.index(tag.to_bytes(2, "little"), at)
        tiff[entry + 2 : entry + 12] = b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
    pgm = f"P5 {width} {height} 255\n".encode()
    return [
        ("png", png_header(height, width)),
        ("png", png_header(height, width, 16)),
        ("png", png_header(height, width, 8, 6)),
        ("gif", gif_header(height, width)),
        ("bmp", bytes(bmp)),
        ("tif", bytes(tiff)),
        ("pgm", pgm),
    ]


NONE, BOMBS, WIDE = sized(0, 0), sized(30_000, 30_000), sized(12_000, 12_000)
MAGIC = (
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"BM",
    b"RIFF",
    b"P5 ",
    b"<svg>",
)


def mutated(case: Case, rng: np.random.Generator) -> Case:
    """The case as it is, or damaged in one of eight ways."""
    data, form = (
        bytearray(case.data),
        str(rng.choice(["same", "cut", "magic", "none", "bomb", *["bytes"] * 4, "mix"])),
    )
    if form == "same":
        return case
    if form == "cut":
        return Case("truncated", case.suffix, bytes(data[: rng.integers(len(data))]))
    if form == "magic":
        head = rng.bytes(8) if rng.random() < 0.5 else MAGIC[rng.integers(len(MAGIC))]
        return Case("wrong magic", case.suffix, head + bytes(data[len(head) or 8 :]))
    if form == "none":
        suffix, empty = NONE[rng.integers(len(NONE))]
        return Case("0 × 0", suffix, empty, ())
    if form == "bomb":
        # The larger is refused by its header; the smaller has a size to be decoded, and too few bytes for it.
        many = BOMBS if rng.random() < 0.9 else WIDE
        suffix, bomb = many[rng.integers(len(many))]
        return Case("bomb", suffix, bomb, () if suffix != "gif" or many is BOMBS else None)
    if form == "mix":
        start, stop = sorted(rng.integers(0, len(data), 2).tolist())
        return Case("shuffled", case.suffix, bytes(data[:start] + data[stop:] + data[start:stop]))
    for _ in range(rng.integers(1, 12)):
        # Headers are where a byte says most.
        at = rng.integers(min(len(data), 200)) if rng.random() < 0.6 else rng.integers(len(data))
        data[at] = rng.integers(256)
    return Case("flipped bytes", case.suffix, bytes(data))


def cases(seed: int, count: int) -> Iterator[Case]:
    rng = np.random.default_rng(seed)
    plain = in_order(rng)
    for number in range(count):
        yield mutated(plain[number % len(plain)], rng)


# --- places to put them ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Route:
    """A small data set in its official layout: where a hostile file goes, and the item that it belongs to."""

    place: str
    make: Callable[[Path], Source]
    name: str
    mask: bool = False  # the file is a mask
    fixed: bool = False  # the table names the file, so its suffix stays


FINE = encoded(np.arange(480, dtype=np.uint8).reshape(SHAPE), "PNG")
MASK = encoded(np.arange(480).reshape(SHAPE) % 20 < 9, "PNG")
ROUTES = (
    Route("films/bad", lambda root: Folder(root, "classification", images="films", labels="films.csv"), "bad"),
    Route("images/bad", lambda root: Folder(root, "segmentation", images="images", masks="masks"), "bad"),
    Route("masks/bad", lambda root: Folder(root, "segmentation", images="images", masks="masks"), "bad", True),
    Route("chest_xray/train/NORMAL/IM-0009-0001", CheX, "IM-0009-0001"),
    Route("JSRT/films/JPCLN001", JSRT, "JPCLN001"),
    Route("JSRT/scr/left lung/JPCLN001", JSRT, "JPCLN001", True),
    Route("MCU/CXR_png/MCUCXR_0001_0", MCU, "MCUCXR_0001_0"),
    Route("MCU/ManualMask/rightMask/MCUCXR_0001_0", MCU, "MCUCXR_0001_0", True),
    Route("NIHX/images/00000001_000", NIHX, "00000001_000", fixed=True),
)


def lay(root: Path) -> None:
    """The trees of all sources below ``root``, a few files each."""
    named = {f"other{k}": "ab"[k % 2] for k in range(6)}
    films = {f"films/{name}.png": FINE for name in named}
    for name in named:
        films |= {f"images/{name}.png": FINE, f"masks/{name}.png": MASK}
    films |= {"images/bad.png": FINE, "masks/bad.png": MASK, "films/bad.png": FINE}
    for k in range(1, 7):
        films |= {
            f"chest_xray/{part}/NORMAL/IM-{n}{k:03}-0001.jpeg": FINE for part, n in (("train", 1), ("test", 2))
        }
        films |= {
            f"chest_xray/{part}/PNEUMONIA/person{n}{k}_virus_1.jpeg": FINE
            for part, n in (("train", 1), ("test", 2))
        }
        films |= {f"JSRT/films/JPCLN{k:03}.png": FINE, f"MCU/CXR_png/MCUCXR_{k:04}_0.png": FINE}
        films |= {f"JSRT/scr/{lung} lung/JPCLN{k:03}.gif": MASK for lung in ("left", "right")}
        films |= {f"MCU/ManualMask/{side}Mask/MCUCXR_{k:04}_0.png": MASK for side in ("left", "right")}
        films[f"NIHX/images/{k:08}_000.png"] = FINE
    for name, data in films.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    rows = [f"{name},{label}" for name, label in [*named.items(), ("bad", "a")]]
    (root / "films.csv").write_text("\n".join(["image,label", *rows]))
    found = [f"{k:08}_000.png,{'Pneumonia' if k % 2 else 'No Finding'},{k}" for k in range(1, 7)]
    (root / "NIHX/labels.csv").write_text("\n".join(["Image Index,Finding Labels,Patient ID", *found]))


# --- reading, in a child process ------------------------------------------------------------------------------


def put(root: Path, route: Route, case: Case) -> tuple[Path, dict[Path, bytes]]:
    """Write the case in its place; returns its path and what stood there."""
    stood = {path: path.read_bytes() for path in (root / route.place).parent.glob(f"{Path(route.place).name}.*")}
    for path in stood:
        path.unlink()
    path = root / f"{route.place}.{'png' if route.fixed else case.suffix}"
    path.write_bytes(case.data)
    return path, stood


def examine(root: Path, route: Route, case: Case) -> str:
    """Read the case: "read" or "refused"; AssertionError where either is wrong."""
    path, stood = put(root, route, case)
    try:
        read(root, route, case)
    except MmtkError as error:
        said = str(error)
    else:
        return "read"
    finally:
        path.unlink()
        for other, data in stood.items():
            other.write_bytes(data)
    assert path.name in said, f"the file is not named: {said}"
    # A picture in order is no mask in order, and the name of a fixed file hides that it is DICOM.
    turned = case.shape == SHAPE[::-1] and route.place.startswith(("images", "JSRT", "MCU"))  # unlike its mask
    assert not case.shape or route.mask or route.fixed or turned, f"refused, though in order: {said}"
    return "refused"


def read(root: Path, route: Route, case: Case) -> None:
    """The item of the case as a run would read it, with its shapes checked."""
    source = route.make(root)
    (item,) = [item for item in source.items("all") if item.id == route.name]
    assert len(source.digest()) == 64
    image = source.image(item)
    assert (image.dtype, image.ndim) == (np.uint8, 2), (image.dtype, image.shape)
    assert resize_image(image, 16).shape == (16, 16)
    if case.shape is not None and not route.mask:
        assert image.shape == case.shape, (image.shape, case.shape)
    if source.labels.task == "segmentation":
        mask = source.mask(item)
        assert (mask.dtype, mask.ndim, mask.shape[1:]) == (np.uint8, 3, image.shape)
        assert set(np.unique(mask)) <= {0, 1}


def limit(log: Path) -> None:
    """No more memory than now plus MEMORY; an uncaught alarm ends the process; what is printed goes to ``log``."""
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def child(folder: Path, run: Path, seed: int, count: int) -> None:
    """Examine ``count`` cases and write what happened to ``said.json``; ``now`` says where it stands."""
    warnings.simplefilter("ignore")
    root, faults, said = folder / "data", [], Counter()
    lay(root)
    (folder / "predict").mkdir()
    limit(folder / "log")
    waiting: list[tuple[Path, Case]] = []
    for number, case in enumerate(cases(seed, count)):
        route = number % (len(ROUTES) + 1)
        if route == len(ROUTES):
            waiting.append((folder / "predict" / f"{number}.{case.suffix}", case))
            continue
        (folder / "now").write_text(f"{number} {case.kind} {case.suffix} {ROUTES[route].place}")
        signal.alarm(SECONDS)
        try:
            said[f"{examine(root, ROUTES[route], case)} {case.kind}"] += 1
        except Exception as error:  # a fault is what this looks for
            faults.append(f"{number} {case.kind} .{case.suffix} {ROUTES[route].place}: {error!r}")
    for at in range(0, len(waiting), 25):
        (folder / "now").write_text(f"predict, images {at} to {at + 24}")
        signal.alarm(3 * SECONDS)
        faults += predicted(run, folder / f"out{at}", waiting[at : at + 25], said)
    signal.alarm(0)
    facts = {"said": said, "faults": faults, "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}
    (folder / "said.json").write_text(json.dumps(facts))


def predicted(run: Path, out: Path, files: list[tuple[Path, Case]], said: Counter[str]) -> list[str]:
    """Predict a few files at once; every one must have its mask, or be in the list of the bad ones."""
    for path, case in files:
        path.write_bytes(case.data)
    try:
        rows = predict(run, [path for path, _ in files], out, "cpu")
        bad = [row.image for row in rows if row.error]
    except Exception as error:
        return [f"predict {[path.name for path, _ in files]}: {error!r}"]
    faults = []
    for path, case in files:
        drawn = out / f"{path.stem}-mask.png"
        said[f"{'refused' if path in bad else 'read'} {case.kind}"] += 1
        if drawn.is_file() == (path in bad):
            faults.append(f"predict {path.name} {case.kind}: neither or both of a mask and an error")
        elif case.shape is not None and (path in bad) != (case.shape == ()):
            faults.append(f"predict {path.name} {case.kind}: {'refused' if path in bad else 'read'}")
        elif drawn.is_file() and case.shape and np.asarray(Image.open(drawn)).shape != case.shape:
            faults.append(f"predict {path.name} {case.kind}: a mask of another size")
    return faults


def attack(folder: Path, run: Path, seed: int, count: int) -> dict[str, Any]:
    """Run the child to its end; it must not be killed by its alarm or by a lack of memory."""
    process = multiprocessing.get_context("spawn").Process(target=child, args=(folder, run, seed, count))
    process.start()
    process.join()
    now = (folder / "now").read_text() if (folder / "now").is_file() else "the start"
    assert process.exitcode == 0, f"the child ended with {process.exitcode} at: {now}"
    return json.loads((folder / "said.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of both tasks with saliency, trained for one step."""
    path = tmp_path_factory.mktemp("run") / "run"
    run_workflow.run(tiny(train__steps=2), path, pictures=False)
    return path


ROWS = {"none": b"", "zero": b"US\2\0\0\0", "two": b"US\4\0\x18\0\x18\0", "text": b"LO\4\0many"}


@pytest.mark.parametrize("rows", ROWS)
def test_a_dicom_file_without_a_size_is_refused(tmp_path, rows):
    """Each way in which the element Rows (0028,0010) is no number."""
    data, tag = dicom(np.arange(480).reshape(SHAPE), None), b"\x28\0\x10\0"
    at = data.index(tag + b"US\2\0")
    element = tag + ROWS[rows] if ROWS[rows] else b""
    path = tmp_path / "bad.dcm"
    path.write_bytes(data[:at] + element + data[at + 10 :])
    for read in (read_image, image_size):
        with pytest.raises(MmtkError, match=r"bad\.dcm: "):
            read(path)


def judge(found: dict[str, Any], count: int) -> None:
    assert not found["faults"], f"{len(found['faults'])} faults:\n" + "\n".join(found["faults"][:20])
    assert sum(found["said"].values()) == count
    ends = {name.partition(" ")[0] for name, number in found["said"].items() if number}
    assert ends == {"read", "refused"}  # files in order were read, so a refusal says something


@pytest.mark.long
def test_hostile_images(tmp_path, run):
    judge(attack(tmp_path, run, seed=1, count=300), 300)


@pytest.mark.long
def test_many_hostile_images(tmp_path, run, tried):
    count = times(5000)
    tried("mutated image, through every source and predict", "an error that names it, or a right result", count)
    found = attack(tmp_path, run, seed=2, count=count)
    judge(found, count)
    if count < 5000:
        return
    for kind in ("truncated", "wrong magic", "0 × 0", "bomb", "flipped bytes", "shuffled"):
        assert found["said"].get(f"refused {kind}", 0) > 20, kind
    for kind in ("1-bit", "16-bit", "CMYK", "palette", "animated", "NaN", "EXIF turned", "DICOM"):
        assert found["said"].get(f"read {kind}", 0) > 5, kind
