"""Folders as archives, annotation programs and other systems leave them, with what is right to read from each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

from layout_inputs import Right, dicom, film, mask, table

BOX = [[4, 4, 14, 4, 14, 14, 4, 14]]


def mimic_with_views(root: Path) -> Right:
    """MIMIC-CXR whole: labels by study, parts by another table, lateral films by a third."""
    labels: list[list[object]] = [["subject_id", "study_id", "No Finding", "Pneumonia", "Edema"]]
    parts: list[list[object]] = [["dicom_id", "study_id", "subject_id", "split"]]
    views: list[list[object]] = [["dicom_id", "subject_id", "study_id", "ViewPosition", "Rows"]]
    for n in range(24):  # the two studies of a patient have different labels
        patient, study, part = 10000000 + n // 2, 50000000 + n, ("train", "train", "validate", "test")[n // 6]
        labels.append([patient, study, *(("1.0", "", ""), ("", "1.0", "-1.0"))[n % 2]])
        for view in ("PA", "LATERAL")[: 1 + n % 2]:
            name = f"{n:08x}-{view.lower()[:2]}"
            film(root / f"files/p10/p{patient}/s{study}/{name}.jpg")
            parts.append([name, study, patient, part])
            views.append([name, patient, study, view, 2544])
    for name, rows in (("chexpert", labels), ("split", parts), ("metadata", views)):
        table(root / f"mimic-cxr-2.0.0-{name}.csv", rows)
    return Right(
        classes={"No Finding": 12, "Pneumonia": 12},
        films=24,
        patients=12,
        words=("parts: train 12, val 6, test 6", "12 lateral films", 'gives "split" as split'),
    )


def lateral_by_header(root: Path) -> Right:
    """DICOM films of two views, which the header tells."""
    rows: list[list[object]] = [["file", "label"]]
    for n in range(18):
        dicom(root / f"films/f{n}.dcm", f"P{n // 2}", ViewPosition="LL" if n % 3 == 2 else "PA")
        rows.append([f"f{n}.dcm", ("normal", "ill")[n // 2 % 2]])
    table(root / "list.csv", rows)
    return Right(classes={"normal": 7, "ill": 5}, films=12, words=("6 lateral films (ViewPosition",))


def answers_in_many_spellings(root: Path) -> Right:
    """A column that several people filled in: 0, 1, 1.0, yes, No, TRUE, with spaces."""
    rows: list[list[object]] = [["filename", "pneumonia"]]
    for n, cell in enumerate(["0", "1", "No ", " yes", "0.0", "1.0", "FALSE", "TRUE", "0", "1", "no", "Yes"] * 2):
        film(root / f"img/f{n}.png")
        rows.append([f"f{n}.png", cell])
    table(root / "list.csv", rows)
    return Right(classes={"0": 12, "1": 12}, films=24, words=("spellings of one class", "TRUE as 1", "No as 0"))


def folders_in_two_spellings(root: Path) -> Right:
    """Folders of classes in parts, which a second person called otherwise."""
    for part, names in (("train", ("NORMAL", "PNEUMONIA")), ("test", ("Normal", "Pneumonia"))):
        for n in range(24 if part == "train" else 8):
            film(root / part / names[n % 2] / f"{part}{n}.png")
    return Right(classes={"NORMAL": 16, "PNEUMONIA": 16}, films=32, words=("Pneumonia as PNEUMONIA",))


def none_for_normal(root: Path) -> Right:
    """The word none for films without a finding."""
    rows: list[list[object]] = [["file", "finding"]]
    for n in range(18):
        film(root / f"films/{n}.png")
        rows.append([f"{n}.png", ("none", "nodule")[n % 2]])
    table(root / "t.csv", rows)
    return Right(
        classes={"none": 9, "nodule": 9}, films=18, words=('"none" in "finding" counts as a class (9 rows)',)
    )


def german_excel(root: Path) -> Right:
    """A table as German Excel saves it: sep=, semicolons, decimal commas, UTF-16."""
    text = "sep=;\r\nBild;Befund;Pixelabstand\r\n"
    for n in range(16):
        film(root / f"Röntgen/{n}.png")
        text += f"{n}.png;{('o.B.', 'Infiltrat')[n % 2]};0,143\r\n"
    (root / "Befunde.csv").write_bytes(text.encode("utf-16"))
    return Right(classes={"o.B.": 8, "Infiltrat": 8}, films=16, words=('"Pixelabstand" as spacing',))


def masks_of_another_system(root: Path) -> Right:
    """Films from a Mac, masks drawn on Linux: the same names, composed otherwise."""
    for n in range(8):
        film(root / "films" / normalize("NFD", f"Müller {n}.png"))
        mask(root / "masks" / normalize("NFC", f"Müller {n}.png"))
    return Right(masks=8, films=8)


def _coco(names: list[str], categories: tuple[str, ...] = ("lung", "heart"), drawn: int = 99) -> str:
    images = [{"id": n, "file_name": name, "height": 24, "width": 20} for n, name in enumerate(names)]
    outlines = [
        {"id": n, "image_id": n, "category_id": k, "segmentation": BOX, "iscrowd": 0}
        for n in range(min(len(names), drawn))
        for k in (1, 2)
    ]
    kinds = [{"id": k, "name": name} for k, name in enumerate(categories, 1)]
    return json.dumps({"images": images, "annotations": outlines, "categories": kinds})


def coco_beside_the_films_of_each_part(root: Path) -> Right:
    """As Roboflow exports it: one file of annotations in each folder of a part."""
    for part, count in (("train", 8), ("valid", 4), ("test", 4)):
        names = [f"{part}{n}.jpg" for n in range(count)]
        for name in names:
            film(root / part / name)
        (root / part / "_annotations.coco.json").write_text(_coco(names))
    return Right(masks=16, films=16, organs=("lung", "heart"), words=("masks: 16",))


def coco_in_several_files(root: Path) -> Right:
    """As COCO itself: a file of annotations for each part, in one folder."""
    (root / "annotations").mkdir(parents=True)
    for part, count in (("train", 8), ("val", 4)):
        names = [f"{part}{n}.jpg" for n in range(count)]
        for name in names:
            film(root / f"{part}2017" / name)
        (root / f"annotations/instances_{part}2017.json").write_text(_coco(names))
    return Right(masks=12, films=12, organs=("lung", "heart"), words=("masks: 12",))


def coco_with_films_that_nobody_outlined(root: Path) -> Right:
    """As CVAT exports a job in work: all films listed, some outlined, a category that nobody used."""
    names = [f"{n}.png" for n in range(9)]
    for name in names:
        film(root / "images/default" / name)
    (root / "annotations").mkdir()
    (root / "annotations/instances_default.json").write_text(_coco(names, ("lung", "heart", "rib"), drawn=7))
    note = "2 films are listed without an outline"
    return Right(masks=9, films=9, organs=("lung", "heart"), words=(note, "without an outline, left out: rib"))


ARCHIVES: tuple[Callable[[Path], Right], ...] = (
    mimic_with_views,
    lateral_by_header,
    answers_in_many_spellings,
    folders_in_two_spellings,
    none_for_normal,
    german_excel,
    masks_of_another_system,
    coco_beside_the_films_of_each_part,
    coco_in_several_files,
    coco_with_films_that_nobody_outlined,
)
