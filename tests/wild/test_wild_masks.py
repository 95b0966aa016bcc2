"""What ``mmtk data inspect`` says of masks that are empty, full, turned or elsewhere, and of orientation tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from masks_inputs import COUNT, write_masks
from PIL import Image

from mmtk import load_recipe
from mmtk.inspection.sets import inspect, sources_of

KINDS = ("empty", "full", "inverted", "turned", "misaligned", "tagged")
ALL = range(COUNT)


def look(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The report on the films as the only source."""
    monkeypatch.setenv("MMTK_CACHE", str(folder / "cache"))
    table = {"use": "folder", "images": "films", "masks": "masks", "classes": ["lung"]}
    recipe = load_recipe("unet", "phantom", {"data.segmentation.labels": 2, "data.segmentation.source": table})
    whole = sources_of(recipe, folder)
    return inspect({role: source for role, source in whole.items() if role.domain == "source"}, 64, folder / "out")


def names(*numbers: int) -> list[str]:
    return [f"f{number:02d}" for number in numbers]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("empty", lambda mask: mask & False),
        ("full", lambda mask: mask | True),
        ("inverted", lambda mask: ~mask),
        ("turned", np.rot90),
        ("turned", lambda mask: np.rot90(mask, 3)),
        ("turned", lambda mask: np.rot90(mask, 2)),
        ("turned", np.flipud),
        ("misaligned", lambda mask: np.roll(mask, (12, 12), (0, 1))),
        ("misaligned", lambda mask: np.roll(mask, -20, 1)),
    ],
)
def test_wrong_masks_are_named(tmp_path, monkeypatch, kind, change):
    report = look(write_masks(tmp_path / "set", {3: change, 8: change}), monkeypatch)
    check = report["sources"]["segmentation source"]["masks"]
    assert {name: check[name] for name in KINDS} == {name: names(3, 8) if name == kind else [] for name in KINDS}
    (verdict,) = [each for each in report["verdicts"] if "2 of 16" in each["text"]]
    assert "f03, f08" in verdict["text"]
    assert verdict["cure"]


def test_right_masks_are_well(tmp_path, monkeypatch):
    report = look(write_masks(tmp_path / "set", {}), monkeypatch)
    assert [(each["ok"], each["name"]) for each in report["verdicts"]] == [(True, "segmentation source")]


@pytest.mark.parametrize(
    ("change", "back"),
    [(np.rot90, "90° to the right"), (np.flipud, "upside down"), (lambda m: np.rot90(m, 2), "180°")],
)
def test_a_set_whose_masks_are_all_turned(tmp_path, monkeypatch, change, back):
    report = look(write_masks(tmp_path / "set", dict.fromkeys(ALL, change)), monkeypatch)
    assert report["sources"]["segmentation source"]["masks"]["turn"] == back
    (verdict,) = report["verdicts"]
    assert f"all masks seem to be turned: they fit their images when turned {back}." in verdict["text"]


def test_tags_that_turn_images_and_not_their_masks(tmp_path, monkeypatch):
    folder = write_masks(tmp_path / "set", {})
    for name in names(2, 5):
        path = folder / "films" / f"{name}.png"
        with Image.open(path) as image:
            exif = image.getexif()
            exif[0x0112] = 6
            image.save(path, exif=exif)
    check = look(folder, monkeypatch)["sources"]["segmentation source"]["masks"]
    assert check["tagged"] == check["turned"] == names(2, 5)
