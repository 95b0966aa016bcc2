"""Masks of several organs: one file each in one folder, or frames of a DICOM segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pixel_inputs import dicom, group
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mmtk.components.source.folder import Folder
from mmtk.errors import MmtkError

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


def test_endings_that_fit_no_class_or_no_file_are_refused(tmp_path):
    write(tmp_path, "_")
    with pytest.raises(MmtkError, match="names 2 endings for 1 classes"):
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
