"""``mmtk check`` says "fine" to what a run then takes, and to nothing else."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from loops import some
from tiny import tiny
from torch import nn

from mmtk import api
from mmtk.data.dataset import prepare
from mmtk.errors import MmtkError
from mmtk.model.evaluate import evaluate, fill, write_cases
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.training.trainer import make_trainer
from mmtk.workflows import check, trial

# Values that look legal, by key. Whether they are depends on the recipe and on the other keys.
VALUES: dict[str, list[Any]] = {
    "data__size": [16, 32, 48],
    "data__channels": [1, 3],
    "encoder__depth": [3, 4, 6],
    "train__batch": [1, 3, 30],
    "train__ratio": [2, 7],
    "train__precision": ["fp32", "bf16", "fp64"],
    "train__balance": ["none", "sample", "weight"],
    "train__ema": [0.5],
    "train__frozen_views": [True],
    "data__classification__labels": [1, 3, 24, 25, "full"],
    "data__segmentation__labels": [1, 25, "full"],
    "data__classification__source__prevalence": [0.0, 1.0],
    "data__segmentation__source__organs": ["lungs", "separate"],
    "data__segmentation__source__val": [0, 1],
    "data__classification__cross__test": [0, 1],
    "loss__classification__weight": [0, 2],
    "loss__segmentation__weight": [0],
    "loss__segmentation__use": ["cross-entropy", "dice", "smp"],
    "ssl__use": ["none", "mixmatch", "confidence"],
    "consistency__use": ["none", "kl"],
    "bridge__use": ["none", "saliency"],
    "decoder__use": ["smp", "unet"],
    "augment__segmentation__use": ["weak", "strong", "none"],
}


def drawn(seed: int) -> tuple[str, dict[str, Any]]:
    """A shipped recipe with one or two keys changed."""
    draw = random.Random(seed)
    name = draw.choice(["enc", "enc-mm", "enc-ssl", "unet", "unet-ssl", "umtl-ssl-s", "multimix", "multimix"])
    return name, {key: draw.choice(VALUES[key]) for key in draw.sample(sorted(VALUES), draw.choice([1, 2]))}


def first_steps(recipe: Recipe, folder: Path) -> None:
    """What a run does with its data: train, validate and score."""
    data = prepare(recipe, None)
    (folder / "checkpoints").mkdir()
    with closing(make_trainer(recipe, data, RunDir(folder), "cpu", Display(quiet=True))) as training:
        training.fit()
        net = training.eval_net.float()
        validation = {test.task: fill(net, recipe, test, "cpu") for test in data.validation()}
        write_cases(folder / "cases.parquet", evaluate(net, recipe, data.tests(), validation))


def agree(seed: int, folder: Path) -> None:
    name, changes = drawn(seed)
    try:
        recipe = tiny(name, **{"train__steps": 2, **changes})
    except MmtkError:
        return  # refused while it is read, as by every command
    refusals = []
    for ask in (lambda: check.check_step(recipe, "r.toml"), lambda: first_steps(recipe, folder)):
        try:
            ask()
        except MmtkError as error:
            refusals.append(error)
        else:
            refusals.append(None)
    assert bool(refusals[0]) == bool(refusals[1]), (name, changes, refusals)


@pytest.mark.parametrize("seed", range(8))
def test_check_and_run_agree(seed, tmp_path):
    agree(seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", some(range(8, 200)))
def test_check_and_run_agree_on_many(seed, tmp_path):
    agree(seed, tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("enc", {"data__classification__labels": 25}, "25 labels asked for, but the training part has 24"),
        ("enc", {"data__classification__labels": 1}, "1 label cannot cover 2 classes"),
        ("enc", {"data__classification__source__prevalence": 0.0}, "has one class only"),
        (
            "unet",
            {"data__segmentation__source__train": 0, "data__segmentation__labels": "full"},
            "no training image has a label",
        ),
        ("unet", {"data__segmentation__source__val": 0}, "has no images for val"),
        ("unet", {"data__segmentation__source__organs": "separate"}, "but the cross-domain source labels lung"),
        ("enc", {"loss__classification__weight": 0}, "there is nothing to train"),
    ],
)
def test_what_the_first_step_would_refuse(name, change, words):
    with pytest.raises(MmtkError, match=words):
        check.check_step(tiny(name, **change), "r.toml")


class Picky(api.Consistency):
    """A strategy that fails at an odd number of images, and at the end of training where it is asked to."""

    def __init__(self, supervised, *, late: bool = False):
        super().__init__()
        self.supervised, self.late = supervised, late

    def terms(self, segment, labelled, unlabelled, now):
        if len(labelled.image) % 2 or (self.late and now.progress == 1):
            raise KeyError("pairs")
        return self.supervised(segment, labelled)


class Narrow(api.Decoder):
    """A decoder of one mask, at the size of its finest features."""

    def __init__(self, channels: list[int], classes: int):
        super().__init__()
        self.out = nn.Conv2d(channels[0], 1, 1)
        self.classes = classes

    def forward(self, features, size):
        assert float(features[0].detach().abs().sum()) >= 0
        return self.out(features[0]) + torch.zeros(self.classes, 1, 1)[:1]


def test_what_another_author_s_parts_raise_has_file_and_line(monkeypatch):
    monkeypatch.setitem(catalog.BUILTINS["consistency"], "picky", f"{__name__}:Picky")
    with pytest.raises(MmtkError, match=r"step on made-up images fails: KeyError: 'pairs' \(.*\.py:\d+"):
        check.check_step(tiny("unet", consistency__use="picky", train__batch=3), "r.toml")
    check.check_step(tiny("unet", consistency__use="picky", train__batch=6), "r.toml")
    with pytest.raises(MmtkError, match="KeyError: 'pairs'"):
        check.check_step(tiny("unet", consistency__use="picky", consistency__late=True), "r.toml")


def test_the_masks_of_a_source_in_code_are_those_of_the_trial(monkeypatch):
    monkeypatch.setitem(catalog.BUILTINS["decoder"], "narrow", f"{__name__}:Narrow")
    recipe = tiny("unet").with_values({"decoder": {"use": "narrow"}})
    check.check_step(recipe, "r.toml")
    organs = {"data.segmentation.source.organs": "separate", "data.segmentation.cross.organs": "separate"}
    with pytest.raises(MmtkError, match="do not fit 3 names"):
        trial.try_step(recipe.with_values(organs))


def test_a_trial_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    state = torch.random.get_rng_state()
    check.check_step(tiny("multimix"), "r.toml")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not list(tmp_path.iterdir())
