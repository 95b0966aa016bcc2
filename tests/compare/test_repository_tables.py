"""Shapes of the tables that repositories of papers hold, made with numbers of our own."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd
import pytest

import mmtk
from mmtk.compare.audit import SPREAD_NOTE, sentence
from mmtk.compare.columns import Sheet
from mmtk.compare.layout import guess_layout
from mmtk.compare.readers.sources import runs_of_files
from mmtk.compare.score_names import scores_of_classes
from mmtk.errors import MmtkError
from mmtk.report.tables.table import long_csv
from mmtk.stats.outperformance import false_share_claim


def grid(**columns: list[object]) -> pd.DataFrame:
    """A row for every combination of the values, with a Dice that differs in every row."""
    table = pd.DataFrame(itertools.product(*columns.values()), columns=list(columns))
    return table.assign(dice=[0.5 + 0.37 * ((7 * row) % 101) / 101 for row in range(len(table))])


CASES: list[object] = [f"IBSR_{k:02d}" for k in range(12)]


@pytest.mark.parametrize(
    ("table", "mapping"),
    [
        (grid(technique=["Otsu", "UNesT"], subject=CASES), "system = technique"),
        (grid(config=["single_branch", "no_gate"], case=CASES), "system = config"),
        (grid(split=["dev", "eval"], arm=["hard", "soft"], seed=[1, 2, 3]), "domain = split"),
        (grid(variant=["full", "without gate"], seed=[0, 1]), "system = variant"),
    ],
)
def test_names_of_columns_in_repositories_are_known(table: pd.DataFrame, mapping: str) -> None:
    comparison = mmtk.compare(table)
    assert mapping in comparison.mapping
    assert len(comparison.study.cells) == 2


@pytest.mark.parametrize(
    ("table", "options"),
    [
        (grid(Vorgehen=["A", "B"], seed=[1, 2], case=CASES), ["They differ in Vorgehen", "--by Vorgehen"]),
        (grid(model=["A", "B"], calibrator=["Platt", "Beta"], fold=[0, 1]), ["--by model,calibrator"]),
        (grid(epoch=[1, 2, 3]), ["They differ in epoch", "--seed epoch", "keep the row of each run that counts"]),
        (grid(technique=["A", "B"], subject=CASES, label=["Cortex", "M1"]), ["--column case=label", "task=…"]),
    ],
)
def test_columns_that_would_tell_rows_apart_are_named(table: pd.DataFrame, options: list[str]) -> None:
    with pytest.raises(MmtkError) as error:
        mmtk.compare(table)
    for option in options:
        assert option in str(error.value.hint)


def test_structures_become_tasks_that_verdicts_name() -> None:
    table = grid(technique=["Otsu", "UNesT"], subject=CASES, label=["Cortex", "M1"])
    comparison = mmtk.compare(table, columns={"task": "label"})
    assert {*comparison.verdicts()["score"]} == {"Dice Cortex test", "Dice M1 test"}


@pytest.mark.parametrize("classes", [["colon", "lung", "skin"], ["colon", "lung"]])
def test_a_confidence_in_the_predicted_class_is_no_probability_of_one_class(classes: list[str]) -> None:
    truth = [classes[k % len(classes)] for k in range(30)]
    predicted = [classes[0] if k % 5 == 0 else name for k, name in enumerate(truth)]
    table = pd.DataFrame({"filename": range(30), "true_label": truth, "predicted_label": predicted})
    comparison = mmtk.compare(table.assign(confidence=[0.5 + k / 60 for k in range(30)]))
    frame = comparison.frame().set_index("metric")["value"]
    assert frame["accuracy"] == sum(map(str.__eq__, truth, predicted)) / 30
    assert "auroc" not in frame.index
    assert "'confidence' is the confidence in the predicted class" in " ".join(comparison.study.gaps)


def test_errors_in_names_with_underscores_improve_downwards() -> None:
    columns = {"vol_err_pct": 1.0, "frame_eer_pct": 1.0, "boundary_mae_ms": 2.0, "ece15": 0.1}
    table = grid(arm=["hard", "soft"], seed=[1, 2]).drop(columns="dice").assign(**columns, f1=0.5)
    infos = mmtk.compare(table, columns={"value": "vol_err_pct"}).study.declared["scores"]
    assert infos["vol_err_pct"].better == "lower"
    for name in list(columns)[1:]:
        (infos,) = mmtk.compare(table[["arm", "seed", name]]).study.declared.values()
        assert infos[name].better == "lower", name
    assert "F1" in mmtk.compare(table[["arm", "seed", "f1"]]).study.declared["classification"]


@pytest.mark.parametrize(
    ("text", "message", "cure"),
    [
        ("Whole Tumor,0.639473\nTumor Core,0.81091\n", "first line holds the number 0.639473", "a line of names"),
        ("variant,rmse\nfull,5.2 ± 0.6\nhalf,8.2 ± 0.8\n", "no column holds numbers", "mmtk audit"),
        ("", "is empty", "a line of names"),
    ],
)
def test_tables_that_hold_no_runs_say_why(tmp_path: Path, text: str, message: str, cure: str) -> None:
    file = tmp_path / "table.csv"
    file.write_text(text)
    with pytest.raises(MmtkError, match=message) as error:
        mmtk.compare(file)
    assert cure in str(error.value.hint)


def test_audits_read_percent_spreads_and_columns_of_means(tmp_path: Path) -> None:
    texts = (
        "model,acc_mean,acc_std\nA,0.858,0.006\nB,0.833,0.010\n",
        "variant,accuracy,loss\nA,85.8 ± 0.6,0.31\nB,83.3 ± 1.0,0.29\n",
        "technique,accuracy\nA,85.8\nB,83.3\n",
    )
    for text in texts:
        file = tmp_path / "table.csv"
        file.write_text(text)
        audit = mmtk.audit(file, 500)
        (claim,) = [claim for claim in audit.claims if claim.where == "accuracy"]
        assert (claim.better, claim.difference) == ("A", pytest.approx(0.025))
        assert claim.independent == pytest.approx(false_share_claim(0.858, 0.833, 500, 0.858 * 0.833))
        percent = ["accuracy is in percent: divided by 100"] * ("85.8" in text)
        assert audit.notes == [*[SPREAD_NOTE] * ("±" in text), *percent]
    file.write_text("model,accuracy\nA,851\nB,0.8\n")
    with pytest.raises(MmtkError, match="accuracy: 851 is no mean of it"):
        mmtk.audit(file, 500)
    file.write_text("model,accuracy\nA,0.9\n")
    assert sentence(mmtk.audit(file, 500)).startswith("No claim: no two systems")


def test_classes_without_a_mean_have_one_and_other_columns_of_a_score_are_none() -> None:
    """BraTS' ``Dice_1 … Dice_3`` with a structure that a case lacks; statistics, parts and runs are no classes."""
    table = grid(model=["A", "B"], case=CASES).drop(columns="dice")
    columns = {f"Dice_{k}": [0.5 + 0.1 * k + 0.001 * row for row in range(len(table))] for k in (1, 2, 3)}
    table = table.assign(**columns)
    table.loc[[3, 15], "Dice_2"] = float("nan")  # case 3 of both systems
    comparison = mmtk.compare(table)
    means = table.assign(mean=table[list(columns)].mean(axis=1)).groupby("model")["mean"].mean()
    frame = comparison.frame().set_index(["system", "metric"])["value"]
    for system, value in means.items():
        assert frame[system, "dice"] == pytest.approx(value, abs=1e-12)
    assert {*comparison.verdicts()["score"]} == {"Dice test"}
    assert any("mean of Dice_1, Dice_2, Dice_3" in note for note in comparison.records.notes)
    for names, scores in (
        (["dice_ET", "dice TC", "Dice-WT", "hd95_ET", "hd95_TC"], ["dice", "hd95"]),
        (["dice_mean", "dice_std"], []),
        (["val_dice", "dice_val", "dice_test"], []),
        (["dice_fold0", "dice_fold1"], []),
        (["dice_1", "dice_2", "dice"], []),
        (["dice_1"], []),
        (["accuracy", "loss_1", "loss_2"], []),
    ):
        assert list(scores_of_classes(names)) == scores, names


