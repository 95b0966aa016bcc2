"""Folders with workbooks of Excel and with masks as run lengths, with what is right to read from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from layout_inputs import Right, dicom, film, mask, table


def workbook(path: Path, **sheets: Sequence[Sequence[object]]) -> None:
    """Write a workbook with the rows of each sheet."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def runs(pixels: np.ndarray, relative: bool) -> str:
    """Run lengths of a mask as Kaggle's competitions count them, pixel by pixel down the columns."""
    column_wise = [
        bool(pixels[row, column]) for column in range(pixels.shape[1]) for row in range(pixels.shape[0])
    ]
    words, last, start = [], 0, None
    for number, inside in enumerate([*column_wise, False]):
        if inside and start is None:
            start = number
        elif not inside and start is not None:
            words += [start - last if relative else start + 1, number - start]
            last, start = number, None
    return " ".join(map(str, words))


def box(row: int) -> np.ndarray:
    """A box on a film of 24 × 20 pixels."""
    pixels = np.zeros((24, 20), bool)
    pixels[row : row + 6, 4:12] = True
    return pixels


def workbook_with_a_title(root: Path) -> Right:
    """Lines above the names of the columns, numbers, dates, an empty column, and a sheet of another use."""
    rows: list[list[object]] = [["Export from the PACS"], [], ["", "Film", "Befund", "PatientID", "Datum"]]
    for n in range(24):
        film(root / f"bilder/{n}.png")
        rows.append(["", n, ("o.B.", "Pneumonie")[n // 2 % 2], 4000 + n // 2, date(2024, 1, 1 + n)])
    workbook(root / "Befunde.xlsx", Legende=[["Wort", "Sinn"], ["o.B.", "ohne Befund"]], Befunde=rows)
    words = ("Befunde.xlsx [Befunde] is no CSV table", '"Befund" as label, "PatientID" as patient')
    return Right({"o.B.": 12, "Pneumonie": 12}, films=24, patients=12, words=words)


def workbook_of_patients(root: Path) -> Right:
    """Labels in a CSV table, patients in a workbook."""
    rows: list[list[object]] = [["image", "patient"]]
    for n in range(24):
        film(root / f"films/c{n:02}.png")
        rows.append([f"c{n:02}.png", f"p{n // 2}"])
    labels = [["image", "label"], *([f"c{n:02}.png", "ab"[n // 2 % 2]] for n in range(24))]
    table(root / "labels.csv", labels)
    workbook(root / "patients.xlsx", Sheet=rows)
    return Right({"a": 12, "b": 12}, films=24, patients=12, words=("patients.xlsx gives",))


def table_with_an_index(root: Path) -> Right:
    """A table as pandas writes it, with its index as a column without a name."""
    rows: list[list[object]] = [["", "file", "finding"]]
    for n in range(24):
        film(root / f"films/c{n:02}.png")
        rows.append([n, f"c{n:02}.png", "ab"[n % 2]])
    table(root / "labels.csv", rows)
    return Right({"a": 12, "b": 12}, films=24, words=('"file" as image, "finding" as label',))


def workbook_of_masked_films(root: Path) -> Right:
    """Masks of some films, and the classes of all in a workbook that the user names."""
    rows: list[list[object]] = [["image", "reader 1", "reader 2"]]
    for n in range(16):
        film(root / f"images/{n:02}.png")
        mask(root / f"masks/{n:02}.png") if n < 9 else None
        rows.append([f"{n:02}.png", "ab"[n % 2], "xy"[n % 2]])
    workbook(root / "tables/readers.xlsx", Sheet=rows)
    said = {"labels": "tables/readers.xlsx", "label": "reader 2"}
    return Right({"x": 8, "y": 8}, masks=9, films=16, said=said)


def siim(root: Path) -> Right:
    """SIIM-ACR: a folder for each study, DICOM, relative runs, −1 for no pneumothorax, rows per pneumothorax."""
    rows = [["ImageId", " EncodedPixels"]]
    for n in range(12):
        uid = f"1.2.276.0.7230010.3.1.4.8323329.{n:03}"
        dicom(root / f"dicom-images-train/{n}.1/{n}.2/{uid}.dcm", f"P{n}")
        rows += [[uid, runs(box(2), True)], [uid, runs(box(14), True)]] if n % 3 == 0 else [[uid, " -1"]]
    table(root / "train-rle.csv", rows)
    return Right(
        masks=12,
        films=12,
        organs=("lesion",),
        words=('run lengths in "EncodedPixels"', "from the end of the last run"),
    )


def kaggle_masks(root: Path) -> Right:
    """Absolute runs from 1 on, an empty cell for an empty mask, a film without a row, a row without a film."""
    rows = [["image_id", "rle"], ["lost", runs(box(1), False)]]
    for n in range(12):
        film(root / f"train/f{n:02}.png")
        if n < 10:
            rows.append([f"f{n:02}", runs(box(n), False) if n % 4 else ("" if n else runs(box(3), False))])
    table(root / "masks.csv", rows)
    return Right(masks=10, films=12, organs=("lesion",), words=("from the first pixel, which is 1",))


PROGRAMS: tuple[Callable[[Path], Right], ...] = (
    workbook_with_a_title,
    workbook_of_patients,
    workbook_of_masked_films,
    table_with_an_index,
    siim,
    kaggle_masks,
)
