"""The same films in drawn arrangements: every film keeps its class and its patient, however they are written."""

from __future__ import annotations

import random
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from layout_inputs import table
from PIL import Image

from mmtk.data.plan.findings import find_sets
from mmtk.data.plan.listing import list_folder, stem

FILMS = 12
CLASSES = [
    ("normal", "pneumonia"),
    ("o.B.", "Infiltrat"),
    ("0", "1"),
    ("unauffällig", "Pneumonie"),
    ("正常", "肺炎"),
]
IMAGE = ["image", "file", "Datei", "Image Index", "fichier", "文件名"]
LABEL = ["label", "diagnosis", "Befund", "Finding Labels", "diagnostic", "诊断"]
PATIENT = ["patient", "Patient ID", "PatNr", "患者编号", "subject_id"]
OTHERS = {"age": "50", "Bemerkung": "", "sex": "F", "Gerät": "DX-1"}
FORMATS = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF", "bmp": "BMP"}


def picture(kind: str) -> bytes:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (12, 10), dtype=np.uint8)).save(file, FORMATS[kind])
    return file.getvalue()


PICTURES = {kind: picture(kind) for kind in FORMATS}


def arrange(root: Path, draw: random.Random) -> dict[str, tuple[str, str]]:
    """Write films and a table in a drawn arrangement; class and patient by the stem of each film."""
    suffix, classes = draw.choice([*FORMATS]), draw.choice(CLASSES)
    folder = draw.choice(["", "images/", "Röntgen 2020/", "a/b/c/", "data/PNG/"])
    name = draw.choice(["{:03}", "film {}", "CXR_{:04}_a", "Bild-{}", "影像{}"])
    numbers = draw.sample(range(1, 400), FILMS)
    right = {name.format(number): (classes[n % 2], f"{1000 + n // 4}") for n, number in enumerate(numbers)}
    for film in right:
        path = root / f"{folder}{film}.{draw.choice([suffix, suffix.upper()])}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURES[suffix])
    before, behind = draw.choice(
        [("", ""), ("", f".{suffix}"), (folder, f".{suffix}"), ("C:\\data\\", f".{suffix}")]
    )
    columns = [draw.choice(IMAGE), draw.choice(LABEL), draw.choice(PATIENT), *draw.sample([*OTHERS], 2)]
    order = draw.sample(range(len(columns)), len(columns))
    rows = [
        [f"{before}{film}{behind}", *facts, *(OTHERS[key] for key in columns[3:])] for film, facts in right.items()
    ]
    draw.shuffle(rows)
    cells = [[row[k] for k in order] for row in [columns, *rows]]
    where = root / draw.choice(["", folder, "tables/"])
    if draw.random() < 0.25:
        workbook(where / "Liste.xlsx", cells)
    else:
        encoding = draw.choice(["utf-8", "utf-8-sig", "utf-16", "gb18030" if classes[0] == "正常" else "utf-8"])
        table(
            where / draw.choice(["labels.csv", "Tabelle 1.csv", "meta.tsv"]), cells, draw.choice(",;\t"), encoding
        )
    return right


def workbook(path: Path, rows: list[list[str]]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


@pytest.mark.parametrize("first", range(0, 48, 16))
def test_every_film_keeps_its_class_and_patient(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + 16):
        root = tmp_path / str(seed)
        right = arrange(root, random.Random(seed))
        (films,) = find_sets(list_folder(root))
        read = {stem(path): (film.label, film.patient) for path, film in films.films.items()}
        assert read == right, (seed, films.notes, films.reasons)
