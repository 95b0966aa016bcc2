"""Several masks of one film: of organs, some of which a film lacks, and of several readers."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest
from layout_inputs import film, mask, save

from mmtk.components.source.folder import Folder
from mmtk.data.plan.profile import Plan, plan_folder
from mmtk.errors import MmtkError

FILMS = 8
LACKING = 4  # the film that lacks the last mask


def planned(root: Path) -> tuple[Plan, Folder]:
    """The plan of the folder, and the source that it writes."""
    plan = plan_folder(root, root / "p.toml")
    keys = tomllib.loads(plan.text)["data"]["segmentation"]["source"]
    keys = {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items() if key != "use"}
    return plan, Folder(root, "segmentation", **keys)


@pytest.mark.parametrize(
    ("films", "masks", "channels"),
    [
        ("images", ("masks/{}_L.png", "masks/{}_R.png"), ("L", "R")),
        ("images", ("masks/{}_heart.png", "masks/{}_left_lung.png"), ("heart", "left lung")),
        ("images", ("Left Lung/{}.png", "Right Lung/{}.png"), ("Left Lung", "Right Lung")),
        ("CXR_png", ("ManualMask/leftMask/{}.png", "ManualMask/rightMask/{}.png"), ("leftMask", "rightMask")),
        (
            "Aufnahmen",
            ("Konturen/linke Lunge/{}.png", "Konturen/rechte Lunge/{}.png", "Konturen/Herz/{}.png"),
            ("Herz", "linke Lunge", "rechte Lunge"),
        ),
        ("cxr", ("mask_lung/{}.png", "mask_heart/{}.png"), ("mask_heart", "mask_lung")),
        ("cxr", ("seg/{}_LungeLi.png", "seg/{}_LungeRe.png"), ("LungeLi", "LungeRe")),
    ],
)
def test_a_film_that_lacks_one_of_several_masks_is_named_and_unlabelled(
    tmp_path: Path, films: str, masks: tuple[str, ...], channels: tuple[str, ...]
) -> None:
    for n in range(FILMS):
        film(tmp_path / f"{films}/p{n}.png")
        for k, name in enumerate(masks):
            if n < 7 and (n != LACKING or name != masks[-1]):
                mask(tmp_path / name.format(f"p{n}"), (0, *[255] * (k + 1)))
    plan, source = planned(tmp_path)
    assert source.labels.names == channels
    assert len(source.labels.swap) == bool({"L", "LungeLi", "Left Lung", "leftMask", "linke Lunge"} & {*channels})
    labelled = {item.id for item in source.items("all") if item.target is not None}
    assert labelled == {f"p{n}" for n in range(7)} - {f"p{LACKING}"}
    assert f"for p{LACKING}.png" in "\n".join(plan.lines)
    assert f"p{LACKING}" in "\n".join(source.notes)
    assert "masks: 6" in "\n".join(plan.lines)


def test_an_organ_that_most_films_lack_and_sides_in_front_of_names(tmp_path: Path) -> None:
    for n in range(FILMS):
        film(tmp_path / f"a/images/p{n}.png")
        for organ in ("lung", "heart", "rib")[: 2 + (n < 3)]:
            mask(tmp_path / f"a/masks/p{n}_{organ}.png")
        film(tmp_path / f"b/images/p{n}.png")
        for side in "LR":
            mask(tmp_path / f"b/masks/{side}_p{n}.png")
    plan, source = planned(tmp_path / "a")
    assert source.labels.names == ("heart", "lung")
    assert sum(item.target is not None for item in source.items("all")) == FILMS
    assert "_rib is left out: 3 films have a mask of it, of 8" in "\n".join(plan.lines)
    with pytest.raises(MmtkError, match="left and right, but not both of every film by one rule"):
        planned(tmp_path / "b")


@pytest.mark.parametrize(
    ("masks", "other", "key"),
    [
        ("reader1", "reader2", "reader1"),
        ("masks/Müller", "masks/Schmidt", "masks/Müller"),
        ("masks/final", "masks/dr_a", "masks/final"),
        ("{}_consensus", "{}_AB", "_consensus"),
        ("reader2/consensus", "reader1", "reader2/consensus"),
        ("{}_reader1", "{}_reader2", "_reader1"),
    ],
)
def test_masks_of_several_readers_are_one_mask(tmp_path: Path, masks: str, other: str, key: str) -> None:
    for n in range(FILMS):
        film(tmp_path / f"images/p{n}.png")
        for k, name in enumerate((masks, other)):
            name = f"masks/{name.format(f'p{n}')}" if "{" in name else f"{name}/p{n}"
            pixels = np.zeros((24, 20), np.uint8)
            pixels[4 + k : 14, 5:15] = 255
            save(tmp_path / f"{name}.png", pixels)
    plan, source = planned(tmp_path)
    assert source.labels.names == ("mask",)
    assert f'"{key}"' in plan.text
    assert "are left out (8 files), because" in "\n".join(plan.lines)
    assert {source.mask(item).sum() for item in source.items("all")} == {100}


@pytest.mark.parametrize(("films", "masks", "shifted"), [(1, 0, True), (0, 1, True), (0, 0, False)])
def test_masks_that_are_numbered_one_off_are_doubted(
    tmp_path: Path, films: int, masks: int, shifted: bool
) -> None:
    for n in range(FILMS):
        film(tmp_path / f"films/{n + films}.png")
        if shifted or n != LACKING:
            mask(tmp_path / f"masks/{n + masks}.png")
    text = "\n".join(planned(tmp_path)[0].lines)
    assert (f"films are numbered {films} to {films + 7}, masks {masks} to {masks + 7}" in text) == shifted


def test_two_masks_of_one_organ_are_not_planned(tmp_path: Path) -> None:
    for n in range(FILMS):
        film(tmp_path / f"images/p{n}.png")
        for organ, reader in itertools.product(("heart", "lung"), ("reader1", "reader2")):
            mask(tmp_path / f"masks/{organ}/{reader}/p{n}.png")
    with pytest.raises(MmtkError, match="a film has several of one organ"):
        planned(tmp_path)
