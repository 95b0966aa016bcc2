"""Films that a network predicts below a folder: those that a plan would take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layout_inputs import dicom, film, mask

from mmtk.data.plan.film_choice import left_out
from mmtk.data.plan.findings import find_sets
from mmtk.data.plan.listing import list_folder
from mmtk.errors import MmtkError
from mmtk.images.files import find_images, without_results
from mmtk.report.figures.smaller import save_chart
from mmtk.workflows.predict import _films


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


def chart(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_chart(np.zeros((8, 8, 3), np.uint8), path, 150)
    return path


def test_charts_of_mmtk_are_no_films_wherever_they_lie_unless_they_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, charts = tmp_path / "films", tmp_path / "inspect"
    film(one := films / "1.png")
    copied = chart(films / "copied.PNG")
    chart(charts / "intensity.png")
    assert _films([films, charts], False) == [one]
    assert capsys.readouterr().out == "Left out  2 pictures among the images that mmtk wrote.\n"
    assert _films([films, copied], True) == [one, copied]
    with pytest.raises(MmtkError, match="mmtk itself drew all pictures there") as caught:
        _films([charts], True)
    assert "by its own name is predicted" in str(caught.value.hint)
    assert _films([charts / "intensity.png"], True) == [charts / "intensity.png"]
    assert list_folder(films).results == ("copied.PNG",)
    assert without_results(find_images(films), []) == [one]
    with pytest.raises(MmtkError, match=r"no image that mmtk reads \(but 1 file that mmtk wrote\)"):
        find_sets(list_folder(charts))


def test_a_film_that_is_given_twice_has_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films = tmp_path / "films"
    for name in "abc":
        film(films / f"{name}.png")
    (tmp_path / "link").symlink_to(films)
    monkeypatch.chdir(tmp_path)
    a, b, c = (Path(f"films/{name}.png") for name in "abc")
    inputs = {
        "film, folder": [b, Path("films")],
        "folder, film": [Path("films"), b],
        "folder by another path": [Path("films"), films / "b.png"],
        "folder through a link": [Path("link"), Path("films")],
        "film twice": [a, a, b, c],
    }
    names = {case: [path.name for path in _films(paths, True)] for case, paths in inputs.items()}
    assert names == {
        case: ["b.png", "a.png", "c.png"] if case == "film, folder" else ["a.png", "b.png", "c.png"]
        for case in inputs
    }
    (films / "d.png").symlink_to(films / "a.png")
    assert len(_films([Path("films")], True)) == 4
