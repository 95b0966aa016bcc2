"""The report on data sets, against NumPy and Pillow on the same files."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from pictures import draw_as_users_get
from PIL import Image
from rich.console import Console

from mmtk.api import Item, LabelSpec, Source, Split
from mmtk.data.leaks import Images, Overlap
from mmtk.data.mask_checks import MaskCheck
from mmtk.data.split_checks import Role
from mmtk.data.store import ImageStore, open_store
from mmtk.inspection.sets import inspect
from mmtk.inspection.text import show
from mmtk.inspection.verdicts import empty_note, on_images, on_masks, on_overlaps

SIZE = 32
A, B, C = (
    Role(*words)
    for words in (
        ("classification", "source", "films"),
        ("segmentation", "source", "films"),
        ("segmentation", "cross", "[x]"),
    )
)


class Squares(Source):
    """Noise with a bright square, which is the mask; class 1 is brighter. Files have the run size."""

    def __init__(self, root: Path, target: LabelSpec) -> None:
        self.root, self.labels = root, target
        self.patients: dict[str, str] = {}

    def items(self, split: Split) -> list[Item]:
        files = sorted(self.root.glob("*.png"))
        parts = {"train": files[:6], "val": files[6:8], "test": files[8:], "all": files}
        return [
            Item(
                file.stem,
                file,
                None if file.stem == "s07" else int(file.stem[1:]) % 2,
                self.patients.get(file.stem, file.stem),
            )
            for file in parts[split]
        ]

    def mask(self, item: Item) -> np.ndarray:
        lung = (self.image(item) > 200).astype(np.uint8)
        lung[0] = 255
        return lung[None] if len(self.labels.names) == 1 else np.stack([1 - (lung == 1), lung]).astype(np.uint8)

    def digest(self) -> str:
        return "-".join(f"{file.stat().st_mtime_ns}" for file in sorted(self.root.glob("*.png")))


CLASSES = LabelSpec("classification", ("normal", "ill"))
LUNG = LabelSpec("segmentation", ("lung",), exclusive=False)
LAYERS = LabelSpec("segmentation", ("background", "lung"))


def write(root: Path, count: int, size: tuple[int, int] = (SIZE, SIZE)) -> Path:
    root.mkdir()
    rng = np.random.default_rng(count)
    for number in range(count):
        pixels = rng.integers(0, 100, size, dtype=np.uint8) + 60 * (number % 2)
        side = 4 + number
        pixels[8 : 8 + side, 8 : 8 + side] = 220
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"s{number:02d}.png")
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMTK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def shown(report: dict) -> str:
    console = Console(file=io.StringIO(), width=400)
    show(report, console)
    return console.file.getvalue()


def test_counts_and_intensities_are_those_of_the_files(tmp_path: Path) -> None:
    root = write(tmp_path / "a", 12)
    report = inspect({A: Squares(root, CLASSES)}, SIZE, tmp_path / "out")
    found = report["sources"][A.name]
    assert found["splits"]["train"] == {"images": 6, "patients": 6, "labels": {"normal": 3, "ill": 3}}
    assert found["splits"]["val"]["labels"] == {"normal": 1, "ill": 0, "unlabelled": 1}
    assert found["splits"]["test"]["images"] == 4
    pixels = np.stack([np.asarray(Image.open(file)) for file in sorted(root.glob("*.png"))])
    density, _ = np.histogram(pixels, bins=256, range=(-0.5, 255.5), density=True)
    np.testing.assert_allclose(found["intensity"]["density"], density)
    assert found["intensity"]["mean"] == pytest.approx(pixels.mean())
    assert found["intensity"]["sd"] == pytest.approx(pixels.std())
    assert found["images"] == 12
    assert report["leaks"] == []
    assert json.loads(json.dumps(report)) == report


def test_masks_and_original_sizes(tmp_path: Path) -> None:
    root = write(tmp_path / "a", 12)
    report = inspect({A: Squares(root, LUNG), B: Squares(root, LAYERS)}, SIZE, tmp_path / "out")
    found = report["sources"][A.name]
    assert found["splits"]["val"]["labels"] == {"with mask": 1, "unlabelled": 1}
    shares = [(4 + n) ** 2 / (SIZE * (SIZE - 1)) for n in range(12) if n != 7]  # the first row is ignored
    assert found["foreground"]["lung"] == pytest.approx(
        {"mean": np.mean(shares), "min": min(shares), "median": np.median(shares), "max": max(shares)}
    )
    tall = write(tmp_path / "tall", 3, (40, 64))
    shape = inspect({A: Squares(tall, CLASSES)}, SIZE, tmp_path / "out")["sources"][A.name]["shape"]
    assert shape["height"] == {"min": 40, "median": 40, "max": 40}
    assert shape["width"] == {"min": 64, "median": 64, "max": 64}


def test_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_as_users_get(monkeypatch)
    sources = {
        A: Squares(write(tmp_path / "a", 12), CLASSES),
        B: Squares(write(tmp_path / "b", 9), LUNG),
        C: Squares(tmp_path / "b", LAYERS),
    }
    report = inspect(sources, SIZE, tmp_path / "out")
    assert report["pictures"] == [str(tmp_path / "out" / name) for name in ("intensity.png", "samples.png")]
    for path in report["pictures"]:
        with Image.open(path) as picture:
            assert min(picture.size) > 300
            assert len(np.unique(np.asarray(picture.convert("L")))) > 50
    with Image.open(report["pictures"][1]) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (np.abs(pixels.astype(int) - (0, 158, 115)).max(1) < 8).sum() > 500  # outlines in green


def test_unreadable_files_are_listed_and_the_rest_described(tmp_path: Path, cache: Path) -> None:
    root = write(tmp_path / "a", 12)
    os.truncate(root / "s02.png", 60)
    (root / "s09.png").write_text("[no] image")
    report = inspect({A: Squares(root, CLASSES), B: Squares(root, LUNG)}, SIZE, tmp_path / "out")
    for found in report["sources"].values():
        assert [
            str(root / name) in text
            for name, text in zip(("s02.png", "s09.png"), found["unreadable"], strict=True)
        ] == [True, True]
        assert found["images"] == 10
    assert not [entry for entry in cache.iterdir() if entry.is_dir()]
    text = shown(report)
    assert "classification source: 2 files cannot be read:" in text
    assert str(root / "s09.png") in text


def test_nothing_can_be_read(tmp_path: Path) -> None:
    root = write(tmp_path / "a", 3)
    for file in root.iterdir():
        file.write_bytes(b"")
    report = inspect({A: Squares(root, CLASSES)}, SIZE, tmp_path / "out")
    assert len(report["sources"][A.name]["unreadable"]) == 3
    assert report["pictures"] == []
    assert "classification source: 3 files cannot be read:" in shown(report)


def test_a_black_set_can_be_drawn(tmp_path: Path) -> None:
    root = write(tmp_path / "a", 3)
    for file in root.iterdir():
        Image.new("L", (SIZE, SIZE)).save(file)
    report = inspect({A: Squares(root, LUNG)}, SIZE, tmp_path / "out")
    assert report["sources"][A.name]["intensity"]["density"][0] == 1
    assert report["sources"][A.name]["foreground"]["lung"]["max"] == 0
    assert len(report["sources"][A.name]["duplicates"][0]) == 3


def test_images_that_are_hardly_films_are_named(tmp_path: Path) -> None:
    root = write(tmp_path / "a", 12)
    Image.new("L", (SIZE, SIZE), 7).save(root / "s03.png")
    Image.fromarray(np.arange(48, dtype=np.uint8)[None]).save(root / "s05.png")
    verdicts = inspect({A: Squares(root, CLASSES)}, SIZE, tmp_path / "out")["verdicts"]
    texts = [entry["text"] for entry in verdicts]
    assert "1 of 12 images is of one gray level: s03." in texts
    assert "1 of 12 images is a strip: s05 (1 × 48)." in texts
    assert not any(entry["ok"] for entry in verdicts)


def test_a_film_of_several_frames_is_named(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    root = write(tmp_path / "a", 12)
    film = Path(get_testdata_file("rtdose.dcm"))
    source = Squares(root, CLASSES)
    items = [*source.items("train"), Item("frames", film, 0, "p")]
    store = open_store(source, SIZE)
    (verdict,) = on_images(A, store, items)
    assert verdict.text == "1 of 12 images has several frames: frames."


class Labelled(Squares):
    """Squares with a label for every image."""

    def items(self, split: Split) -> list[Item]:
        return [replace(item, target=int(item.id[1:]) % 2) for item in super().items(split)]


def test_a_set_with_a_leak_is_not_called_well(tmp_path: Path) -> None:
    root = write(tmp_path / "a", 12)
    text = shown(inspect({A: Labelled(root, CLASSES)}, SIZE, tmp_path / "out"))
    assert "! classification source: nothing to mend that shows" in text
    assert "the patients of all 12 images are not known" in text
    (root / "s10.png").write_bytes((root / "s00.png").read_bytes())
    text = shown(inspect({A: Labelled(root, CLASSES)}, SIZE, tmp_path / "out"))
    assert "✗ classification source: the same image" in text
    assert "✓" not in text


def test_a_set_without_labels(tmp_path: Path) -> None:
    root = write(tmp_path / "a", 3)
    (root / "s01.png").unlink()
    (root / "s02.png").unlink()
    (root / "s00.png").rename(root / "s07.png")
    report = inspect({A: Squares(root, CLASSES), B: Squares(root, LUNG)}, SIZE, tmp_path / "out")
    assert report["sources"][A.name]["splits"]["train"]["labels"] == {"normal": 0, "ill": 0, "unlabelled": 1}
    assert report["sources"][B.name]["foreground"] == {}
    assert len(report["pictures"]) == 2


def test_leaks_are_reported(tmp_path: Path) -> None:
    root = write(tmp_path / "a", 12)
    (root / "s10.png").write_bytes((root / "s00.png").read_bytes())
    source = Squares(root, CLASSES)
    source.patients = dict.fromkeys(("s01", "s06", "s09"), "[b]eve")
    report = inspect({A: source}, SIZE, tmp_path / "out")
    found = report["sources"][A.name]
    assert found["crossing"] == ["[b]eve"]
    assert found["duplicates"] == [["s00", "s10"]]
    (in_val, in_test, not_trained) = report["leaks"]
    assert in_val["patients"] == [["[b]eve", "s01 in train", "s06 in val"]]
    assert in_test["patients"] == [["[b]eve", "s01 in train", "s09 in test"]]
    assert not_trained["patients"] == [["[b]eve", "s06 in val", "s09 in test"]]
    assert in_test["identical"] == [["s00 in train", "s10 in test"]]
    assert sum("more than one split" in verdict["text"] for verdict in report["verdicts"]) == 1
    text = shown(report)
    persons = "patients in more than one split (1): [b]eve (s01 in train, s06 in val, s09 in test)."
    assert persons in " ".join(text.split())
    assert "s00 = s10" in text
    assert 'data.leaks = "allow"' in text


def test_patients_of_two_sets_may_be_numbered_alike() -> None:
    train, cross = (
        Images(Role("classification", domain, "films"), "train", cast("ImageStore", None), [], [])
        for domain in ("source", "cross")
    )
    for scored in (train, cross):
        (verdict,) = on_overlaps([Overlap(train, scored, patients=[("7", "a in train", "b in test")])])
        assert ("two hospitals number alike" in verdict.cure) == (scored is cross)


@pytest.mark.parametrize(("twin", "harmless"), [("s02", True), ("s01", False)])
def test_identical_images_are_harmless_within_a_part_and_a_class(
    tmp_path: Path, twin: str, harmless: bool
) -> None:
    root = write(tmp_path / "a", 12)
    (root / f"{twin}.png").write_bytes((root / "s00.png").read_bytes())
    report = inspect({A: Squares(root, CLASSES)}, SIZE, tmp_path / "out")
    (verdict,) = [entry for entry in report["verdicts"] if "identical" in entry["text"]]
    assert (verdict["ok"], verdict["text"]) == (
        harmless,
        "1 group of identical images does no harm: no image of them is both trained on and scored, and none has "
        "two classes."
        if harmless
        else f"1 group of identical images has several classes: s00 = {twin}.",
    )


def test_show_tables(tmp_path: Path) -> None:
    report = inspect({B: Squares(write(tmp_path / "a", 12), LUNG)}, SIZE, tmp_path / "out")
    lines = [line.split() for line in shown(report).splitlines()]
    assert ["segmentation", "source", "(films)", "train", "6", "6", "with", "mask", "6"] in lines
    assert ["val", "2", "2", "with", "mask", "1,", "unlabelled", "1"] in lines
    assert any(line[:5] == ["segmentation", "source", "(films)", "32", "32"] for line in lines)


def made(root: Path) -> dict[Role, Source]:
    return {A: Squares(write(root / "a", 12), CLASSES), B: Squares(write(root / "b", 9), LUNG)}


def real(_: Path) -> dict[Role, Source]:
    from mmtk.components.source.jsrt import JSRT
    from mmtk.components.source.mcu import MCU

    data = Path(os.environ["MMTK_DATA"])
    return {B: JSRT(data), C: MCU(data)}


@pytest.mark.parametrize("sources", [made, real] if "MMTK_DATA" in os.environ else [made])
def test_every_image_is_counted_once(tmp_path: Path, sources: Callable[[Path], dict[Role, Source]]) -> None:
    whole = inspect(sources(tmp_path), SIZE, tmp_path / "out")
    report = whole["sources"]
    assert whole["leaks"] == []
    counts = {name: [part["images"] for part in found["splits"].values()] for name, found in report.items()}
    known = {
        "made": {A.name: [6, 2, 4], B.name: [6, 2, 1]},
        "real": {B.name: [111, 13, 123], C.name: [93, 10, 35]},
    }
    assert counts == known[sources.__name__]
    for name, found in report.items():
        assert found["images"] == sum(counts[name])
        assert found["crossing"] == found["unreadable"] == []


@pytest.mark.parametrize(
    ("organ", "empty", "is_fault"),
    [
        ("pneumothorax", 78, False),
        ("mask", 1, False),
        ("nodule", 95, True),
        ("mask", 100, True),
        ("Left Lung", 1, True),
    ],
)
def test_empty_masks_are_a_fault_where_nothing_is_left_or_every_film_shows_the_organ(organ, empty, is_fault):
    check = MaskCheck(empty=[f"f{n}" for n in range(empty)])
    texts = [verdict.text for verdict in on_masks(B, check, 100, [organ])]
    assert [text.startswith(f"{empty} of 100 masks are empty: f0") for text in texts] == [True] * is_fault
    note = f"{empty} of 100 masks {'is' if empty == 1 else 'are'} empty: these films are learned as free of it."
    assert empty_note(check, 100, [organ]) == ("" if is_fault else note)


def test_empty_masks_of_a_lesion_are_a_note_of_the_set(tmp_path):
    for n in range(10):
        Image.fromarray(np.full((SIZE, SIZE), 90, np.uint8) + np.eye(SIZE, dtype=np.uint8)).save(
            tmp_path / f"s{n:02}.png"
        )
        if n < 6:
            image = np.array(Image.open(tmp_path / f"s{n:02}.png"))
            image[5 + n : 15 + n, 8:20] = 250
            Image.fromarray(image).save(tmp_path / f"s{n:02}.png")
    source = Squares(tmp_path, LabelSpec("segmentation", ("lesion",)))
    report = inspect({B: source}, SIZE, tmp_path / "out")
    assert report["sources"][B.name]["notes"] == ["3 of 9 masks are empty: these films are learned as free of it."]
    assert not [verdict for verdict in report["verdicts"] if "empty" in verdict["text"]]
