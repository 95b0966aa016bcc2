"""Columns and scores of tables in other languages than English."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmtk
from mmtk.compare.columns import read_sheet
from mmtk.compare.layout import guess_layout
from mmtk.compare.score_names import score_name
from mmtk.errors import MmtkError

TABLES = {
    "Modell;Durchlauf;Bild;Patient;Dice": {"system": "Modell", "seed": "Durchlauf", "case": "Bild"},
    "Modèle;Graine;Cliché;Patient;Dice": {"system": "Modèle", "seed": "Graine", "case": "Cliché"},
    "Modelo;Semilla;Imagen;Paciente;Dice": {"system": "Modelo", "seed": "Semilla", "case": "Imagen"},
    "Verfahren;Lauf;Aufnahme;Patientennummer;Dice": {"system": "Verfahren", "seed": "Lauf", "case": "Aufnahme"},
}


def test_columns_are_known_by_words_of_other_languages(tmp_path: Path) -> None:
    for head, roles in TABLES.items():
        path = tmp_path / "table.csv"
        path.write_text(
            f"{head}\n" + "".join(f"{s};{k};b{c};p{c};0,9{c}\n" for s in "AB" for k in "01" for c in "12")
        )
        sheet = read_sheet(path)
        layout = guess_layout(sheet, {})
        assert roles.items() <= layout.columns.items(), head
        assert layout.columns["patient"] == sheet.columns[3], head
        assert list(layout.values) == ["Dice"], head


def test_scores_are_known_with_and_without_accents() -> None:
    names = {"Genauigkeit": "accuracy", "Sensitivität": "sensitivity", "Spécificité": "specificity"}
    assert {name: score_name(name) for name in names} == names


def test_an_audit_reads_german_columns_and_names_those_that_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("System;Metrik;Mittelwert;n\nA;Genauigkeit;0,85;624\nB;Genauigkeit;0,80;624\n")
    (claim,) = mmtk.audit(path).claims
    assert (claim.better, claim.where, claim.cases) == ("A", "accuracy", 624)
    path.write_text("System;Mystik\nA;0,85\nB;0,80\n")
    with pytest.raises(MmtkError, match="Its columns: Mystik, System"):
        mmtk.audit(path)


def test_folders_of_masks_that_cannot_serve_are_named(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pred/a").mkdir(parents=True)
    Image.new("L", (4, 4)).save(tmp_path / "pred/a/1.png")
    with pytest.raises(MmtkError, match="reff: no such folder"):
        mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "reff"))
    with pytest.raises(MmtkError, match="a file, not a folder of masks"):
        mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "pred/a/1.png"))
    with pytest.raises(MmtkError, match="holds 1 mask or image, and no table") as caught:
        mmtk.compare(tmp_path / "pred")
    assert "--reference DIR" in str(caught.value)