def test_a_system_that_is_called_by_a_score_is_a_system_in_a_wide_table(tmp_path: Path) -> None:
    table = grid(case=CASES).rename(columns={"dice": "dice_net"})
    systems = {f"net {letter}": table["dice_net"] * (0.8 + number / 40) for number, letter in enumerate("abc")}
    wide = table.assign(**systems)
    assert [cell.name for cell in mmtk.compare(wide).study.cells] == ["dice_net", *systems]
    names = ["dice_net", *(f"net {a}{b}" for a in "abcdefghijkl" for b in "mnopqrstuv")]
    many = pd.DataFrame({"case": CASES, **dict.fromkeys(names, table["dice_net"])})
    with pytest.raises(MmtkError, match=r"121 systems: dice_net, net am") as error:
        mmtk.compare(many)
    assert "--by COLUMN" in str(error.value.hint)
    for others in (
        {"dice": 0.9, "b": 0.7},
        {"age": 61, "b": 0.3, "c": 0.7},
        {"volume": 431.5, "mm": 0.8, "b": 0.9},
    ):
        layout = guess_layout(Sheet(table.assign(dice_std=0.1, **others), "table"), {})
        assert (layout.shape, layout.values) == ("scores", ["dice_net", *["dice"] * ("dice" in others)])


