"""Folders of films as people have them, with what is right to read from each of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

GENERATOR = np.random.default_rng(7)


@dataclass(frozen=True)
class Right:
    """What has to come of a folder: labelled films of each class, films with a mask, all training films.

    ``organs``: the channels; ``swap``: numbers of those that a flip exchanges; ``patients``: how many persons the
    classification films are of; ``cross``: labelled films of the second place, by task; ``words``: what the output
    has to say; ``said``: options of the command; ``first``: the class of number 0.
    """

    classes: dict[str, int] = field(default_factory=dict)
    masks: int = 0
    films: int = 0
    organs: tuple[str, ...] = ("mask",)
    patients: int = 0
    swap: tuple[tuple[int, int], ...] = ()
    cross: dict[str, int] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    said: dict[str, str] = field(default_factory=dict)
    first: str = ""


def film(path: Path) -> None:
    """A film of noise, 24 × 20 pixels, in the format of its suffix."""
    save(path, GENERATOR.integers(0, 256, (24, 20), dtype=np.uint8))


def mask(path: Path, values: Sequence[int] = (0, 255), scale: int = 1) -> None:
    """A mask with a box for each value after the first, ``scale`` times the size of its film."""
    pixels = np.full((24, 20), values[0], np.uint8)
    for number, value in enumerate(values[1:]):
        pixels[4 + 6 * number : 9 + 6 * number, 5:15] = value
    save(path, pixels.repeat(scale, 0).repeat(scale, 1))


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def table(path: Path, rows: Iterable[Sequence[object]], delimiter: str = ",", encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def dicom(path: Path, patient: str, **elements: str) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.PatientID, data.Modality, data.PhotometricInterpretation = patient, "DX", "MONOCHROME2"
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 24, 20, 16, 12, 11
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.PixelData = GENERATOR.integers(0, 4096, (24, 20), dtype=np.uint16).tobytes()
    for name, value in elements.items():
        setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


# --- masks -----------------------------------------------------------------------------------------------------


def two_folders(root: Path) -> Right:
    """images/ and masks/ with the same names; some films have no mask."""
    for n in range(12):
        film(root / f"images/p{n:02}.png")
        if n < 9:
            mask(root / f"masks/p{n:02}.png")
    return Right(masks=9, films=12)


def masks_beside(root: Path) -> Right:
    """NAME_mask.png beside NAME.jpg in one folder."""
    for n in range(10):
        film(root / f"case {n}.jpg")
        if n != 4:
            mask(root / f"case {n}_mask.png")
    return Right(masks=9, films=10)


def masks_below(root: Path) -> Right:
    """Films on top, the masks in a folder below, of another format and with 0 and 1."""
    for n in range(8):
        film(root / f"{n:03}.tif")
        mask(root / f"Segmentations/{n:03}-seg.png", (0, 1))
    return Right(masks=8, films=8)


def prefixes(root: Path) -> Right:
    """img_001 and seg_001."""
    for n in range(8):
        film(root / f"cxr/img_{n:03}.png")
        mask(root / f"gt/seg_{n:03}.png")
    return Right(masks=8, films=8)


def folders_without_telling_names(root: Path) -> Right:
    """Two folders called A and B; only a look tells which has the masks."""
    for n in range(8):
        film(root / f"A/{n}.png")
        mask(root / f"B/{n}.png")
    return Right(masks=8, films=8)


def organs(root: Path) -> Right:
    """One folder of masks per organ."""
    for n in range(8):
        film(root / f"films/{n}.png")
        for organ in ("heart", "left lung", "right lung"):
            mask(root / f"organ masks/{organ}/{n}.png")
    return Right(masks=8, films=8, organs=("heart", "left lung", "right lung"))


def organs_by_ending(root: Path) -> Right:
    """One folder with the films and a mask per organ; one ending ends as another does."""
    for k in range(12):
        film(root / f"p{k}.png")
        for organ in ("heart", "left_lung", "right_lung", "lung"):
            mask(root / f"p{k}_{organ}.png")
    return Right(masks=12, films=12, organs=("heart", "left lung", "lung", "right lung"))


def arrays(root: Path) -> Right:
    """Masks saved by numpy."""
    for k in range(12):
        film(root / "images" / f"p{k}.png")
        (root / "masks").mkdir(exist_ok=True)
        np.save(root / "masks" / f"p{k}.npy", np.arange(480).reshape(24, 20) % 2 == 0)
    return Right(masks=12, films=12)


def parts_without_val(root: Path) -> Right:
    """train and test with folders of classes; nobody thought of val."""
    for k in range(30):
        film(root / ("test" if k % 3 == 0 else "train") / ("COVID", "Normal")[k % 2] / f"{k}.png")
    return Right(classes={"Normal": 15, "COVID": 15}, films=30, words=("val 0",))


def hospitals_that_number_alike(root: Path) -> Right:
    """Two hospitals; the patients of both are numbered from 1 on."""
    for site, count in (("Ulm", 16), ("Graz", 12)):
        rows: list[list[object]] = [["image", "label", "patient"]]
        for k in range(count):
            film(root / site / f"films/{k}.png")
            mask(root / site / f"masks/{k}.png")
            rows.append([f"{k}.png", ("normal", "TB")[k % 4 < 2], k // 2 + 1])
        table(root / site / "labels.csv", rows)
    return Right(
        classes={"normal": 8, "TB": 8},
        masks=16,
        films=16,
        patients=8,
        cross={"classification": 12, "segmentation": 12},
        words=("taken for others",),
    )


def patients_of_several_classes(root: Path) -> Right:
    """A few films of many patients each, as in a small part of NIH: no patient is mainly of the third class."""
    rows: list[list[object]] = [["Image Index", "Finding Labels", "Patient ID"]]
    for patient in range(12):
        for k, label in enumerate((("No Finding", "Pneumonia")[patient % 2],) * 2 + ("Effusion",) * (patient < 6)):
            film(root / f"films/{patient:04}_{k}.png")
            rows.append([f"{patient:04}_{k}.png", label, patient])
    table(root / "Data_Entry.csv", rows)
    return Right(
        classes={"No Finding": 12, "Pneumonia": 12, "Effusion": 6},
        films=30,
        patients=12,
        words=("the parts are drawn so that each has all",),
    )


def named_as_jsrt(root: Path) -> Right:
    """Films called as those of JSRT, in a folder that is not; its masks are of another format."""
    for k in range(12):
        film(root / "images" / f"JPCLN{k:03}.png")
        mask(root / "masks" / f"JPCLN{k:03}.bmp")
    return Right(masks=12, films=12)


def nnunet(root: Path) -> Right:
    """imagesTr with _0000, labelsTr with numbers, dataset.json with their names."""
    for n in range(8):
        film(root / f"imagesTr/chest_{n:03}_0000.png")
        mask(root / f"labelsTr/chest_{n:03}.png", (0, 1, 2))
    about = {"labels": {"background": 0, "lung": 1, "heart": 2}, "file_ending": ".png", "numTraining": 8}
    (root / "dataset.json").write_text(json.dumps(about))
    return Right(masks=8, films=8, organs=("background", "lung", "heart"))


def coco(root: Path) -> Right:
    """Outlines in one JSON file."""
    images, outlines = [], []
    for n in range(8):
        film(root / f"images/{n}.png")
        if n < 6:
            images.append({"id": n, "file_name": f"{n}.png", "height": 24, "width": 20})
            outline = [[4, 4, 14, 4, 14, 14, 4, 14]]
            outlines.append({"id": n, "image_id": n, "category_id": 1, "segmentation": outline, "iscrowd": 0})
    content = {"images": images, "annotations": outlines, "categories": [{"id": 1, "name": "lung"}]}
    (root / "annotations").mkdir()
    (root / "annotations/instances.json").write_text(json.dumps(content))
    return Right(masks=6, films=8, organs=("lung",))


def yolo(root: Path) -> Right:
    """An outline per line in a text file per film."""
    (root / "labels").mkdir(parents=True)
    for n in range(8):
        film(root / f"images/{n}.jpg")
        (root / f"labels/{n}.txt").write_text("0 0.2 0.2 0.7 0.2 0.7 0.7 0.2 0.7\n")
    (root / "classes.txt").write_text("lung\n")
    return Right(masks=8, films=8, organs=("lung",))


def yolo_dataset(root: Path) -> Right:
    """Folders of parts with images and labels, and the names of the classes in data.yaml, as exports have them."""
    for part, count in (("train", 8), ("valid", 4), ("test", 4)):
        (root / part / "labels").mkdir(parents=True)
        for n in range(count):
            film(root / part / f"images/{part}{n}.jpg")
            lines = "1 0.2 0.2 0.7 0.2 0.7 0.7 0.2 0.7\n0 0.1 0.1 0.3 0.1 0.3 0.3\n"
            (root / part / f"labels/{part}{n}.txt").write_text(lines)
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['heart', 'lung']\n"
    )
    return Right(masks=16, films=16, organs=("heart", "lung"))


# --- classes ---------------------------------------------------------------------------------------------------


def folders_of_classes(root: Path) -> Right:
    """A folder for each class."""
    for n in range(12):
        film(root / f"{'Normal' if n % 3 else 'Tuberculosis'}/film-{n}.png")
    return Right(classes={"Normal": 8, "Tuberculosis": 4}, films=12)


def folders_of_parts(root: Path) -> Right:
    """train, val and test with folders of classes."""
    for part, count in (("train", 8), ("val", 4), ("test", 4)):
        for n in range(count):
            film(root / f"{part}/{'sick' if n % 2 else 'well'}/{part}{n}.jpeg")
    return Right(classes={"sick": 8, "well": 8}, films=16, words=("parts: train 8, val 4, test 4",))


def odd_columns(root: Path) -> Right:
    """A table of a hospital: semicolons, German words, Latin letters, patients, more columns."""
    rows: list[list[object]] = [["Lfd.Nr", "Bilddatei", "Alter", "Befund", "Patient-ID", "Gerät"]]
    for n in range(12):
        film(root / f"Röntgen/B{n:02}.png")
        rows.append([n, f"B{n:02}.png", 40 + n, ["unauffällig", "Pneumonie", ""][n % 3], f"P{n // 2}", "X1"])
    table(root / "Befunde 2021.csv", rows, ";", "latin-1")
    return Right(classes={"unauffällig": 4, "Pneumonie": 4}, films=12, patients=6)


def several_rows(root: Path) -> Right:
    """A row per finding: two findings of one image are several, two rows with the same one are one."""
    rows: list[list[object]] = [["image", "label", "patient"]]
    for n in range(14):
        film(root / f"films/{n:02}.png")
        rows.append([f"{n:02}.png", "normal" if n % 2 else "pneumonia", f"p{n}"])
    rows += [["00.png", "effusion", "p0"], ["02.png", "pneumonia", "p2"], ["01.png", "normal", ""]]
    table(root / "findings.csv", rows)
    words = (
        "3 images have several rows: an image has the labels of all its rows",
        "1 image with several findings",
    )
    return Right(classes={"normal": 7, "pneumonia": 6}, films=14, patients=14, words=words)


def rows_of_boxes(root: Path) -> Right:
    """A row per box, with the class of the image in each of them."""
    rows: list[list[object]] = [["patientId", "x", "y", "width", "height", "Target"]]
    for n in range(12):
        film(root / f"images/f{n:02}.png")
        boxes = [[3.0, 4.0, 5.0, 6.0], [9.0, 4.0, 5.0, 6.0]] if n % 3 == 0 else [["", "", "", ""]]
        rows += [[f"f{n:02}", *box, int(n % 3 == 0)] for box in boxes]
    table(root / "labels.csv", rows)
    return Right(classes={"0": 8, "1": 4}, films=12, words=("4 images have several rows",))


def spreadsheet(root: Path) -> Right:
    """Masks, and a table that only a spreadsheet opens."""
    for n in range(8):
        film(root / f"images/{n}.png")
        mask(root / f"masks/{n}.png")
    (root / "labels.xlsx").write_bytes(b"PK\x03\x04")
    return Right(masks=8, films=8, words=("1 file .xlsx: not read (save the sheet as CSV)",))


def paths_and_parts(root: Path) -> Right:
    """Paths in the table, parts in words, rows of films that are not there, films without a row."""
    rows: list[list[object]] = [["path", "target", "subset"]]
    for n in range(18):
        film(root / f"data/images/{n}.png")
        part = ["training", "training", "validation", "testing"][n % 4]
        if n < 16:
            rows.append([f"dataset/images/{n}.png", ["no finding", "effusion"][n // 4 % 2], part])
    rows.append(["dataset/images/99.png", "effusion", "testing"])
    table(root / "data/labels.csv", rows)
    return Right(
        classes={"no finding": 8, "effusion": 8}, films=18, words=("1 row names no image", "2 images have no row")
    )


def nih(root: Path) -> Right:
    """Findings with | between them, images in numbered folders, most of the table's films elsewhere."""
    head = ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender"]
    rows: list[list[object]] = [head]
    findings = ["No Finding", "Pneumonia", "Effusion|Mass", "Hernia"]
    for n in range(40):
        label = findings[3] if n == 39 else findings[n % 3]
        name = f"{n // 2:08}_{n % 2:03}.png"
        rows.append([name, label, n % 2, n // 2, 50, "F"])
        film(root / f"images_{n % 2 + 1:03}/images/{name}")
    rows += [[f"{n:08}_000.png", "Mass", 0, n, 50, "M"] for n in range(1000, 1060)]
    table(root / "Data_Entry_2017.csv", rows)
    return Right(
        classes={"No Finding": 13, "Pneumonia": 13},
        films=40,
        patients=20,
        words=("several findings", "Hernia", "patients: 20 of 40 films"),
    )


def flags(root: Path) -> Right:
    """A column of 0 and 1 for each finding."""
    rows: list[list[object]] = [["Path", "Sex", "Age", "Pneumonia", "Edema", "Fracture"]]
    for n in range(12):
        name = f"train/patient{n // 2:05}/study1/view{n % 2 + 1}_frontal.jpg"
        film(root / name)
        rows.append([f"Set-v1.0/{name}", "F", 60, int(n % 4 < 2), int(n % 3 == 0), 0])
    table(root / "train.csv", rows)
    return Right(classes={"0": 6, "1": 6}, films=12, said={"label": "Pneumonia"})


def dicom_tree(root: Path) -> Right:
    """Films as a scanner exports them: no suffix, patient folders, a table by the names of the files."""
    rows: list[list[object]] = [["file", "diagnosis"]]
    for n in range(12):
        name = f"PAT{n // 2:03}/ST0/SE{n % 2}/IM{n:06}"
        dicom(root / "DICOM" / name, f"id-{n // 2}")
        rows.append([f"IM{n:06}", "ill" if n % 4 < 2 else "well"])
    table(root / "diagnoses.csv", rows)
    return Right(classes={"ill": 6, "well": 6}, films=12, patients=6)


def unlabelled_folder(root: Path) -> Right:
    """Labelled films in folders of classes, the others in a folder of their own."""
    for n in range(10):
        film(root / f"labelled/{'normal' if n % 2 else 'pneumonia'}/{n}.png")
    for n in range(7):
        film(root / f"unlabelled/u{n}.png")
    return Right(classes={"normal": 5, "pneumonia": 5}, films=17)


def shenzhen(root: Path) -> Right:
    """The official layout: the class in the name, masks with _mask, some films without, readings as text."""
    for n in range(40):
        name = f"CHNCXR_{n:04}_{n % 2}"
        film(root / f"CXR_png/{name}.png")
        (root / "ClinicalReadings").mkdir(exist_ok=True)
        (root / f"ClinicalReadings/{name}.txt").write_text("male 45yrs\n\nnormal\n")
        if n < 30:
            mask(root / f"mask/{name}_mask.png")
    return Right(classes={"normal": 20, "tuberculosis": 20}, masks=30, films=40)


def montgomery(root: Path) -> Right:
    """The official layout: left and right masks."""
    for n in range(12):
        name = f"MCUCXR_{n:04}_{n % 2}.png"
        film(root / f"CXR_png/{name}")
        for side in ("leftMask", "rightMask"):
            mask(root / f"ManualMask/{side}/{name}")
    return Right(classes={"normal": 6, "tuberculosis": 6}, masks=12, films=12, organs=("leftMask", "rightMask"))


# --- places ----------------------------------------------------------------------------------------------------


def two_hospitals(root: Path) -> Right:
    """Two hospitals, each with films, a table and masks; the classes are spelled differently."""
    for site, count, names in (("Ulm", 12, ("normal", "pneumonia")), ("Graz", 8, ("Normal", "PNEUMONIA"))):
        rows: list[list[object]] = [["image", "label"]]
        for n in range(count):
            film(root / site / f"films/{site}{n}.png")
            mask(root / site / f"masks/{site}{n}.png")
            rows.append([f"{site}{n}.png", names[n % 2]])
        table(root / site / "labels.csv", rows)
    return Right(
        classes={"normal": 6, "pneumonia": 6}, masks=12, films=12, cross={"classification": 8, "segmentation": 8}
    )


def a_task_each(root: Path) -> Right:
    """Classes from one place, masks from another, a third that is left over."""
    for n in range(10):
        film(root / f"clinic/{'normal' if n % 2 else 'pneumonia'}/c{n}.png")
        film(root / f"archive/images/a{n}.png")
        mask(root / f"archive/masks/a{n}.png")
    for n in range(4):
        film(root / f"third/images/t{n}.png")
        mask(root / f"third/masks/t{n}.png", (0, 1, 2))
    return Right(classes={"normal": 5, "pneumonia": 5}, masks=10, films=10, words=("mmtk evaluate RUN",))


LAYOUTS: tuple[Callable[[Path], Right], ...] = (
    two_folders,
    masks_beside,
    masks_below,
    prefixes,
    folders_without_telling_names,
    organs,
    nnunet,
    coco,
    yolo,
    yolo_dataset,
    folders_of_classes,
    several_rows,
    rows_of_boxes,
    spreadsheet,
    folders_of_parts,
    odd_columns,
    paths_and_parts,
    nih,
    flags,
    dicom_tree,
    unlabelled_folder,
    shenzhen,
    montgomery,
    two_hospitals,
    a_task_each,
    organs_by_ending,
    arrays,
    named_as_jsrt,
    parts_without_val,
    hospitals_that_number_alike,
    patients_of_several_classes,
)


def write_polygons(root: Path, program: str) -> None:
    """Polygons of six films in ``films``, as a program writes them: a lung of 40 + 10 n pixels, a heart in film 3.

    The rib of film 5 is a box; a name has a folder of Windows before it.
    """
    lungs = {n: [(2, 3), (12, 3), (12, 7 + n), (2, 7 + n)] for n in range(6)}
    heart, box = [(4.0, 16.0), (8.0, 16.0), (8.0, 19.0), (4.0, 19.0)], [(1, 1), (3, 3)]
    shapes = {
        n: [("lung", lungs[n]), *([("heart", heart)] if n == 3 else []), *([("rib", box)] if n == 5 else [])]
        for n in range(6)
    }
    if program == "LabelMe":
        for n in range(6):
            entries = [
                {"label": label, "points": points, "shape_type": "polygon" if len(points) > 2 else "rectangle"}
                for label, points in shapes[n]
            ]
            content = {"shapes": entries, "imagePath": f"..\\old\\{n}.png", "imageHeight": 24, "imageWidth": 20}
            (root / f"{n}.json").write_text(json.dumps(content))
    elif program == "VIA":
        (root / "via.json").write_text(json.dumps({f"{n}.png9": _via_entry(n, shapes[n]) for n in range(6)}))
    elif program == "VIA 3":
        (root / "via.json").write_text(json.dumps(_via_project(shapes)))
    else:
        (root / "annotations.xml").write_text("".join(_cvat_lines(shapes, brush=program == "CVAT brush")))


def _via_project(shapes: dict[int, list[tuple[str, list[tuple[float, float]]]]]) -> dict[str, object]:
    names = {"0": "heart", "1": "lung", "2": "rib"}
    numbers = {name: number for number, name in names.items()}
    metadata = {
        f"{n + 1}_{k}": {
            "vid": str(n + 1),
            "z": [],
            "xy": [7 if len(points) > 2 else 2, *(number for point in points for number in point)],
            "av": {"1": numbers[label]},
        }
        for n, entries in shapes.items()
        for k, (label, points) in enumerate(entries)
    }
    return {
        "project": {"vid_list": [str(n + 1) for n in shapes]},
        "config": {},
        "attribute": {"1": {"aname": "organ", "options": names}},
        "file": {str(n + 1): {"fid": n + 1, "fname": f"{n}.png", "type": 2} for n in shapes},
        "view": {str(n + 1): {"fid_list": [n + 1]} for n in shapes},
        "metadata": metadata | {"1_note": {"vid": "1", "z": [], "xy": [], "av": {}}},
    }


def _via_entry(n: int, shapes: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> dict[str, object]:
    regions = []
    for label, points in shapes:
        x, y = ([point[k] for point in points] for k in (0, 1))
        polygon = {"name": "polygon", "all_points_x": x, "all_points_y": y}
        shape = polygon if len(points) > 2 else {"name": "rect", "x": 1, "y": 1, "width": 2, "height": 2}
        regions.append({"shape_attributes": shape, "region_attributes": {"organ": {label: True}}})
    return {"filename": f"{n}.png", "size": 9, "regions": regions, "file_attributes": {}}


def _cvat_lines(shapes: dict[int, list[tuple[str, list[tuple[float, float]]]]], brush: bool) -> Iterable[str]:
    yield "<?xml version='1.0'?><annotations><version>1.1</version><meta><job><labels>"
    yield "<label><name>heart</name></label><label><name>lung</name></label></labels></job></meta>"
    for n, entries in shapes.items():
        yield f"<image id='{n}' name='batch/{n}.png' width='20' height='24'>"
        for label, points in entries:
            if len(points) > 2 and brush:  # the box of the polygon, and a row of background above it
                (left, top), _, (right, bottom), _ = points
                wide, high = int(right - left), int(bottom - top)
                box = f"left='{left:.0f}' top='{top - 1:.0f}' width='{wide}' height='{high + 1}'"
                yield f"<mask label='{label}' rle='{wide}, {wide * high}' {box} z_order='0'></mask>"
            elif len(points) > 2:
                corners = ";".join(f"{x},{y}" for x, y in points)
                yield f"<polygon label='{label}' points='{corners}' z_order='0'></polygon>"
            else:
                yield f"<box label='{label}' xtl='1' ytl='1' xbr='3' ybr='3'></box>"
        yield "</image>"
    yield "</annotations>"
