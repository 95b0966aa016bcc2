"""Tables whose columns say seeds, systems or cases, and data frames as programs leave them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_foreign_tables import notes, scores, values

import mmtk
from mmtk.errors import MmtkError

LONG = scores(seeds=3, cases=12)
NAMES = {  # of the columns, and of the score that they hold
    "seed_{}": "value",
    "Seed {}": "value",
    "Fold{}": "value",
    "run-{}": "value",
    "rep ({})": "value",
    "{}": "value",
    "dice_seed{}": "dice",
    "Dice (seed {})": "dice",
    "val_DSC fold {}": "val_DSC",
    "seed{}_dice": "dice",
    "fold 0{}/HD95": "hd95",
}


def by_seed(name: str, index: list[str], column: str = "DSC") -> pd.DataFrame:
    """The table with a column for each seed, means of its cases where the index has none."""
    table = LONG.pivot_table(index=index, columns="seed", values=column)
    return table.set_axis([name.format(seed) for seed in table], axis=1).reset_index()


@pytest.mark.parametrize("index", [["model", "image_id"], ["model"]], ids=["cases", "means"])
def test_columns_of_seeds_are_seeds(index: list[str]) -> None:
    for name, score in NAMES.items():
        table = by_seed(name, index, "HD95" if score == "hd95" else "DSC")
        table["mean"] = table.iloc[:, -3:].mean(axis=1)
        comparison = mmtk.compare(table)
        (metric,) = {*comparison.frame()["metric"]} - {"n"}
        assert (metric, len(comparison.study.seeds)) == (score, 3), name
        expected = LONG.groupby("model")["HD95" if score == "hd95" else "DSC"].mean().to_dict()
        assert values(comparison, metric) == pytest.approx(expected), name
        assert any(line.startswith("seed: from the names of columns") for line in comparison.mapping), (
            comparison.mapping
        )
        assert "mean: over the seeds, left out" in notes(comparison).lower()


def test_rows_of_scores_may_have_columns_of_seeds() -> None:
    parts = [by_seed("fold_{}", ["model"], column).assign(metric=column) for column in ("DSC", "HD95")]
    comparison = mmtk.compare(pd.concat(parts))
    for metric, column in {"dice": "DSC", "hd95": "HD95"}.items():
        assert values(comparison, metric) == pytest.approx(LONG.groupby("model")[column].mean().to_dict())
    assert len(comparison.study.seeds) == 3


@pytest.mark.parametrize("name", ["dice_{}", "unet_seed{}", "alg_0{}", "level {}"])
def test_other_numbered_columns_are_no_seeds(name: str) -> None:
    index = ["image_id"] if name[:4] in ("unet", "alg_") else ["model", "image_id"]
    comparison = mmtk.compare(by_seed(name, index))
    assert not any(line.startswith("seed: from the names of columns") for line in comparison.mapping), (
        comparison.mapping
    )


@pytest.mark.parametrize(
    "name", ["{0}_{1}", "{1} ({0})", "{1}_{0}_seed{2}", "{0}_seed{2}_{1}", "{0} {1} fold {2}"]
)
def test_columns_of_systems_and_scores_are_systems(name: str) -> None:
    table = LONG if "{2}" in name else LONG[LONG["seed"] == 0]
    wide = table.pivot_table(index=["image_id", "patient_id"], columns=["model", "seed"], values=["DSC", "HD95"])
    wide.columns = [name.format(model, score, seed) for score, model, seed in wide.columns]
    comparison = mmtk.compare(wide.assign(age=50.0))
    assert len(comparison.study.seeds) == (3 if "{2}" in name else 1)
    for metric, column in {"dice": "DSC", "hd95": "HD95"}.items():
        assert values(comparison, metric) == pytest.approx(table.groupby("model")[column].mean().to_dict())


@pytest.mark.parametrize("names", ["{}", "case {}", "img_{}.png"])
def test_columns_of_cases_beside_systems_are_cases(names: str) -> None:
    table = scores(seeds=1, cases=30).pivot_table(index="model", columns="image_id", values="DSC")
    cases = [names.format(k) for k in range(30)]
    comparison = mmtk.compare(table.set_axis(cases, axis=1))
    assert values(comparison, "value") == pytest.approx(table.mean(axis=1).to_dict())
    assert sorted(comparison.cases()["id"].unique()) == sorted(cases)


@pytest.mark.parametrize(
    "columns",
    [
        ["dice_left", "dice_right"],
        ["aorta_dice", "pancreas_dice"],
        ["Dice_1", "Dice_2"],
        ["val_dice", "test_dice"],
        ["unet", "dice_net"],
    ],
)
def test_structures_parts_of_data_and_systems_alone_are_no_grid(columns: list[str]) -> None:
    values_of_cases = np.random.default_rng(0).uniform(0.5, 1, (20, 2))
    table = pd.DataFrame(values_of_cases, columns=columns).assign(case=range(20))
    assert not any("from the names of columns" in line for line in mmtk.compare(table).mapping)


def test_names_of_an_index_are_columns() -> None:
    expected = LONG.groupby("model")["DSC"].mean().to_dict()
    for keys in (["model", "seed", "image_id"], ["image_id"], ["model"]):
        assert values(mmtk.compare(LONG.set_index(keys)), "dice") == pytest.approx(expected)
    wide = LONG.pivot_table(index=["seed", "image_id"], columns="model", values="DSC")
    comparison = mmtk.compare(wide, metrics=["dice"])
    assert values(comparison, "dice") == pytest.approx(expected)
    assert len(comparison.study.seeds) == 3


def test_what_is_no_table_and_no_path_is_named() -> None:
    wide = LONG.pivot_table(index="image_id", columns=["model", "seed"], values="DSC")
    with pytest.raises(MmtkError, match="several levels"):
        mmtk.compare(wide)
    for source in (np.zeros((3, 2)), LONG["DSC"], {"model": ["a"]}, [{"model": "a"}], 3, None):
        with pytest.raises(MmtkError, match="takes paths, addresses and a data frame, no ") as caught:
            mmtk.compare(source)
        assert "pandas.DataFrame" in str(caught.value.hint)


def test_scores_of_validation_lead_no_report() -> None:
    table = LONG.rename(columns={"DSC": "test/dice"}).assign(**{"val/dice": LONG["DSC"]})
    for columns in (list(table), list(table)[::-1]):
        names = mmtk.compare(table[columns]).verdicts()["score"]
        assert "test-dice" in names.iloc[0], list(names)
