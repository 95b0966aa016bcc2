"""Tables with a column for each seed, and data frames as programs leave them."""

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
        assert any(line.startswith("seed = each of ") for line in comparison.mapping), comparison.mapping
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
    assert not any(line.startswith("seed = each of ") for line in comparison.mapping), comparison.mapping


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
