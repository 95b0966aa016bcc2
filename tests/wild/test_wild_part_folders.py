"""Folders that name a part beside a role, as ``train_masks``; and a text beside films that is no table."""

from __future__ import annotations

import tomllib
from pathlib import Path

from layout_inputs import film, mask

from mmtk.components.source.folder import Folder
from mmtk.data.plan.part_folders import part_and_shape, part_of_images
from mmtk.data.plan.profile import plan_folder

SIZES = {"train": 6, "val": 2, "test": 3}
LAYOUTS = (  # folders of films and of masks, and the patterns that read them
    ("{}", "{}annot", ".", "*annot"),
    ("{}", "{}_labels", ".", "*_labels"),
    ("images_{}", "masks_{}", "images_*", "masks_*"),
    ("sets/{}_img", "sets/{}_mask", "sets/*_img", "sets/*_mask"),
)


def test_parts_in_the_names_of_folders_are_no_classes_and_their_masks_belong_together(tmp_path: Path) -> None:
    for number, (films, outlines, images, pattern) in enumerate(LAYOUTS):
        root = tmp_path / str(number)
        for part, size in SIZES.items():
            for n in range(size):  # the names come again in every part
                film(root / films.format(part) / f"{n}.png")
                mask(root / outlines.format(part) / f"{n}.png")
        plan = plan_folder(root, tmp_path / f"{number}.toml")
        assert "parts: train 6, val 2, test 3" in "\n".join(plan.lines), films
        tables = tomllib.loads(plan.text)
        keys = tables["data"]["segmentation"]["source"]
        assert (tables["tasks"], keys["images"], keys["masks"]) == (["segmentation"], images, pattern)
        for name, text in plan.tables.items():
            (tmp_path / name).write_text(text)
        source = Folder(root, "segmentation", **{key: keys[key] for key in ("images", "masks", "labels")})
        targets = {part: {item.id: item.target for item in source.items(part)} for part in SIZES}
        assert {part: len(items) for part, items in targets.items()} == SIZES
        for part, items in targets.items():
            assert all(part in masks[0].parent.name for masks in items.values()), (films, items)


def test_a_text_that_happens_to_begin_with_the_name_of_a_film_is_no_table(tmp_path: Path) -> None:
    root = tmp_path / "films"
    for name in ("COVID", "Normal"):
        for n in range(20):
            film(root / f"{name}/images/{name}-{n}.png")
    (root / "README.txt").write_text("COVID-19 CHEST X-RAY DATABASE\n\nA team of researchers\n")
    assert "classes: COVID 20, Normal 20" in "\n".join(plan_folder(root, tmp_path / "p.toml").lines)


def test_the_part_in_the_name_of_a_folder_stands_apart() -> None:
    for name, part, shape in (
        ("train_masks", "train", "*_masks"),
        ("masks-Validation", "val", "masks-*"),
        ("trainingannot", "train", "*annot"),
        ("train", "", ""),
        ("trace", "", ""),
    ):
        assert part_and_shape(name) == (part, shape)
    assert [*map(part_of_images, ("X_train", "images_val", "test_normal", "train_masks"))] == [
        "train",
        "val",
        "",
        "",
    ]
