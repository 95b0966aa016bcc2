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


def classes_in_the_names_of_chest_xray(root: Path) -> Right:
    """Films of chest_xray without the folders of its classes: persons are ill, the others are not."""
    for n in range(36):
        name = f"person{n // 2}_{('bacteria', 'virus')[n // 2 % 2]}_{n}" if n % 3 else f"IM-{n:04}-0001"
        film(root / f"{'train' if n < 24 else 'test'}/{'' if n % 6 else 'NORMAL2-'}{name}.jpeg")
    return Right({"normal": 12, "pneumonia": 24}, films=36, words=("the class is in the file name: IM-1 normal",))


def lists_called_after_the_set(root: Path) -> Right:
    """Lists of parts that begin with the name of the set, with the folders of classes; others of both parts."""
    names = [f"{('health', 'tb')[n % 2]}/x{n:02}.png" for n in range(24)]
    for name in names:
        film(root / f"imgs/{name}")
    parts = {
        "TB24_train": names[:14],
        "TB24_val": names[14:18],
        "TB24_test": names[18:],
        "all_trainval": names[:18],
    }
    (root / "lists").mkdir()
    for part, films in parts.items():
        (root / f"lists/{part}.txt").write_text("\n".join(films))
    return Right({"health": 12, "tb": 12}, films=24, first="health", words=("parts: train 14, val 4, test 6",))


def lines_of_four_words(root: Path) -> Right:
    """COVIDx: patient, film, class and origin in every line of a text for each part."""
    for part, numbers in (("train", range(24)), ("test", range(24, 36))):
        for n in numbers:
            film(root / f"{part}/X-{n}.png")
        lines = [
            f"{n // 2} X-{n}.png {('negative', 'positive')[n // 2 % 2]} {('sirm', 'rsna')[n % 2]}" for n in numbers
        ]
        (root / f"{part}.txt").write_text("\n".join(lines))
    return Right({"negative": 18, "positive": 18}, films=36, words=("test 12", '"column 3" as label'))


def names_with_a_mark_of_their_upload(root: Path) -> Right:
    """Label Studio: eight letters before every name, below a path of its server."""
    rows: list[list[object]] = [["annotation_id", "annotator", "choice", "image"]]
    for n in range(24):
        film(root / f"films/pat{n // 2:03}_{n % 2}.png")
        path = f"/data/upload/1/{n * 7919 + 99:08x}-pat{n // 2:03}_{n % 2}.png"
        rows.append([n, 1, ("Normal", "Pneumonia")[n // 2 % 2], path])
    table(root / "project-1.csv", rows)
    return Right({"Normal": 12, "Pneumonia": 12}, films=24, patients=12, words=('"choice" as label',))


def masks_with_two_endings(root: Path) -> Right:
    """Masks of two hospitals in one folder, those of one with "_mask" behind their names."""
    for n in range(20):
        name = f"{('CHN', 'MCU')[n % 2]}_{n:04}"
        film(root / f"CXR_png/{name}.png")
        mask(root / f"masks/{name}{('_mask', '')[n % 2]}.png")
    return Right(masks=20, films=20, words=('20 masks in masks with the endings "_mask", none',))


def masks_called_so_before_their_names(root: Path) -> Right:
    """QaTa: parts above images and ground truths, whose names begin with "mask_"."""
    for n in range(20):
        part = "Train Set" if n < 14 else "Test Set"
        film(root / f"{part}/Images/covid_{n}.png")
        mask(root / f"{part}/Ground-truths/mask_covid_{n}.png")
    return Right(masks=20, films=20, words=("test 6",))


NAMES: tuple[Callable[[Path], Right], ...] = (
    classes_in_names,
    patient_numbers,
    lists_of_parts,
    a_table_called_txt,
    a_table_without_column_names,
    classes_in_the_names_of_chest_xray,
    lists_called_after_the_set,
    lines_of_four_words,
    names_with_a_mark_of_their_upload,
    masks_with_two_endings,
    masks_called_so_before_their_names,
)
