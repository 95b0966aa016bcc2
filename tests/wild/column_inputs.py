"""Tables with findings in several columns, or of several readers, with what is right to read from them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from layout_inputs import Right, film, table

COUNT = 12
ILL, WELL, WET, LARGE = "pneumonia", "normal", "effusion", "cardiomegaly"


def _films(root: Path, columns: Sequence[str], cells: Callable[[int], Sequence[str]]) -> None:
    for n in range(COUNT):
        film(root / f"img/f{n}x.png")
    table(root / "t.csv", [["file", *columns], *([f"f{n}x.png", *cells(n)] for n in range(COUNT))])


def numbered_labels(root: Path) -> Right:
    """Findings in three columns, of which the second may say that there is no other."""
    _films(
        root, ["label_1", "label_2", "label_3"], lambda n: [(WELL, ILL)[n % 2], ("none", "", WET)[n // 5], "nan"]
    )
    return Right(
        {WELL: 5, ILL: 5}, films=COUNT, words=('"label_1", "label_2", "label_3" of t.csv are read as one',)
    )


def primary_and_secondary(root: Path) -> Right:
    """A second diagnosis of films of one first diagnosis."""
    _films(root, ["dx_primary", "dx_secondary"], lambda n: [(WELL, ILL)[n % 2], (WET if n in (1, 5) else "")])
    return Right({WELL: 6, ILL: 4}, films=COUNT, words=('"dx_primary", "dx_secondary" of t.csv are read as one',))


def classes_within_classes(root: Path) -> Right:
    """A second column that divides the first."""
    _films(root, ["label_1", "label_2"], lambda n: [(WELL, ILL)[n % 2], ("", "viral", "", "bacterial")[n % 4]])
    return Right({WELL: 6, ILL: 6}, films=COUNT, words=("not labels: label_2",))


def three_readers(root: Path) -> Right:
    """A column for each reader; the second differs in two films, and of one of them the third said nothing."""

    def cells(n: int) -> list[str]:
        label = (WELL, ILL)[n % 2]
        return [label, (WELL, ILL)[(n + (n > 9)) % 2], "" if n == 11 else label]

    _films(root, ["reader_1", "reader_2", "reader_3"], cells)
    return Right({WELL: 6, ILL: 5}, films=COUNT, words=("(2 rows on which they differ, 1 of them without one)",))


def _pairs(yes: str, no: str, unknown: str = "") -> Callable[[Path], Right]:
    def make(root: Path) -> Right:
        def cells(n: int) -> list[str]:
            answers = [unknown if unknown and n == 0 else yes if n % 3 == 0 else no, yes if n % 3 == 1 else no]
            return [*answers, ("positive", "negative")[n % 2]]

        _films(root, ["Pneumonia", "Effusion", "PCR"], cells)
        right = {"Pneumonia": 4 - bool(unknown), "Effusion": 4, "no finding": 4}
        return Right(right, films=COUNT, words=("answers in Effusion, Pneumonia of t.csv",))

    make.__name__ = f"answers_{yes}_{no}"
    return make


def images_and_boxes_of_readers(root: Path) -> Right:
    """VinDr-CXR: three readers' findings of images and boxes, and others that were agreed on for the test part."""
    findings = ("Cardiomegaly", "Pleural effusion", "No finding")
    rows: dict[str, list[list[object]]] = {
        "image_labels_train": [["image_id", "rad_id", *findings]],
        "image_labels_test": [["image_id", *findings]],
        "annotations_train": [["image_id", "rad_id", "class_name", "x_min", "y_min", "x_max", "y_max"]],
        "annotations_test": [["image_id", "class_name", "x_min", "y_min", "x_max", "y_max"]],
    }
    for n in range(24):
        part = "train" if n < 18 else "test"
        film(root / f"{part}/{n:032x}.png")
        for reader in range(3 if part == "train" else 1):
            finding = findings[(n + reader * (n == 0) + (reader == 1 and 0 < n < 6)) % 3]
            readers = [f"R{(n + reader) % 7}"] if part == "train" else []
            row = [f"{n:032x}", *readers]
            rows[f"image_labels_{part}"].append([*row, *(int(finding == other) for other in findings)])
            rows[f"annotations_{part}"].append(
                [*row, finding, *([""] * 4 if finding == findings[2] else [1, 2, 3, 4])]
            )
    for name, lines in rows.items():
        table(root / f"annotations/{name}.csv", lines)
    words = (
        "parts: train 15, val 3, test 6",
        '"rad_id" names readers: an image has the classes that more than half of its readers gave',
        "the rows of annotations/image_labels_test.csv are put to those",
    )
    return Right({"Cardiomegaly": 7, "Pleural effusion": 8, "No finding": 8}, films=24, words=words)


