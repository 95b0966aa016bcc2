"""An encoder starts from weights that somebody else has trained, under whatever names they have there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from mmtk import api
from mmtk.components.encoder.smp import SmpEncoder
from mmtk.components.encoder.timm import TimmEncoder
from mmtk.components.encoder.unet import UNetEncoder
from mmtk.errors import MmtkError
from mmtk.model.encoder_start import fit, load_encoder, with_channels

Names = Callable[[str], str]


def whole(model: str) -> torch.nn.Module:
    """A network of timm with a classifier, and with statistics in its batch norms."""
    torch.manual_seed(1)
    net = timm.create_model(model)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def saved(path: Path, weights: dict[str, Tensor]) -> Path:
    """The weights in a file, by its suffix."""
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    else:
        torch.save(weights, path)
    return path


def same_features(encoder: api.Encoder, net: torch.nn.Module, tolerance: float = 1e-5) -> None:
    """Features inside the image equal those of the network on the pixels that it was trained on."""
    mean, std = (torch.tensor(one).view(1, -1, 1, 1) for one in encoder.pretrained_pixels)
    gray = torch.rand(2, 1, 96, 96)
    with torch.no_grad():
        features = encoder.eval()(2 * gray - 1)[0]
        pyramid = type(encoder)(3, **({"model": encoder.model} if hasattr(encoder, "model") else {})).eval()
        load_plain(pyramid, net)
        expected = pyramid((gray.repeat(1, 3, 1, 1) - mean) / std)[0]
    inside = (..., slice(4, -4), slice(4, -4))
    assert features.shape == expected.shape
    assert (features[inside] - expected[inside]).abs().max() < tolerance * expected.abs().max()


def load_plain(encoder: api.Encoder, net: torch.nn.Module) -> None:
    """Give an encoder of three channels a network's weights as they are, by timm's own names."""
    names = {name.replace("_", "."): tensor for name, tensor in net.state_dict().items()}
    state = {f"body.{name}": names[name.replace("_", ".")] for name in encoder.body.state_dict()}
    encoder.load_state_dict(state)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("model", ["resnet18", "mobilenetv3_small_050", "convnext_atto", "tf_efficientnet_lite0"])
def test_a_network_of_timm_with_its_classifier_starts_an_encoder_of_one_channel(
    tmp_path: Path, model: str, suffix: str
) -> None:
    net, encoder = whole(model), TimmEncoder(1, model=model)
    start = load_encoder(encoder, saved(tmp_path / f"w{suffix}", net.state_dict()))
    same_features(encoder, net)
    assert len(start.adapted) == 1
    assert start.loaded == len(encoder.state_dict())
    assert all("classifier" in name or "head" in name or "fc" in name or "bn2" in name for name in start.unused)
    assert not start.by_order


WRAPPERS: dict[str, tuple[Names, Callable[[dict[str, Tensor]], dict[str, object]]]] = {
    "Lightning": (lambda name: f"model.encoder.{name}", lambda w: {"epoch": 3, "state_dict": w, "callbacks": {}}),
    "DINO": (lambda name: f"module.backbone.{name}", lambda w: {"student": flipped(w), "teacher": w, "epoch": 1}),
    "data parallel": (lambda name: f"module.{name}", lambda w: {"model": w, "optimizer": {"state": {0: {}}}}),
    "plain": (lambda name: name, lambda w: w),
}


def flipped(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Other weights of the same shapes."""
    return {name: -tensor for name, tensor in weights.items()}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_weights_are_found_inside_the_file_of_a_training_program(tmp_path: Path, kind: str) -> None:
    rename, wrap = WRAPPERS[kind]
    net, encoder = whole("resnet18"), TimmEncoder(1)
    weights = {rename(name): tensor for name, tensor in net.state_dict().items() if not name.startswith("fc")}
    torch.save(wrap(weights), tmp_path / "w.ckpt")
    start = load_encoder(encoder, tmp_path / "w.ckpt")
    same_features(encoder, net)
    assert kind == "plain" or start.prefix
    assert "from" in start.sentence
    json.dumps(start.facts)


