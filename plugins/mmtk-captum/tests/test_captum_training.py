"""The package: its recipes, README and files; what trains the attention; whole runs and interrupted ones."""

import ast
import json
from importlib import metadata
from pathlib import Path

import mmtk
import numpy as np
import pytest
import torch
from captum_oracle import BRIDGES, CASES, METHODS
from mmtk.data.dataset import prepare
from mmtk.registry.signature import schema
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.training.trainer import make_trainer

HERE = Path(__file__).parents[1]
RECIPES = {"grad-cam": "grad-cam", "attention": "attention", "integrated-gradients": "captum"}
TINY = {
    "data.size": 32,
    "encoder.width": 4,
    "decoder.width": 4,
    "train.steps": 2,
    "train.validate_every": 2,
    "train.batch": 4,
    "train.precision": "fp32",
    "evaluate.cases": 2,
    "tracking.enabled": False,
    "data.classification.labels": 8,
    "data.segmentation.labels": 8,
    **{
        f"data.{task}.{domain}.{part}": count
        for task in ("classification", "segmentation")
        for domain in ("source", "cross")
        for part, count in (("train", 16), ("val", 6), ("test", 8), ("size", 32))
    },
}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMTK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def tiny(name, **changes):
    word, keys = CASES[name]
    bridge = {"bridge.use": word, **{f"bridge.{key}": value for key, value in keys.items()}}
    return mmtk.load_recipe("multimix", overrides=TINY | bridge | changes)


def begin(recipe, path):
    folder = RunDir(path)
    if not path.exists():
        folder.make()
    folder.claim(recipe)
    return make_trainer(recipe, prepare(recipe, None), folder, "cpu", Display(quiet=True))


# --- the package ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "word"), RECIPES.items())
def test_every_recipe_is_fine(name, word):
    recipe = mmtk.load_recipe(HERE / "recipes" / f"{name}.toml")
    assert recipe["bridge.use"] == word
    assert recipe.tasks == ["classification", "segmentation"]
    for key, value in BRIDGES[word].__init__.__kwdefaults__.items():
        assert recipe.get(f"bridge.{key}", value) == value
    assert mmtk.build_model(recipe).bridge.stride == 8


def test_the_entry_points_name_the_bridges():
    points = metadata.distribution("mmtk-captum").entry_points
    assert {point.name: point.load() for point in points if point.group == "mmtk.bridge"} == BRIDGES
    assert {path.stem for path in (HERE / "recipes").glob("*.toml")} == set(RECIPES)


@pytest.mark.parametrize("word", BRIDGES)
def test_the_readme_has_the_keys_and_defaults(word):
    row = next(r for r in (HERE / "README.md").read_text().splitlines() if r.startswith(f"| `{word}` |"))
    for key, value in BRIDGES[word].__init__.__kwdefaults__.items():
        assert f"`{key}` {json.dumps(value)}" in row


def test_the_readme_and_the_tests_have_every_method():
    choices = schema(BRIDGES["captum"]).model_json_schema()["properties"]["method"]["enum"]
    text = (HERE / "README.md").read_text()
    for method in choices:
        assert f'`"{method}"`' in text, method
    assert set(choices) == set(METHODS)
    assert {f"captum-{method}" for method in choices} < set(CASES)


def test_files_are_short_and_use_the_public_interface_alone():
    for path in (HERE / "mmtk_captum").glob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 60, path.name
        for node in ast.walk(ast.parse(text)):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.split(".")[0] == "mmtk" and n != "mmtk.api"], path.name


# --- training ------------------------------------------------------------------------------------------------


def test_the_segmentation_loss_trains_the_attention_and_not_the_class_head():
    net = mmtk.build_model(tiny("attention")).train()
    x = torch.rand(2, 1, 32, 32) * 2 - 1
    net.segment(x).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.bridge.parameters())
    assert all(p.grad is None for p in net.head.parameters())


def test_the_encoder_gets_the_gradient_of_its_features_alone():
    """Equal to the gradient where the joined tensor is a constant."""

    class Constant(torch.nn.Module):
        stride = 8

        def forward(self, x, classify):
            return joined, None

    net = mmtk.build_model(tiny("attention")).eval()
    x = torch.rand(2, 1, 32, 32) * 2 - 1
    joined = net.bridge(x, net.bridge_classify)[0].detach()
    weights = list(net.encoder.parameters())
    real = torch.autograd.grad(net.segment(x).square().mean(), weights)
    net.bridge = Constant()
    fixed = torch.autograd.grad(net.segment(x).square().mean(), weights)
    assert any(each.any() for each in real)
    for one, other in zip(real, fixed, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_a_run_from_end_to_end(tmp_path, name):
    result = mmtk.run(tiny(name), out=tmp_path / "run", device="cpu", pictures=name == "captum-saliency")
    rows = [json.loads(line) for line in (result.path / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "train/loss" in row]
    assert len(steps) == 2
    assert all(np.isfinite(value) for row in steps for key, value in row.items() if key.startswith("train/"))
    assert json.loads((result.path / "results.json").read_text())["warnings"] == []
    assert 0 <= result.scores["in-domain"]["segmentation"]["dice"] <= 1
    components = json.loads((result.path / "provenance.json").read_text())["components"]
    assert [key for key, value in components.items() if "mmtk-captum" in value] == [
        f"bridge=bridge/{CASES[name][0]}"
    ]


@pytest.mark.long
@pytest.mark.parametrize("name", ["attention", "captum-smoothgrad"])
def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path, name):
    recipe = tiny(name, **{"train.steps": 3})
    whole, cut = begin(recipe, tmp_path / "whole"), begin(recipe, tmp_path / "cut")
    start = [p.detach().clone() for p in whole.net.bridge.parameters()]
    for index in range(3):
        whole.train_step(index)
    cut.train_step(0)
    cut.save()
    cut.close()
    again = begin(recipe, tmp_path / "cut")
    assert again.steps_done == 1
    for index in range(1, 3):
        again.train_step(index)
    for key, tensor in whole.objective.state_dict().items():
        assert torch.equal(again.objective.state_dict()[key], tensor), key
    assert not any(torch.equal(a, b) for a, b in zip(start, whole.net.bridge.parameters(), strict=True))
    whole.close()
    again.close()


@pytest.mark.long
def test_a_study_takes_plugins_as_levels(tmp_path, monkeypatch, capsys):
    """The axes that the README names; nothing is trained here."""
    pytest.importorskip("mmtk_ssl_zoo")
    from mmtk.cli.main import main

    monkeypatch.chdir(tmp_path)
    axes = "ssl=none+confidence+mixmatch+freematch,bridge=none+saliency+grad-cam"
    sets = [word for key, value in TINY.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    monkeypatch.setattr("sys.argv", ["mmtk", "ablate", "--components", axes, "--dry-run", *sets])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    said = capsys.readouterr().out
    assert "13 cells × 1 seed = 13 runs" in said
    assert "freematch" in said
    assert "grad-cam" in said