def packed_tables_of_classes(root: Path) -> Right:
    """A packed table for each class, of which one has been unpacked under its name."""
    for n in range(COUNT):
        film(root / f"img/f{n}x.png")
    for number, name in enumerate((WELL, ILL)):
        text = "\n".join(["file", *(f"f{n}x.png" for n in range(number, COUNT, 2))])
        (root / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()) if number else text.encode())
    words = ("the tables normal.csv.gz, pneumonia.csv.gz have the films of a class each",)
    return Right({WELL: 6, ILL: 6}, films=COUNT, words=words)


def a_packed_table(root: Path) -> Right:
    """A table as MIMIC-CXR has it, which the source reads as it is."""
    _films(root, ["label"], lambda n: [(WELL, ILL)[n % 2]])
    (root / "t.csv.gz").write_bytes(gzip.compress((root / "t.csv").read_bytes()))
    (root / "t.csv").unlink()
    return Right({WELL: 6, ILL: 6}, films=COUNT, words=('t.csv.gz: "file" as image, "label" as label',))


def findings_and_boxes_in_a_list(root: Path) -> Right:
    """ChestX-Det: records with a list of findings, and one of boxes and of outlines for each."""
    records: list[dict[str, object]] = []
    for n in range(18):
        film(root / f"img/{n * 37 + 5}.png")
        syms = [[], [WET], ["nodule"] * (1 + (n > 9))][n % 3] + [WET] * (n == 2)
        shapes = {"boxes": [[1, 2, 3, 4]] * len(syms), "polygons": [[[1, 2], [3, 4], [5, 6]]] * len(syms)}
        records.append({"file_name": f"{n * 37 + 5}.png", "syms": syms, **shapes})
    (root / "ChestX_Det.json").write_text(json.dumps(records))
    words = ('"syms" of ChestX_Det.json is an empty list in 6 rows, which is "no finding"', "1 image with several")
    return Right({"no finding": 6, WET: 6, "nodule": 5}, films=18, words=words)


def films_within_patients(root: Path) -> Right:
    """A JSON file of patients, with studies, with films; and one of patients by their number for the test part."""
    films: list[list[dict[str, object]]] = [[], []]
    for n in range(24):
        film(root / f"img/f{n}x.png")
        films[n > 15].append({"file": f"f{n}x.png", "finding": (WELL, ILL)[n // 2 % 2]})
    pairs = [[*zip(part[::2], part[1::2], strict=True)] for part in films]
    patients = [{"id": f"P{n}", "studies": [{"images": pair}]} for n, pair in enumerate(pairs[0])]
    others = {f"Q{n}": {"age": n, "images": pair} for n, pair in enumerate(pairs[1])}
    (root / "train.json").write_text(json.dumps({"patients": patients}))
    (root / "test.json").write_text(json.dumps(others))
    return Right({WELL: 12, ILL: 12}, films=24, patients=12, words=("parts: train 12, val 4, test 8",))


COLUMNS = (
    *(findings_and_boxes_in_a_list, films_within_patients),
    *(packed_tables_of_classes, a_packed_table),
    *(numbered_labels, primary_and_secondary, classes_within_classes, three_readers, images_and_boxes_of_readers),
    *(
        _pairs(*words)
        for words in (("positive", "negative", "uncertain"), ("+", "-"), ("nachgewiesen", "nicht nachgewiesen"))
    ),
)
