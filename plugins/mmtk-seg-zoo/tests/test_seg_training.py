"""The package: its recipes, README and files; whole runs and interrupted ones."""

import ast
import json
from pathlib import Path

import mmtk
import numpy as np
import pytest
import torch
from mmtk.data.dataset import prepare
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.training.trainer import make_trainer
from seg_oracle import ORACLES, STRATEGIES

HERE = Path(__file__).parents[1]
TINY = {
    "data.size": 32,
    "encoder.width": 4,
    "encoder.depth": 3,
    "decoder.width": 4,
    "train.steps": 4,
    "train.validate_every": 2,
    "train.batch": 4,
    "train.precision": "fp32",
    "evaluate.cases": 2,
    "tracking.enabled": False,
    "data.segmentation.labels": 8,
    **{
        f"data.segmentation.{domain}.{part}": count
        for domain in ("source", "cross")
        for part, count in (("train", 24), ("val", 8), ("test", 10), ("size", 32))
    },
}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMTK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def tiny(word):
    return mmtk.load_recipe(HERE / "recipes" / f"{word}.toml", overrides=TINY)


def begin(recipe, path):
    folder = RunDir(path)
    if not path.exists():
        folder.make()
    folder.claim(recipe)
    return make_trainer(recipe, prepare(recipe, None), folder, "cpu", Display(quiet=True))


# --- the package ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", STRATEGIES)
def test_every_strategy_has_a_recipe_that_is_fine(word):
    recipe = mmtk.load_recipe(HERE / "recipes" / f"{word}.toml")
    assert recipe["consistency.use"] == word
    assert recipe.tasks == ["segmentation"]


def test_every_strategy_has_an_oracle_and_every_recipe_a_strategy():
    assert set(ORACLES) == set(STRATEGIES) == {path.stem for path in (HERE / "recipes").glob("*.toml")}


@pytest.mark.parametrize("word", STRATEGIES)
def test_the_readme_has_the_defaults(word):
    row = next(r for r in (HERE / "README.md").read_text().splitlines() if r.startswith(f"| `{word}` |"))
    defaults = STRATEGIES[word].__init__.__kwdefaults__
    for key, default in defaults.items():
        assert f"`{key}` {json.dumps(default).removesuffix('.0')}" in row


def test_components_are_short_and_use_the_public_interface_alone():
    for path in (HERE / "mmtk_seg_zoo").glob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 60, path.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mmtk."):
                assert node.module == "mmtk.api", path.name


# --- training ------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("word", ["ua-mt", "cps", "cutmix", "area-prior"])
def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path, word):
    recipe = tiny(word)
    whole, cut = begin(recipe, tmp_path / "whole"), begin(recipe, tmp_path / "cut")
    for index in range(4):
        whole.train_step(index)
    for index in range(2):
        cut.train_step(index)
    cut.save()
    cut.train_step(2)  # lost: the process ends before the next checkpoint
    cut.close()
    again = begin(recipe, tmp_path / "cut")
    assert again.steps_done == 2
    for index in range(2, 4):
        again.train_step(index)
    for name, tensor in whole.objective.state_dict().items():
        assert torch.equal(again.objective.state_dict()[name], tensor), name
    whole.close()
    again.close()


def test_both_networks_of_cps_are_trained_and_start_differently(tmp_path):
    training = begin(tiny("cps"), tmp_path)
    first, second = training.net, training.objective.consistency.second.net
    before = [[p.detach().clone() for p in net.parameters()] for net in (first, second)]
    assert not all(torch.equal(a, b) for a, b in zip(*before, strict=True))
    training.train_step(0)
    training.close()
    for net, old in zip((first, second), before, strict=True):
        moved = [not torch.equal(a, b) for a, b in zip(net.parameters(), old, strict=True)]
        assert all(moved)


@pytest.mark.parametrize("word", STRATEGIES)
def test_a_run_from_end_to_end(tmp_path, word):
    result = mmtk.run(tiny(word), out=tmp_path / "run", device="cpu", pictures=False)
    rows = [json.loads(line) for line in (result.path / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "train/loss" in row]
    assert len(steps) == 4
    for row in steps:
        assert all(np.isfinite(value) for key, value in row.items() if key.startswith("train/"))
    assert json.loads((result.path / "results.json").read_text())["warnings"] == []
    assert 0 <= result.scores["in-domain"]["segmentation"]["dice"] <= 1
    components = json.loads((result.path / "provenance.json").read_text())["components"]
    assert [key for key, value in components.items() if "mmtk-seg-zoo" in value] == [
        f"consistency=consistency/{word}"
    ]
