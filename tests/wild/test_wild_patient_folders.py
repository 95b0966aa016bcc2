"""Folders of patients and of hospitals, and columns of patients in every spelling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtk.data.plan import words
from mmtk.data.plan.findings import find_sets
from mmtk.data.plan.listing import list_folder


@pytest.mark.parametrize(
    "name",
    [
        *("Patientennummer", "PatientenID", "Patienten_ID", "Patienten-ID", "Patientennr", "PatNr", "Pat.-Nr."),
        *("Patientenkennung", "Fallnummer", "patient_identifier", "Probanden-Nr", "idpaciente", "person_id"),
    ],
)
def test_columns_of_patients(name: str) -> None:
    assert words.is_patient_column(name)


@pytest.mark.parametrize(
    "name", ["patient age", "Patientenalter", "path", "patch", "fallback", "casein", "pattern"]
)
def test_other_columns(name: str) -> None:
    assert not words.is_patient_column(name)


def hospital(root: Path, layout: str, patients: int, visits: int) -> None:
    """Films with a mask beside each, in a folder for every patient."""
    noise = np.random.default_rng(0)
    for patient in range(patients):
        for visit in range(visits):
            film = root / layout.format(patient=patient, visit=visit)
            film.parent.mkdir(parents=True, exist_ok=True)
            pixels = noise.integers(0, 255, (20, 20), np.uint8)
            Image.fromarray(pixels).save(film)
            Image.fromarray(np.uint8(pixels > 99) * 255).save(film.with_name(f"{film.stem}_mask.png"))


@pytest.mark.parametrize(
    ("layout", "patients"),
    [
        ("Patient {patient:02}/visit {visit}/film.png", 3),
        ("P{patient:02}/{visit}.png", 4),
        ("{patient}x/{visit}.png", 9),
    ],
)
def test_folders_of_patients_are_one_set(tmp_path: Path, layout: str, patients: int) -> None:
    hospital(tmp_path, layout, patients, visits=4)
    (film_set,) = find_sets(list_folder(tmp_path))
    assert len(film_set.masks) == 4 * patients
    (same_set,) = find_sets(list_folder(tmp_path), {"masks": "."})
    assert len(same_set.masks) == 4 * patients


def test_hospitals_are_sets_of_their_own(tmp_path: Path) -> None:
    for name in ("Mitte", "Nord"):
        hospital(tmp_path / name, "{patient}-{visit}.png", 6, visits=2)
    assert [film_set.folder for film_set in find_sets(list_folder(tmp_path))] == ["Mitte", "Nord"]
    (tmp_path / "West").mkdir()
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "West/film.png")
    sets = find_sets(list_folder(tmp_path))
    assert [film_set.folder for film_set in sets] == ["Mitte", "Nord"]
    assert "left out: West" in " ".join(sets[0].notes)