TORCHVISION = {
    "resnet18": ("resnet18", lambda net: torch.nn.Sequential(*[*net.children()][:-2])),
    "densenet121": ("densenet121", lambda net: torch.nn.Sequential(net.features, torch.nn.ReLU())),
    "efficientnet_b0": ("efficientnet_b0", lambda net: net.features[:-1]),
    "mobilenet_v2": ("mobilenetv2_100", lambda net: net.features[:-1]),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_weights_of_torchvision_give_its_features(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    other, (model, body) = getattr(torchvision.models, name)().eval(), TORCHVISION[name]
    encoder = TimmEncoder(3, model=model).eval()
    encoder.pretrained_pixels = None  # the same images for both
    load_encoder(encoder, saved(tmp_path / "w.pth", other.state_dict()))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected, features = body(other)(images), encoder(images)[-1]
    assert (features - expected).abs().max() < 1e-4 * expected.abs().max()


TRANSFORMERS = {
    "resnet18": ("ResNet", {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}),
    "resnet50": ("ResNet", {}),
    "convnext_tiny": ("ConvNext", {}),
}


@pytest.mark.long
@pytest.mark.parametrize("model", TRANSFORMERS)
def test_weights_of_transformers_give_its_features(tmp_path: Path, model: str) -> None:
    import transformers

    family, keys = TRANSFORMERS[model]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**keys)
    other = getattr(transformers, f"{family}ForImageClassification")(config)
    for name, tensor in other.state_dict().items():  # no two layers alike, and none without effect
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if name.endswith(("running_var", "scale_parameter")) else tensor.add_(
                torch.randn_like(tensor) / 50
            )
    encoder = TimmEncoder(3, model=model).eval()
    encoder.pretrained_pixels = None  # the same images for both
    start = load_encoder(encoder, saved(tmp_path / "w.safetensors", other.state_dict()))
    assert start.prefix == family.lower()
    assert start.loaded == len(encoder.state_dict())
    assert {name.partition(".")[0] for name in start.unused} <= {"classifier", "convnext"}
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = other.eval()(images, output_hidden_states=True).hidden_states[-1]
        features = encoder(images)[-1]
    assert (features - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.long
def test_a_deeper_network_of_transformers_is_refused_by_its_own_names(tmp_path: Path) -> None:
    import transformers

    keys = TRANSFORMERS["resnet18"][1] | {"depths": [3, 4, 6, 3]}
    deeper = transformers.ResNetModel(transformers.ResNetConfig(**keys))
    with pytest.raises(MmtkError, match=r"encoder\.stages\.0\.layers\.2"):
        load_encoder(TimmEncoder(3), saved(tmp_path / "w.safetensors", deeper.state_dict()))


def test_smp_and_its_own_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    donor, encoder = SmpEncoder(3, name="resnet18"), SmpEncoder(1, name="resnet18")
    weights = {f"encoder.{name}": tensor for name, tensor in donor.body.state_dict().items()}
    load_encoder(encoder, saved(tmp_path / "w.pth", weights | {"decoder.x.weight": torch.zeros(3)}))
    assert torch.equal(encoder.body.layer4[1].conv2.weight, donor.body.layer4[1].conv2.weight)


def test_other_names_are_matched_by_their_order_where_it_is_known(tmp_path: Path) -> None:
    net, encoder = whole("tf_efficientnet_lite0"), TimmEncoder(1, model="tf_efficientnet_lite0")
    kinds = {name: name.rpartition(".")[2] for name in net.state_dict()}
    weights = {f"x{k}.{kinds[name]}": tensor for k, (name, tensor) in enumerate(net.state_dict().items())}
    start = load_encoder(encoder, saved(tmp_path / "w.pth", weights))
    same_features(encoder, net)
    assert start.by_order
    assert "matched by order and shape" in start.sentence
    # A .safetensors file has no order of its own: the same names there are refused.
    with pytest.raises(MmtkError, match="missing or of another shape"):
        fit(encoder, saved(tmp_path / "w.safetensors", weights))


def test_own_weights_are_taken_as_they_are(tmp_path: Path) -> None:
    for donor, encoder in ((UNetEncoder(1), UNetEncoder(1)), (TimmEncoder(1), TimmEncoder(1))):
        weights = {f"encoder.{name}": tensor for name, tensor in donor.state_dict().items()}
        start = load_encoder(encoder, saved(tmp_path / "own.safetensors", weights))
        assert all(torch.equal(one, donor.state_dict()[name]) for name, one in encoder.state_dict().items())
        assert (start.adapted, start.pixels, start.unused) == ((), (), ())


def test_a_file_without_one_weight_is_refused_with_the_first_five_names(tmp_path: Path) -> None:
    weights = whole("resnet18").state_dict()
    for count, words in (
        (1, r"network: body\.conv1\.weight missing"),
        (20, r"(body\.\S+, ){4}body\.\S+ and \d+ more"),
    ):
        short = dict([*weights.items()][count:])
        with pytest.raises(MmtkError, match=words) as error:
            fit(TimmEncoder(1), saved(tmp_path / "w.pth", short))
        assert "The file has" in (error.value.hint or "")


@pytest.mark.parametrize("model", ["resnet34", "resnet50", "convnext_atto"])
def test_another_architecture_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(MmtkError, match="does not fit this network"):
        fit(TimmEncoder(1), saved(tmp_path / "w.pth", timm.create_model(model).state_dict()))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_another_width_is_refused(tmp_path: Path, suffix: str) -> None:
    wide = saved(tmp_path / f"w{suffix}", UNetEncoder(1, width=8).state_dict())
    with pytest.raises(MmtkError, match=r"does not fit this network: .* missing or of another shape"):
        fit(UNetEncoder(1, width=4), wide)


def test_a_file_that_holds_more_than_weights_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": whole("resnet18").state_dict(), "args": Path("x")}, tmp_path / "w.pth")
    with pytest.raises(MmtkError, match="holds more than weights, which may be code") as error:
        fit(TimmEncoder(1), tmp_path / "w.pth")
    assert "save its weights alone" in (error.value.hint or "")


def test_a_cut_file_is_damaged(tmp_path: Path) -> None:
    for suffix in (".pth", ".safetensors"):
        path = saved(tmp_path / f"w{suffix}", whole("resnet18").state_dict())
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(MmtkError, match="cannot be read"):
            fit(TimmEncoder(1), path)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = whole("resnet18").state_dict()
    weights["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(MmtkError, match=r"body\.layer1\.0\.conv1\.weight: 1 of [\d,]+ values is not finite"):
        fit(TimmEncoder(1), saved(tmp_path / "w.pth", weights))
    weights["fc.weight"][0, 0] = float("nan")
    weights["layer1.0.conv1.weight"][0, 0, 0, 0] = 0.0
    fit(TimmEncoder(1), saved(tmp_path / "w.pth", weights))  # what the encoder does not take does no harm


@pytest.mark.parametrize(("file", "images"), [(3, 1), (1, 3), (3, 2), (1, 1), (3, 3)])
def test_the_first_convolution_sums_or_shares_its_channels(file: int, images: int) -> None:
    weight = torch.rand(4, file, 3, 3)
    adapted = with_channels(weight, images)
    assert adapted.shape == (4, images, 3, 3)
    image = torch.rand(1, 1, 8, 8)
    if (file, images) != (3, 2):  # as many equal channels give the same
        one = torch.conv2d(image.repeat(1, file, 1, 1), weight)
        assert torch.allclose(one, torch.conv2d(image.repeat(1, images, 1, 1), adapted), atol=1e-5)
