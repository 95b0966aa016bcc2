"""Tables that trackers and challenges export, and a file for each run."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd
import pytest

import mmtk
from mmtk.compare.readers.sources import runs_of_files
from mmtk.errors import MmtkError

RUNS = list(itertools.product(["unet", "swin"], [0, 1, 2]))


def value(number: int) -> float:
    return 0.5 + 0.37 * ((7 * number) % 101) / 101


def write_case_tables(folder: Path, name: str, folds: bool = False) -> None:
    """A table of 6 cases for every run; ``name`` with the fields system and seed; other cases in each fold."""
    for number, (system, seed) in enumerate(RUNS):
        path = folder / name.format(system=system, seed=seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        cases = [f"c{seed if folds else ''}-{case}" for case in range(6)]
        pd.DataFrame({"case": cases, "dice": [value(6 * number + k) for k in range(6)]}).to_csv(path, index=False)


def cells(comparison: mmtk.workflows.compare.Comparison) -> dict[str, list[int]]:
    return {cell.name: sorted(cell.runs) for cell in comparison.study.cells}


@pytest.mark.parametrize("name", ["algorithm", "alg_name"])
def test_a_table_of_a_challenge_has_tasks_algorithms_and_cases(name: str) -> None:
    rows = itertools.product(["T1", "T2"], ["A1", "A2", "A3"], [f"case{k}" for k in range(8)])
    table = pd.DataFrame(rows, columns=["task", name, "case"])
    comparison = mmtk.compare(table.assign(value=[value(k) for k in range(len(table))]), system="A2")
    assert cells(comparison) == {"A2": [0], "A1": [0], "A3": [0]}
    assert [*comparison.verdicts()["difference"]] == ["A2 − A1", "A2 − A1", "A2 − A3", "A2 − A3"]
    assert {*comparison.verdicts()["score"]} == {"value T1 test", "value T2 test"}
    assert "value (--lower" in comparison.study.gaps[0]  # named once, though in two tasks


@pytest.mark.parametrize(
    ("columns", "system", "seed", "score"),
    [
        ({"Name": "dashing-{k}", "State": "finished"}, "model", "seed", "val_dice"),
        ({"Run ID": "a{k}c", "Name": "nebulous-{k}", "Status": "FINISHED"}, "model", "seed", "val_dice"),
        ({"run_id": "a{k}c", "status": "FINISHED"}, "params.model", "params.seed", "metrics.dice"),
        ({"Name": "dashing-{k}", "State": "finished"}, "Group", "seed", "dice"),
        ({"Name": "dashing-{k}", "State": "finished", "Group": ""}, "Job Type", "seed", "dice"),
    ],
)
def test_names_of_runs_in_exports_of_trackers_are_no_cases(
    columns: dict[str, str], system: str, seed: str, score: str
) -> None:
    rows = [
        {key: text.format(k=k) for key, text in columns.items()} | {system: run[0], seed: run[1], score: value(k)}
        for k, run in enumerate(RUNS)
    ]
    comparison = mmtk.compare(pd.DataFrame(rows))
    assert cells(comparison) == {"unet": [0, 1, 2], "swin": [0, 1, 2]}
    assert [*comparison.verdicts()["seeds"]] == [3]
    assert not any(line.startswith("case") for line in comparison.mapping)


@pytest.mark.parametrize("name", ["{system}_seed{seed}.csv", "{system}/seed_{seed}/metrics.csv"])
@pytest.mark.parametrize("folds", [False, True])
def test_files_of_runs_are_seeds_or_folds_of_their_systems(tmp_path: Path, name: str, folds: bool) -> None:
    write_case_tables(tmp_path, name, folds)
    comparison = mmtk.compare(tmp_path)
    assert cells(comparison) == {"swin": [0, 1, 2], "unet": [0, 1, 2]}
    assert comparison.mapping[0] == "system and seed = the name of the file"
    assert any("3 folds" in gap for gap in comparison.study.gaps) is folds


def test_files_of_runs_with_one_row_each_are_tested_over_seeds(tmp_path: Path) -> None:
    for number, (system, seed) in enumerate(RUNS):
        (tmp_path / f"{system}_seed{seed}.csv").write_text(f"dice,hd95\n{value(number)},3\n")
    assert [*mmtk.compare(tmp_path).verdicts()["seeds"]] == [3]


@pytest.mark.parametrize(
    ("names", "runs"),
    [
        (["unet", "swin"], [("unet", ""), ("swin", "")]),
        (["model_1", "model_2"], [("model_1", ""), ("model_2", "")]),
        (["fold_0", "fold_1"], [("system", "0"), ("system", "1")]),
        (["unet/s0/m", "unet/s1/m", "swin/s0/m"], [("unet", "0"), ("unet", "1"), ("swin/s0", "0")]),
        (["results"], [("results", "")]),
    ],
)
def test_names_of_files_name_runs(names: list[str], runs: list[tuple[str, str]]) -> None:
    assert [*runs_of_files(names).values()] == runs


def test_files_of_one_run_are_joined_and_refused_where_they_differ(tmp_path: Path) -> None:
    dice, distance = tmp_path / "dice.csv", tmp_path / "hd95.csv"
    rows = list(itertools.product(["A", "B"], range(4)))
    dice.write_text("system,case,dice\n" + "".join(f"{s},{c},{value(k)}\n" for k, (s, c) in enumerate(rows)))
    distance.write_text("system,case,hd95\n" + "".join(f"{s},{c},{k}\n" for k, (s, c) in enumerate(rows)))
    joined = mmtk.compare([dice, distance]).cases()
    assert len(joined) == len(rows)
    assert joined[["dice", "hd95"]].notna().all(axis=None)
    distance.write_text(dice.read_text().replace("A,0,0.5", "A,0,0.6"))
    with pytest.raises(MmtkError, match="case '0' of system 'A', seed 0 stands in two sources"):
        mmtk.compare([dice, distance])


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("result.json", '{"accuracy": 0.9}', "one number for each system"),
        ("result.yaml", "accuracy: 0.9", "is no table"),
        ("solution.csv", "id,target\n1,0\n2,1\n", "has targets .* and no predictions beside them"),
    ],
)
def test_files_without_systems_are_refused_with_a_cure(tmp_path: Path, file: str, text: str, message: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(MmtkError, match=message) as error:
        mmtk.compare(tmp_path / file)
    assert error.value.hint


def test_a_wide_table_of_folds_has_seeds_of_its_column() -> None:
    rows = [(fold, f"c{case}", value(case), value(case + 9)) for fold in range(2) for case in range(6)]
    comparison = mmtk.compare(pd.DataFrame(rows, columns=["fold", "case", "unet", "swin"]))
    assert cells(comparison) == {"unet": [0, 1], "swin": [0, 1]}
