"""The ChestX-ray8 subset: normal or pneumonia, for evaluation across domains."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from mmtk.api import Item, LabelSpec, MmtkError, Source, Split
from mmtk.components.source import _layout
from mmtk.components.source._splitting import hash_order
from mmtk.counts import share
from mmtk.errors import listing
from mmtk.images.ages import age_in_years

FACTS = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")  # with age, sex and view
TABLES = ("labels.csv", *FACTS)
BOXES = "BBox_List_2017.csv"
SIDE = 1024  # of NIH's PNG files in pixels, in which the boxes are
COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
MOST_NORMAL = 2754
Box = tuple[float, float, float, float]


class NIHX(Source):
    """NIHX: adult chest X-rays of ChestX-ray8, no finding or pneumonia (Wang et al., CVPR 2017; test only).

    All images whose labels contain Pneumonia, and the first 2,754 of ``No Finding`` in hash order (so all of
    a smaller pack). Everything is the test part.

    Metadata: age, sex, view, follow-up, and the number of other findings, where the tables have them. Boxes of
    pneumonia come from ``BBox_List_2017.csv``, where it lies beside the table.

    Files: ``NIHX/labels.csv`` or the official ``NIHX/Data_Entry_2017.csv``, and the images anywhere below
    (``images/``, ``images_001/images/`` …).
    """

    labels = LabelSpec("classification", ("normal", "pneumonia"))

    def __init__(self, root: Path) -> None:
        folder = _layout.find_folder(Path(root), ("NIHX",), TABLES)
        table = next(folder / name for name in TABLES if (folder / name).is_file())
        labels, patients = _read(table)
        healthy = hash_order(Path(name).stem for name, pneumonia in labels.items() if not pneumonia)
        stems = {*healthy[:MOST_NORMAL], *(Path(name).stem for name, pneumonia in labels.items() if pneumonia)}
        images = _layout.by_stem(path for path in _layout.list_images(folder) if path.name in labels)
        names = [name for name in labels if Path(name).stem in stems]
        missing = [name for name in names if Path(name).stem not in images]
        if missing:
            raise MmtkError(
                f"{share(len(missing), len(names), 'image')} that it names not found: {listing(missing, 5)}.",
                str(table),
                f"Unpack the archives of images below {folder}.",
            )
        facts = _facts([folder / name for name in FACTS] + [table])
        boxes = _boxes(folder / BOXES)
        items = [
            Item(stem, images[stem], labels[name], patients[name], None, facts.get(name, {}), boxes[name])
            for name, stem in ((name, Path(name).stem) for name in names)
        ]
        self._parts = _layout.Parts(folder, {"test": items}, (table,))

    def items(self, split: Split) -> list[Item]:
        """Ids are the file stems, patients NIH's own; train and val are empty."""
        return self._parts.items(split)

    def digest(self) -> str:
        """SHA-256 of files and labels."""
        return self._parts.digest()

    def files(self) -> list[Path]:
        """The table and all images that are used."""
        return self._parts.files()


def _read(table: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Read pneumonia (1) or no finding (0), and the patient, by image; other findings are left out."""
    labels: dict[str, int] = {}
    patients: dict[str, str] = {}
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        absent = [name for name in COLUMNS if name not in (rows.fieldnames or [])]
        if absent:
            raise MmtkError(f"has no column {listing(absent)}. A table of NIH has {listing(COLUMNS)}.", str(table))
        for row in rows:
            findings = (row["Finding Labels"] or "").split("|")
            if "Pneumonia" in findings or findings == ["No Finding"]:
                name, facts = row["Image Index"], (int("Pneumonia" in findings), row["Patient ID"])
                if (labels.setdefault(name, facts[0]), patients.setdefault(name, facts[1])) != facts:
                    raise MmtkError(f"two rows of {name} differ in finding or patient.", str(table), "Keep one.")
    if len(set(labels.values())) < 2:
        raise MmtkError("has one class only: it needs rows with Pneumonia and with No Finding.", str(table))
    return labels, patients


def _boxes(table: Path) -> defaultdict[str, tuple[Box, ...]]:
    """Boxes of pneumonia by image, as shares of its sides; the columns x, y, w and h stand behind the finding."""
    boxes: defaultdict[str, tuple[Box, ...]] = defaultdict(tuple)
    if table.is_file():
        with table.open(newline="", encoding="utf-8-sig") as file:
            for name, finding, *numbers in (row for row in csv.reader(file) if len(row) > 1):
                if finding == "Pneumonia":
                    try:
                        x, y, width, height = (float(number) / SIDE for number in numbers[:4])
                    except ValueError:
                        cure = "A row has: image, finding, x, y, w, h, in pixels of the 1024 × 1024 image."
                        raise MmtkError(f"the box of {name} is no four numbers.", str(table), cure) from None
                    boxes[name] += ((x, y, width, height),)
    return boxes


def _facts(tables: list[Path]) -> dict[str, dict[str, str | float]]:
    """Metadata by image, from the first table that has a value."""
    facts: dict[str, dict[str, str | float]] = {}
    for table in (path for path in dict.fromkeys(tables) if path.is_file()):
        with table.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                name = row.get("Image Index") or ""
                facts[name] = _of_row(row) | facts.get(name, {})
    return facts


def _of_row(row: dict[str, str | None]) -> dict[str, str | float]:
    """Metadata of one row; what it lacks is absent."""
    cells = {name: (cell or "").strip() for name, cell in row.items() if isinstance(cell, str)}
    facts: dict[str, str | float] = {}
    if (age := age_in_years(cells.get("Patient Age", ""))) is not None:
        facts["age"] = age
    for name, columns in (("sex", ("Patient Gender", "Patient Sex")), ("view", ("View Position",))):
        if value := next((cells[column] for column in columns if cells.get(column)), ""):
            facts[name] = value
    if cells.get("Follow-up #", "").isdecimal():
        facts["follow-up"] = float(cells["Follow-up #"])
    if "Finding Labels" in cells:
        facts["other findings"] = float(
            len({*cells["Finding Labels"].split("|")} - {"Pneumonia", "No Finding", ""})
        )
    return facts
