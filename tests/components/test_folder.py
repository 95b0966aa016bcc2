"""The folder source on data as people have them: names, columns, layouts, unlabelled images, patients."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtk.components.source.folder import Folder
from mmtk.errors import MmtkError
from mmtk.registry.signature import construct

PARTS = ("train", "val", "test")


def draw(path: Path, values: np.ndarray | int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = values if isinstance(values, np.ndarray) else np.full((8, 8), values, np.uint8)
    Image.fromarray(array).save(path)
    return path


def square(corner: int = 1) -> np.ndarray:
    mask = np.zeros((8, 8), np.uint8)
    mask[corner : corner + 4, 1:5] = 255
    return mask


def ids(source: Folder, part: str) -> set[str]:
    return {item.id for item in source.items(part)}


def unlabelled(source: Folder) -> set[str]:
    return {item.id for item in source.items("all") if item.target is None}


def classes(root: Path, **keys: object) -> Folder:
    return Folder(root, "classification", **{"images": "films", "labels": "films.csv", **keys})


def masks(root: Path, **keys: object) -> Folder:
    return Folder(root, "segmentation", **{"images": "films", "masks": "masks", **keys})


def note(source: Folder, words: str) -> bool:
    return any(words in each for each in source.notes)


# Masks that a table names


def test_a_table_names_masks_that_lie_among_the_films_or_elsewhere(tmp_path):
    for n in range(8):
        draw(tmp_path / f"films/f{n}.jpg")
        draw(tmp_path / (f"films/f{n}.png" if n < 4 else f"drawn/{n * 7}.png"), square())
    cells = [f"f{n}.png" if n < 4 else f"../drawn/{n * 7}.png" for n in range(8)]
    rows = [f"f{n}.jpg,{cell}" for n, cell in enumerate(cells)]
    (tmp_path / "masks.csv").write_text("\n".join(["image,mask", *rows[:7], "f7.jpg,"]) + "\n")
    source = masks(tmp_path, masks="masks.csv", classes=("lung",))
    assert len(source.items("all")) == 8  # no mask is a film
    assert unlabelled(source) == {"f7"}
    assert all(source.mask(item).sum() == 16 for item in source.items("all") if item.target)
    for row, message in (
        ("f7.jpg,f9.png", r"names 1 mask that is not there: .*f9\.png"),
        ("f7.jpg,f1.png", r"names one mask for the images f1 and f7: f1\.png"),
        ("f1.jpg,../drawn/49.png", "names two masks of the image f1"),
        ("x.jpg,../drawn/49.png", r"no image for 1 mask: x\.jpg"),
    ):
        (tmp_path / "masks.csv").write_text("\n".join(["image,mask", *rows[:7], row]) + "\n")
        with pytest.raises(MmtkError, match=message):
            masks(tmp_path, masks="masks.csv", classes=("lung",))
    for n in range(8):  # a label map each
        draw(tmp_path / f"maps/{n}.png", square() // 255 + 2 * (square(4) // 255))
        (tmp_path / f"films/f{n}.png").unlink(missing_ok=True)
    rows = [f"f{n}.jpg,../maps/{n}.png" for n in range(8)]
    (tmp_path / "masks.csv").write_text("\n".join(["image,mask", *rows]) + "\n")
    (item, *_) = masks(tmp_path, masks="masks.csv", classes=("none", "a", "b", "c"), exclusive=True).items("all")
    assert item.target == (tmp_path / "maps/0.png",)


def test_a_table_has_a_column_of_masks_for_every_channel(tmp_path):
    lines = ["Image,heart,left lung,note"]
    for n in range(8):
        draw(tmp_path / f"films/f{n}.png")
        draw(tmp_path / f"films/{n}h.png", square(1))
        draw(tmp_path / f"drawn/{n}.png", square(4))
        lines.append(f"f{n},{n}h.png,{'' if n == 7 else f'../drawn/{n}.png'},fine")
    (tmp_path / "masks.csv").write_text("\n".join(lines))
    keys = {"masks": "masks.csv", "unmatched_masks": "ignore"}
    source = masks(tmp_path, classes=("left lung", "heart"), **keys)
    assert len(source.items("all")) == 8  # no mask is a film
    assert unlabelled(source) == {"f7"}
    channels = source.mask(source.items("all")[0])
    assert channels.tolist() == [(square(4) // 255).tolist(), (square(1) // 255).tolist()]
    assert masks(tmp_path, **keys).labels.names == ("heart", "left lung")
    for changed, message in (
        ({"unmatched_masks": "refuse"}, "no mask for 1 image: f7"),
        ({"classes": ("left lung", "hart")}, r"no column for the channel 'hart'\. Did you mean 'heart'\?"),
        ({"classes": ("a", "b"), "exclusive": True}, "masks in columns may overlap"),
    ):
        with pytest.raises(MmtkError, match=message):
            masks(tmp_path, **{**keys, **changed})


# Patients


def test_a_folder_may_declare_one_image_per_patient(tmp_path):
    hospital(tmp_path, "image,label,visit,number,view")
    assert note(classes(tmp_path), "the patients of all 24 images are not known")
    declared = classes(tmp_path, one_image_per_patient=True)
    assert declared.one_image_per_patient
    assert not note(declared, "not known")
    assert declared.digest() == classes(tmp_path).digest()
    with pytest.raises(MmtkError, match=r"one_image_per_patient: 1 patient has several images: f \(24\)"):
        classes(tmp_path, one_image_per_patient=True, patient_pattern="(f)")


# Columns


NIH = "Image Index,Finding Labels,Follow-up #,Patient ID,View"


def hospital(root: Path, header: str = NIH, count: int = 24) -> Path:
    lines = [header]
    for number in range(count):
        draw(root / f"films/f{number:02}.png", number)
        lines.append(f"f{number:02}.png,{'ill' if number // 2 % 2 else 'well'},0,{number // 2},PA")
    (root / "films.csv").write_text("\n".join(lines))
    return root


def test_a_table_of_a_hospital_is_read_with_the_names_of_its_columns(tmp_path):
    names = {"image": "Image Index", "label": "finding labels", "patient": "Patient ID"}
    source = classes(hospital(tmp_path), columns=names)
    assert source.labels.names == ("ill", "well")
    assert {item.patient for item in source.items("all")} == {str(n) for n in range(12)}
    assert note(source, "metadata are taken from these columns of films.csv: Follow-up #, View")


def test_patients_of_a_column_of_the_usual_name_are_taken_and_said(tmp_path):
    source = classes(hospital(tmp_path), columns={"image": "Image Index", "label": "Finding Labels"})
    assert {item.patient for item in source.items("all")} == {str(n) for n in range(12)}
    assert note(source, "patients are taken from the column 'Patient ID'")
    without = classes(tmp_path, columns={"image": "Image Index", "label": "Finding Labels", "patient": ""})
    assert {item.patient for item in without.items("all")} == ids(without, "all")
    assert note(without, "each image counts as a patient of its own")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            None,
            "no column 'image'. Its columns: 'Image Index', 'Finding Labels', 'Follow-up #', 'Patient ID', "
            "'View'.\n"
            '  Write into the source\'s table: columns = {image = "Image Index", label = "Finding Labels", '
            'patient = "Patient ID"}',
        ),
        ({"image": "image_index"}, "columns.image: no column 'image_index'. Its columns: 'Image Index'"),
        ({"image": "Image Index"}, "no column 'label'. Its columns: 'Image Index', 'Finding Labels'"),
    ],
)
def test_a_missing_column_is_shown_with_those_of_the_file_and_the_line_to_write(tmp_path, columns, words):
    with pytest.raises(MmtkError) as caught:
        classes(hospital(tmp_path), columns=columns)
    assert words in str(caught.value)
    assert 'label = "Finding Labels"' in str(caught.value)


def test_columns_from_a_recipe_table(tmp_path):
    keys = {
        "images": "films",
        "labels": "films.csv",
        "columns": {"image": "Image Index", "label": "Finding Labels"},
    }
    source = construct(Folder, "source/folder", {"root": hospital(tmp_path), "task": "classification"}, keys)
    assert len(source.items("all")) == 24


# Classes as folders


@pytest.mark.parametrize("split", [False, True])
def test_classes_as_folders(tmp_path, split):
    for part in PARTS if split else ("",):
        for name in ("well", "ill"):
            for number in range(4):
                draw(tmp_path / "films" / part / name / f"{part}{name}{number}.png", number)
    source = classes(tmp_path, labels="folders")
    assert source.labels.names == ("ill", "well")
    assert source.has_split == split
    for item in source.items("all"):
        assert item.target == (0 if "ill" in item.id else 1)
    if split:
        assert all(name.startswith(part) for part in PARTS for name in ids(source, part))


def test_folders_that_are_no_classes(tmp_path):
    for name in ("well", "ill", "unlabelled", "NA"):
        for number in range(4):
            draw(tmp_path / f"films/{name}/{name}{number}.png")
    source = classes(tmp_path, labels="folders")
    assert source.labels.names == ("ill", "well")
    assert unlabelled(source) == {f"{name}{n}" for name in ("unlabelled", "NA") for n in range(4)}
    assert unlabelled(source) <= ids(source, "train")
    assert classes(tmp_path, labels="folders", classes=("well", "ill", "NA")).labels.names[2] == "NA"
    draw(tmp_path / "films/train/x.png")
    with pytest.raises(MmtkError, match=r"folders of parts \(train\) beside folders of classes"):
        classes(tmp_path, labels="folders")
    (tmp_path / "films/train/x.png").rename(tmp_path / "films/x.png")
    with pytest.raises(MmtkError, match=r"1 image lies in no folder of a class: x"):
        classes(tmp_path, labels="folders")


# Names of masks


def pairs(root: Path, image: str, mask: str, count: int = 10) -> Path:
    for number in range(count):
        draw(root / image.format(number), number)
        draw(root / mask.format(number), square(number % 3))
    return root


AFFIXES = [
    ("films/p{}.png", "masks/p{}_mask.png", {"mask_suffix": "_mask"}),
    ("films/case_{}_0000.png", "masks/case_{}.png", {"image_suffix": "_0000"}),
    ("films/{}.png", "masks/seg-{}.png", {"mask_prefix": "seg-"}),
    ("films/img_{}.png", "masks/mask_{}.png", {"image_prefix": "img_", "mask_prefix": "mask_"}),
    ("films/site{}/a.png", "masks/site{}/a_label.tif", {"mask_suffix": "_label"}),
]


@pytest.mark.parametrize(("image", "mask", "keys"), AFFIXES)
def test_affixes_of_names(tmp_path, image, mask, keys):
    pairs(tmp_path, image, mask)
    with pytest.raises(MmtkError) as caught:
        masks(tmp_path, classes=("lung",))
    for key, value in keys.items():
        assert f'{key} = "{value}"' in str(caught.value)
    assert "extension" in str(caught.value)
    source = masks(tmp_path, classes=("lung",), **keys)
    assert not unlabelled(source)
    for item in source.items("all"):
        number = int(
            re.sub("_0000|\\D", "", item.image.relative_to(tmp_path).as_posix().removesuffix("_0000.png"))
        )
        assert np.array_equal(source.mask(item)[0], square(number % 3) // 255)


def test_masks_beside_and_below_their_images(tmp_path):
    pairs(tmp_path, "films/p{}.png", "films/p{}_mask.png")
    source = masks(tmp_path, masks="films", mask_suffix="_mask")
    assert (len(source.items("all")), unlabelled(source)) == (10, set())
    with pytest.raises(MmtkError, match="no masks in it beside the images"):
        masks(tmp_path, masks="films")
    pairs(tmp_path / "other", "films/p{}.png", "films/masks/p{}.png")
    assert len(masks(tmp_path / "other", masks="films/masks").items("all")) == 10


def test_the_nearest_name_is_shown(tmp_path):
    pairs(tmp_path, "films/patient{}.png", "masks/patient{}.png")
    (tmp_path / "masks/patient3.png").rename(tmp_path / "masks/patinet3.png")
    with pytest.raises(MmtkError, match=r"no image for 1 mask: patinet3. Did you mean 'patient3'\?"):
        masks(tmp_path)


# Images without a label


def test_an_image_without_a_mask_serves_training(tmp_path):
    pairs(tmp_path, "films/p{}.png", "masks/p{}.png")
    for number in range(10, 14):
        draw(tmp_path / f"films/p{number}.png")
    source = masks(tmp_path)
    assert unlabelled(source) == {f"p{n}" for n in range(10, 14)}
    assert unlabelled(source) <= ids(source, "train")
    assert note(source, "4 of 14 images have no mask")


@pytest.mark.parametrize("place", ["more", "films/more"])
@pytest.mark.parametrize("make", [classes, masks])
def test_a_folder_of_unlabelled_images(tmp_path, make, place):
    pairs(tmp_path, "films/p{}.png", "masks/p{}.png")
    (tmp_path / "films.csv").write_text("image,label\n" + "\n".join(f"p{n},{'ab'[n % 2]}" for n in range(10)))
    before = {part: ids(make(tmp_path), part) for part in PARTS}
    for name in ("x", "p1"):
        draw(tmp_path / place / f"{name}.png")
    source = make(tmp_path, unlabelled=place)
    assert unlabelled(source) == {"x", "more/p1"}
    assert ids(source, "train") == before["train"] | {"x", "more/p1"}
    assert [ids(source, part) for part in ("val", "test")] == [before["val"], before["test"]]


@pytest.mark.parametrize("word", ["nan", "NA", "N/A", "null", "None", "?", "-"])
def test_words_for_an_empty_cell_are_no_class(tmp_path, word):
    lines = ["image,label"]
    for number in range(12):
        draw(tmp_path / f"films/{number}.png")
        lines.append(f"{number},{(word, 'ill', 'well')[number % 3]}")
    (tmp_path / "films.csv").write_text("\n".join(lines))
    source = classes(tmp_path)
    assert source.labels.names == ("ill", "well")
    assert unlabelled(source) == {"0", "3", "6", "9"} <= ids(source, "train")
    assert note(source, f"'{word}' in the column of the label counts as empty (4 rows)")
    assert classes(tmp_path, classes=("ill", "well", word)).labels.names[2] == word


# Patients


def test_patients_from_the_path(tmp_path):
    pairs(tmp_path, "films/p{}/a.png", "masks/p{}/a.png")
    pairs(tmp_path, "films/p{}/b.png", "masks/p{}/b.png")
    source = masks(tmp_path, classes=("lung",), patient_pattern="^(p[0-9]+)/")
    assert {item.patient for item in source.items("all")} == {f"p{n}" for n in range(10)}
    for pattern, words in (
        ("p([0-8])/", "finds no patient in 2 of 20 paths: p9/a.png, p9/b.png"),
        ("(p", "is not a regular expression"),
        ("p[0-9]", "has 0 groups, not one"),
    ):
        with pytest.raises(MmtkError, match=re.escape(words)):
            masks(tmp_path, classes=("lung",), patient_pattern=pattern)


# Channels


def stacks(root: Path, kind: str) -> np.ndarray:
    wanted = np.stack([square(0), square(2), square(4)])
    for number in range(10):
        draw(root / f"films/{number}.png", number)
    (root / "masks").mkdir()
    for number in range(10):
        path = root / f"masks/{number}"
        if kind == "colour":
            Image.fromarray(np.moveaxis(wanted, 0, -1).copy()).save(f"{path}.png")
        elif kind == "pages":
            first, *rest = map(Image.fromarray, wanted)
            first.save(f"{path}.tif", save_all=True, append_images=rest)
        else:
            np.save(path, wanted > 0 if kind == "array" else np.moveaxis(wanted // 255, 0, -1))
    return wanted


@pytest.mark.parametrize("kind", ["colour", "pages", "array", "array of columns"])
def test_several_channels_in_one_file(tmp_path, kind):
    wanted = stacks(tmp_path, kind)
    source = masks(tmp_path, classes=("left", "right", "heart"))
    item = source.items("test")[0]
    assert np.array_equal(source.mask(item), wanted // 255)
    assert source.mask(item).dtype == np.uint8
    short = masks(tmp_path, classes=("left", "right"))
    with pytest.raises(MmtkError, match="3 channels with something in them, but classes names 2"):
        short.mask(item)


def test_sub_folders_of_masks_like_those_of_the_images_are_no_channels(tmp_path):
    pairs(tmp_path, "films/north/a{}.png", "masks/north/a{}.png", 6)
    pairs(tmp_path, "films/south/b{}.png", "masks/south/b{}.png", 6)
    source = masks(tmp_path)
    assert (source.labels.names, unlabelled(source)) == (("mask",), set())
    assert note(source, "the folders north, south below masks are those of the images")


# Outlines


def test_coco_polygons_and_run_lengths(tmp_path):
    for number in range(10):
        draw(tmp_path / f"films/{number}.png")
    box = {"segmentation": [[1, 2, 5, 2, 5, 6, 1, 6]], "category_id": 7}
    runs = {"segmentation": {"size": [8, 8], "counts": [8, 4, 52]}, "category_id": 3}
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 8, "width": 8} for n in range(9)],
        "categories": [{"id": 7, "name": "lung"}, {"id": 3, "name": "heart"}],
        "annotations": [{"image_id": n, **each} for n in range(8) for each in (box, runs)],
    }
    (tmp_path / "all.json").write_text(json.dumps(content))
    source = masks(tmp_path, masks="all.json")
    assert source.labels.names == ("heart", "lung")
    assert unlabelled(source) == {"9"}
    found = {item.id: source.mask(item) for item in source.items("all") if item.target}
    heart, lung = np.zeros((2, 8, 8), np.uint8)
    heart[:4, 1], lung[2:6, 1:5] = 1, 1
    assert np.array_equal(found["0"], np.stack([heart, lung]))
    assert not found["8"].any()
    assert masks(tmp_path, masks="all.json", classes=("lung",)).labels.names == ("lung",)
    content["images"].append({"id": 99, "file_name": "gone.png"})
    (tmp_path / "all.json").write_text(json.dumps(content))
    with pytest.raises(MmtkError, match=r"no image for 1 listed name: gone.png"):
        masks(tmp_path, masks="all.json")


def test_yolo_polygons(tmp_path):
    (tmp_path / "masks").mkdir()
    for number in range(10):
        draw(tmp_path / f"films/{number}.png")
        (tmp_path / f"masks/{number}.txt").write_text("1 0.125 0.25 0.625 0.25 0.625 0.75 0.125 0.75\n")
    with pytest.raises(MmtkError, match=r"the polygons have the numbers 1, and 0 names are given"):
        masks(tmp_path)
    source = masks(tmp_path, classes=("heart", "lung"))
    wanted = np.zeros((2, 8, 8), np.uint8)
    wanted[1, 2:6, 1:5] = 1
    assert np.array_equal(source.mask(source.items("test")[0]), wanted)
    (tmp_path / "masks/3.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(MmtkError, match=r"3.txt:1: is no polygon of YOLO: it is a box"):
        masks(tmp_path, classes=("heart", "lung"))


def test_names_of_yolo_s_classes_have_no_mark(tmp_path):
    (tmp_path / "masks").mkdir()
    for number in range(10):
        draw(tmp_path / f"films/{number}.png")
        (tmp_path / f"masks/{number}.txt").write_text("1 0.125 0.25 0.625 0.25 0.625 0.75 0.125 0.75\n")
    (tmp_path / "classes.txt").write_text("cœur\nlunga\n", encoding="utf-8-sig")
    assert masks(tmp_path).labels.names == ("cœur", "lunga")
    (tmp_path / "classes.txt").write_text("cœur\nlunga\n", encoding="cp1252")
    with pytest.raises(MmtkError, match=r"classes.txt: is no UTF-8: .*\n  Save it as UTF-8."):
        masks(tmp_path)


# Both tasks on the same films


@pytest.mark.parametrize("labels", ["films.csv", "folders"])
def test_both_tasks_on_one_set_of_films_share_one_split(tmp_path, labels):
    lines = ["image,label"]
    for number in range(60):
        label = ("ill", "well", "")[number % 3] if labels == "films.csv" else ("ill", "well", "NA")[number % 3]
        draw(tmp_path / "films" / (label or "none") / f"{number}.png")
        if number % 2:
            draw(tmp_path / "masks" / (label or "none") / f"{number}.png", square())
        lines.append(f"{number}.png,{label}")
    (tmp_path / "films.csv").write_text("\n".join(lines))
    keys = {"images": "films", "labels": labels, "masks": "masks", "both_tasks": True}
    one, other = (Folder(tmp_path, task, **keys) for task in ("classification", "segmentation"))
    for source in (one, other):
        assert not unlabelled(source) & (ids(source, "val") | ids(source, "test"))
    for part in ("val", "test"):
        assert ids(one, part) & ids(other, part)
        for wrong in {*PARTS} - {part}:
            assert not ids(one, part) & ids(other, wrong)
            assert not ids(other, part) & ids(one, wrong)
    masked = {str(number) for number in range(60) if number % 2}
    assert {item.id for item in other.items("all") if item.target} == masked
    with pytest.raises(MmtkError, match="both_tasks: needs labels and masks; masks is missing"):
        classes(tmp_path, both_tasks=True)
