"""ImageNet weights are where they belong: equal logits with another implementation, equal features, a run."""

import json
from pathlib import Path

import efficientnet_lite_pytorch
import mmtk
import pytest
import timm
import torch
from mmtk.testing import suite

from mmtk_pretrained import PIXELS, ImageNet, weights_file

RECIPES = Path(__file__).parents[1] / "recipes"
SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}  # of the images that the networks were made for
CHECKS = [
    pytest.param(check, id=f"{model}-{check}")
    for model in SIZES
    for check in suite("encoder", ImageNet, keys={"model": model})
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check):
    check()


def whole(model):
    """The network of timm with its classifier, with the weights in the order of the file."""
    net = timm.create_model(f"tf_efficientnet_{model}")
    weights = torch.load(weights_file(model), weights_only=True)
    net.load_state_dict(dict(zip(net.state_dict(), weights.values(), strict=True)))
    return net.eval()


@pytest.mark.parametrize("model", SIZES)
def test_logits_equal_those_of_another_implementation(model):
    other = efficientnet_lite_pytorch.EfficientNet.from_name(f"efficientnet-{model}")
    other.load_state_dict(torch.load(weights_file(model), weights_only=True))
    images = torch.randn(2, 3, SIZES[model], SIZES[model], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (other.eval()(images) - whole(model)(images)).abs().max() < 1e-4


@pytest.mark.parametrize("model", SIZES)
def test_features_are_those_of_the_network_on_its_own_pixels(model):
    recipe = mmtk.load_recipe("umtl", overrides={"encoder.use": "imagenet", "encoder.model": model})
    net = mmtk.build_model(recipe)
    pyramid = timm.create_model(f"tf_efficientnet_{model}", features_only=True).eval()
    weights = whole(model).state_dict()
    pyramid.load_state_dict({name: weights[name] for name in pyramid.state_dict()})
    gray = torch.rand(2, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = net.encoder.eval()(2 * gray - 1)
        expected = pyramid((gray.repeat(1, 3, 1, 1) - PIXELS[0][0]) / PIXELS[1][0])
    for ours, theirs, stride in zip(features, expected, net.encoder.strides, strict=True):
        inside = (..., slice(32 // stride, -(32 // stride)), slice(32 // stride, -(32 // stride)))
        assert (ours[inside] - theirs[inside]).abs().max() < 0.01 * theirs.abs().max()


@pytest.mark.long
def test_a_run_says_what_it_started_from(tmp_path, capsys):
    few = {
        f"data.{task}.{domain}.{part}": 8
        for task in ("classification", "segmentation")
        for domain in ("source", "cross")
        for part in ("val", "test")
    }
    small = few | {"train.steps": 1, "data.size": 32, "tracking.enabled": False}
    recipe = mmtk.load_recipe("umtl", overrides={"encoder.use": "imagenet"} | small)
    mmtk.run(recipe, out=tmp_path / "run", device="cpu", quiet=False, pictures=False)
    assert "matched by order and shape" in capsys.readouterr().err.replace("\n", " ")
    facts = json.loads((tmp_path / "run" / "provenance.json").read_text())["encoder_weights"]
    assert facts["loaded"] > 100
    assert facts["adapted"] == ["body.conv_stem.weight"]


def test_from_scratch_is_another_start():
    recipe = mmtk.load_recipe("umtl", overrides={"encoder.use": "imagenet", "encoder.pretrained": False})
    assert mmtk.build_model(recipe).encoder_start is None


def test_the_system_of_choice_is_the_one_that_the_results_page_measured():
    """The digest of the runs under docs/results/chest-128px, where it was chosen on validation."""
    as_run = {"evaluate.cases": 2, "train.precision": "bf16"}
    assert mmtk.load_recipe(RECIPES / "strong.toml", overrides=as_run).digest == "f3047ae0a5"
