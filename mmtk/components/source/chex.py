"""Kermany's paediatric chest X-rays: normal or pneumonia."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from mmtk.api import Item, LabelSpec, Source, Split
from mmtk.components.source import _layout
from mmtk.components.source._chex_names import NUMBERED, PATIENT
from mmtk.components.source._splitting import split_by_patient

CLASSES = {"NORMAL": 0, "PNEUMONIA": 1}
CAUSE = re.compile(r"(?:person\d+_)?(bacteria|virus)", re.IGNORECASE)


class CheX(Source):
    """CheX: 5,856 paediatric chest X-rays, normal or pneumonia (Kermany et al., Cell 2018).

    val: "patient" carves 10 % of the official train part as val, whole patients, stratified by class, in
    hash order; the 16 official val images then join train, so that every image is used. "official" keeps
    the 16. The test part is the official one always.

    Metadata: the cause of a pneumonia, bacteria or virus, from the name of the film. Films are named as in the
    second version (``person1_virus_6``, ``IM-0115-0001``) or in the third (``VIRUS-1003233-0001``).

    Files: ``chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg`` below root, or root is that folder.
    """

    labels = LabelSpec("classification", ("normal", "pneumonia"))

    def __init__(self, root: Path, *, val: Literal["patient", "official"] = "patient") -> None:
        self.val = val
        names = ("chest_xray", "chest_xray/chest_xray", "CheX")
        folder = _layout.find_folder(Path(root), names, ("train/NORMAL", "test/NORMAL"))
        train, test = _part(folder / "train"), _part(folder / "test")
        # Mendeley's release has no val part, and needs none.
        validation = _part(folder / "val") if val == "official" or (folder / "val").is_dir() else []
        if val == "patient":
            carved = split_by_patient(train, {"val": 0.1})
            train, validation = carved["train"] + validation, carved["val"]
        self._parts = _layout.Parts(folder, {"train": train, "val": validation, "test": test})

    def items(self, split: Split) -> list[Item]:
        """Ids are the file stems; a patient is a person's number and kind, or the number in the film's name."""
        return self._parts.items(split)

    def digest(self) -> str:
        """SHA-256 of files, labels and keys."""
        return self._parts.digest(val=self.val)

    def files(self) -> list[Path]:
        """All images."""
        return self._parts.files()


def _part(folder: Path) -> list[Item]:
    items = []
    for name, number in CLASSES.items():
        for stem, path in _layout.by_stem(_layout.list_films(folder / name, f"{name} images")).items():
            patient = PATIENT.match(stem) or NUMBERED.match(stem)
            cause = CAUSE.match(stem)
            metadata = {"cause": cause[1].lower()} if cause else {}
            person = patient[patient.re.groups] if patient else stem
            items.append(Item(stem, path, number, person, metadata=metadata))
    return items
