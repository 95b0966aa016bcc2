"""Names of columns on several lines, as pivot tables of pandas write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmtk.compare.columns import read_sheet
from mmtk.compare.levels import joined_levels
from mmtk.errors import MmtkError

# Lines of names → names of the columns, above rows of values.
TABLES = {
    ",dice,dice|system,swin,unet|case,,": ["case", "dice_swin", "dice_unet"],
    "system,swin,swin|,dice,hd95|case,,": ["case", "swin_dice", "swin_hd95"],
    ",,dice,dice|system,,swin,unet|case,seed,,": ["case", "seed", "dice_swin", "dice_unet"],
    ",dice,dice|system,u,u|seed,0,1|case,,": ["case", "dice_u_seed0", "dice_u_seed1"],
    ",dice,dice|system,swin,unet": ["index", "dice_swin", "dice_unet"],  # whose index has no name
    "case,dice,hd95": [],
    "case,dice,dice": [],  # a name given twice, above values
    "case,dice,dice|c0,1,0|c1,,": [],  # whole numbers that are values
    "case,dice,dice|c0,0.8,0.9|c1,,": [],
    ",dice,dice|system,unet,unet|case,,": [],  # not told apart
}


def test_levels_are_joined_and_values_are_none() -> None:
    for text, names in TABLES.items():
        head = [line.split(",") for line in text.split("|")]
        rows = [[f"c{n}", *["0.5"] * (len(head[0]) - 1)] for n in range(3)]
        assert joined_levels([*head, *rows]) == (names, len(head) if names else 0), text
    assert joined_levels([]) == joined_levels([["a", "a"]]) == ([], 0)


def test_a_table_with_levels_is_read_with_the_lines_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "pivot.csv"
    path.write_text(";dice;dice\nsystem;swin;unet\ncase;;\nc0;0,5;0,6\nc1;0,7;0,8\n")
    sheet = read_sheet(path)
    assert sheet.columns == ["case", "dice_swin", "dice_unet"]
    assert (list(sheet.numbers("dice_unet")), sheet.at(0)) == ([0.6, 0.8], f"{path}:4")
    path.write_text("case;dice;dice\nc0;0,5;0,6\n")
    with pytest.raises(MmtkError, match="two columns are called 'dice'") as caught:
        read_sheet(path)
    assert "reset_index()" in str(caught.value.hint)
