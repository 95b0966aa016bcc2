"""Films that a network predicts below a folder: those that a plan would take."""

from __future__ import annotations

from pathlib import Path

from layout_inputs import dicom, film, mask

from mmtk.data.plan.film_choice import left_out
from mmtk.images.files import find_images


def cd(root: Path) -> Path:
    """A CD with a frontal and a lateral film, the pictures of its viewer, and a mask."""
    for name, view in (("1", "PA"), ("2", "LL")):
        dicom(root / f"DICOM/{name}", name, ViewPosition=view)
    (root / "DICOMDIR").write_bytes(b"")
    film(root / "VIEWER/logo.png")
    mask(root / "masks/1.png")
    return root


def test_pictures_of_a_viewer_lateral_films_and_masks_are_left_out_and_named(tmp_path: Path) -> None:
    root = cd(tmp_path / "cd")
    choice = left_out([root], find_images(root))
    assert choice.masks == {root / "masks/1.png"}
    assert choice.others == {root / "VIEWER/logo.png", root / "DICOM/2"}
    assert choice.sentences == [
        "1 picture beside a DICOMDIR, as of a viewer: VIEWER/logo.png.",
        "1 lateral film (ViewPosition of the headers).",
    ]


def test_what_is_given_by_its_name_or_lies_alone_is_predicted(tmp_path: Path) -> None:
    root = cd(tmp_path / "cd")
    named = [root / "VIEWER/logo.png", root / "DICOM/2", root / "masks/1.png"]
    assert left_out([root, *named], find_images(root)).others == set()
    assert left_out([root, *named], find_images(root)).masks == set()
    assert left_out([root / "VIEWER"], [root / "VIEWER/logo.png"]).others == set()
    dicom(tmp_path / "lateral/1", "1", ViewPosition="LL")
    assert left_out([tmp_path / "lateral"], [tmp_path / "lateral/1"]).others == set()
