"""Folders with labels, patients and parts in names, lists and texts, with what is right to read from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from layout_inputs import Right, film, mask, table


def classes_in_names(root: Path) -> Right:
    """One folder, no table: the class and the patient are words of the file name."""
    for n in range(40):
        film(root / f"rx/{('NORMAL', 'TBC')[n // 2 % 2]}_pac{n // 2:03}_v{n % 2 + 1}.jpg")
    return Right(
        {"NORMAL": 20, "TBC": 20}, films=40, patients=20, words=("the class is the first word of the file name",)
    )


def patient_numbers(root: Path) -> Right:
    """A French hospital: UTF-16, tabulators, "patient n°", a mask of each lung by ending."""
    rows: list[list[object]] = [["cliché", "patient n°", "diagnostic"]]
    for n in range(24):
        film(root / f"cliches/L{n:03}.tif")
        for side in ("gauche", "droit"):
            mask(root / f"contours/L{n:03}_poumon_{side}.png")
        rows.append([f"L{n:03}", f"x{n // 2}", ("sain", "pneumonie")[n // 2 % 2]])
    table(root / "liste.tsv", rows, "\t", "utf-16")
    organs = ("poumon droit", "poumon gauche")
    return Right({"sain": 12, "pneumonie": 12}, 24, 24, organs, patients=12, words=('"patient n°" as patient',))


def lists_of_parts(root: Path) -> Right:
    """The parts are lists of films beside the table, as NIH and many challenges have them; val is missing."""
    rows: list[list[object]] = [["uuid", "consensus"]]
    names = [f"3f{n:02}-aa-{n * 7 % 36:02}" for n in range(36)]
    for n, name in enumerate(names):
        film(root / f"png/{name}.png")
        rows.append([name, ("No", "Yes")[n % 2]])
    table(root / "reads.csv", rows)
    (root / "train_val_list.txt").write_text("\n".join(f"{name}.png" for name in names[:24]))
    (root / "test_list.txt").write_text("\n".join(f"{name}.png" for name in names[24:]))
    return Right({"No": 18, "Yes": 18}, films=36, words=("the parts are those of the lists", "test 12"))


def a_table_called_txt(root: Path) -> Right:
    """A table with semicolons that is called .txt."""
    rows: list[list[object]] = [["file", "class", "patient"]]
    for n in range(24):
        film(root / f"a/{n}.png")
        rows.append([f"{n}.png", ("normal", "effusion")[n // 2 % 2], f"z{n // 2}"])
    table(root / "liste.txt", rows, ";")
    (root / "README.txt").write_text("Films of 2019, taken by us.\nPlease cite us, if you can.\n")
    return Right({"normal": 12, "effusion": 12}, films=24, patients=12)


def a_table_without_column_names(root: Path) -> Right:
    """The first row of the table is a film."""
    rows: list[list[object]] = []
    for n in range(24):
        film(root / f"img/{n:03}.png")
        rows.append([f"{n:03}.png", ("normal", "covid")[n // 2 % 2], f"p{n // 2}"])
    table(root / "labels.csv", rows)
    words = ("labels.csv has no row with the names of its columns", '"column 2" as label')
    return Right({"normal": 12, "covid": 12}, films=24, words=words)


NAMES: tuple[Callable[[Path], Right], ...] = (
    classes_in_names,
    patient_numbers,
    lists_of_parts,
    a_table_called_txt,
    a_table_without_column_names,
)
