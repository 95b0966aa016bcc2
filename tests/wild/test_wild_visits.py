"""Tables that name patients and visits: each film has the label of its own visit, in plan and evaluation."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest
from layout_inputs import film, mask, table

from mmtk.api import LabelSpec
from mmtk.data.folder_sets import folder_sets
from mmtk.data.plan.films import Film
from mmtk.data.plan.findings import find_sets
from mmtk.data.plan.listing import list_folder

TARGETS = {
    "classification": LabelSpec("classification", ("normal", "pneumonia")),
    "segmentation": LabelSpec("segmentation", ("lung",), exclusive=False),
}
PATIENTS, VISITS = 6, 2
NAMES = ("Meier", "Baumann", "Kohler", "Schmid", "Weber", "Fischer")


def label_of(patient: int, visit: int) -> str:
    return "pneumonia" if (patient + visit) % 2 else "normal"


def films_of(root: Path) -> dict[str, Film]:
    (films,) = find_sets(list_folder(root), training=False)
    return films.films


@pytest.mark.parametrize(
    ("path", "columns", "row"),
    [
        ("P{p:03}/visit{v}/film.png", "patient,visit", "P{p:03},{v}"),
        ("P{p:03}/v{v:02}/film.png", "patient,exam", "P{p:03},visit {v}"),
        ("P{p:03}/2019-0{v}-01/film.png", "patient,StudyDate", "P{p:03},20190{v}01"),
        ("P{p:03}_V{v}.png", "patient,visit", "P{p:03},{v}"),
        ("{p}/{v}/film.png", "patient,visit", "{p},{v}"),
        ("{v}/{p}/film.png", "visit,patient", "{v},{p}"),
        ("P{p:03}/{v}/film.png", "file,Patient ID,session", "film.png,P{p:03},{v}"),
    ],
)
def test_a_film_has_the_label_of_its_visit(tmp_path: Path, path: str, columns: str, row: str) -> None:
    rows, right = [[*columns.split(","), "label"]], {}
    for p, v in itertools.product(range(1, PATIENTS + 1), range(1, VISITS + 1)):
        name = path.format(p=p, v=v)
        film(tmp_path / name)
        rows.append([*row.format(p=p, v=v).split(","), label_of(p, v)])
        right[name] = label_of(p, v)
    table(tmp_path / "visits.csv", rows)
    films = films_of(tmp_path)
    assert {name: one.label for name, one in films.items()} == right
    assert len({one.patient for one in films.values()}) == PATIENTS


def test_a_row_of_one_visit_says_nothing_of_another(tmp_path: Path) -> None:
    for p, v in itertools.product(range(PATIENTS), range(VISITS)):
        film(tmp_path / f"P{p:03}/visit{v}/film.png")
    rows = [[f"P{p:03}", 0, label_of(p, 0)] for p in range(PATIENTS)]
    table(tmp_path / "visits.csv", [["patient", "visit", "label"], *rows, ["P999", 0, "normal"]])
    (films,) = find_sets(list_folder(tmp_path), training=False)
    assert {path for path, one in films.films.items() if one.label} == {
        f"P{p:03}/visit0/film.png" for p in range(PATIENTS)
    }
    text = "\n".join(films.reasons)
    assert "6 images have no row: P000/visit1/film.png, " in text
    assert "1 row names no image here: P999" in text


@pytest.mark.parametrize("column", ["label", "age"])
def test_a_column_of_something_else_is_no_visit(tmp_path: Path, column: str) -> None:
    """Labels 0 and 1 beside films 0.png and 1.png of a patient would be read from the names."""
    for p, v in itertools.product(range(PATIENTS), range(VISITS)):
        film(tmp_path / f"P{p:03}/{v}.png")
    rows = [[f"P{p:03}", v, p % 2] for p in range(PATIENTS) for v in range(VISITS)]
    table(tmp_path / "t.csv", [["patient", column, "finding"], *rows])
    (films,) = find_sets(list_folder(tmp_path), {"label": "finding"}, training=False)
    assert {path: one.label for path, one in films.films.items()} == {
        f"P{p:03}/{v}.png": str(p % 2) for p in range(PATIENTS) for v in range(VISITS)
    }
    assert "12 images have several rows: an image has the labels of all its rows" in films.reasons


def hospitals(root: Path, path: str, tables: str, masks: str) -> None:
    """Two hospitals where ``path`` has them, else one, with a table of patients at the top or in each."""
    rows: dict[Path, list[list[object]]] = {}
    names = ("Mitte", "Nord") if "{h}" in path else ("",)
    for (number, h), p, v in itertools.product(enumerate(names), range(PATIENTS), range(VISITS)):
        patient = 100 + 50 * number + p
        name = path.format(h=h, p=patient, v=v, name=NAMES[p])
        film(root / name)
        base = root / h if tables == "each" else root
        if masks == "beside":
            mask((root / name).with_name(f"{Path(name).stem}_mask.png"))
        elif masks == "folder":
            mask(base / "masks" / (root / name).relative_to(base))
        who = NAMES[p] if "{name}" in path else f"P{patient}"
        rows.setdefault(base, []).append([who, v, label_of(p, v)])
    for base, lines in rows.items():
        table(base / "labels.csv", [["patient", "visit", "label"], *lines])


@pytest.mark.parametrize("masks", ["", "beside", "folder"])
@pytest.mark.parametrize(
    ("path", "tables"),
    [
        *((path, "top") for path in ("P{p}/visit{v}/film.png", "{name}/{v}/film.png", "P{p}/film{v}.png")),
        *itertools.product(
            ("{h}/P{p}/v{v}.png", "{h}/P{p}/visit{v}/film.png", "{h}/P{p}_{v}.png"), ("top", "each")
        ),
    ],
)
def test_folders_of_patients_are_no_hospitals(tmp_path: Path, path: str, tables: str, masks: str) -> None:
    root, scratch = tmp_path / "data", tmp_path / "scratch"
    scratch.mkdir()
    hospitals(root, path, tables, masks)
    sets, _, refused = folder_sets(root, {}, TARGETS, {}, scratch)
    assert refused == []
    names = ["data/Mitte", "data/Nord"] if tables == "each" else ["data"]
    tasks = ["classification", "segmentation"] if masks else ["classification"]
    assert [(name, task) for name, task, _ in sets] == list(itertools.product(names, tasks))
    places = 2 if "{h}" in path else 1
    for _, task, source in sets:
        items = source.items("all")
        assert len(items) == places * PATIENTS * VISITS / len(names), task
        assert len({item.patient for item in items}) == places * PATIENTS / len(names)
        if task == "classification":
            assert [item.target for item in items].count(1) == len(items) / 2


def test_a_whole_path_names_its_image_alone(tmp_path: Path) -> None:
    """Of films at the top with masks below: 1.png is the film, not masks/1.png."""
    for n in range(6):
        film(tmp_path / f"data/{n}.png")
        mask(tmp_path / f"data/masks/{n}.png")
    table(tmp_path / "data/t.csv", [["image", "label"], *([f"{n}.png", label_of(n, 0)] for n in range(6))])
    sets, *_ = folder_sets(tmp_path / "data", {}, TARGETS, {}, tmp_path)
    assert [(task, len(source.items("all"))) for _, task, source in sets] == [
        ("classification", 6),
        ("segmentation", 6),
    ]
    with (tmp_path / "data.csv").open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == [f"{n}.png" for n in range(6)]
