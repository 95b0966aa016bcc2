"""One normaliser in training, scoring and prediction; classification images without it, where a recipe says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tiny import SOURCES, tiny

import mmtk
from mmtk.data import sources
from mmtk.data.batches import network_input, pixels
from mmtk.data.dataset import prepare
from mmtk.model import build
from mmtk.model import evaluate as scoring
from mmtk.model.examples import write_samples
from mmtk.model.predictor import predict
from mmtk.workflows import run as run_workflow
from mmtk.workflows.evaluate import evaluate

RAW = {"data__classification__normalise": False}
BOTH = pytest.mark.parametrize("changes", [{}, RAW], ids=["normalised", "raw"])


def test_only_images_of_the_classes_may_stay_as_they_are():
    images = torch.tensor([0.0, 0.5, 1.0])
    for recipe, raw in ((tiny(), False), (tiny(**RAW), True), (tiny("unet"), False)):
        given = {task: network_input(images, recipe, task).tolist() for task in ("classification", "segmentation")}
        assert given == {
            "classification": [0.0, 0.5, 1.0] if raw else [-1.0, 0.0, 1.0],
            "segmentation": [-1.0, 0.0, 1.0],
        }


@BOTH
def test_scoring_and_samples_give_the_network_what_training_did(tmp_path, changes):
    recipe = tiny("umtl", **changes)
    data = prepare(recipe, None)
    net, seen = build.network(recipe, data.targets), []
    net.encoder.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    for test in data.tests():
        seen.clear()
        scoring.fill(net, recipe, test, "cpu")
        plain = pixels(test.store, test.rows)
        raw = changes and test.task == "classification"
        assert torch.equal(torch.cat(seen), plain if raw else (plain - 0.5) / 0.5)
    seen.clear()
    write_samples(tmp_path / "samples.npz", recipe, net, data.tests(), "cpu")
    lowest = {bool((images < 0).any()) for images in seen}
    assert lowest == ({True, False} if changes else {True})


@BOTH
def test_a_prediction_gives_each_task_its_own_input(changes):
    recipe = tiny("multimix", **changes)
    targets = sources.targets(recipe)
    net = build.network(recipe, targets).eval()
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        said = predict(net, recipe, images, targets)
        normalised = (images - 0.5) / 0.5
        assert torch.equal(said.classification, net.classify(images if changes else normalised))
        assert torch.equal(said.segmentation, net.segment(normalised))
        assert torch.equal(said.saliency, net(normalised).saliency)


@pytest.mark.long
@BOTH
def test_prediction_and_evaluation_of_a_run_agree_with_its_scores(tmp_path: Path, changes):
    recipe = tiny("umtl", **changes)
    out = run_workflow.run(recipe, tmp_path / "run", pictures=False).path
    cases = pq.read_table(out / "cases.parquet").to_pandas()
    mine = cases[(cases.task == "classification") & (cases.domain == "in-domain")].set_index("id")
    (test,) = [t for t in prepare(recipe, None).tests() if (t.task, t.domain) == ("classification", "in-domain")]
    films = [np.asarray(test.store.images[row])[0] for row in test.rows]
    for row, said in zip(test.rows, mmtk.load(out, device="cpu")(films), strict=True):
        assert said.classes["pneumonia"] == pytest.approx(mine.loc[test.store.ids[row], "p-pneumonia"], abs=1e-5)
    again = evaluate(out, out=tmp_path / "again", device="cpu", pictures=False).scores
    other = evaluate(
        out,
        "phantom",
        SOURCES | {"data.classification.cross.test": 3},
        tmp_path / "phantom",
        device="cpu",
        pictures=False,
    )
    own = cases[(cases.task == "classification") & (cases.domain == "cross-domain")]
    assert again["cross-domain"]["classification"]["n"] == len(own) == 10
    assert (
        other.scores["phantom nihx"]["classification"]["n"] == 3
    )  # all data are the profile's, the input the run's
