"""The Montgomery County chest X-rays with lung masks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

from mmtk.api import Item, LabelSpec, Source, Split
from mmtk.components.source import _layout
from mmtk.components.source._splitting import split_by_size
from mmtk.images.ages import age_in_years
from mmtk.images.loader import image_size

SIZES = (93, 10, 35)
FILM_MM = 0.0875
FILM_SIZES = ((4892, 4020), (4020, 4892))


class MCU(Source):
    """MCU: 138 adult chest X-rays with masks of both lungs (Jaeger et al. 2014, Candemir et al. 2014).

    organs: "lungs" is one channel, the union of both lungs; "separate" has left lung and right lung, the
    patient's sides. The side is taken from the picture (the right lung is on the left), because copies of the
    set disagree on what leftMask and rightMask mean.

    Metadata: tuberculosis, from the name of the film (``_1``: with, ``_0``: without), and age and sex from its
    file in ``ClinicalReadings``, where there is one.

    Files: ``MCU/CXR_png``, ``MCU/ManualMask/{leftMask,rightMask}`` (or ``MontgomerySet/…``) below root. No
    official split: 93 / 10 / 35 images in hash order.
    """

    one_image_per_patient = True

    def __init__(self, root: Path, *, organs: Literal["lungs", "separate"] = "lungs") -> None:
        self.organs = organs
        if organs == "lungs":
            self.labels = LabelSpec("segmentation", ("lung",), exclusive=False)
        else:
            self.labels = LabelSpec("segmentation", ("left lung", "right lung"), exclusive=False, swap=((0, 1),))
        folder = _layout.find_folder(Path(root), ("MCU", "MontgomerySet", "MCU/MontgomerySet"), ("CXR_png",))
        images = _layout.by_stem(_layout.list_films(folder / "CXR_png"))
        sides = []
        for name in ("leftMask", "rightMask"):
            mask_folder = folder / "ManualMask" / name
            sides.append(_layout.by_stem(_layout.list_images(mask_folder, "masks")))
            _layout.match(images, sides[-1], mask_folder)
        readings = folder / "ClinicalReadings"
        items = [
            Item(name, path, tuple(side[name] for side in sides), name, _spacing(path), _facts(name, readings))
            for name, path in images.items()
        ]
        self._parts = _layout.Parts(folder, split_by_size(items, SIZES))

    def items(self, split: Split) -> list[Item]:
        """Ids are the file stems; every image is a patient; films of the original size have a spacing."""
        return self._parts.items(split)

    def mask(self, item: Item) -> np.ndarray:
        """[1,H,W] lungs or [2,H,W] left lung, right lung; uint8 in {0, 1}."""
        lungs = np.stack([_layout.read_channel(path, item.image) for path in item.target])
        if self.organs == "lungs":
            lungs = np.any(lungs, axis=0, keepdims=True)
        elif _centre(lungs[0]) < _centre(lungs[1]):
            lungs = lungs[::-1]
        return lungs.astype(np.uint8)

    def digest(self) -> str:
        """SHA-256 of files, masks and keys."""
        return self._parts.digest(organs=self.organs)

    def files(self) -> list[Path]:
        """All images and masks."""
        return self._parts.files()


def _centre(mask: np.ndarray) -> float:
    """Mean column of a mask; the middle of the picture for an empty one, so that the other mask decides."""
    columns = mask.nonzero()[1]
    return float(columns.mean()) if columns.size else (mask.shape[1] - 1) / 2


def _spacing(path: Path) -> tuple[float, float] | None:
    """Spacing of 0.0875 mm by the read-me of the films; None for a stretched copy."""
    return (FILM_MM, FILM_MM) if image_size(path) in FILM_SIZES else None


def _facts(name: str, readings: Path) -> dict[str, str | float]:
    """Metadata of a film; what is not known is absent."""
    facts: dict[str, str | float] = {}
    if (ending := name.rpartition("_")[2]) in ("0", "1"):
        facts["tuberculosis"] = "yes" if ending == "1" else "no"
    file = readings / f"{name}.txt"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    if sex := re.search(r"Sex:\s*([MF])\b", text, re.IGNORECASE):
        facts["sex"] = sex[1].upper()
    age = re.search(r"Age:\s*(\d+[YMWD]?)", text, re.IGNORECASE)
    if age and (years := age_in_years(age[1])) is not None:
        facts["age"] = years
    return facts
