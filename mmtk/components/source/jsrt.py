"""The JSRT chest films with the lung and heart outlines of SCR."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path
from typing import Literal

import numpy as np

from mmtk.api import Item, LabelSpec, MmtkError, Source, Split
from mmtk.components.source import _layout
from mmtk.components.source._splitting import split_by_size
from mmtk.errors import listing
from mmtk.images.ages import age_in_years
from mmtk.images.loader import image_size

SIZES = (111, 13, 123)
FILM_MM = 0.175 * 2048
TABLE = "jsrt_metadata.csv"
SEXES = ("F", "M")
FILM = re.compile(r"JPC[LN]N\d{3}")
LUNGS = ("left lung", "right lung")
ORGANS = (*LUNGS, "heart")


class JSRT(Source):
    """JSRT: 247 adult chest films with SCR's masks of lungs and heart (Shiraishi 2000, van Ginneken 2006).

    organs: "lungs" is one channel, the union of both lungs; "separate" has left lung, right lung and heart
    (the patient's sides), which may overlap.

    Metadata: whether the film has a lung nodule, from its name (JPCLN: with, JPCNN: without); age and sex, where
    ``JSRT/jsrt_metadata.csv`` has them (columns study_id, age, gender).

    Files below ``JSRT/``: films named JPCLN001 … JPCNN093 as .IMG or any image, and masks of the
    same names in folders ``left lung``, ``right lung``, ``heart`` (as SCR has them below fold1 and fold2) or
    joined in ``masks``. SCR's 1024 × 1024 masks are enlarged to their films. No official split: 111 / 13 /
    123 films in hash order.
    """

    one_image_per_patient = True

    def __init__(self, root: Path, *, organs: Literal["lungs", "separate"] = "lungs") -> None:
        self.organs = organs
        separate = organs == "separate"
        names = ORGANS if separate else ("lung",)
        self.labels = LabelSpec("segmentation", names, exclusive=False, swap=((0, 1),) if separate else ())
        root = Path(root)
        folder = root if root.name == "JSRT" else root / "JSRT"
        if not folder.is_dir():
            raise MmtkError(f"no data: {root} has no JSRT/ with films named JPCLN001, ….", hint=_layout.CURE)
        films = _films(folder)
        images = _layout.by_stem(films[""])
        masks = _masks(films, separate, folder)
        _layout.match(images, masks, folder)
        facts = _facts(folder / TABLE)
        items = [
            Item(stem, path, masks[stem], stem, _spacing(path), {"nodule": _nodule(stem), **facts.get(stem, {})})
            for stem, path in images.items()
        ]
        self._parts = _layout.Parts(folder, split_by_size(items, SIZES))

    def items(self, split: Split) -> list[Item]:
        """Ids are the film names; every film is a patient; spacing is 0.175 mm × 2048 / size."""
        return self._parts.items(split)

    def mask(self, item: Item) -> np.ndarray:
        """[1,H,W] lungs or [3,H,W] left lung, right lung, heart; uint8 in {0, 1}."""
        channels = np.stack([_layout.read_channel(path, item.image, enlarge=True) for path in item.target])
        if self.organs == "lungs":
            channels = np.any(channels, axis=0, keepdims=True)
        return channels.astype(np.uint8)

    def digest(self) -> str:
        """SHA-256 of files, masks and keys."""
        return self._parts.digest(organs=self.organs)

    def files(self) -> list[Path]:
        """All films and masks."""
        return self._parts.files()


def _nodule(stem: str) -> str:
    """Whether the film of this name has a nodule."""
    return "yes" if stem[3] == "L" else "no"


def _facts(table: Path) -> dict[str, dict[str, str | float]]:
    """Age and sex by film; what the table lacks is absent."""
    facts: dict[str, dict[str, str | float]] = {}
    if table.is_file():
        with table.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                stem = Path(row.get("study_id") or "").stem
                age, sex = age_in_years(row.get("age") or ""), (row.get("gender") or "").strip()[:1].upper()
                facts[stem] = ({"age": age} if age is not None else {}) | ({"sex": sex} if sex in SEXES else {})
    return facts


def _films(folder: Path) -> dict[str, list[Path]]:
    """Files with a film's name, by organ: "" is the film itself, "masks" the union of the lungs."""
    paths: dict[str, list[Path]] = defaultdict(list)
    for path in _layout.list_films(folder, "JSRT films"):
        if FILM.fullmatch(path.stem):
            kind = path.parent.name.lower().replace("_", " ")
            is_mask = "clavicle" in kind or kind in (*ORGANS, "masks")
            paths[kind if is_mask else ""].append(path)
    if not paths[""]:
        raise MmtkError("no films named JPCLN001, JPCNN001, … in it.", str(folder), _layout.CURE)
    return paths


def _masks(films: dict[str, list[Path]], separate: bool, folder: Path) -> dict[str, tuple[Path, ...]]:
    """Mask files by film: one per organ, or both lungs, or their union where a lung is missing."""
    organs = {organ: _layout.by_stem(films[organ]) for organ in (*ORGANS, "masks")}
    required = ORGANS if separate else LUNGS
    masks: dict[str, tuple[Path, ...]] = {} if separate else {n: (p,) for n, p in organs["masks"].items()}
    for name in {name for organ in required for name in organs[organ]}:
        missing = [organ for organ in required if name not in organs[organ]]
        if not missing:
            masks[name] = tuple(organs[organ][name] for organ in required)
        elif name not in masks:
            message = f"{name} has no mask of {listing(missing)}."
            raise MmtkError(message, str(folder), "Unpack all folders of SCR's masks.")
    return masks


def _spacing(film: Path) -> tuple[float, float]:
    height, width = image_size(film)
    return FILM_MM / height, FILM_MM / width
