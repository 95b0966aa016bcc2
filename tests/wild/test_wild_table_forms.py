"""CSV tables with lines above the names of their columns, and with two columns of one name."""

from __future__ import annotations

from pathlib import Path

import pytest
from layout_inputs import film

from mmtk.data.plan.profile import plan_folder
from mmtk.data.plan.tables import read_table


def planned(root: Path, head: str, row: str) -> str:
    rows = []
    for n in range(20):
        film(root / f"films/f{n}x.png")
        rows.append(row.format(n=n, label=("normal", "Pneumonie")[n % 2], other=("Erguss", "normal")[n % 2]))
    (root / "films/t.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    plan = plan_folder(root / "films", root / "p.toml")
    for table in plan.tables.values():
        names = table.partition("\n")[0].split(",")
        assert names[:2] == ["image", "label"]
        assert ("Alter" in names) == ("Alter" in head)  # of a column without a use the source makes metadata
    return "\n".join(plan.lines)


@pytest.mark.parametrize(
    ("titles", "lines"),
    [
        ("Befunde der Radiologie\n", "1 line"),
        ("Export vom 3.11.2026\n\nStudie A;\n", "2 lines"),
        ('"Radiologie; Thorax"\n', "1 line"),
        ("# exported by PACS 3; Thorax; v2\n# by A; B\n", "2 lines"),
    ],
)
def test_lines_above_the_columns_are_no_header(tmp_path: Path, titles: str, lines: str) -> None:
    text = planned(tmp_path, f"{titles}Datei;Befund;Alter", "f{n}x.png;{label};4{n}")
    assert "classes: normal 10, Pneumonie 10\n" in text
    assert f"t.csv begins with {lines} above the names of its columns" in text


def test_names_of_columns_may_begin_with_a_hash(tmp_path: Path) -> None:
    text = planned(tmp_path, "# image;label", "f{n}x.png;{label}")
    assert "classes: normal 10, Pneumonie 10\n" in text
    assert "lines above" not in text
    assert '"# image" as image' in text


def test_the_second_of_two_columns_of_one_name_is_named(tmp_path: Path) -> None:
    text = planned(tmp_path, "Datei;Befund;Befund", "f{n}x.png;{label};{other}")
    assert "classes: normal 10, Pneumonie 10\n" in text
    assert "two columns have one name; the second is called Befund (2) here" in text
    assert "not labels: Befund (2)" in text


def test_a_table_of_one_column_has_no_title(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file\na.png\nb.png\n")
    table = read_table(tmp_path / "t.csv")
    assert table is not None
    assert (table.columns, table.titles, len(table.rows)) == (("file",), 0, 2)


@pytest.mark.parametrize(("yes", "no"), [("x", ""), ("X", "-"), ("+", "-"), ("✓", "")])
def test_a_cross_or_a_sign_marks_the_films_with_a_finding(tmp_path: Path, yes: str, no: str) -> None:
    for n in range(20):
        film(tmp_path / f"films/f{n}x.png")
    rows = [f"f{n}x.png,{yes if n % 2 else no},{40 + n}" for n in range(20)]
    (tmp_path / "films/t.csv").write_text("\n".join(["Datei,Pneumonie,Alter", *rows]), encoding="utf-8")
    for hints in ({}, {"label": "Pneumonie"}):
        text = "\n".join(plan_folder(tmp_path / "films", tmp_path / "p.toml", hints).lines)
        assert "classes: 0 10, 1 10\n" in text
        assert "crosses and signs in Pneumonie are read as 1, empty cells and minus as 0" in text
