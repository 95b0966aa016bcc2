"""Folders as they come on sticks, on CDs and from platforms, with what is right to read from each of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from layout_inputs import Right, dicom, film, mask, table


def arabic_with_marks(root: Path) -> Right:
    """Excel in Arabic: marks of writing direction before names and behind labels, Arabic digits, a patient."""
    rows: list[list[object]] = [["اسم الملف", "رقم المريض", "التشخيص"]]
    for n in range(24):
        number = str(n).translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
        film(root / f"صور/صورة {number}.png")
        rows.append([f"\u200fصورة {number}.png", 100 + n // 2, ("طبيعي", "التهاب رئوي")[n // 2 % 2] + "\u200f"])
    table(root / "جدول.csv", rows)
    words = ("with marks of writing direction", "patients: 12 of 24 films")
    return Right({"طبيعي": 12, "التهاب رئوي": 12}, films=24, patients=12, words=words)


def cd_of_a_pacs(root: Path) -> Right:
    """DICOMDIR, numbered files, the pictures of a viewer; the table names a patient and a day in other forms."""
    rows: list[list[object]] = [["Pat.-Nr.", "Untersuchungsdatum", "Diagnose"]]
    for n in range(24):
        dicom(root / f"CD/DICOM/{n:08}", f"{4711 + n // 2:07}", StudyDate=f"202403{10 + n % 2}")
        rows.append([f"{4711 + n // 2:07}", f"{10 + n % 2}.03.2024", ("Pneumonie", "o.B.")[n % 2]])
    (root / "CD/DICOMDIR").write_bytes(b"")
    film(root / "CD/VIEWER/logo.png")
    table(root / "Liste.csv", rows, ";")
    words = ('"Pat.-Nr." and "Untersuchungsdatum"', "1 picture beside a DICOMDIR left out, as of a viewer")
    return Right({"Pneumonie": 12, "o.B.": 12}, films=24, patients=12, words=words)


def unpacked_into_itself(root: Path) -> Right:
    """Kaggle's archive of CheX, whose inner folder holds everything once more."""
    for n in range(24):
        path = Path(("train", "test")[n % 4 == 3], ("NORMAL", "PNEUMONIA")[n // 4 % 2], f"{n}.jpeg")
        film(root / "archive/chest_xray" / path)
        copy = root / "archive/chest_xray/chest_xray" / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((root / "archive/chest_xray" / path).read_bytes())
    words = ("its 24 images are copies of those in archive/chest_xray",)
    return Right({"NORMAL": 12, "PNEUMONIA": 12}, films=24, words=words)


def table_against_folders(root: Path) -> Right:
    """Folders of parts and classes beside a table that says something else of some films."""
    rows: list[list[object]] = [["filename", "class", "split"]]
    for n in range(24):
        part, label = ("train", "valid", "test")[n % 3], ("normal", "pneumonia")[n // 3 % 2]
        film(root / f"{part}/{label}/c{n:02}.png")
        rows.append([f"c{n:02}.png", "normal" if n == 5 else label, "test" if n == 6 else part])
    table(root / "metadata.csv", rows)
    words = (
        "1 film lies in a folder of another class than the table gives: test/pneumonia/c05.png (normal)",
        "1 film lies in a folder of another part than the table gives: train/normal/c06.png (test)",
    )
    return Right({"normal": 13, "pneumonia": 11}, films=24, words=words)


def coco_of_windows(root: Path) -> Right:
    """Run lengths for films whose names are paths of another machine."""
    images, outlines = [], []
    for n in range(8):
        film(root / f"images/scan {n}.png")
        images.append({"id": n, "file_name": f"C:\\anna\\images\\scan {n}.png", "height": 24, "width": 20})
        runs = {"size": [24, 20], "counts": [100, 80, 300]}
        outlines.append({"id": n, "image_id": n, "category_id": 1, "segmentation": runs, "iscrowd": 1})
    content = {"images": images, "annotations": outlines, "categories": [{"id": 1, "name": "lung"}]}
    (root / "annotations.json").write_text(json.dumps(content))
    return Right(masks=8, films=8, organs=("lung",))


def two_readers_and_their_consensus(root: Path) -> Right:
    """Labels of two readers, and what they agreed on behind them."""
    rows: list[list[object]] = [["StudyNo", "Read1", "Read2", "Consensus"]]
    for n in range(24):
        film(root / f"films/MC-{n:04}.png")
        right = ("Normal", "Pneumonia")[n % 2]
        rows.append([f"MC-{n:04}", "Pneumonia" if n < 4 else right, "Normal" if n < 4 else right, right])
    table(root / "reads.csv", rows)
    return Right({"Normal": 12, "Pneumonia": 12}, films=24, words=('"Consensus" as label',))


def values_in_names(root: Path) -> Right:
    """Pairs of key and value in file names, with the diagnosis among them."""
    for n in range(24):
        film(root / f"{20230101 + n}__pat=P{n // 2:03}__dx={('norm', 'pneu')[n % 2]}__view=PA.png")
    return Right({"norm": 12, "pneu": 12}, films=24, patients=12, words=("the class is word 3 of the file name",))


def boxes_of_redcap(root: Path) -> Right:
    """An export of REDCap: events, and a column of 0 and 1 for each box of one question."""
    rows: list[list[object]] = [["record_id", "redcap_event_name", "file", "dx___0", "dx___1", "dx___2"]]
    for n in range(24):
        film(root / f"files/{n // 2 + 1}_file_{n % 2 + 1}.png")
        event = ("baseline_arm_1", "followup_arm_1")[n % 2]
        rows.append([n // 2 + 1, event, f"{n // 2 + 1}_file_{n % 2 + 1}.png", 1 - n // 2 % 2, n // 2 % 2, 0])
    table(root / "DATA.csv", rows)
    return Right({"dx___0": 12, "dx___1": 12}, films=24, patients=12, words=("one column per finding",))


def tables_beside_their_films(root: Path) -> Right:
    """An image folder of Hugging Face: numbers from 0 on in each part, a table beside them, one as JSON lines."""
    for part in ("train", "validation", "test"):
        names = [f"{n:04}.png" for n in range(12)]
        for name in names:
            film(root / f"data/{part}/{name}")
        if part == "test":
            lines = (json.dumps({"file_name": name, "label": n % 2}) for n, name in enumerate(names))
            (root / f"data/{part}/metadata.jsonl").write_text("\n".join(lines))
        else:
            rows = [["file_name", "label"], *([name, n % 2] for n, name in enumerate(names))]
            table(root / f"data/{part}/metadata.csv", rows)
    words = (
        "names in data/train/metadata.csv are those of the films beside it",
        "parts: train 12, val 12, test 12",
    )
    return Right({"0": 18, "1": 18}, films=36, words=words)


def column_of_masks(root: Path) -> Right:
    """A table of paths of films and of masks with names of their own, which no folder calls masks."""
    rows: list[list[object]] = [["image_path", "mask_path", "label"]]
    for n in range(24):
        film(root / f"store/x/a{n}.png")
        mask(root / f"store/y/b{n * 3}.png")
        rows.append([f"/home/anna/store/x/a{n}.png", f"/home/anna/store/y/b{n * 3}.png", n % 2])
    table(root / "index.csv", rows)
    return Right({"0": 12, "1": 12}, masks=24, films=24, words=('"mask_path" of index.csv names 24 masks',))


def columns_of_masks(root: Path) -> Right:
    """A column of masks for each organ, which have the names of other films; one film lacks an organ."""
    rows: list[list[object]] = [["image", "left_lung_mask", "right_lung_mask", "heart"]]
    for n in range(12):
        film(root / f"films/a{n}.png")
        for organ in ("l", "r", "h"):
            mask(root / f"seg/a{n}_{organ}.png")
        other = (n + 1) % 12
        rows.append([f"films/a{n}.png", *(f"seg/a{other}_{organ}.png" for organ in ("l", "r"))])
        rows[-1].append(f"seg/a{other}_h.png" if n != 3 else "")
    table(root / "index.csv", rows)
    words = (
        '"heart", "left_lung_mask", "right_lung_mask" of index.csv name 33 masks',
        "no mask of heart for a3.png",
    )
    return Right(masks=11, films=12, organs=("left lung", "right lung", "heart"), words=words)


def folds_above_numbered_classes(root: Path) -> Right:
    """Folders of folds, which are no hospitals, above classes with a number that sorts them."""
    for n in range(30):
        film(root / f"fold_{n % 3}/{('00_healthy', '01_sick')[n // 3 % 2]}/{n}.png")
    return Right({"00_healthy": 15, "01_sick": 15}, films=30, first="00_healthy", words=("1 place",))


def two_lines_of_column_names(root: Path) -> Right:
    """A sheet whose upper line of names spans several columns each."""
    rows: list[list[object]] = [["Person", "", "Röntgen", ""], ["Pat.-Nr.", "Alter", "Datei", "Befund"]]
    for n in range(24):
        film(root / f"img/R{n:02}.png")
        rows.append([100 + n // 2, 50 + n % 4, f"R{n:02}", ("o.B.", "Pneumonie")[n // 2 % 2]])
    table(root / "Studie.csv", rows, ";")
    return Right({"o.B.": 12, "Pneumonie": 12}, films=24, patients=12, words=('"Datei" as image',))


def form_of_a_competition(root: Path) -> Right:
    """Kaggle: labels of the training films, and a form that has the label 0 for every test film."""
    rows: dict[str, list[list[object]]] = {"train": [["id", "label"]], "test": [["id", "label"]]}
    for n in range(30):
        part = ("train", "test")[n % 5 == 4]
        film(root / f"{part}/{part}{n:03}.png")
        rows[part].append([f"{part}{n:03}", n % 2 if part == "train" else 0])
    table(root / "train.csv", rows["train"])
    table(root / "sample_submission.csv", rows["test"])
    return Right({"0": 12, "1": 12}, films=30, words=("sample_submission.csv is left out: a form for answers",))


def two_versions_of_a_table(root: Path) -> Right:
    """A table of labels and its corrected version, in text that Excel keeps by a formula."""
    rows: list[list[object]] = [["file", "label"]]
    for n in range(24):
        film(root / f"img/{n:03}.png")
        rows.append([f'="{n:03}"', ("normal", "pneumonia")[n % 2]])
    wrong = [[name, "normal" if name == '="001"' else label] for name, label in rows]
    for name, content in (("labels_v1", wrong), ("labels_v2_corrected", rows)):
        (root / f"{name}.csv").write_text("".join(f"{name};{label}\n" for name, label in content))
    words = ("labels_v1.csv is left out: labels_v2_corrected.csv has the labels (it has another one for 1 film",)
    return Right({"normal": 12, "pneumonia": 12}, films=24, words=words)


def answers_beside_folders(root: Path) -> Right:
    """Folders of classes for training, and a text with the answers of the test part."""
    for n in range(24):
        film(root / f"training/{('non-covid', 'covid')[n % 2]}/a{n}.png")
        film(root / f"testing/t{n}.png")
    lines = (f"t{n}.png {('non-covid', 'covid')[n % 2]}\n" for n in range(24))
    (root / "testing/answers.txt").write_text("".join(lines))
    return Right({"non-covid": 24, "covid": 24}, films=48, words=("24 films without a row: their folders",))


STICKS: tuple[Callable[[Path], Right], ...] = (
    arabic_with_marks,
    cd_of_a_pacs,
    unpacked_into_itself,
    table_against_folders,
    coco_of_windows,
    two_readers_and_their_consensus,
    values_in_names,
    boxes_of_redcap,
    tables_beside_their_films,
    column_of_masks,
    columns_of_masks,
    folds_above_numbered_classes,
    two_lines_of_column_names,
    form_of_a_competition,
    two_versions_of_a_table,
    answers_beside_folders,
)
