"""`mmtk data plan` on folders as people have them: the profile is read, and the sources hold what is right."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archive_inputs import ARCHIVES
from clinic_inputs import CLINICS
from collection_inputs import COLLECTIONS
from column_inputs import COLUMNS
from hospital_inputs import HOSPITALS
from label_inputs import LABELS
from layout_inputs import LAYOUTS, Right, film, mask, table
from name_inputs import NAMES
from program_inputs import PROGRAMS
from sheet_inputs import SHEETS
from stick_inputs import STICKS
from ward_inputs import WARDS

from mmtk import load_recipe
from mmtk.cli.data import refuse_unused
from mmtk.data import sources
from mmtk.data.plan.profile import plan_folder
from mmtk.errors import MmtkError

SHAPES = LAYOUTS + COLLECTIONS + ARCHIVES + NAMES + LABELS + PROGRAMS + HOSPITALS
ALL = SHAPES + STICKS + WARDS + SHEETS + COLUMNS + CLINICS


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_a_layout_is_read_as_it_is_meant(make: Callable[[Path], Right], tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "mine.toml"
    right = make(root)
    plan = plan_folder(root, out, right.said)
    plan.write(out)
    text = "\n".join(plan.lines)
    assert all(each in text for each in right.words), text
    recipe = load_recipe(plan.recipe, str(out))
    expected = ["classification"] * bool(right.classes) + ["segmentation"] * bool(right.masks)
    assert recipe.tasks == expected
    for task in recipe.tasks:
        source = sources.source(recipe, task, root=root)
        items = [item for part in ("train", "val", "test") for item in source.items(part)]
        labelled = [item for item in items if item.target is not None]
        if task == "classification":
            names = source.labels.names
            assert Counter(names[item.target] for item in labelled) == right.classes
            assert names[0] == right.first or not right.first
            if right.patients:
                assert len({item.patient for item in source.items("all")}) <= right.patients
        else:
            assert len(labelled) == right.masks
            assert source.labels.names == right.organs
            assert source.labels.swap == right.swap or not right.swap
            assert all(source.mask(item).shape[0] == len(right.organs) for item in labelled)
            assert source.mask(labelled[0]).any()
        assert {item.target is None for part in ("val", "test") for item in source.items(part)} == {False}
        if recipe.get(f"data.{task}.cross"):
            other = sources.source(recipe, task, "cross", root)
            assert other.labels.names == source.labels.names
            assert sum(item.target is not None for item in other.items("all")) == right.cross[task]
            assert not {i.patient for i in other.items("all")} & {i.patient for i in source.items("all")}
        else:
            assert task not in right.cross


def test_no_film_is_lost_where_some_have_no_label(tmp_path: Path) -> None:
    for make in (f for f in LAYOUTS if f.__name__ in ("two_folders", "unlabelled_folder", "masks_beside")):
        root, out = tmp_path / make.__name__, tmp_path / f"{make.__name__}.toml"
        right = make(root)
        plan = plan_folder(root, out)
        plan.write(out)
        recipe = load_recipe(plan.recipe, str(out))
        assert len(sources.source(recipe, recipe.tasks[0], root=root).items("all")) == right.films


def test_films_that_serve_both_tasks_share_one_split(tmp_path: Path) -> None:
    make = next(f for f in LAYOUTS if f.__name__ == "shenzhen")
    make(tmp_path / "data")
    plan = plan_folder(tmp_path / "data", tmp_path / "p.toml")
    plan.write(tmp_path / "p.toml")
    recipe = load_recipe("multimix", str(tmp_path / "p.toml"))
    part_of = [
        {
            item.id: part
            for part in ("train", "val", "test")
            for item in source.items(part)
            if item.target is not None
        }
        for source in (sources.source(recipe, task, root=tmp_path / "data") for task in recipe.tasks)
    ]
    shared = part_of[0].keys() & part_of[1].keys()
    assert len(shared) == 30
    assert all(part_of[0][name] == part_of[1][name] for name in shared)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    film(tmp_path / "d/normal/a.png")
    for n in range(8):
        film(tmp_path / f"d/{'normal' if n % 2 else 'tb'}/{n}.png")
    out = tmp_path / "d.toml"
    out.write_text("mine")
    with pytest.raises(MmtkError, match="is there already; nothing was written"):
        plan_folder(tmp_path / "d", out).write(out)
    assert out.read_text() == "mine"


def test_a_folder_of_links_in_a_circle_is_none(tmp_path: Path) -> None:
    (tmp_path / "films").symlink_to("films")
    with pytest.raises(MmtkError, match="no such folder"):
        plan_folder(tmp_path / "films", tmp_path / "p.toml")


def test_what_cannot_be_planned_says_what_to_say(tmp_path: Path) -> None:
    film(tmp_path / "bare/a.png")
    with pytest.raises(MmtkError, match="1 image, but no label for either task was found") as caught:
        plan_folder(tmp_path / "bare", tmp_path / "p.toml")
    assert "--labels TABLE.csv --label COLUMN" in str(caught.value)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/scan.nii.gz").write_bytes(b"x")
    with pytest.raises(MmtkError, match=r"no image that mmtk reads \(but 1 .nii.gz \(save masks of films as PNG"):
        plan_folder(tmp_path / "empty", tmp_path / "p.toml")
    with pytest.raises(MmtkError, match="no such folder"):
        plan_folder(tmp_path / "nowhere", tmp_path / "p.toml")


def test_a_spreadsheet_alone_is_to_be_saved_as_csv(tmp_path: Path) -> None:
    film(tmp_path / "d/1.png")
    (tmp_path / "d/labels.xlsx").write_bytes(b"PK")
    with pytest.raises(MmtkError, match=r"1 file .xlsx: not read \(save the sheet as CSV\)"):
        plan_folder(tmp_path / "d", tmp_path / "p.toml")
    with pytest.raises(MmtkError, match=r"labels\.xlsx: this spreadsheet cannot be read\.\n  Save the sheet"):
        plan_folder(tmp_path / "d", tmp_path / "p.toml", {"labels": "labels.xlsx"})


def test_rows_of_one_image_that_contradict_are_refused(tmp_path: Path) -> None:
    rows: list[list[object]] = [["image", "label", "patient"]]
    for n in range(8):
        film(tmp_path / f"d/{n}.png")
        rows.append([f"{n}.png", "ab"[n % 2], f"p{n}"])
    table(tmp_path / "d/t.csv", [*rows, ["3.png", "b", "p4"]])
    with pytest.raises(MmtkError, match=r"3\.png: its rows differ in patient: p3, p4"):
        plan_folder(tmp_path / "d", tmp_path / "p.toml")


def test_options_name_what_was_taken_wrongly(tmp_path: Path) -> None:
    rows = [["id", "label", "second reader"]]
    for n in range(12):
        film(tmp_path / f"d/x/{n:02}.png")
        mask(tmp_path / f"d/first/{n:02}.png")
        mask(tmp_path / f"d/second/{n:02}.png")
        rows.append([f"{n:02}", "ab"[n % 2], "cd"[n % 2]])
    table(tmp_path / "d/t.csv", rows)
    said = {"label": "second reader", "masks": "second", "images": "x"}
    plan = plan_folder(tmp_path / "d", tmp_path / "p.toml", said)
    values = tomllib.loads(plan.text)["data"]
    assert values["classification"]["source"]["columns"]["label"] == "second reader"
    assert values["segmentation"]["source"]["masks"] == "second"
    with pytest.raises(MmtkError, match="no column 'thrid'"):
        plan_folder(tmp_path / "d", tmp_path / "p.toml", {"label": "thrid"})


def test_planning_needs_no_torch() -> None:
    code = "import sys, mmtk.data.plan.profile; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_films_that_no_source_would_read_are_refused_with_the_command_to_type(tmp_path: Path) -> None:
    recipe = load_recipe("multimix")
    refuse_unused(recipe, None, "multimix")
    with pytest.raises(MmtkError, match="reads no files") as caught:
        refuse_unused(recipe, tmp_path / "my films", "multimix")
    assert f"mmtk data plan '{tmp_path}/my films'" in str(caught.value)
    assert "mmtk run multimix --profile 'my films.toml' --data" in str(caught.value)
    refuse_unused(load_recipe("multimix", "chest-xray-small"), tmp_path, "multimix")


@pytest.mark.parametrize("name", ["gray_label_maps", "even_label_maps", "coloured_label_maps", "nnunet_old"])
def test_every_label_of_a_map_is_the_channel_of_its_name(name: str, tmp_path: Path) -> None:
    next(make for make in COLLECTIONS if make.__name__ == name)(tmp_path / "d")
    plan = plan_folder(tmp_path / "d", tmp_path / "p.toml")
    plan.write(tmp_path / "p.toml")
    source = sources.source(
        load_recipe(plan.recipe, str(tmp_path / "p.toml")), "segmentation", root=tmp_path / "d"
    )
    right = np.zeros((3, 24, 20), np.uint8)
    right[1, 4:9, 5:15] = right[2, 10:15, 5:15] = 1
    right[0] = 1 - right[1:].max(0)
    whole = [item for item in source.items("all") if item.target is not None and item.id != "3"]
    assert all((source.mask(item) == right).all() for item in whole)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('exclusive = true\nvalues = [0, 7, 255]\nclasses = ["a", "b", "c"]', "the label 127, but classes"),
        ('exclusive = true\nvalues = [0, "#ff0000"]\nclasses = ["a", "b"]', "numbers and colours are mixed"),
        ('exclusive = true\nvalues = [0, 1]\nclasses = ["a", "b", "c"]', "2 different ones for 3 classes"),
        ('exclusive = true\nvalues = ["red", "blue"]\nclasses = ["a", "b"]', "'red' is no colour"),
        ('values = [0, 1]\nclasses = ["a"]', "need exclusive = true"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(keys: str, words: str, tmp_path: Path) -> None:
    next(make for make in COLLECTIONS if make.__name__ == "gray_label_maps")(tmp_path)
    text = 'extends = "chest-xray-small"\ntasks = ["segmentation"]\n[data.segmentation]\ncross = "none"\n'
    text += f'[data.segmentation.source]\nuse = "folder"\nimages = "images"\nmasks = "masks"\n{keys}\n'
    (tmp_path / "p.toml").write_text(text)

    def first_mask() -> np.ndarray:
        source = sources.source(load_recipe("unet", str(tmp_path / "p.toml")), "segmentation", root=tmp_path)
        return source.mask(source.items("all")[0])

    with pytest.raises(MmtkError) as caught:
        first_mask()
    assert words in str(caught.value)


def test_masks_without_films_are_refused_unless_they_are_to_be_ignored(tmp_path: Path) -> None:
    next(make for make in COLLECTIONS if make.__name__ == "masks_without_films")(tmp_path / "d")
    plan = plan_folder(tmp_path / "d", tmp_path / "p.toml")
    plan.text = plan.text.replace('unmatched_masks = "ignore"\n', "")
    plan.write(tmp_path / "p.toml")
    with pytest.raises(MmtkError, match=r"(?s)no image for 3 masks: 00.*unmatched_masks = .ignore. leaves"):
        sources.source(load_recipe("unet", str(tmp_path / "p.toml")), "segmentation", root=tmp_path / "d")
