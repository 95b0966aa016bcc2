"""Mistakes in exports of trackers and results of frameworks: read as what they must be and named, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mmtk
from mmtk.compare.columns import Sheet
from mmtk.compare.score_names import declare
from mmtk.errors import MmtkError

RESULTS = Path(__file__).with_name("nnunet") / "nnUNet_results"
FOLD = "Dataset007_Lung/nnUNetTrainer__nnUNetPlans__2d/fold_0/validation/summary.json"
SYSTEMS = (("unet", 0.0), ("swin", 0.05))


def export() -> pd.DataFrame:
    """Runs as W&B exports them: a row each, its name, its state, its settings and the last value of a metric."""
    runs = [(model, seed, 0.8 + gain + seed / 100) for model, gain in SYSTEMS for seed in range(3)]
    table = pd.DataFrame(runs, columns=["model", "seed", "val_dice"], dtype=object)
    return table.assign(Name=[f"dashing-{number}" for number in range(6)], State="finished")


def with_cell(row: int, column: str, value: object) -> pd.DataFrame:
    table = export()
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (with_cell(2, "State", "crashed"), "1 run not finished (crashed): left out"),
        (pd.concat([export(), export()[:1]]), "1 run stands in several equal rows: counted once"),
        (with_cell(2, "val_dice", "NaN"), "val_dice: no value in unet (seed 2)"),
        (with_cell(2, "val_dice", 82.0), "val_dice of unet (seed 2) alone is in percent: divided by 100"),
        (export().assign(asd=lambda t: t["val_dice"].where(t["model"] == "unet")), "assd: no value of swin"),
    ],
)
def test_what_is_odd_in_an_export_is_named(table: pd.DataFrame, sentence: str) -> None:
    comparison = mmtk.compare(table)
    assert any(sentence in note for note in comparison.records.notes), comparison.records.notes
    assert len(comparison.study.cells) == 2
    assert "Val_dice" not in " ".join(comparison.study.gaps)  # a name stays as it is spelled


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (with_cell(2, "val_dice", "oops"), "'oops' in column 'val_dice' is no number"),
        (with_cell(2, "val_dice", 700), "val_dice of system 'unet', seed 2, is 700, which it cannot be"),
    ],
)
def test_what_cannot_be_in_an_export_is_refused(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(MmtkError, match=message):
        mmtk.compare(table)


def repeat(dice: float | None) -> Callable[[dict[str, Any]], None]:
    """Repeat the first case of a summary, with another Dice where one is given."""

    def change(summary: dict[str, Any]) -> None:
        case = json.loads(json.dumps(summary["metric_per_case"][0]))
        if dice is not None:
            case["metrics"]["1"]["Dice"] = dice
        summary["metric_per_case"].append(case)

    return change


def rename_structure(summary: dict[str, Any]) -> None:
    for case in summary["metric_per_case"]:
        case["metrics"]["lung"] = case["metrics"].pop("2")


def test_mistakes_in_summaries_of_nnunet_are_named_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "nnUNet_results"
    shutil.copytree(RESULTS, folder)
    file, original = folder / FOLD, (folder / FOLD).read_text()
    for change, sentence in (
        (lambda summary: None, ""),
        (repeat(None), "1 row is a repetition of another: counted once"),
        (rename_structure, "dice-label-lung: no value of 3d_fullres"),
    ):
        summary = json.loads(original)
        change(summary)
        file.write_text(json.dumps(summary), encoding="utf-8-sig")
        assert sentence in " / ".join(mmtk.compare(folder).records.notes)
    for change, message in (
        (repeat(0.1), "case 'lung_000' of system '2d', seed 0, is there twice, with other values"),
        (lambda summary: summary["metric_per_case"][0]["metrics"]["1"].update(Dice="0,9"), "is '0,9', no number"),
        (lambda summary: summary.update(metric_per_case=3), "is a summary of another program"),
    ):
        summary = json.loads(original)
        change(summary)
        file.write_text(json.dumps(summary))
        with pytest.raises(MmtkError, match=message):
            mmtk.compare(folder)
    file.parents[1].rename(file.parents[2] / "fold_all")
    assert "fold_all: no number of a fold, left out" in mmtk.compare(folder).records.notes


def test_systems_without_a_value_and_names_that_are_huge_numbers_are_read() -> None:
    cases = pd.DataFrame(
        [(model, f"c{k}", 0.5 + k / 30) for model in "abc" for k in range(12)], columns=["model", "case", "dice"]
    )
    comparison = mmtk.compare(cases.assign(dice=cases["dice"].where(cases["model"] != "b")))
    assert "dice: no value of b" in comparison.records.notes
    assert [*comparison.verdicts()["difference"]] == ["a − c"]
    assert [*Sheet(pd.DataFrame({"case": [1e300, 1.0]}), "table").texts("case")] == ["1e+300", "1.0"]
    with pytest.raises(MmtkError, match="no column holds numbers"):
        mmtk.compare(cases.assign(dice=float("nan")))


def test_bounds_are_those_of_the_score_behind_words_for_parts_and_statistics() -> None:
    for name, high in (
        ("val_dice", 1.0),
        ("best_test_accuracy", 1.0),
        ("dice_mean", 1.0),
        ("dice_left", None),
        ("dice_std", None),
        ("dice_loss", None),
    ):
        assert declare(name)[0].high == high, name


def test_runs_beside_other_sources_and_folders_of_runs_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        for file in ("recipe.toml", "provenance.json"):
            (tmp_path / "runs" / name / file).write_text("")
    export().to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(MmtkError, match=r"table\.csv: is no run or study of mmtk, as .*a is"):
        mmtk.compare([tmp_path / "runs/a", tmp_path / "table.csv"])
    with pytest.raises(MmtkError, match="holds 2 runs of mmtk, and no table") as error:
        mmtk.compare(tmp_path / "runs")
    assert "/*" in str(error.value.hint)
