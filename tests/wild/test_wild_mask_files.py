"""Masks of several organs: one file each in one folder, or frames of a DICOM segmentation."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from layout_inputs import film, mask
from PIL import Image
from pixel_inputs import dicom, group
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mmtk.components.source.folder import Folder
from mmtk.data.plan.profile import plan_folder
from mmtk.errors import MmtkError
from mmtk.images.loader import read_image

ORGANS = {"heart": 1, "lung": 2, "left lung": 3}  # by the column that is its mask
FILMS = tuple(f"p{number}" for number in range(6))


def write(folder: Path, between: str, masks: str = "masks") -> None:
    """Films, and one mask per organ: ``p1-left_lung.png`` ends as ``p1-lung.png`` would."""
    for place in ("films", masks):
        (folder / place).mkdir(exist_ok=True)
    for number, name in enumerate(FILMS):
        Image.fromarray(np.full((6, 9), number, np.uint8)).save(folder / "films" / f"{name}.png")
        for organ, column in ORGANS.items():
            mask = np.zeros((6, 9), np.uint8)
            mask[number, column] = 255
            Image.fromarray(mask).save(folder / masks / f"{name}{between}{organ.replace(' ', '_')}.png")


def source(folder: Path, **keys: object) -> Folder:
    return Folder(folder, "segmentation", images="films", **{"masks": "masks", **keys})


@pytest.mark.parametrize("between", ["_", "-", " "])
@pytest.mark.parametrize("masks", ["masks", "films"])
def test_an_ending_for_each_class(tmp_path, between, masks):
    write(tmp_path, between, masks)
    endings = tuple(between + name.replace(" ", "_") for name in ORGANS)
    found = source(tmp_path, masks=masks, classes=tuple(ORGANS), mask_suffix=endings)
    items = {item.id: item for item in found.items("all")}
    assert set(items) == {*FILMS}
    for number, name in enumerate(FILMS):
        assert np.argwhere(found.mask(items[name])).tolist() == [
            [channel, number, column] for channel, column in enumerate(ORGANS.values())
        ]


@pytest.mark.parametrize("suffix", ["png", "npy"])
@pytest.mark.parametrize("exclusive", [False, True])
def test_masks_of_another_size_are_scaled_on_request(tmp_path, suffix, exclusive):
    """Masks of 4 × 6 on films of 6 × 9, as 256 on 299: every pixel is the nearest one of the mask."""
    write(tmp_path, "_", "organs")
    (tmp_path / "masks").mkdir()
    small = np.arange(24).reshape(4, 6) % 5 == 0
    values = small.astype(np.uint8) * (1 if exclusive else 255)
    for name in FILMS:
        if suffix == "npy" and not exclusive:
            np.save(tmp_path / "masks" / f"{name}.npy", values)
        else:
            Image.fromarray(values).save(tmp_path / "masks" / f"{name}.png")
    keys = {"classes": ("background", "lung"), "exclusive": True} if exclusive else {}
    refused = source(tmp_path, **keys)
    with pytest.raises(MmtkError, match=r"4 × 6, but its image .* is 6 × 9") as error:
        refused.mask(refused.items("all")[0])
    assert "resize_masks = true" in str(error.value)
    scaled = source(tmp_path, resize_masks=True, **keys)
    expected = [[small[int((y + 0.5) * 4 / 6), int((x + 0.5) * 6 / 9)] for x in range(9)] for y in range(6)]
    assert np.array_equal(scaled.mask(scaled.items("all")[0])[-1], expected)


def test_films_as_pages_of_one_file_are_named_and_their_masks_are_no_channels(tmp_path):
    pages = [Image.fromarray(np.full((8, 9), 20 * number, np.uint8)) for number in range(3)]
    for name, values in (
        ("films", pages),
        ("masks", [page.point(lambda level: 255 * (level > 10)) for page in pages]),
    ):
        values[0].save(tmp_path / f"{name}.tif", save_all=True, append_images=values[1:])
    with pytest.raises(MmtkError, match="2 images, but no label") as caught:
        plan_folder(tmp_path, tmp_path / "p.toml")
    hint = str(caught.value.hint)
    assert "1 film has several pages, of which the first alone is read: films.tif (3). Save each page" in hint
    assert "a channel each" not in hint


def test_masks_of_another_aspect_ratio_are_refused(tmp_path):
    write(tmp_path, "_", "organs")
    (tmp_path / "masks").mkdir()
    for name in FILMS:
        Image.fromarray(np.eye(6, dtype=np.uint8) * 255).save(tmp_path / "masks" / f"{name}.png")
    stretched = source(tmp_path, resize_masks=True)
    with pytest.raises(MmtkError, match="6 × 6, but its image"):
        stretched.mask(stretched.items("all")[0])


def test_endings_that_fit_no_class_or_no_file_are_refused(tmp_path):
    write(tmp_path, "_")
    with pytest.raises(MmtkError, match="names 2 endings for 1 class"):
        source(tmp_path, classes=("heart",), mask_suffix=("_heart", "_lung"))
    with pytest.raises(MmtkError, match=r"6 files have none of the endings _heart, _left_lung: p0_lung\.png"):
        source(tmp_path, classes=("left lung", "heart"), mask_suffix=("_left_lung", "_heart"))


def test_masks_that_would_be_taken_for_films_are_noted(tmp_path):
    write(tmp_path, "_", "films")
    found = source(tmp_path, masks="films", mask_suffix="_heart")
    assert any("12 images are called like another one with a word behind it: p0_l" in note for note in found.notes)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_frames_of_a_segmentation_are_its_segments(tmp_path, order):
    (tmp_path / "films").mkdir()
    (tmp_path / "masks").mkdir()
    planes = np.zeros((2, 6, 9), np.uint8)
    planes[0, 1, 2] = planes[1, 3, 4] = 1
    frames = [group(SegmentIdentificationSequence=group(ReferencedSegmentNumber=number))[0] for number in order]
    for name in FILMS:
        Image.fromarray(np.zeros((6, 9), np.uint8)).save(tmp_path / "films" / f"{name}.png")
        dicom(
            tmp_path / "masks" / f"{name}.dcm",
            np.stack([planes[number - 1] for number in order]),
            NumberOfFrames=2,
            SegmentSequence=Sequence([Dataset(), Dataset()]),
            PerFrameFunctionalGroupsSequence=Sequence(frames),
        )
    found = source(tmp_path, classes=("lung", "heart"))
    assert np.array_equal(found.mask(found.items("train")[0]), planes)
    alone = source(tmp_path)
    with pytest.raises(MmtkError, match=r"has 2 frames(.|\n)*classes = \[2 names\]"):
        alone.mask(alone.items("train")[0])


def compressed(runs: list[int]) -> str:
    """COCO's text for run lengths: differences to the last but one, five bits a character, least first."""
    text = ""
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        while True:
            bits, value = value & 31, value >> 5
            last = value == (-1 if bits & 16 else 0)
            text += chr(48 + bits + (0 if last else 32))
            if last:
                break
    return text