def test_columns_of_row_numbers_bold_cells_and_names_of_files_are_understood(tmp_path: Path) -> None:
    wide = grid(image=CASES).rename(columns={"dice": "unet"}).assign(swin=0.7)
    wide.to_csv(tmp_path / "results_dice.csv")  # pandas numbers the rows in a column without a name
    comparison = mmtk.compare(tmp_path / "results_dice.csv")
    assert [cell.name for cell in comparison.study.cells] == ["unet", "swin"]
    assert {*comparison.verdicts()["score"]} == {"Dice test"}
    rows = [r"A,\textbf{85.8 ± 0.6},**500**", r"$\mathbf{B}$,83.3 ± 1.0,\underline{500}"]
    (tmp_path / "bold.csv").write_text("model,accuracy,n\n" + "\n".join(rows))
    (claim,) = mmtk.audit(tmp_path / "bold.csv").claims
    assert (claim.better, claim.worse, claim.cases) == ("A", "B", 500)
    for name in ("{}_fold_{}_preds.csv", "{}_fold{}.metrics.csv", "{}/fold_{}/out.csv"):
        names = [
            name.format(system, fold).removesuffix(".csv") for system in ("unet", "swin") for fold in range(2)
        ]
        assert [*runs_of_files(names).values()] == [("unet", "0"), ("unet", "1"), ("swin", "0"), ("swin", "1")]
    assert "float64" not in long_csv(comparison.study.cells)


def test_what_stands_beside_means_is_no_part_of_a_name(tmp_path: Path) -> None:
    head = "Framework,Sensitivity (95% CI),Spezifität (95 %-KI),Accuracy ↑ (mean ± SD),n\n"
    rows = "A,0.82 (0.75–0.88),0.91 (0.86–0.95),0.8,420\nB,0.92 (0.87–0.95),0.93 (0.88–0.96),0.9,420\n"
    (tmp_path / "t.csv").write_text(head + rows)
    claims = mmtk.audit(tmp_path / "t.csv").claims
    assert {claim.where for claim in claims} == {"sensitivity", "specificity", "accuracy"}


def test_summaries_searches_and_logs_of_trainings_are_no_runs(tmp_path: Path) -> None:
    table = grid(Method=["A", "B"], Fold=["0", "1", "2", "mean", "std"])
    comparison = mmtk.compare(table)
    assert [len(cell.runs) for cell in comparison.study.cells] == [3, 3]
    assert "rows called mean, std are summaries, not replicates: left out" in comparison.records.notes
    assert any(note.startswith("'Fold' names folds, which share most") for note in comparison.records.notes)
    search = pd.DataFrame({"mean_fit_time": [1.5, 2.5], "param_model": ["A", "B"], "rank_test_score": [1, 2]})
    comparison = mmtk.compare(
        search.assign(**{f"split{k}_test_score": [0.8 + k / 90, 0.7 + k / 70] for k in range(3)})
    )
    assert [(cell.name, len(cell.runs)) for cell in comparison.study.cells] == [("model=A", 3), ("model=B", 3)]
    for system, seed in itertools.product("ab", range(2)):
        folder = tmp_path / f"{system}-seed{seed}"
        folder.mkdir()
        (folder / "all_results.json").write_text(f'{{"eval_accuracy": {0.8 + seed / 50}}}')
        (folder / "trainer_state.json").write_text('{"log_history": [{"step": 1, "eval_accuracy": 0.1}]}')
    assert [cell.name for cell in mmtk.compare(tmp_path).study.cells] == ["a", "b"]
    (tmp_path / "run-a.csv").write_text("Wall time,Step,Value\n1,0,0.5\n2,1,0.6\n")
    with pytest.raises(MmtkError, match="is a curve over the steps of a training"):
        mmtk.compare(tmp_path / "run-a.csv")


def test_a_word_among_the_values_of_a_score_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    text = grid(model=["A", "B"], case=CASES).assign(hd95=3.0).to_csv(index=False)
    file.write_text(text.replace("IBSR_04,0.", "IBSR_04,o.", 1))
    with pytest.raises(MmtkError, match=r"table\.csv:6: 'o\.\d+' in column 'dice' is no number"):
        mmtk.compare(file)
