"""Folders in other languages and encodings: tables by the names in them, masks by their words."""

from __future__ import annotations

from pathlib import Path

import pytest
from layout_inputs import film, mask, table

from mmtk.data.plan.findings import FilmSet, find_sets
from mmtk.data.plan.listing import list_folder
from mmtk.data.plan.profile import plan_folder
from mmtk.io.csv_text import read_csv

PATIENTS = 12


def films_of(root: Path) -> FilmSet:
    (films,) = find_sets(list_folder(root), training=False)
    return films


@pytest.mark.parametrize(
    ("encoding", "columns", "classes", "name"),
    [
        ("gb18030", ("文件名", "诊断", "患者编号"), ("正常", "肺炎"), "影像{}"),
        ("gb18030", ("文件名", "诊断", "患者编号"), ("正常", "肺炎"), "f{}"),
        ("shift_jis", ("ファイル", "診断", "患者番号"), ("正常", "肺炎"), "画像{}"),
        ("cp1251", ("файл", "диагноз", "Пациент"), ("норма", "пневмония"), "снимок{}"),
        ("cp1252", ("Datei", "Befund", "Patient"), ("unauffällig – „ok“", "Pneumonie €"), "f{}"),
        ("mac_roman", ("Datei", "Befund", "Patient"), ("unauffällig", "Pneumonie"), "f{}"),
        ("cp850", ("Datei", "Befund", "Patient"), ("unauffällig", "Pneumonie"), "f{}"),
        ("utf-16-le", ("Datei", "Befund", "Patient"), ("unauffällig", "Pneumonie"), "f{}"),
        ("latin-1", ("Datei", "Befund", "Patient"), ("unauffällig", "Pneumonie"), "Röntgen{}"),
        ("utf-8", ("文件名", "诊断", "患者编号"), ("正常", "肺炎"), "影像{}"),
        ("utf-16", ("文件名", "诊断", "患者编号"), ("正常", "肺炎"), "影像{}"),
    ],
)
def test_a_table_in_the_encoding_of_its_country(
    tmp_path: Path, encoding: str, columns: tuple[str, ...], classes: tuple[str, str], name: str
) -> None:
    root = tmp_path / "data"
    rows = []
    for n in range(2 * PATIENTS):
        film(root / f"films/{name.format(n)}.png")
        rows.append([f"{name.format(n)}.png", classes[n // 2 % 2], f"P{n // 2}"])
    table(root / "t.csv", [columns, *rows], encoding=encoding)
    plan = plan_folder(root, tmp_path / "p.toml")
    text = "\n".join(plan.lines)
    assert all(f"{label} {PATIENTS}" in text for label in classes)
    assert f'"{columns[2]}" as patient' in text
    western = ("latin-1", "cp1252", "utf-8", "utf-16")
    assert ("t.csv is written in" in text) == (encoding not in western)
    if encoding in western:
        assert {row for line in read_csv(root / "t.csv").lines for row in line.cells} >= {*classes}


@pytest.mark.parametrize("names", ["bild maske", "image masque", "imagen máscara", "снимок маска", "影像 掩膜"])
def test_masks_by_their_words_in_the_folders_of_patients(tmp_path: Path, names: str) -> None:
    image, label = names.split()
    for n in range(PATIENTS):
        film(tmp_path / f"Müller, Jörg {n}/{image}.png")
        mask(tmp_path / f"Müller, Jörg {n}/{label}.png")
    films = films_of(tmp_path)
    assert dict(films.masks) == {
        f"Müller, Jörg {n}/{image}.png": (f"Müller, Jörg {n}/{label}.png",) for n in range(PATIENTS)
    }


def test_films_that_nobody_has_read_are_no_class(tmp_path: Path) -> None:
    for n in range(PATIENTS):
        for folder in ("Normal", "Pneumonia", "not read yet"):
            film(tmp_path / f"{folder}/{n}.png")
    assert {*films_of(tmp_path).classes} == {"Normal", "Pneumonia"}
