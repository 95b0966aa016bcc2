"""Public collections as they unpack, and other layouts that people have, with what is right to read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from layout_inputs import Right, dicom, film, mask, save, table


def parts_above_images_and_masks(root: Path) -> Right:
    """train, val and test, each with images and masks; names begin anew in each."""
    for part, count in (("train", 10), ("val", 4), ("test", 5)):
        for n in range(count):
            film(root / f"{part}/images/{n}.png")
            mask(root / f"{part}/masks/{n}.png")
    return Right(masks=19, films=19, words=("parts: train 10, val 4, test 5",))


def parts_above_films_with_masks_below(root: Path) -> Right:
    """train and test, the films in them, and masks in a folder below."""
    for part, count in (("Training", 16), ("Testing", 6)):
        for n in range(count):
            film(root / f"{part}/{part[0]}{n}.jpg")
            mask(root / f"{part}/Lung Masks/{part[0]}{n}.png")
    return Right(masks=22, films=22, organs=("lung",))


def classes_above_images_and_masks(root: Path) -> Right:
    """COVID-19 Radiography: CLASS/{images,masks} of two sizes, a sheet of metadata and a readme beside."""
    for name, count in (("COVID", 8), ("Lung_Opacity", 6), ("Normal", 10), ("Viral Pneumonia", 6)):
        for n in range(1, count + 1):
            film(root / f"COVID-19_Radiography_Dataset/{name}/images/{name}-{n}.png")
            mask(root / f"COVID-19_Radiography_Dataset/{name}/masks/{name}-{n}.png", scale=2)
        (root / f"COVID-19_Radiography_Dataset/{name}.metadata.xlsx").write_bytes(b"PK\x03\x04")
    (root / "COVID-19_Radiography_Dataset/README.md.txt").write_text("COVID-19 CHEST X-RAY DATABASE\n")
    return Right(
        classes={"Normal": 10, "COVID": 8, "Lung_Opacity": 6, "Viral Pneumonia": 6},
        masks=30,
        films=30,
        words=("masks of another size than their films: scaled to them",),
    )


def parts_and_classes_above_two_kinds_of_masks(root: Path) -> Right:
    """COVID-QU-Ex: Train/CLASS/{images,infection masks,lung masks}."""
    for part, count in (("Train", 8), ("Val", 4), ("Test", 4)):
        for name in ("COVID-19", "Non-COVID", "Normal"):
            for n in range(count):
                stem = f"{name.lower()}_{part}{n} ({n})"
                film(root / f"{part}/{name}/images/{stem}.png")
                mask(root / f"{part}/{name}/lung masks/{stem}.png")
                mask(
                    root / f"{part}/{name}/infection masks/{stem}.png", (0, 255) if "n" not in name[0] else (0, 0)
                )
    return Right(
        classes={"COVID-19": 16, "Non-COVID": 16, "Normal": 16},
        masks=48,
        films=48,
        words=("infection masks are left out", "parts: train 24, val 12, test 12"),
        organs=("lung",),
    )


def gray_label_maps(root: Path) -> Right:
    """0 background, 127 one organ, 255 another; some films show only one."""
    for n in range(10):
        film(root / f"images/{n}.png")
        mask(root / f"masks/{n}.png", (0, 255) if n == 3 else (0, 127, 255))
    return Right(masks=10, films=10, organs=("background", "label 127", "label 255"), words=("127 label 127",))


def even_label_maps(root: Path) -> Right:
    """0, 2 and 4, as a tool exports them."""
    for n in range(10):
        film(root / f"images/{n}.png")
        mask(root / f"masks/{n}.png", (0, 2, 4))
    return Right(masks=10, films=10, organs=("background", "label 2", "label 4"))


def coloured_label_maps(root: Path) -> Right:
    """Red and green on black."""
    for n in range(10):
        film(root / f"images/{n}.png")
        pixels = np.zeros((24, 20, 3), np.uint8)
        pixels[4:9, 5:15], pixels[10:15, 5:15] = (255, 0, 0), (0, 255, 0)
        save(root / f"masks/{n}.png", pixels)
    return Right(masks=10, films=10, organs=("background", "red", "green"), words=("#ff0000 red",))


def masks_without_films(root: Path) -> Right:
    """Three films were taken out, their masks were not."""
    for n in range(12):
        mask(root / f"masks/{n:02}.png")
        if n > 2:
            film(root / f"images/{n:02}.png")
    return Right(masks=9, films=9, words=("masks without a film, left out: 3 (masks/00.png",))


def nnunet_old(root: Path) -> Right:
    """nnU-Net v1: dataset.json maps numbers to names, labelsTs beside labelsTr."""
    for part, count in (("Tr", 8), ("Ts", 4)):
        for n in range(count):
            film(root / f"images{part}/cxr_{part}{n:03}_0000.png")
            mask(root / f"labels{part}/cxr_{part}{n:03}.png", (0, 1, 2))
    about = {"labels": {"0": "background", "1": "left lung", "2": "right lung"}, "numTraining": 8}
    (root / "dataset.json").write_text(json.dumps(about))
    return Right(masks=8, films=8, organs=("background", "left lung", "right lung"))


def dicom_patients_with_films_of_both_classes(root: Path) -> Right:
    """A folder per class of DICOM films; by the headers, a patient has films of both."""
    for n in range(12):
        for kind, k in (("ill", 0), ("well", 1)):
            dicom(root / f"{kind}/{n * 2 + k:08X}.dcm", f"MRN-{n:05}")
    return Right(
        classes={"ill": 12, "well": 12},
        films=24,
        patients=12,
        words=("patients have films of several classes: the parts are drawn so that each has all",),
    )


COLLECTIONS: tuple[Callable[[Path], Right], ...] = (
    dicom_patients_with_films_of_both_classes,
    parts_above_images_and_masks,
    parts_above_films_with_masks_below,
    classes_above_images_and_masks,
    parts_and_classes_above_two_kinds_of_masks,
    gray_label_maps,
    even_label_maps,
    coloured_label_maps,
    masks_without_films,
    nnunet_old,
)


def pacs_export_by_names(root: Path) -> Right:
    """A table of accession numbers; the files have them in their names, two for each."""
    rows: list[list[object]] = [["Accession No", "Study date", "Befund"]]
    for n in range(12):
        rows.append([f"A2021{n:04}", "2021-03-01", ("o.B.", "Infiltrat")[n % 2]])
        for view in ("pa", "lat"):
            film(root / f"export/A2021{n:04}_{view}.PNG")
    table(root / "Befunde.CSV", rows, ";", "utf-8-sig")
    return Right(classes={"o.B.": 12, "Infiltrat": 12}, films=24, patients=12, words=("names no images",))


def pacs_export_by_headers(root: Path) -> Right:
    """DICOM files whose names say nothing, and a table by patient."""
    rows: list[list[object]] = [["PatientID", "Diagnose"]]
    for n in range(9):
        rows.append([f"MRN-{n:05}", ("normal", "pneumonia")[n % 2]])
        for k in range(2):
            dicom(root / f"DISC/{n * 2 + k:08X}", f"MRN-{n:05}")
    table(root / "list.csv", rows)
    return Right(classes={"normal": 10, "pneumonia": 8}, films=18, patients=9, words=("names or headers",))


def mimic(root: Path) -> Right:
    """Folders of patients and studies; a table by study, with a column per finding and blanks."""
    rows: list[list[object]] = [["subject_id", "study_id", "No Finding", "Pneumonia", "Edema"]]
    for n in range(12):
        rows.append([10000000 + n // 2, 50000000 + n, *(("1.0", "", ""), ("", "1.0", "-1.0"))[n % 4 // 2]])
        film(root / f"files/p10/p{10000000 + n // 2}/s{50000000 + n}/{n:08x}-{n:04x}.jpg")
    table(root / "mimic-cxr-2.0.0-chexpert.csv", rows)
    return Right(classes={"No Finding": 6, "Pneumonia": 6}, films=12, patients=6)


def chexpert(root: Path) -> Right:
    """train.csv and valid.csv beside train/ and valid/, paths that begin elsewhere, uncertain findings."""
    head = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", "Cardiomegaly", "Edema"]
    cells = (("1.0", "", ""), ("", "1.0", "0.0"), ("", "", "1.0"), ("", "1.0", "1.0"))
    for part, count in (("train", 32), ("valid", 12)):
        rows: list[list[object]] = [head]
        for n in range(count):
            name = f"{part}/patient{n + 1000 * (part == 'valid'):05}/study1/view1_frontal.jpg"
            film(root / name)
            rows.append([f"CheXpert-v1.0-small/{name}", "Male", 60, "Frontal", "AP", *cells[n % 4]])
        table(root / f"{part}.csv", rows)
    return Right(
        classes={"No Finding": 11, "Cardiomegaly": 11, "Edema": 11},
        films=44,
        words=("one column per finding", "are put to those of", "taken for it"),
    )


def one_hot(root: Path) -> Right:
    """A table with a 1 in one of several columns, names without suffix, spaces and umlauts."""
    rows: list[list[object]] = [["Bild", "gesund", "bakteriell", "viral"]]
    for n in range(18):
        film(root / f"Röntgen Thorax/Aufnahme {n}.JPG")
        rows.append([f"Aufnahme {n}", *(int(n % 3 == k) for k in range(3))])
    table(root / "Klassen.csv", rows, ";")
    return Right(classes={"gesund": 6, "bakteriell": 6, "viral": 6}, films=18)


def other_suffix_and_composition(root: Path) -> Right:
    """A table with .dcm for PNG files, and accents as another system composes them."""
    rows: list[list[object]] = [["filename", "class"]]
    for n in range(12):
        film(root / f"fälle/Mu\u0308ller {n}.png")
        rows.append([f"M\u00fcller {n}.dcm", ("healthy", "ill")[n % 2]])
    table(root / "t.tsv", rows, "\t")
    return Right(classes={"healthy": 6, "ill": 6}, films=12)


COLLECTIONS += (
    pacs_export_by_names,
    pacs_export_by_headers,
    mimic,
    chexpert,
    one_hot,
    other_suffix_and_composition,
)


def one_collection_twice(root: Path) -> Right:
    """COVID-QU-Ex whole: the films of the infection masks lie in the folder of the lung masks, too."""
    for n in range(12):
        film(root / f"Lung Segmentation Data/images/c_{n}.png")
        mask(root / f"Lung Segmentation Data/masks/c_{n}.png")
    for n in range(6):
        for kind in ("images", "masks"):
            path = root / f"Infection Segmentation Data/{kind}/c_{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((root / f"Lung Segmentation Data/{kind}/c_{n}.png").read_bytes())
    return Right(masks=12, films=12, organs=("lung",), words=("Infection Segmentation Data (left out): 6 films",))


COLLECTIONS += (one_collection_twice,)
