"""Lines above the names of the columns of a table."""

from __future__ import annotations

from pathlib import Path

from mmtk.compare.columns import read_sheet
from mmtk.io.headings import lines_above

ROWS = ["c1,0,0.9,0.8", "c2,0,0.7,0.6", "c3,0,0.8,0.5"]
# Lines of a table above its rows; the last one names the columns.
HEADS = (
    ["case,seed,dice,hd95"],
    ["Results of the study,,,", "case,seed,dice,hd95"],
    ["# made by eval.py", "case,seed,dice,hd95"],
    ["# made by eval.py", "# today", "", "case,seed,dice,hd95"],
    ["#case,seed,dice,hd95"],
    ["Images,,unet,", "case,seed,dice,hd95"],
    [",,unet,", "case,seed,dice,hd95"],
    [",seed,dice,hd95"],
    ["case,,dice,"],
)


def test_the_names_of_columns_are_below_titles_comments_and_names_over_several_columns() -> None:
    for head in HEADS:
        assert lines_above([*head, *ROWS], {"dice", "hd95"}.__contains__) == len(head) - 1, head
    assert lines_above(["mask", "a.png", "b.png"], str.isdigit) == 0
    assert lines_above([], str.isdigit) == 0


def test_compare_reads_the_table_below_them_and_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(["Results;;;", "case;seed;dice;hd95", *ROWS]).replace(",", ";"))
    sheet = read_sheet(path)
    assert (sheet.columns, sheet.at(1)) == (["case", "seed", "dice", "hd95"], f"{path}:4")
    assert sheet.notes == ["1 line above the names of the columns: left out"]
