"""Trees of hospitals: BIDS, visits below patients, other languages, pages as organs, and what is right to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from layout_inputs import Right, film, mask, table
from PIL import Image


def bids(root: Path) -> Right:
    """Sessions below subjects, masks among the derivatives, diagnoses in participants.tsv."""
    rows: list[list[object]] = [["participant_id", "age", "sex", "diagnosis"]]
    for n in range(20):
        rows.append([f"sub-{n:02}", 50 + n, "FM"[n % 2], ("HC", "PNA")[n // 2 % 2]])
        for session in (1, 2):
            path = f"sub-{n:02}/ses-{session:02}/xray/sub-{n:02}_ses-{session:02}_dx"
            film(root / f"{path}.png")
            if n < 10:
                mask(root / f"derivatives/manual/{path}_label-lung_mask.png")
    table(root / "participants.tsv", rows, "\t")
    return Right({"HC": 20, "PNA": 20}, masks=20, films=40, patients=20, organs=("lung",))


def visits(root: Path) -> Right:
    """A folder for each patient with one for each visit, and no other word on whose films they are."""
    rows = [["film", "befund"]]
    for n in range(20):
        for visit in (1, 2):
            film(root / f"Patient {n:02}/Visite {visit}/thorax-{n}-{visit}.PNG")
            rows.append([f"thorax-{n}-{visit}", ("o.B.", "Infiltrat")[n // 2 % 2]])
    table(root / "befunde.csv", rows, ";")
    words = ("the patient is a folder of the path",)
    return Right({"o.B.": 20, "Infiltrat": 20}, films=40, patients=20, words=words)


def french(root: Path) -> Right:
    """Semicolons, decimal commas, accents in every name, lateral films that only their names tell."""
    rows = [["Nom de fichier", "Numéro patient", "Diagnostic", "Taille pixel"]]
    for n in range(20):
        for visit in (1, 2):
            folder = f"hôpital/Patient {n:02}/Visite {visit}"
            film(root / f"{folder}/Thorax face.PNG")
            film(root / f"{folder}/Thorax profil.PNG")
            name = f"{folder}/Thorax face.PNG"
            rows.append([name, str(n), ("sain", "pneumonie")[n // 2 % 2], "0,143"])
    table(root / "données.csv", rows, ";")
    words = (
        '"Numéro patient" as patient, "Taille pixel" as spacing',
        "40 lateral films (by their names) left out",
    )
    return Right({"sain": 20, "pneumonie": 20}, films=40, patients=20, words=words)


def russian(root: Path) -> Right:
    """Cyrillic names of folders, files, columns and classes."""
    rows = [["Файл", "Диагноз", "Пациент"]]
    for n in range(24):
        film(root / f"снимки/снимок_{n}.png")
        rows.append([f"снимок_{n}.png", ("норма", "пневмония")[n // 2 % 2], f"П{n // 2}"])
    table(root / "таблица.csv", rows, ";")
    return Right({"норма": 12, "пневмония": 12}, films=24, patients=12, words=('"Пациент" as patient',))


def frontal_and_lateral_by_flags(root: Path) -> Right:
    """CheXpert with both views: the column of views has two words, and is no class."""
    rows: list[list[object]] = [["Path", "Sex", "Frontal/Lateral", "AP/PA", "No Finding", "Pneumonia", "Edema"]]
    for n in range(30):
        cells = (("1.0", "", ""), ("", "1.0", "0.0"), ("", "-1.0", ""))[n % 3]
        for number, view in ((1, "Frontal"), (2, "Lateral")):
            name = f"train/patient{n:05}/study1/view{number}_{view.lower()}.jpg"
            film(root / name)
            rows.append([f"CheXpert-v1.0-small/{name}", "Male", view, "PA" if number == 1 else "", *cells])
    table(root / "train.csv", rows)
    return Right({"No Finding": 10, "Pneumonia": 10}, films=30, patients=30)


def answers_in_german(root: Path) -> Right:
    """A column that asks for a disease, with the answers ja and nein: nein is class 0."""
    rows = [["Bild", "Pneumonie"]]
    for n in range(24):
        film(root / f"b/{n}.png")
        rows.append([f"{n}.png", ("ja", "nein")[n % 2]])
    table(root / "l.csv", rows, ";")
    return Right({"nein": 12, "ja": 12}, films=24, first="nein")


def organs_as_pages(root: Path) -> Right:
    """Masks as TIFF of two pages, an organ each."""
    for n in range(12):
        film(root / f"films/{n}.tif")
        pages = []
        for k in range(2):
            pixels = np.zeros((24, 20), np.uint8)
            pixels[4 + 8 * k : 10 + 8 * k, 4:12] = 255
            pages.append(Image.fromarray(pixels))
        (root / "masks").mkdir(exist_ok=True)
        pages[0].save(root / f"masks/{n}.tif", save_all=True, append_images=pages[1:])
    return Right(masks=12, films=12, organs=("page 1", "page 2"), words=("each mask file has 2 pages",))


HOSPITALS: tuple[Callable[[Path], Right], ...] = (
    bids,
    visits,
    french,
    russian,
    frontal_and_lateral_by_flags,
    answers_in_german,
    organs_as_pages,
)