def coco(folder: Path, mask: np.ndarray, **size: int) -> None:
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, flat.size]).tolist()
    runs = runs if flat[0] == 0 else [0, *runs]
    each = [{"id": number, "file_name": f"{name}.png", **size} for number, name in enumerate(FILMS)]
    outline = {"counts": compressed(runs), "size": list(mask.shape)}
    found = [{"image_id": n, "category_id": 1, "segmentation": outline} for n in range(len(FILMS))]
    content = {"images": each, "categories": [{"id": 1, "name": "lung"}], "annotations": found}
    (folder / "coco.json").write_text(json.dumps(content))


@pytest.mark.parametrize("seed", range(6))
def test_compressed_run_lengths(tmp_path, seed):
    generator = np.random.default_rng(seed)
    mask = (generator.random((60, 90)) < (0.5, 0.02, 0.98)[seed % 3]).astype(np.uint8)
    if seed > 2:
        mask = np.kron(mask[:6, :9], np.ones((10, 10), np.uint8))  # long runs
    (tmp_path / "films").mkdir()
    for name in FILMS:
        Image.fromarray(np.zeros((60, 90), np.uint8)).save(tmp_path / "films" / f"{name}.png")
    coco(tmp_path, mask, height=60, width=90)
    found = source(tmp_path, masks="coco.json")
    assert np.array_equal(found.mask(found.items("train")[0])[0], mask)


@pytest.mark.parametrize(
    ("size", "words"), [((60, 90), "A tag of the image turns it"), ((30, 45), "but is 90 × 60")]
)
def test_outlines_of_an_image_of_another_size_are_refused(tmp_path, size, words):
    (tmp_path / "films").mkdir()
    tag = Image.Exif()
    tag[0x0112] = 6
    for name in FILMS:
        Image.fromarray(np.zeros((60, 90), np.uint8)).save(tmp_path / "films" / f"{name}.png", exif=tag)
    coco(tmp_path, np.ones((60, 90), np.uint8), height=size[0], width=size[1])
    found = source(tmp_path, masks="coco.json")
    item = found.items("train")[0]
    with pytest.raises(MmtkError, match=words):
        found.mask(item)


