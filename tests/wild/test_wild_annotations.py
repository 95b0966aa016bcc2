"""Files that no profile reads are named, each with its cure; films that the table does not list."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from archive_inputs import mimic_with_views
from layout_inputs import film, mask, table, write_polygons

from mmtk.api import LabelSpec
from mmtk.components.source.folder import Folder
from mmtk.data.folder_sets import folder_sets
from mmtk.data.plan.profile import plan_folder
from mmtk.errors import MmtkError

BOX = {"label": "lung", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
REGIONS = {"filename": "0.png", "regions": [{"shape_attributes": {"name": "rect"}}]}
BOXES = {"images": [{"id": 1, "file_name": "0.png"}], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}
FILES = {
    "Label Studio": ("export.json", json.dumps([{"id": 1, "annotations": [], "data": {"image": "0.png"}}])),
    "labelme": ("0.json", json.dumps({"version": "5", "shapes": [BOX], "imagePath": "0.png"})),
    "VGG Image Annotator": ("via.json", json.dumps({"0.png1234": REGIONS})),
    "boxes in COCO": ("boxes.json", json.dumps(BOXES)),
    "CVAT for images": (
        "a.xml",
        "<annotations><track><polygon frame='0' points='1,2;3,4;5,6'/></track></annotations>",
    ),
    "CVAT": ("annotations.xml", "<?xml version='1.0'?><annotations><image name='0.png'/></annotations>"),
    "Pascal VOC": ("0.xml", "<annotation><object><bndbox/></object></annotation>"),
    "V7 Darwin": (
        "0.json",
        json.dumps({"version": "2.0", "item": {"name": "0.png"}, "annotations": [{"id": "a"}]}),
    ),
    "MD.ai": (
        "mdai.json",
        json.dumps({"labelGroups": [{"id": "G"}], "datasets": [{"annotations": [{"id": "A"}]}]}),
    ),
    "Open-i": ("1.xml", "<eCitation><MeSH><major>normal</major></MeSH></eCitation>"),
    "boxes as YOLO": ("0.txt", "0 0.3 0.4 0.2 0.3\n1 0.7 0.5 0.2 0.2\n"),
}


@pytest.mark.parametrize("program", FILES)
def test_annotations_that_are_not_read_are_named_with_their_cure(program: str, tmp_path: Path) -> None:
    for n in range(4):
        film(tmp_path / f"d/{n}.png")
    name, text = FILES[program]
    (tmp_path / "d" / name).write_text(text)
    with pytest.raises(MmtkError, match="4 images, but no label for either task was found") as caught:
        plan_folder(tmp_path / "d", tmp_path / "p.toml")
    assert program in str(caught.value)
    cures = (
        "as COCO",
        "or as COCO",
        "they are no masks. mmtk learns from outlines",
        "taken from a CSV table, a row per film",
    )
    assert any(cure in str(caught.value) for cure in cures)


@pytest.mark.parametrize("program", ["LabelMe", "VIA", "VIA 3", "CVAT", "CVAT brush"])
def test_polygons_of_annotation_programs_are_masks(program: str, tmp_path: Path) -> None:
    for n in range(6):
        film(tmp_path / f"d/films/{n}.png")
    write_polygons(tmp_path / "d", program)
    plan = plan_folder(tmp_path / "d", tmp_path / "p.toml")
    assert f"outlines as {program.split()[0]} writes them" in "\n".join(plan.lines)
    keys = tomllib.loads(plan.text)["data"]["segmentation"]["source"]
    assert keys.pop("use") == "folder"
    source = Folder(tmp_path / "d", "segmentation", **{**keys, "classes": tuple(keys["classes"])})
    areas = {item.id: source.mask(item).sum((1, 2)).tolist() for item in source.items("all")}
    assert source.labels.names == ("heart", "lung")
    assert areas == {str(n): [12 if n == 3 else 0, 40 + 10 * n] for n in range(6)}
    one = Folder(tmp_path / "d", "segmentation", **{**keys, "classes": ("lung",)})  # a choice of labels
    assert [one.mask(item).sum() for item in one.items("all")] == [40 + 10 * n for n in range(6)]


def test_shapes_that_are_no_polygons_and_films_listed_twice_are_refused(tmp_path: Path) -> None:
    for n in range(6):
        film(tmp_path / f"d/films/{n}.png")
    write_polygons(tmp_path / "d", "LabelMe")
    (tmp_path / "d/5.json").write_text((tmp_path / "d/5.json").read_text().replace("rib", "lung"))
    source = Folder(tmp_path / "d", "segmentation", images="films", masks="*.json")
    assert source.labels.names == ("heart", "lung")
    item = next(item for item in source.items("all") if item.id == "5")
    with pytest.raises(MmtkError, match=r"a shape of 5 is a rectangle, no polygon\.\s+Outline it with a polygon"):
        source.mask(item)
    (tmp_path / "d/copy.json").write_text((tmp_path / "d/0.json").read_text())
    with pytest.raises(MmtkError, match=r"0\.png is listed twice: in 0\.json and in copy\.json"):
        Folder(tmp_path / "d", "segmentation", images="films", masks="*.json", classes=("lung",))


def test_labels_in_json_are_named_with_the_table_to_write(tmp_path: Path) -> None:
    for n in range(4):
        film(tmp_path / f"d/{n}.png")
        (tmp_path / f"d/{n}.json").write_text(json.dumps({"finding": {"reader": "normal"}, "patient": n}))
    with pytest.raises(MmtkError, match=r"4 files \.json or \.xml: not read\. Labels are taken from a CSV table"):
        plan_folder(tmp_path / "d", tmp_path / "p.toml")


def test_what_is_no_label_is_named_with_a_cure(tmp_path: Path) -> None:
    for n in range(6):
        for folder in ("points", "boxes"):
            film(tmp_path / f"{folder}/{n}.png")
        (tmp_path / f"points/{n}.txt").write_text("1 2\n3.5 4\n5 6\n")
        for folder in ("soft/img", "soft/prob"):  # all gray levels, as of probabilities
            film(tmp_path / f"{folder}/{n}.png")
    rows = [[f"{n}.png", ";".join(["2 10 13 11 12 8 9"] * (n % 3))] for n in range(6)]
    table(tmp_path / "boxes/train.csv", [["image_name", "annotation"], *rows])
    for folder, words in (
        ("points", r"\(6 texts with x and y in each line\) are not read: draw them as masks"),
        ("soft", "prob has images with the names of those in img: if they are masks, --masks prob takes them"),
        (
            "boxes",
            '"annotation" holds coordinates of boxes or outlines in 4 rows: they are no masks and no labels',
        ),
    ):
        with pytest.raises(MmtkError, match=words):
            plan_folder(tmp_path / folder, tmp_path / "p.toml")


def test_a_column_of_masks_that_do_not_look_like_masks_is_named(tmp_path: Path) -> None:
    rows = [["film", "mask", "finding"]]
    for n in range(8):
        film(tmp_path / f"d/x/a{n}.png")
        film(tmp_path / f"d/y/b{n + 3}.png")
        rows.append([f"x/a{n}.png", f"y/b{n + 3}.png", ("clear", "mass")[n % 2]])
    table(tmp_path / "d/index.csv", rows)
    text = "\n".join(plan_folder(tmp_path / "d", tmp_path / "p.toml").lines)
    assert '"mask" of index.csv names masks that are not called like their films: they are not read' in text
    assert "8 masks left out" in text


def test_films_in_two_formats_are_noted(tmp_path: Path) -> None:
    rows: list[list[object]] = [["id", "finding", "patient"]]
    for n in range(12):
        film(tmp_path / f"d/png/{n:03}.png")
        film(tmp_path / f"d/tiff/{n:03}.tif")
        rows.append([f"{n:03}", ("clear", "mass")[n // 2 % 2], f"p{n // 2}"])
    table(tmp_path / "d/findings.csv", rows)
    text = "\n".join(plan_folder(tmp_path / "d", tmp_path / "p.toml").lines)
    assert "12 films lie here as .png and .tif: each counts twice (--images FOLDER takes one format)" in text
    text = "\n".join(plan_folder(tmp_path / "d", tmp_path / "p.toml", {"images": "png"}).lines)
    assert "clear 6, mass 6" in text
    assert "twice" not in text


def test_labels_in_texts_are_named_with_the_table_to_write(tmp_path: Path) -> None:
    for n in range(4):
        film(tmp_path / f"d/{n}.png")
        (tmp_path / f"d/{n}.txt").write_text("male, 30 years\nnormal")
    with pytest.raises(MmtkError, match=r"4 texts beside films: not read\. Labels are taken from a CSV table"):
        plan_folder(tmp_path / "d", tmp_path / "p.toml")


def test_a_table_that_tells_the_views_is_not_called_left_out(tmp_path: Path) -> None:
    mimic_with_views(tmp_path / "d")
    text = "\n".join(plan_folder(tmp_path / "d", tmp_path / "p.toml").lines)
    assert "lateral film" in text
    assert "it has no labels" not in text


def test_an_archive_of_windows_that_was_unpacked_without_folders_is_named(tmp_path: Path) -> None:
    for n in range(4):
        film(tmp_path / f"d/data\\images\\{n}.png")
        mask(tmp_path / f"d/data\\masks\\{n}.png")
    with pytest.raises(MmtkError, match=r"8 names have backslashes \(data\\images\\0.png\).*Unpack it with unzip"):
        plan_folder(tmp_path / "d", tmp_path / "p.toml")


def test_a_run_is_scored_on_the_frontal_films_alone(tmp_path: Path) -> None:
    mimic_with_views(tmp_path / "d")
    for name in ("No Finding", "Pneumonia"):
        film(tmp_path / f"run/{name}/{name}.png")
    target = Folder(tmp_path, "classification", images="run", labels="folders").labels
    sets, notes, _ = folder_sets(tmp_path / "d", {}, {"classification": target}, {}, tmp_path)
    assert [len(source.items("all")) for _, _, source in sets] == [24]
    assert any("12 lateral films" in note for note in notes)


def test_films_without_a_row_are_left_out_where_the_recipe_says_so(tmp_path: Path) -> None:
    for n in range(16):
        film(tmp_path / f"films/{n}.png")
    table(tmp_path / "t.csv", [["image", "label"], *([f"{n}.png", "ab"[n % 2]] for n in range(12))])
    with pytest.raises(MmtkError, match=r'(?s)no row for 4 images.*unlisted_images = "ignore"'):
        Folder(tmp_path, "classification", images="films", labels="t.csv")
    source = Folder(tmp_path, "classification", images="films", labels="t.csv", unlisted_images="ignore")
    assert sorted(int(item.id) for item in source.items("all")) == [*range(12)]
    assert "4 of 16 images left out: without a row in t.csv." in source.notes


@pytest.mark.parametrize("pair", [("Normal", "normal"), ("1", "1.0"), ("no  finding", "No finding")])
def test_two_spellings_of_one_class_are_refused_unless_both_are_named(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    rows = [[f"{n}.png", ("ill", *pair)[n % 3]] for n in range(18)]
    for name, _ in rows:
        film(tmp_path / f"films/{name}")
    table(tmp_path / "t.csv", [["image", "label"], *rows])
    with pytest.raises(MmtkError, match=r"differ in case, spaces or \.0 alone: are they one class\?"):
        Folder(tmp_path, "classification", images="films", labels="t.csv")
    source = Folder(tmp_path, "classification", images="films", labels="t.csv", classes=("ill", *pair))
    assert source.labels.names == ("ill", *pair)


@pytest.mark.parametrize("columns", [{"labels": "folders"}, {}])
def test_a_run_is_scored_on_a_folder_of_one_class(columns: dict[str, str], tmp_path: Path) -> None:
    for name in ("normal", "pneumonia"):
        film(tmp_path / f"run/{name}/{name}.png")
    target = Folder(tmp_path, "classification", images="run", labels="folders").labels
    for n in range(5):
        film(tmp_path / f"other/Pneumonia/{n}.png")
    sets, *_ = folder_sets(tmp_path / "other", columns, {"classification": target}, {}, tmp_path)
    assert [item.target for _, _, source in sets for item in source.items("all")] == [1] * 5


def test_films_and_chests_of_two_hospitals_are_kept_apart_and_scored(tmp_path: Path) -> None:
    """Of the README: one hospital at the top, another in a folder, each with films, a table, chests and masks."""
    for hospital in (tmp_path, tmp_path / "other"):
        rows = [["image", "label"]]
        for n in range(12):
            film(hospital / f"films/f{n}.png")
            film(hospital / f"chests/c{n}.png")
            mask(hospital / f"chest-masks/c{n}.png")
            rows.append([f"f{n}.png", "ab"[n % 2]])
        table(hospital / "films.csv", rows)
    plan = plan_folder(tmp_path, tmp_path / "p.toml")
    assert "24 films beside them left out, too: evaluate scores a run on them" in "\n".join(plan.lines)
    plan.write(tmp_path / "p.toml")
    for task, labelled in (("classification", 12), ("segmentation", 12)):
        keys = tomllib.loads(plan.text)["data"][task]["source"]
        keys = {key: tuple(v) if isinstance(v, list) else v for key, v in keys.items() if key != "use"}
        items = Folder(tmp_path, task, **keys).items("all")
        assert sum(item.target is not None for item in items) == labelled
        assert {item.image.parent for item in items} <= {tmp_path / "films", tmp_path / "chests"}
    targets = {
        "classification": LabelSpec("classification", ("a", "b")),
        "segmentation": LabelSpec("segmentation", ("lung",), exclusive=False),
    }
    sets, *_ = folder_sets(tmp_path / "other", {}, targets, {}, tmp_path)
    assert [(task, len(source.items("all"))) for _, task, source in sets] == [(task, 12) for task in targets]
