"""Folders as clinics share them, a table for each hospital, with folds and drawings; and what is right to read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from layout_inputs import Right, dicom, film, mask, table
from openpyxl import Workbook

CLASSES = ("normal", "pneumonia")


def _films(root: Path, column: str, cells: tuple[object, ...], name: str = "f{}.png") -> None:
    """Films of one folder, and a table of them with ``cells`` in turn."""
    rows: list[list[object]] = [["image", column]]
    for n in range(24):
        film(root / f"img/{name.format(n)}")
        rows.append([name.format(n), cells[n % len(cells)]])
    table(root / "t.csv", rows)


def a_table_for_each_hospital(root: Path) -> Right:
    """Tables called after the folders of their films, which have the same names and numbers of patients."""
    for k, hospital in enumerate(("nord", "west")):
        rows: list[list[object]] = [["file", "label", "patient"]]
        for n in range(12):
            film(root / f"{hospital}/{n:03}.png")
            rows.append([f"{n:03}.png", CLASSES[(n // 2 + k) % 2] if n else CLASSES[k], n // 2 + 1])
        table(root / f"labels/{hospital}.csv", rows)
    words = ("names in labels/west.csv are those of the films in west", "each number their patients from 1 on")
    return Right({"normal": 12, "pneumonia": 12}, films=24, patients=6, words=words)


def a_sheet_for_each_hospital(root: Path) -> Right:
    """A workbook with a sheet for each folder of films of the same names, of other labels."""
    book = Workbook()
    for k, hospital in enumerate(("Nord", "Süd")):
        sheet = book.create_sheet(hospital)
        sheet.append(["Bild", "Diagnose"])
        for n in range(12):
            film(root / f"{hospital}/{n:03}.png")
            sheet.append([f"{n:03}.png", CLASSES[(n + k) % 3 > 0]])
    book.save(root / "Diagnosen.xlsx")
    return Right({"normal": 8, "pneumonia": 16}, films=24)


def lists_of_folds(root: Path) -> Right:
    """A list of train and val for each of five folds: none is the part of a film."""
    _films(root, "label", CLASSES)
    for fold in range(5):
        for part, of_part in (("val", True), ("train", False)):
            names = (f"f{n}.png" for n in range(24) if (n % 5 == fold) is of_part)
            (root / f"fold{fold}_{part}.txt").write_text("\n".join(names))
    words = ("put films into several parts, as folds do", "mmtk ablate --folds")
    return Right({"normal": 12, "pneumonia": 12}, films=24, words=words)


def classes_below_raw_and_processed(root: Path) -> Right:
    """Two versions of the films, with folders of classes below, and a picture beside them."""
    film(root / "data/logo.png")
    for n in range(24):
        film(root / f"data/{('raw', 'processed')[n % 2]}/{CLASSES[n // 12]}/{n // 2}.png")
    words = (
        "data/processed/normal, data/raw/normal have films of the same names",
        "1 film in no folder of a class",
    )
    return Right({"normal": 12, "pneumonia": 12}, films=25, words=words)


def drawings_of_films(root: Path) -> Right:
    """Overlays and class activation maps, called like the films that they were made of."""
    for n in range(12):
        for folder in ("images", "overlays", "Grad-CAM"):
            film(root / f"{folder}/{n}.png")
        mask(root / f"masks/{n}.png")
    return Right(masks=12, films=12, words=("24 pictures drawn of films left out",))


def films_and_masks_below_segmentation(root: Path) -> Right:
    """A folder for each task, one of them called after masks, with films and masks below."""
    for n in range(24):
        film(root / f"classification/{('train', 'val')[n % 3 // 2]}/{CLASSES[n % 2]}/{n}.jpg")
    for n in range(12):
        film(root / f"segmentation/CXR/J{n}.png")
        mask(root / f"segmentation/lung masks/J{n}.png")
    return Right({"normal": 12, "pneumonia": 12}, masks=12, films=36, organs=("lung",))


def masks_drawn_by_hand(root: Path) -> Right:
    """Masks of a reader and of a program beside their films."""
    for n in range(12):
        film(root / f"{n}.png")
        mask(root / f"{n}_manual1.png")
        mask(root / f"{n}_auto.png")
    return Right(masks=12, films=12, organs=("mask",), words=("the masks in *_auto are left out",))


def studies_of_patients_with_findings(root: Path) -> Right:
    for n in range(24):
        sign = ("negative", "positive")[n // 2 % 2]
        film(root / f"XR_CHEST/patient{n // 2:05}/study1_{sign}/image{n % 2 + 1}.png")
    words = ('the finding is a folder of the path, as "study1_negative"',)
    return Right({"negative": 12, "positive": 12}, films=24, patients=12, words=words)


def codes_of_missing_values(root: Path) -> Right:
    _films(root, "pneumonia", (0, 1, 0, 1, 99, -1))
    words = ('"-1" in "pneumonia" counts as no label', '"99" in "pneumonia" counts as no label')
    return Right({"0": 8, "1": 8}, films=24, words=words)


def whole_numbers_with_a_point(root: Path) -> Right:
    _films(root, "label", ("0.0", "1.0"))
    return Right({"0": 12, "1": 12}, films=24)


def answers_for_films_without_a_finding(root: Path) -> Right:
    _films(root, "is_healthy", ("True", "False", "False"))
    words = ('"is_healthy" says which films have no finding: True healthy, False finding',)
    return Right({"healthy": 8, "finding": 16}, films=24, first="healthy", words=words)


def numbered_folders_with_one_of_doubt(root: Path) -> Right:
    for n in range(36):
        film(root / f"{('1. Normal & healthy', '2. Pneumonia', '3. Unsure')[n % 3]}/{n}.png")
    os.symlink("nowhere.png", root / "2. Pneumonia/99.png")
    words = ("films in 3. Unsure have no label", "1 link to nothing left out: 2. Pneumonia/99.png")
    classes = {"1. Normal & healthy": 12, "2. Pneumonia": 12}
    return Right(classes, films=36, first="1. Normal & healthy", words=words)


def names_of_class_and_part(root: Path) -> Right:
    """Names that begin with the class and the part: no patient, though each is on a few films."""
    for n in range(54):
        kind, part = ("covid-19", "non-covid", "normal")[n % 3], ("train", "val", "test")[n // 3 % 3]
        film(root / f"{part}/{kind}/{kind}_{part}_{n // 9}.png")
    words = ("patients: not known",)
    return Right({"covid-19": 18, "non-covid": 18, "normal": 18}, films=54, words=words)


def answers_of_two_readers_in_a_form(root: Path) -> Right:
    """A form that two readers filled in, with times and addresses: no classes; they differ on two films."""
    rows: list[list[object]] = [["Timestamp", "Email Address", "Image number", "Does it show pneumonia?"]]
    for reader in ("a@b.org", "c@d.org"):
        for n in range(24):
            film(root / f"films/{n + 1}.png")
            answer = ("No", "Yes")[(n + (n < 2 and reader[0] == "c")) % 2]
            rows.append([f"3/{n + 1}/2024 10:00:00", reader, n + 1, answer])
    table(root / "Form Responses 1.csv", rows)
    return Right({"No": 11, "Yes": 11}, films=24, words=('"Does it show pneumonia?" as label',))


def lists_of_monai(root: Path) -> Right:
    """A list of records for each part in one JSON file, with folds."""
    records = []
    for n in range(24):
        film(root / f"img/c{n}.png")
        records.append({"image": f"img/c{n}.png", "label": n % 2, "fold": n % 5})
    (root / "datalist.json").write_text(json.dumps({"training": records[:16], "testing": records[16:]}))
    words = ('"fold" numbers 5 folds: not read', "test 8")
    return Right({"0": 12, "1": 12}, films=24, words=words)


def parquet(root: Path) -> Right:
    """A Parquet table, with bytes of no use, and patients whose numbers a program anonymised."""
    names = [f"{n}.png" for n in range(24)]
    for name in names:
        film(root / f"img/{name}")
    columns = {"image": names, "label": [CLASSES[n // 2 % 2] for n in range(24)], "bytes": [b"x"] * 24}
    pq.write_table(
        pa.table(columns | {"anon_patient_id": [f"{n // 2 * 7919:x}a" for n in range(24)]}), root / "x.parquet"
    )
    return Right({"normal": 12, "pneumonia": 12}, films=24, patients=12)


def external_films(root: Path) -> Right:
    """Two places of equally many films: the external one is for scoring."""
    for hospital in ("external", "internal"):
        rows: list[list[object]] = [["ID", "Dx"]]
        for n in range(12):
            film(root / f"{hospital}/images/{hospital[:2]}{n}.png")
            rows.append([f"{hospital[:2]}{n}", CLASSES[n % 2]])
        table(root / f"{hospital}/labels.csv", rows)
    words = ("external (classification: scoring)", "internal (classification: training)")
    return Right({"normal": 6, "pneumonia": 6}, films=12, cross={"classification": 12}, words=words)


def folders_with_a_count(root: Path) -> Right:
    """Classes with the number of their films in brackets, as people copy it from a web page."""
    for n in range(24):
        film(root / f"{('NORMAL (1341)', 'PNEUMONIA (3875)')[n % 2]}/{n}.jpg")
    return Right({"NORMAL (1341)": 12, "PNEUMONIA (3875)": 12}, films=24, first="NORMAL (1341)")


def numbers_of_films_in_a_column_id(root: Path) -> Right:
    """A sheet whose numbers lost their zeros, of films with a word behind; the arm of a trial is no class."""
    rows: list[list[object]] = [["ID", "arm", "Gruppe"]]
    for n in range(24):
        film(root / f"{n + 1:04}_pa.png")
        rows.append([n + 1, ("placebo", "treatment")[n % 3 == 0], ("Kontrolle", "Fall")[n % 2]])
    table(root / "export.csv", rows, ";")
    return Right({"Kontrolle": 12, "Fall": 12}, films=24, words=('"ID" is in their names',))


def lateral_series(root: Path) -> Right:
    """DICOM films whose series alone says that every other one is lateral."""
    rows: list[list[object]] = [["PatID", "Befund"]]
    for n in range(12):
        for k, series in enumerate(("Thorax p.a.", "Thorax seitlich")):
            dicom(root / f"P{n:03}/{k}.dcm", f"P{n:03}", SeriesDescription=series)
        rows.append([f"P{n:03}", ("o.B.", "Pneumonie")[n % 2]])
    table(root / "befunde.csv", rows, ";")
    words = ("12 lateral films (the series of the headers) left out",)
    return Right({"o.B.": 6, "Pneumonie": 6}, films=12, patients=12, words=words)


CLINICS: tuple[Callable[[Path], Right], ...] = (
    a_table_for_each_hospital,
    a_sheet_for_each_hospital,
    lists_of_folds,
    classes_below_raw_and_processed,
    drawings_of_films,
    films_and_masks_below_segmentation,
    masks_drawn_by_hand,
    studies_of_patients_with_findings,
    codes_of_missing_values,
    whole_numbers_with_a_point,
    answers_for_films_without_a_finding,
    numbered_folders_with_one_of_doubt,
    names_of_class_and_part,
    answers_of_two_readers_in_a_form,
    lists_of_monai,
    parquet,
    external_films,
    folders_with_a_count,
    numbers_of_films_in_a_column_id,
    lateral_series,
)
