"""Facts in the layout of a data set or in two spellings: nnU-Net's test films, labels, numbers of patients."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from layout_inputs import film, mask

from mmtk.components.source._splitting import one_spelling
from mmtk.components.source.folder import Folder
from mmtk.data.plan.profile import plan_folder


def planned_source(root: Path, out: Path) -> tuple[Folder, str]:
    """The source of segmentation that a plan writes, and the lines of the plan."""
    plan = plan_folder(root, out)
    plan.write(out)
    keys = tomllib.loads(plan.text)["data"]["segmentation"]["source"]
    keys = {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items() if key != "use"}
    return Folder(root, "segmentation", **keys), "\n".join(plan.lines)


@pytest.mark.parametrize("masks", [True, False])
def test_the_test_films_of_nnunet_are_not_trained_on(tmp_path: Path, masks: bool) -> None:
    root = tmp_path / "Dataset001"
    for n in range(20):
        part = "Tr" if n < 14 else "Ts"
        film(root / f"images{part}/c{n:02}_0000.png")
        if masks or n < 14:
            mask(root / f"labels{part}/c{n:02}.png", (0, 1))
    source, lines = planned_source(root, tmp_path / "p.toml")
    assert {item.image.parent.name for item in source.items("all")} == {"imagesTr"}
    assert len(source.items("all")) == 14
    assert "6 test films of nnU-Net in imagesTs left out of training" in lines


def test_spellings_of_one_label_are_one_organ(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for n in range(6):
        film(root / f"{n}.png")
        names = ("Left Lung", "right  lung") if n == 3 else ("left lung", "right lung")
        shapes = [
            {"label": name, "points": [[2, 2], [8, 2], [8, 8 + n], [2, 8 + n]], "shape_type": "polygon"}
            for name in names
        ]
        content = {"version": "5", "shapes": shapes, "imagePath": f"{n}.png", "imageHeight": 24, "imageWidth": 20}
        (root / f"{n}.json").write_text(json.dumps(content))
    source, lines = planned_source(root, tmp_path / "p.toml")
    assert source.labels.names == ("left lung", "right lung")
    assert all(source.mask(item).any((1, 2)).all() for item in source.items("all"))
    assert "spellings of one label are put together: Left Lung as left lung, right  lung as right lung" in lines
    both = Folder(root, "segmentation", images=".", masks="*.json", classes=("Left Lung", "left lung"))
    assert sorted(tuple(both.mask(item).any((1, 2))) for item in both.items("all")) == [(False, True)] * 5 + [
        (True, False)
    ]


def test_a_patient_number_in_several_spellings_is_one_patient() -> None:
    patients = dict(enumerate(["7", "0007", "7,0", "7.00", "70", "A7", "a7", "7"]))
    assert [*one_spelling({str(k): v for k, v in patients.items()}).values()] == [
        *("7", "7", "7", "7", "70", "A7", "A7"),
        "7",
    ]
