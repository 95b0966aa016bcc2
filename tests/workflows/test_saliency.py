"""Maps of finished runs: what is written, what is refused, and that a run stays as it was."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tiny import tiny

import mmtk
from mmtk import builtin_scores
from mmtk.errors import MmtkError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with the saliency bridge."""
    out = tmp_path_factory.mktemp("saliency") / "run"
    mmtk.run(tiny("umtl-s"), out, pictures=False)
    return out


@pytest.mark.long
def test_every_test_set_has_values_and_maps_that_come_again(run):
    sealed = {path.name: path.read_bytes() for path in run.glob("*.*")}
    folders = mmtk.saliency(run, images=5)
    assert [json.loads((folder / "about.json").read_text())["map"] for folder in folders] == [
        "saliency",
        "noise",
        "centre",
    ]
    tables = {folder.name: pq.read_table(folder / "cases.parquet").to_pandas() for folder in folders}
    own, noise = tables["saliency"], tables["noise"]
    assert own.groupby(["domain", "task"]).size().tolist() == [5, 5, 5, 5]
    assert {name for name in own if name not in ("domain", "task", "id", "patient")} <= {
        *builtin_scores.saliency()
    }
    assert own["mass-in-lungs"].dropna().between(0, 1).all()
    assert own[["deletion", "insertion"]].map(lambda value: 0 <= value <= 1).all(axis=None)
    assert own["shuffled-all-layers"].dropna().between(-1, 1).all()
    assert not any(name.startswith("shuffled") for name in noise)  # no weights go into it
    masked = noise[noise.task == "segmentation"]
    np.testing.assert_allclose(masked["mass-in-lungs"], masked["area-of-lungs"], atol=0.06)
    maps = np.load(folders[0] / "maps.npz")
    assert maps["in-domain/classification"].shape == (5, 32, 32)
    assert {path.name: path.read_bytes() for path in run.glob("*.*")} == sealed
    again = pq.read_table(mmtk.saliency(run, ["saliency"], images=5)[0] / "cases.parquet").to_pandas()
    pd.testing.assert_frame_equal(again, own)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (["salienzy"], "No bridge component is called 'salienzy'"),
        (["attention"], "has weights, which were not trained with this network"),
        (["none"], "shows no map"),
        (["captum,method=magic"], "method"),
    ],
)
def test_maps_that_cannot_be(run, maps, message):
    with pytest.raises(MmtkError, match=message):
        mmtk.saliency(run, maps, images=2)


def test_run_without_classes_and_no_image(run, tmp_path):
    with pytest.raises(MmtkError, match="--images 0"):
        mmtk.saliency(run, images=0)
    mmtk.run(tiny("unet", **{"decoder.width": 4}), tmp_path / "unet", pictures=False)
    with pytest.raises(MmtkError, match="has no class branch"):
        mmtk.saliency(tmp_path / "unet", images=2)