SIDES = {  # left and right masks, and the names of their channels
    "Left Lung/{}_L.png": ("Right Lung/{}_R.png", ("Left Lung", "Right Lung")),
    "Left Lung/{}.png": ("Right Lung/{}.png", ("Left Lung", "Right Lung")),
    "masks/Left Lung/{}_L.png": ("masks/Right Lung/{}_R.png", ("Left Lung", "Right Lung")),
    "masks/{}_links.png": ("masks/{}_rechts.png", ("links", "rechts")),
}


@pytest.mark.parametrize("left", SIDES)
def test_both_lungs_of_a_film_are_read_wherever_they_lie(left: str, tmp_path: Path) -> None:
    right, names = SIDES[left]
    for n in range(6):
        film(tmp_path / f"images/p{n}.png")
        mask(tmp_path / left.format(f"p{n}"))
        mask(tmp_path / right.format(f"p{n}"), (0, 255, 255))
    keys = tomllib.loads(plan_folder(tmp_path, tmp_path / "p.toml").text)["data"]["segmentation"]["source"]
    assert keys.pop("swap") == [[*names]]
    keys = {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items() if key != "use"}
    source = Folder(tmp_path, "segmentation", **keys)
    assert source.labels.names == names
    assert {tuple(source.mask(item).sum((1, 2))) for item in source.items("all")} == {(50, 100)}


def test_segments_of_dicom_are_named_by_their_labels_and_other_objects_are_no_films(tmp_path: Path) -> None:
    labels = [Dataset(), Dataset()]
    for number, (segment, label) in enumerate(zip(labels, ("left lung", "right lung"), strict=True), 1):
        segment.SegmentNumber, segment.SegmentLabel = number, label
    (tmp_path / "seg").mkdir()
    for n in range(6):
        film(tmp_path / f"images/p{n}.png")
        numbers = (1, 2) if n else (2,)  # an empty segment has no frame
        frames = [group(SegmentIdentificationSequence=group(ReferencedSegmentNumber=k))[0] for k in numbers]
        planes = np.zeros((len(numbers), 24, 20), np.uint8)
        planes[:, 3:9, 4:14] = 1
        dicom(
            tmp_path / f"seg/p{n}.dcm",
            planes if n else planes[0],
            NumberOfFrames=len(numbers),
            SegmentSequence=Sequence(labels),
            PerFrameFunctionalGroupsSequence=Sequence(frames),
        )
        contours = dcmread(tmp_path / f"seg/p{n}.dcm")
        contours.Modality = "RTSTRUCT"
        for name in ("Rows", "Columns", "PixelData", "SegmentSequence"):
            del contours[name]
        contours.save_as(tmp_path / f"rt{n}.dcm")
    plan = plan_folder(tmp_path, tmp_path / "p.toml")
    assert "6 files of DICOM's RTSTRUCT: not read (save its contours as DICOM SEG" in "\n".join(plan.lines)
    keys = tomllib.loads(plan.text)["data"]["segmentation"]["source"]
    assert keys["classes"] == ["left lung", "right lung"]
    source = Folder(tmp_path, "segmentation", images="images", masks="seg", classes=("left lung", "right lung"))
    areas = {item.id: source.mask(item).sum((1, 2)).tolist() for item in source.items("all")}
    assert areas == {f"p{n}": [60 if n else 0, 60] for n in range(6)}
    with pytest.raises(MmtkError, match=r"has no pixels: it is DICOM's RTSTRUCT\.\s+Its contours are no pixels"):
        read_image(tmp_path / "rt0.dcm")


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("P{}/film.png", "P{}/film_mask.png"),
        ("P{}/image.png", "P{}/mask.png"),
        ("P{0}/image{0}.png", "P{0}/mask{0}.png"),
    ],
)
def test_masks_beside_the_film_of_every_patient_are_read(image: str, name: str, tmp_path: Path) -> None:
    for n in range(6):
        film(tmp_path / image.format(n))
        mask(tmp_path / name.format(n), (0, 255) if n else (0, 255, 255))
    keys = tomllib.loads(plan_folder(tmp_path, tmp_path / "p.toml").text)["data"]["segmentation"]["source"]
    keys = {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items() if key != "use"}
    source = Folder(tmp_path, "segmentation", **keys)
    assert [source.mask(item).sum() for item in source.items("all")] == [100, 50, 50, 50, 50, 50]
