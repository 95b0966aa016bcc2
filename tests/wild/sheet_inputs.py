"""Tables as secretaries and students fill them in, and films beside copies of themselves, with what is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from layout_inputs import Right, dicom, film, save, table

NORMAL, ILL = "normal", "Pneumonie"
HALVES = {NORMAL: 12, ILL: 12}


def two_visits_in_a_row(root: Path) -> Right:
    """A row for each patient, with film and diagnosis of both visits side by side."""
    rows: list[list[object]] = [["Patient", "Film 1", "Diagnose 1", "Film 2", "Diagnose 2"]]
    for n in range(12):
        for visit in (1, 2):
            film(root / f"f/P{n:02}_{visit}.png")
        one, two = (NORMAL, ILL) if n % 4 else (ILL, NORMAL)
        rows.append([f"P{n:02}", f"P{n:02}_1.png", one, f"P{n:02}_2.png", two])
    table(root / "verlauf.csv", rows, ";")
    return Right(HALVES, films=24, patients=12, words=("in the rows of the others stand Diagnose 2",))


def merged_cells(root: Path) -> Right:
    """A workbook in which the cells of a patient are merged over the rows of his films."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Patient", "Diagnose", "Datei"])
    for n in range(24):
        film(root / f"img/R{n:02}.png")
        first = n % 2 == 0
        sheet.append([n // 2 + 1 if first else None, (NORMAL, ILL)[n // 2 % 2] if first else None, f"R{n:02}.png"])
        if not first:
            sheet.merge_cells(f"A{n + 1}:A{n + 2}")
            sheet.merge_cells(f"B{n + 1}:B{n + 2}")
    book.save(root / "Liste.xlsx")
    return Right(HALVES, films=24, patients=12)


def blanks_below_a_patient(root: Path) -> Right:
    """A patient is written once, and the cells of his other films stay empty."""
    rows: list[list[object]] = [["Patient", "Datei", "Diagnose"]]
    for n in range(24):
        film(root / f"img/R{n:02}.png")
        rows.append([f"Pat {n // 2}" if n % 2 == 0 else "", f"R{n:02}.png", (NORMAL, ILL)[n // 2 % 2]])
    table(root / "Liste.csv", rows, ";")
    words = ("12 empty cells below a patient in Liste.csv repeat what is above: Patient",)
    return Right(HALVES, films=24, patients=12, words=words)


def ditto_marks(root: Path) -> Right:
    """Marks that repeat the cell above, in the columns of patients and of findings."""
    rows: list[list[object]] = [["Datei", "Patient", "Befund"]]
    for n in range(24):
        film(root / f"img/R{n:02}.png")
        patient, finding = f"Pat {n // 2}", (NORMAL, ILL)[n // 2 % 2]
        rows.append([f"R{n:02}.png", patient if n % 2 == 0 else "s.o.", finding if n % 2 == 0 else '"'])
    table(root / "Liste.csv", rows, ";")
    return Right(HALVES, films=24, patients=12, words=("repeat the cell above: Befund, Patient",))


def program_beside_a_reader(root: Path) -> Right:
    """Answers of a program before those of the radiologist, in the same words; a mark leaves films out."""
    rows: list[list[object]] = [["file", "AI result", "Radiologist", "AI score", "exclude"]]
    for n in range(24):
        film(root / f"img/R{n:02}.png")
        program, radiologist = (
            "positive" if n < 8 else ("negative", "positive")[n % 2],
            ("negative", "positive")[n % 2],
        )
        rows.append([f"R{n:02}.png", program, radiologist, n / 24, "x" if n > 21 else ""])
    table(root / "study.csv", rows)
    words = ('"Radiologist" as label', '"exclude" marks 2 rows')
    return Right({"negative": 12, "positive": 12}, films=24, words=words)


def prediction_and_truth(root: Path) -> Right:
    """The results of a network, with its answer and the true one."""
    rows: list[list[object]] = [["filename", "predicted_class", "true_class"]]
    for n in range(24):
        film(root / f"img/R{n:02}.png")
        rows.append([f"R{n:02}.png", ILL if n < 8 else (NORMAL, ILL)[n % 2], (NORMAL, ILL)[n % 2]])
    table(root / "results.csv", rows)
    return Right(HALVES, films=24)


def answers_for_both_lungs(root: Path) -> Right:
    """A column for the right lung and one for the left, with yes and no."""
    rows: list[list[object]] = [["Bild", "Infiltrat rechts", "Infiltrat links"]]
    for n in range(24):
        film(root / f"img/R{n:02}.png")
        rows.append([f"R{n:02}.png", ("nein", "ja")[n % 4 == 1], ("nein", "ja")[n % 4 == 3]])
    table(root / "lungen.csv", rows, ";")
    words = ('"Infiltrat rechts" and "Infiltrat links" of lungen.csv are one label, "Infiltrat"',)
    return Right({"nein": 12, "ja": 12}, films=24, first="nein", words=words)


def hands_among_chests(root: Path) -> Right:
    """A query of a PACS by patient, which brought films of hands as well."""
    rows: list[list[object]] = [["AccessionNumber", "Befund"]]
    for n in range(30):
        part = "HAND" if n % 5 == 4 else "CHEST"
        dicom(root / f"PACS/{n:06}", str(n + 100), AccessionNumber=f"A{n:05}", BodyPartExamined=part)
        rows.append([f"A{n:05}", (NORMAL, ILL)[n % 2]])
    table(root / "liste.csv", rows, ";")
    words = ("6 films of other parts of the body (HAND, by BodyPartExamined) left out",)
    return Right(HALVES, films=24, patients=24, words=words)


def parts_in_names(root: Path) -> Right:
    """Part, number and class in the names of the files."""
    for n in range(24):
        film(root / f"{('train', 'train', 'val', 'test')[n // 2 % 4]}_{n:04}_{('normal', 'pneumonia')[n % 2]}.png")
    words = ("parts: train 12, val 6, test 6", "the first words of the file names, test, train, val")
    return Right({"normal": 12, "pneumonia": 12}, films=24, words=words)


def turned_copies(root: Path) -> Right:
    """Somebody has enlarged the set by copies of its films, flipped and turned."""
    for n in range(12):
        for copy in ("", "_flip", "_rot10"):
            film(root / f"{('normal', 'pneumonia')[n % 2]}/{n:04}{copy}.png")
    words = ("patients: 12 of 36 films", "24 films are called like another one with a word behind it")
    return Right({"normal": 18, "pneumonia": 18}, films=36, patients=12, words=words)


def thumbnails(root: Path) -> Right:
    """A small copy of every film beside it, or in a folder of its own."""
    for n in range(24):
        label, draw = ("normal", "pneumonia")[n % 2], np.random.default_rng(n)
        film(root / f"{label}/{n:04}.png")
        small = f"{label}/{n:04}_thumb.png" if n < 12 else f"{label}/thumbs/{n:04}.png"
        save(root / small, draw.integers(0, 256, (6, 5), dtype=np.uint8))
    return Right({"normal": 12, "pneumonia": 12}, films=24, words=("24 smaller copies of films left out",))


def tables_joined_by_examination(root: Path) -> Right:
    """A database in three tables: films of examinations, patients of examinations, reports of examinations."""
    films: list[list[object]] = [["file", "exam_id", "device"]]
    exams: list[list[object]] = [["exam_id", "patient_id"]]
    reports: list[list[object]] = [["exam_id", "diagnosis"]]
    for n in range(24):
        film(root / f"img/{n * 37:03}.png")
        films.append([f"{n * 37:03}.png", f"E{n // 2 + 500}", ("GE", "Siemens")[n % 2]])
        if n % 2 == 0:
            exams.append([f"E{n // 2 + 500}", f"P{n // 2}"])
            reports.append([f"E{n // 2 + 500}", (NORMAL, ILL)[n // 2 % 2]])
    for name, rows in (("films", films), ("exams", exams), ("reports", reports)):
        table(root / f"{name}.csv", rows)
    words = ('"exam_id" joins reports.csv to films.csv', '"exam_id" joins exams.csv to films.csv')
    return Right(HALVES, films=24, patients=12, words=words)


def answers_for_each_finding(root: Path) -> Right:
    """A column of yes and no for each finding, beside facts of the film and a column of films to leave out."""
    rows: list[list[object]] = [["Bild", "Infiltrat", "Erguss", "QC_pass", "fever"]]
    for n in range(36):
        film(root / f"d/m{n}.png")
        answers = [("nein", "Ja")[n % 3 == kind] for kind in (1, 2)]
        rows.append([f"m{n}.png", *answers, str(n % 9 != 4).upper(), ("yes", "no")[n % 2]])
    table(root / "liste.csv", rows, ";")
    words = ("answers in Erguss, Infiltrat of liste.csv", '"QC_pass" marks 4 rows (FALSE)')
    return Right({"no finding": 12, "Infiltrat": 12, "Erguss": 12}, films=36, words=words)


def tomographies_among_films(root: Path) -> Right:
    """A column of modalities, and a legend of the codes in JSON."""
    rows: list[list[object]] = [["filename", "target", "modality"]]
    for n in range(27):
        film(root / f"images/a{n}.png")
        rows.append([f"a{n}.png", n % 2, "CT" if n > 23 else "X-ray"])
    table(root / "metadata.csv", rows)
    (root / "label_map.json").write_text('{"0": "Normal", "1": "Pneumonia"}')
    words = (
        '3 films of other modalities ("modality" of metadata.csv) left out',
        "what label_map.json says of them",
    )
    return Right({"Normal": 12, "Pneumonia": 12}, films=24, words=words)


def groups_with_their_class_in_brackets(root: Path) -> Right:
    """Folders of groups, one of rejected films within, and a list of films to leave out."""
    for n in range(24):
        group = ("Gruppe B (Kontrollen)", "Gruppe A (Pneumonie)")[n % 2]
        film(root / f"{group}/{'rejected/' if n == 22 else ''}r{n}.png")
    table(root / "exclusions.csv", [["file", "reason"], ["r1.png", "rotated"], ["r2.png", "hand"]])
    words = (
        "exclusions.csv is a list of what is left out, by its name",
        "1 film in Gruppe B (Kontrollen)/rejected",
    )
    classes = {"Gruppe A (Pneumonie)": 12, "Gruppe B (Kontrollen)": 12}
    return Right(classes, films=24, first="Gruppe B (Kontrollen)", words=words)


SHEETS: tuple[Callable[[Path], Right], ...] = (
    two_visits_in_a_row,
    merged_cells,
    blanks_below_a_patient,
    ditto_marks,
    program_beside_a_reader,
    prediction_and_truth,
    answers_for_both_lungs,
    hands_among_chests,
    parts_in_names,
    turned_copies,
    thumbnails,
    tables_joined_by_examination,
    answers_for_each_finding,
    tomographies_among_films,
    groups_with_their_class_in_brackets,
)
