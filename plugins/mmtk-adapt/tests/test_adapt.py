"""Histograms by hand and by SciPy, crops around planted masks, statistics of batch norm, and real tiny runs."""

import json

import mmtk
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmtk.api import LabelSpec, MmtkError
from mmtk.data.dataset import TestSet
from mmtk.data.store import ImageStore
from mmtk.testing import suite
from scipy.stats import rankdata
from torch import nn

from mmtk_adapt.batch_norm import adapt, evaluate_adapted, main
from mmtk_adapt.histogram import Histogram, matched, shares
from mmtk_adapt.lung_crop import LungCrop, box_around

TOY = {
    "data.size": 32,
    "encoder.width": 4,
    "decoder.width": 4,
    "train.steps": 4,
    "train.batch": 2,
    "train.precision": "fp32",
    "tracking.enabled": False,
    "data.classification.labels": 8,
    "data.segmentation.labels": 4,
    **{
        f"data.{task}.{domain}.{part}": count
        for task in ("classification", "segmentation")
        for domain in ("source", "cross")
        for part, count in (("train", 24), ("val", 8), ("test", 10), ("size", 32))
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of both tasks."""
    out = tmp_path_factory.mktemp("adapt") / "run"
    mmtk.run(mmtk.load_recipe("umtl", "phantom", TOY), out, pictures=False)
    return out


images = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(0, 256, (16, 24), np.uint8)
)


@settings(deadline=None, max_examples=50)
@given(images, images)
def test_matched_levels_are_the_quantiles_of_the_other_film(image, other):
    """By ranks: a level that r of n pixels do not exceed becomes the r-th smallest of the other film's n."""
    ranks = rankdata(image, method="max").reshape(image.shape).astype(int)
    expected = np.sort(other.ravel())[ranks - 1]
    np.testing.assert_array_equal(matched(image, shares(other)), expected)
    np.testing.assert_array_equal(matched(image, shares(image)), image)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_box_holds_the_mask_and_its_margin(seed, margin):
    draw = np.random.default_rng(seed)
    mask = np.zeros((30, 40), bool)
    mask[tuple(np.stack([draw.integers(0, side, 3) for side in mask.shape]))] = True
    rows, columns = box_around(mask, margin)
    places = np.argwhere(mask)
    for axis, part in enumerate((rows, columns)):
        low, high = places[:, axis].min(), places[:, axis].max() + 1
        width = round(margin * (high - low))
        assert part == slice(max(low - width, 0), high + width)


def test_empty_mask_keeps_the_film():
    assert box_around(np.zeros((5, 7), bool), 0.1) == (slice(None), slice(None))


@pytest.mark.parametrize("check", suite("source", Histogram, keys={"of": "phantom", "to": "phantom", "films": 2}))
def test_contract_of_histogram(check):
    check()


def test_histogram_source_has_the_other_gray_levels(tmp_path):
    source = Histogram(tmp_path, "classification", of="phantom", to="phantom", films=3)
    item = source.items("test")[0]
    average = np.mean([shares(source.other.image(one)) for one in source.other.items("train")[:3]], axis=0)
    np.testing.assert_array_equal(source.image(item), matched(source.inner.image(item), average))
    other = Histogram(tmp_path, "classification", of="phantom", to="phantom", films=4)
    assert source.digest() != other.digest()
    with pytest.raises(MmtkError, match="changes the films of another source"):
        Histogram(tmp_path, "classification", of="histogram", to="phantom")


def test_cropped_source_is_the_box_of_the_runs_own_mask(run, tmp_path):
    source = LungCrop(tmp_path, "segmentation", of="phantom", run=str(run))
    item = source.items("test")[0]
    film = source.inner.image(item)
    box = box_around(mmtk.load(run, "cpu")(film).mask.any(0), 0.05)
    np.testing.assert_array_equal(source.image(item), film[box])
    np.testing.assert_array_equal(source.mask(item), source.inner.mask(item)[(slice(None), *box)])
    with pytest.raises(MmtkError, match="has no weights"):
        LungCrop(tmp_path, "segmentation", of="phantom", run=str(tmp_path))


@pytest.mark.long
def test_run_on_cropped_films(run, tmp_path):
    crop = {"use": "lung-crop", "of": "phantom", "run": str(run)}
    changes = {key: value for key, value in TOY.items() if not key.startswith("data.classification.source")}
    recipe = mmtk.load_recipe("enc", "phantom", {**changes, "data.classification.source": crop, "train.steps": 2})
    result = mmtk.run(recipe, tmp_path / "run", pictures=False)
    assert 0 <= result.scores["in-domain"]["classification"]["auroc"] <= 1


# --- batch norm -------------------------------------------------------------------------------------------------


@pytest.fixture
def films():
    """A test set of six films of 8 pixels."""
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), np.uint8)
    ids, labels = [str(number) for number in range(6)], LabelSpec("classification", ("normal", "pneumonia"))
    store = ImageStore(images, np.full(6, -1), ids, ids, {}, np.full((6, 2), 8), labels, "")
    return TestSet("classification", "cross-domain", store, [0, 1, 2, 3, 4, 5])


def test_statistics_are_those_of_the_films(films):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
    recipe = mmtk.load_recipe("enc", "phantom", {})
    weights = {name: value.clone() for name, value in net.named_parameters()}
    assert adapt(net, recipe, films) == 1
    with torch.no_grad():
        features = net[0](torch.from_numpy(films.store.images).float() / 127.5 - 1)
    torch.testing.assert_close(net[1].running_mean, features.mean((0, 2, 3)))
    torch.testing.assert_close(net[1].running_var, features.var((0, 2, 3)))
    assert all(torch.equal(weights[name], value) for name, value in net.named_parameters())
    assert not any(module.training for module in net.modules())


def test_network_without_statistics_is_refused(run, tmp_path):
    with pytest.raises(MmtkError, match="has no batch norm with statistics"):
        evaluate_adapted(run, tmp_path / "out")


@pytest.mark.long
def test_command_scores_an_adapted_run(tmp_path, monkeypatch, capsys):
    changes = {key: value for key, value in TOY.items() if key != "encoder.width"}
    changes |= {"encoder.use": "smp", "encoder.name": "resnet18", "train.steps": 1}
    mmtk.run(mmtk.load_recipe("enc", "phantom", changes), tmp_path / "run", pictures=False)
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["batch_norm", str(tmp_path / "run"), "--out", str(out)])
    assert main() == 0
    assert "AUROC" in capsys.readouterr().out
    assert json.loads((out / "adapted.json").read_text())["films"] == 10
    table = pq.read_table(out / "cases.parquet").to_pandas()
    before = pq.read_table(tmp_path / "run/cases.parquet").to_pandas()
    before = before[before.domain == "cross-domain"].reset_index(drop=True)
    assert table["id"].tolist() == before["id"].tolist()
    assert not np.allclose(table["p-pneumonia"], before["p-pneumonia"])
