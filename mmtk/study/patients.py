"""Patients of test images: what intervals for new patients rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmtk.errors import MmtkError
from mmtk.runs.arrays import add_patients
from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN

if TYPE_CHECKING:
    from mmtk.api import Source
    from mmtk.study.results import Cell

ROLES = {IN_DOMAIN: "source", CROSS_DOMAIN: "cross"}  # of a source in a recipe, by domain


@dataclass(frozen=True)
class TestImages:
    """Images of one test set, and whose they are.

    ids: [images], ascending
    patients: [images], a number for every patient
    unnamed: count of images whose patient neither a file nor the source names; each counts as a patient
    """

    __test__ = False  # pytest would take the class for a test by its name

    ids: np.ndarray
    patients: np.ndarray
    unnamed: int


def images_of(cells: Sequence[Cell], domain: str, task: str) -> TestImages:
    """The images that any cell has values of, with their patients.

    cells: of one study, tested on the same data
    domain: of the test set
    task: of the values

    Runs that hold no patients (mmtk 0.2) take them from runs of the same images that do, else from their source.
    MmtkError where cells group the same images into other patients.
    """
    tables = [table for cell in cells if (table := cell.cases.get((domain, task)))]
    names: dict[str, str] = {}
    for cell in cells:
        table = cell.cases.get((domain, task), {})
        if "patient" in table:
            add_patients(names, table["id"], table["patient"], f"{cell.name}: {domain} {task}")
    if tables and all("patient" not in table for table in tables):
        names = _of_source(next(cell for cell in cells if (domain, task) in cell.cases), domain, task)
    ids = sorted({name for table in tables for name in table["id"]})
    named = [("patient", names[name]) if name in names else ("image", name) for name in ids]
    numbers = {one: number for number, one in enumerate(dict.fromkeys(named))}
    patients = np.array([numbers[one] for one in named], int)
    return TestImages(np.array(ids, object), patients, sum(kind == "image" for kind, _ in named))


def _of_source(cell: Cell, domain: str, task: str) -> dict[str, str]:
    """Patients by id as the source of a cell's runs names them; none where it cannot be read here."""
    if (source := source_of(cell, domain, task)) is None:
        return {}
    single, items = source.one_image_per_patient, source.items("all")
    return {item.id: item.patient for item in items if item.patient != item.id or single}


def source_of(cell: Cell, domain: str, task: str) -> Source | None:
    """The source of a test set of a cell's runs; None where it cannot be read here.

    cell: of the study
    domain: of the test set
    task: of the test set
    """
    if domain not in ROLES or not cell.runs:
        return None
    run = next(iter(cell.runs.values()))
    root = run.provenance.get("data_root")
    try:
        from mmtk.data import sources

        return sources.source(run.folder.recipe, task, ROLES[domain], Path(root) if root else None)
    except (MmtkError, ImportError, OSError):  # the data are elsewhere, or a plugin is not installed
        return None
