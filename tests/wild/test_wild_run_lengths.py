"""Masks as run lengths in a table: every pixel, in both ways to count, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layout_inputs import GENERATOR, film, save, table
from program_inputs import box, runs

from mmtk.components.source.folder import Folder
from mmtk.data.plan.profile import plan_folder
from mmtk.data.split_checks import Role
from mmtk.errors import MmtkError
from mmtk.inspection.sets import inspect


def masks_of(root: Path, rows: list[list[str]]) -> dict[str, np.ndarray]:
    for name in {row[0] for row in rows}:
        film(root / f"films/{name}.png")
    table(root / "rle.csv", [["ImageId", "EncodedPixels"], *rows])
    source = Folder(root, "segmentation", images="films", masks="rle.csv", classes=["lung"])
    return {item.id: source.mask(item)[0] for item in source.items("all")}


@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
@pytest.mark.parametrize("seed", range(3))
def test_every_pixel_is_where_it_was(tmp_path: Path, relative: bool, seed: int) -> None:
    generator = np.random.default_rng(seed)
    drawn = {f"f{n}": generator.random((24, 20)) < 0.3 for n in range(4)} | {"none": np.zeros((24, 20), bool)}
    drawn["all"] = np.ones((24, 20), bool)
    read = masks_of(tmp_path, [[name, runs(pixels, relative) or "-1"] for name, pixels in drawn.items()])
    assert {name: pixels.tolist() for name, pixels in read.items()} == {
        name: pixels.astype(int).tolist() for name, pixels in drawn.items()
    }


def test_known_numbers(tmp_path: Path) -> None:
    """The third pixel of the first column and its successor; the first two of the second column."""
    for text, folder in (("3 2 25 2", "absolute"), ("2 2 20 2 0 1", "relative")):
        pixels = masks_of(tmp_path / folder, [["a", text], ["b", "-1"], ["c", ""]])["a"]
        right = {(2, 0), (3, 0), (0, 1), (1, 1)} | ({(2, 1)} if folder == "relative" else set())
        assert {(int(row), int(column)) for row, column in np.argwhere(pixels)} == right


@pytest.mark.parametrize(
    ("shape", "organs", "row_by_row"),
    [((24, 20), 1, True), ((24, 20), 2, True), ((24, 20), 2, False), ((20, 20), 2, True), ((20, 20), 1, False)],
)
def test_lines_are_told_by_the_runs_else_by_the_columns(
    tmp_path: Path, shape: tuple[int, int], organs: int, row_by_row: bool
) -> None:
    """Of another shape than square, runs would pass the ends of lines; CheXmask has a column for each organ."""
    names, masks = ["Left Lung", "Right Lung"][:organs], np.zeros((6, organs, *shape), np.uint8)
    rows = [["image_id", *names, "Height", "Width"]]
    for n, pixels in enumerate(masks):
        pixels[0, 3 : 10 + n, 2 : 8 + n] = 1
        pixels[-1, 5 : 12 + n, 9:17] = 1
        save(tmp_path / f"films/f{n}.png", GENERATOR.integers(0, 256, shape, dtype=np.uint8))
        rows.append([f"f{n}", *(runs(p.T if row_by_row else p, False) for p in pixels), *map(str, shape)])
    table(tmp_path / "t.csv", rows)
    source = Folder(tmp_path, "segmentation", images="films", masks="t.csv", classes=names)
    assert all(
        (source.mask(item) == pixels).all() for item, pixels in zip(source.items("all"), masks, strict=True)
    )
    lines = "along the rows" if row_by_row else "down the columns"
    assert f"{lines}; starts count from the first pixel" in " ".join(
        plan_folder(tmp_path, tmp_path / "p.toml").lines
    )


def test_rows_of_one_image_are_put_together(tmp_path: Path) -> None:
    pixels = masks_of(tmp_path, [["a", runs(box(2), True)], ["a", runs(box(14), True)], ["b", "-1"], ["c", "-1"]])
    assert (pixels["a"] == (box(2) | box(14))).all()


def test_empty_masks_are_counted_among_the_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMTK_CACHE", str(tmp_path / "cache"))
    masks_of(tmp_path, [[f"f{n}", runs(box(n), False) if n else "-1"] for n in range(8)])
    film(tmp_path / "films/without.png")
    source = Folder(tmp_path, "segmentation", images="films", masks="rle.csv", classes=["lung"])
    verdicts = inspect({Role("segmentation", "source", "folder"): source}, 32, tmp_path / "out")["verdicts"]
    assert [v["text"] for v in verdicts if "empty" in v["text"]] == ["1 of 8 masks are empty: f0."]


def test_runs_of_a_larger_image_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        MmtkError, match=r"the run lengths of a do not fit: a run ends at pixel 9,006 of 480\."
    ) as error:
        masks_of(tmp_path, [["a", "1 2 9001 6"], ["b", "1 1"], ["c", "-1"]])
    assert "an image of another size" in str(error.value)


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    table(tmp_path / "rle.csv", [["id", "Left Lung", "Heart"], *([f"f{n}", "1 1", "3 4 9 2"] for n in range(3))])
    film(tmp_path / "films/f0.png")
    with pytest.raises(MmtkError, match=r"no column of run lengths is called Lung\.") as error:
        Folder(tmp_path, "segmentation", images="films", masks="rle.csv", classes=["Heart", "Lung"])
    assert "Columns of run lengths here: Heart." in str(error.value)


def test_a_table_without_run_lengths_names_its_columns(tmp_path: Path) -> None:
    with pytest.raises(MmtkError, match=r"has no column of run lengths\.") as error:
        masks_of(tmp_path, [["a", "x"], ["b", "1 1"], ["c", "-1"]])
    assert "Columns here: EncodedPixels, ImageId." in str(error.value)
