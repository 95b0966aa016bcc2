"""Tables of other shapes than a row per film: lists in cells, films side by side, a table per class, free text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from layout_inputs import film, table
from openpyxl import Workbook

from mmtk.data.plan.findings import FilmSet, find_sets
from mmtk.data.plan.listing import list_folder
from mmtk.data.plan.profile import plan_folder

COUNT = 12
CLASSES = ("normal", "Pneumonie")


def films_of(root: Path, names: str = "png/f{}x.png") -> FilmSet:
    for n in range(COUNT):
        film(root / names.format(n))
    (films,) = find_sets(list_folder(root))
    return films


def side_by_side(root: Path) -> str:
    head = ["Patient", "Aufnahme 1", "Aufnahme 2", "Befund"]
    rows = [[f"M{n}", f"f{2 * n}x.png", f"f{2 * n + 1}x.png", CLASSES[n % 2]] for n in range(COUNT // 2)]
    table(root / "t.csv", [head, *rows], ";")
    return "t.csv has films in Aufnahme 1, Aufnahme 2: a row for each"


def a_sheet_for_each_class(root: Path) -> str:
    book = Workbook()
    for sheet, number in ((book.active, 0), (book.create_sheet(), 1)):
        sheet.title = CLASSES[number]
        for row in [["Bild", "Station"], *([f"f{n}x", "3B"] for n in range(number, COUNT, 2))]:
            sheet.append(row)
    book.save(root / "t.xlsx")
    return "the tables t.xlsx [Pneumonie], t.xlsx [normal] have the films of a class each"


def lists_in_cells(root: Path) -> str:
    table(root / "t.csv", [["file", "Labels"], *([f"f{n}x.png", f"['{CLASSES[n % 2]}']"] for n in range(COUNT))])
    return "lists in cells of t.csv are read as their entries"


def text_with_other_separators(root: Path) -> str:
    rows = [
        [f"f{n}x.png", CLASSES[n % 2], f"Herz, Lunge, Rippen, {'Pleura, ' * (n % 3)}frei."] for n in range(COUNT)
    ]
    (root / "t.csv").write_text("\n".join(";".join(row) for row in [["Datei", "Befund", "Text"], *rows]))
    return ""


@pytest.mark.parametrize(
    "make", [side_by_side, a_sheet_for_each_class, lists_in_cells, text_with_other_separators]
)
def test_every_film_has_its_class(tmp_path: Path, make) -> None:
    reason = make(tmp_path)
    films = films_of(tmp_path)
    assert films.classes == dict.fromkeys(CLASSES, COUNT // 2)
    assert not reason or reason in films.reasons
    if make is side_by_side:
        assert films.films["png/f2x.png"].patient == films.films["png/f3x.png"].patient == "M1"


def test_a_table_of_other_columns_goes_on_with_the_same_labels(tmp_path: Path) -> None:
    rows = [[f"f{n}x", f"R{k}", CLASSES[n % 2]] for n in range(8) for k in range(3)]
    table(tmp_path / "annotations_train.csv", [["image_id", "rad_id", "class_name"], *rows])
    rows = [[f"f{n}x", CLASSES[n % 2]] for n in range(8, COUNT)]
    table(tmp_path / "annotations_test.csv", [["image_id", "class_name"], *rows])
    films = films_of(tmp_path)
    assert films.classes == dict.fromkeys(CLASSES, COUNT // 2)
    assert {films.films[f"png/f{n}x.png"].split for n in range(8, COUNT)} == {"test"}


@pytest.mark.parametrize(("frontal", "lateral"), [("PA", "L"), ("AP", "LATERAL"), ("right", "L")])
def test_a_letter_is_a_lateral_view_beside_frontal_ones(tmp_path: Path, frontal: str, lateral: str) -> None:
    views = [[f"f{n}x.png", CLASSES[n % 2], lateral if n > 9 else frontal] for n in range(COUNT)]
    table(tmp_path / "t.csv", [["file", "finding", "ViewPosition"], *views])
    assert len(films_of(tmp_path).films) == (COUNT if frontal == "right" else COUNT - 2)


@pytest.mark.parametrize(
    ("parts", "tables"), [(("train", "val", "test"), "t.csv"), (("Training", "Validierung", "Test"), "{}/t.csv")]
)
def test_folders_are_the_parts_of_films_with_labels_in_tables(
    tmp_path: Path, parts: tuple[str, ...], tables: str
) -> None:
    rows: dict[str, list[list[str]]] = {}
    for n in range(COUNT):
        part = parts[max(0, n // 2 - 3)]
        film(tmp_path / f"{part}/images/f{n}x.png")
        rows.setdefault(tables.format(part), [["file", "finding"]]).append([f"f{n}x.png", CLASSES[n % 2]])
    for name, table_rows in rows.items():
        table(tmp_path / name, table_rows)
    (films,) = find_sets(list_folder(tmp_path))
    assert Counter(film.split for film in films.films.values()) == {"train": 8, "val": 2, "test": 2}
    assert f"the parts are those of the folders {', '.join(sorted(parts))}" in films.reasons


def test_numbers_with_a_zero_behind_them_name_films_and_codes_have_no_healthy_class(tmp_path: Path) -> None:
    for n in range(COUNT):
        film(tmp_path / f"films/{2000 + n}.png")
    table(
        tmp_path / "t.csv",
        [["Study", "Diagnose"], *([f"{2000 + n}.0", ("J18", "M54")[n % 2]] for n in range(COUNT))],
    )
    text = "\n".join(plan_folder(tmp_path, tmp_path / "p.toml").lines)
    assert "the table writes the numbers of films with .0" in text
    assert "classes: J18 6, M54 6\n  no class is known as that without a finding: M54, the last" in text


def test_years_are_one_place_and_no_class(tmp_path: Path) -> None:
    for n in range(COUNT):
        film(tmp_path / f"{2022 + n % 3}/{CLASSES[n // 3 % 2]}/{n}.png")
    (films,) = find_sets(list_folder(tmp_path))
    assert films.classes == dict.fromkeys(CLASSES, COUNT // 2)
