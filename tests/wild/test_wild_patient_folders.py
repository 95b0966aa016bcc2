"""Folders of patients and of hospitals, and columns of patients in every spelling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layout_inputs import dicom, film, table
from PIL import Image

from mmtk.data.plan.findings import find_sets
from mmtk.data.plan.listing import list_folder
from mmtk.data.plan.patient_words import is_study_column, patient_column, patient_rank, possible_patients
from mmtk.data.plan.profile import plan_folder
from mmtk.errors import MmtkError


@pytest.mark.parametrize(
    "name",
    [
        *("Patientennummer", "PatientenID", "Patienten_ID", "Patienten-ID", "Patientennr", "PatNr", "Pat.-Nr."),
        *("Patientenkennung", "patient_identifier", "Probanden-Nr", "idpaciente", "person_id", "患者编号"),
        *(
            "病历号",
            "住院号",
            "患者番号",
            "환자번호",
            "Versichertennummer",
            "KIS-ID",
            "Pseudonym",
            "Patientenname",
            "IPP",
        ),
        *("NHC", "Codice paziente", "Cartella clinica", "ID пациента", "№ истории болезни", "Nr pacjenta", "CPR"),
        *("Prontuário", "Rodné číslo", "Hospital Number", "HospitalNo", "empi", "Nom du patient", "patiëntnummer"),
    ],
)
def test_columns_of_patients(name: str) -> None:
    assert patient_rank(name) == 2


@pytest.mark.parametrize(
    "name", ["Fallnummer", "Fall-Nr.", "Name", "Nachname", "N° dossier", "Nº historia", "姓名"]
)
def test_columns_of_stays_and_names(name: str) -> None:
    assert patient_rank(name) == 1


@pytest.mark.parametrize(
    "name",
    [
        *(
            "patient age",
            "Patientenalter",
            "path",
            "patch",
            "fallback",
            "casein",
            "pattern",
            "患者年龄",
            "personal",
        ),
        *(
            "Alter Patient",
            "file name",
            "hospital name",
            "Patient Position",
            "subjectivity",
            "patient history",
            "id",
        ),
    ],
)
def test_other_columns(name: str) -> None:
    assert patient_rank(name) == 0


@pytest.mark.parametrize("name", ["Accession Number", "Anforderungsnummer", "study_id", "StudyInstanceUID"])
def test_columns_of_studies_are_not_of_patients(name: str) -> None:
    assert is_study_column(name)
    assert patient_rank(name) == 0


def test_the_patient_comes_before_the_stay_and_a_stay_counts_where_it_repeats() -> None:
    stays, patients = [f"{n // 2}" for n in range(20)], [f"{n // 4}" for n in range(20)]
    assert patient_column([("Fallnummer", stays), ("Patient", patients)]) == "Patient"
    assert patient_column([("Fallnummer", stays), ("Befund", patients)]) == "Fallnummer"
    assert patient_column([("Name", ["normal", "pneumonia"] * 10)]) == ""


def test_a_column_of_no_known_name_is_asked_for() -> None:
    codes = [f"Q{n // 3}" for n in range(30)]
    dates = [f"2024-01-{n // 3 + 1:02}" for n in range(30)]
    coordinates = [*codes[:20], *([""] * 10)]
    columns = [("Kode", codes), ("Tag", dates), ("x", coordinates), ("sex", ["F", "M"] * 15)]
    assert possible_patients(columns) == ["Kode"]


FILMS = [(patient, number) for patient in range(10) for number in range(4)]


@pytest.mark.parametrize(
    ("layout", "count"),
    [
        ("Person {patient} Müller/Bild {number}.png", 10),  # folders of nobody's rule
        ("{label}/Müller_{name}_{number}.png", 10),
        ("{label}/100{patient}_b{number}.png", 10),
        ("{label}/scan {patient}{number}.png", 0),
        ("{label}/2024-01-1{patient}_{number}.png", 0),  # dates
    ],
)
def test_persons_by_what_repeats(tmp_path: Path, layout: str, count: int) -> None:
    rows = ["file,finding"]
    for patient, number in FILMS:
        label = ("normal", "pneumonia")[number % 2]
        name = layout.format(patient=patient, number=number, label=label, name="abcdefghij"[patient])
        path = tmp_path / "films" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), patient * 8 + number, np.uint8)).save(path)
        rows.append(f"{name},{label}")
    if "label" not in layout:
        (tmp_path / "films/t.csv").write_text("\n".join(rows), encoding="utf8")
    plan = plan_folder(tmp_path / "films", tmp_path / "p.toml")
    (line,) = [line for line in plan.lines if "patients:" in line]
    assert line.strip().startswith(f"patients: {count} of 40 films" if count else "patients: not known")


def test_the_plan_names_the_column_that_may_be_the_patient(tmp_path: Path) -> None:
    rows = ["file,finding,Kode"]
    for n in range(40):
        Image.fromarray(np.full((8, 8), n, np.uint8)).save(tmp_path / f"{chr(97 + n // 26)}{chr(97 + n % 26)}.png")
        rows.append(f"{chr(97 + n // 26)}{chr(97 + n % 26)}.png,{('normal', 'ill')[n % 2]},Q{n // 4}")
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf8")
    text = "\n".join(plan_folder(tmp_path, tmp_path / "p.toml").lines)
    assert "patients: not known" in text
    assert '"Kode" has 10 values in 40 rows: if it is the patient, --patient Kode says so' in text
    text = "\n".join(plan_folder(tmp_path, tmp_path / "p.toml", {"patient": "Kode"}).lines)
    assert "patients: 10 of 40 films" in text


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


def test_an_accession_number_joins_and_the_header_says_whose_the_film_is(tmp_path: Path) -> None:
    rows = ["Accession Number;Befund"]
    for n in range(24):
        dicom(tmp_path / f"PA{n:06}/IM{n:06}", f"P{n // 2}", AccessionNumber=f"A{9000 + n}")
        rows.append(f"A{9000 + n};{('normal', 'Pneumonie')[n // 2 % 2]}")
    (tmp_path / "Befunde.csv").write_text("\n".join(rows), encoding="utf8")
    (film_set,) = find_sets(list_folder(tmp_path))
    assert {path.split("/")[0]: film.patient for path, film in film_set.films.items()} == {
        f"PA{n:06}": f"P{n // 2}" for n in range(24)
    }


def test_findings_in_some_folders_of_patients_are_named_with_the_cure(tmp_path: Path) -> None:
    for n in range(24):
        finding = "" if n // 2 == 5 else f" ({('normal', 'Pneumonie')[n // 2 % 2]})"
        film(tmp_path / f"d/Pat {n // 2}{finding}/{n % 2}.png")
    with pytest.raises(MmtkError) as caught:
        plan_folder(tmp_path / "d", tmp_path / "p.toml")
    words = 'the folders may say the finding, as "Pat 0 (normal)", but not all do: Pat 5. Give each its finding'
    assert words in str(caught.value)


def test_a_label_of_a_program_alone_is_taken_with_a_doubt(tmp_path: Path) -> None:
    rows = [["file", "predicted_class"]]
    for n in range(8):
        film(tmp_path / f"d/{n}.png")
        rows.append([f"{n}.png", ("normal", "pneumonia")[n % 2]])
    table(tmp_path / "d/t.csv", rows)
    text = "\n".join(plan_folder(tmp_path / "d", tmp_path / "p.toml").lines)
    assert '"predicted_class" may be what a program said of the films (--label COLUMN takes another)' in text
