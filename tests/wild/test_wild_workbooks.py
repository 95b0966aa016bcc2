"""Workbooks of Excel as labels of a run's evaluation, and where a CSV table is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from layout_inputs import film
from program_inputs import workbook

from mmtk.api import LabelSpec
from mmtk.components.source.folder import Folder
from mmtk.data.folder_sets import folder_sets
from mmtk.errors import MmtkError


def readers(root: Path) -> Path:
    rows: list[list[object]] = [["Befunde 2024"], ["film", "reader"]]
    for n in range(8):
        film(root / f"{n}.png")
        rows.append([n, ("normal", "pneumonia")[n % 2]])
    workbook(root / "readers.xlsx", Notes=[["a", "b"], ["c", "d"]], Readers=rows)
    return root


def test_a_run_is_scored_by_a_workbook(tmp_path: Path) -> None:
    targets = {"classification": LabelSpec("classification", ("normal", "pneumonia"))}
    films = readers(tmp_path / "films")
    for columns in ({}, {"labels": "readers.xlsx", "label": "reader"}):
        scratch = tmp_path / f"scratch{len(columns)}"
        scratch.mkdir()
        [(_, _, source)], notes, _ = folder_sets(films, columns, targets, {}, scratch)
        assert {item.id: item.target for item in source.items("all")} == {str(n): n % 2 for n in range(8)}
        assert any("readers.xlsx [Readers]" in note for note in notes)


def test_the_source_names_the_command_that_reads_a_workbook(tmp_path: Path) -> None:
    readers(tmp_path)
    with pytest.raises(MmtkError, match=r"is a workbook, not a CSV table\.") as error:
        Folder(tmp_path, "classification", images=".", labels="readers.xlsx").items("all")
    assert "mmtk data plan FOLDER reads an .xlsx file" in str(error.value)
