"""The assembled network: parameter counts, what it predicts, and that its initial weights are paired."""

from dataclasses import is_dataclass

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny
from torch import nn

from mmtk import load_recipe
from mmtk.api import Prediction
from mmtk.components.encoder.unet import UNetEncoder
from mmtk.errors import MmtkError
from mmtk.model import build
from mmtk.model.network import ClassHead, frozen_mode, frozen_statistics

CLASSIFICATION = ["enc", "enc-ssl", "enc-mm"]
SEGMENTATION = ["unet", "unet-ssl"]
PLAIN = ["umtl", "umtl-ssl"]
BRIDGED = ["umtl-s", "umtl-ssl-s", "multimix"]
SYSTEMS = CLASSIFICATION + SEGMENTATION + PLAIN + BRIDGED


def model(name, **changes):
    return build.build_model(tiny(name, **changes))


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("multimix", 1_965_155),
        ("umtl-s", 1_965_155),
        ("umtl", 1_965_155 - 2 * 128 * 9),
        ("enc", 1_178_994),
        ("unet", 1_178_994 - 514 + 786_161 - 2 * 128 * 9),
    ],
)
def test_parameter_counts_of_the_paper(name, parameters):
    assert count(build.build_model(load_recipe(name))) == parameters


def test_the_parts_of_multimix_and_their_order():
    net = build.build_model(load_recipe("multimix"))
    assert (count(net.encoder) + count(net.head), count(net.decoder), count(net.bridge)) == (1_178_994, 786_161, 0)
    trained = [m for m in net.modules() if list(m.parameters(recurse=False))]
    assert {type(m) for m in trained} == {nn.Conv2d, nn.Linear}
    order = list(net.modules())
    assert order.index(net.encoder) < order.index(net.head) < order.index(net.decoder)
    first = [block[0].in_channels for block in net.decoder.blocks]
    assert first == [386, 192, 96, 48]
    assert build.build_model(load_recipe("umtl")).decoder.blocks[0][0].in_channels == 384


@pytest.mark.parametrize("name", SYSTEMS)
def test_predictions_of_every_system(name):
    net, x = model(name).eval(), torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        found = net(x)
    classes = None if name in SEGMENTATION else (2, 2)
    masks = None if name in CLASSIFICATION else (2, 1, 32, 32)
    saliency = (2, 1, 32, 32) if name in BRIDGED else None
    shapes = [None if t is None else tuple(t.shape) for t in vars(found).values()]
    assert shapes == [classes, masks, saliency]
    assert all(t is None or (t.isfinite().all() and not t.requires_grad) for t in vars(found).values())


def test_a_prediction_is_a_plain_dataclass():
    """Engines and tools copy it field by field through ``__dict__``."""
    assert is_dataclass(Prediction)
    assert not hasattr(Prediction, "__slots__")
    assert vars(Prediction()) == {"classification": None, "segmentation": None, "saliency": None}


@pytest.mark.parametrize("size", [64, 256])
def test_masks_have_the_size_of_the_image(size):
    net = model("multimix", data__size=size).eval()
    with torch.no_grad():
        found = net(torch.randn(1, 1, size, size))
    assert found.segmentation.shape == found.saliency.shape == (1, 1, size, size)


def test_one_forward_and_the_branches_alone_say_the_same():
    net, x = model("multimix").double().eval(), torch.randn(2, 1, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        found = net(x)
        torch.testing.assert_close(found.classification, net.classify(x))
        torch.testing.assert_close(found.segmentation, net.segment(x))
        torch.testing.assert_close(found.saliency, net.bridge(x, net.bridge_classify)[1])
        torch.testing.assert_close(found.segmentation[1:], net(x[1:]).segmentation)


def test_more_channels_classes_and_organs():
    changes = {
        "data.channels": 3,
        "data.segmentation.source.organs": "separate",
        "data.segmentation.cross.organs": "separate",
    }
    net = model("multimix", **changes).eval()
    with torch.no_grad():
        found = net(torch.randn(2, 3, 32, 32))
    assert found.segmentation.shape == (2, 3, 32, 32)
    assert found.saliency.shape == (2, 1, 32, 32)
    assert net.decoder.blocks[0][0].in_channels == 64 + 32 + 3 + 1


def test_the_class_head_takes_the_largest_of_four_and_then_the_mean():
    head = ClassHead(3, 2)
    features = torch.randn(2, 3, 4, 4)
    largest = features.view(2, 3, 2, 2, 2, 2).amax((3, 5))
    torch.testing.assert_close(head([features]), head.linear(largest.mean((2, 3))))
    torch.testing.assert_close(head([features[..., :1, :1]]), head.linear(features[..., 0, 0]))


# --- modes and statistics ------------------------------------------------------------------------------------


def test_frozen_statistics_keep_the_batch_but_do_not_remember_it():
    norm, x = nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5)
    before = {n: b.clone() for n, b in norm.named_buffers()}
    with frozen_statistics(norm):
        frozen = norm(x)
    assert all(torch.equal(b, before[n]) for n, b in norm.named_buffers())
    assert torch.equal(norm(x), frozen)
    assert not torch.equal(norm.running_mean, before["running_mean"])
    with frozen_statistics(norm.eval()):
        frozen = norm(x)
    assert torch.equal(norm(x), frozen)


def test_norms_that_track_nothing_still_track_nothing():
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    with frozen_statistics(norm):
        pass
    assert not norm.track_running_stats


def test_frozen_mode_restores_a_mixed_state_after_an_error():
    encoder = UNetEncoder(1, width=2)
    encoder.blocks[1].eval()
    before = [m.training for m in encoder.modules()]
    with frozen_mode(encoder):
        assert not any(m.training for m in encoder.modules())
    with pytest.raises(MmtkError), frozen_mode(encoder):
        encoder(torch.zeros(1, 1, 4, 4))
    assert [m.training for m in encoder.modules()] == before


# --- initial weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_start_with_the_weights_that_multimix_has(name):
    """Also where MultiMix's decoder is wider: the leading input channels of its first convolution are shared."""
    whole = dict(model("multimix").named_parameters())
    for key, p in model(name).named_parameters():
        shared = whole[key][tuple(slice(0, length) for length in p.shape)]
        assert torch.equal(p, shared), key
    wider = whole["decoder.blocks.0.0.weight"][:, -2:]
    assert wider.std() > 0


def test_the_decoder_of_another_seed_and_of_another_bridge_stride():
    first, other = (dict(model("umtl", seed=seed).named_parameters()) for seed in (0, 1))
    assert all(not torch.equal(p, other[key]) for key, p in first.items())
    moved = model("umtl-s", **{"bridge.stride": 4})
    assert [block[0].in_channels for block in moved.decoder.blocks] == [96, 50, 24, 12]
    for key, p in moved.named_parameters():
        assert torch.equal(p[tuple(slice(0, n) for n in first[key].shape)], first[key]), key


def test_weights_do_not_depend_on_the_global_generator_nor_touch_it():
    torch.manual_seed(5)
    state, first = torch.random.get_rng_state(), model("multimix")
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    again = dict(model("multimix").named_parameters())
    assert all(torch.equal(p, again[key]) for key, p in first.named_parameters())


# --- weights from files --------------------------------------------------------------------------------------


def test_whole_networks_and_encoders_start_from_files(tmp_path):
    donor, file = model("multimix", seed=9), tmp_path / "donor.safetensors"
    save_file({f"net.{key}": p for key, p in donor.state_dict().items()}, file)
    for key, p in model("multimix", init=str(file)).state_dict().items():
        assert torch.equal(p, donor.state_dict()[key])
    part = model("umtl", **{"encoder.weights": str(file)}).state_dict()
    plain = model("umtl").state_dict()
    for key, p in part.items():
        assert torch.equal(p, (donor.state_dict() if key.startswith("encoder.") else plain)[key])


@pytest.mark.parametrize("key", ["init", "encoder.weights"])
def test_whole_numbers_are_no_weights(key, tmp_path):
    file = tmp_path / "donor.safetensors"
    weights = dict(model("multimix").state_dict())
    name = "encoder.blocks.0.0.weight"
    save_file(weights | {name: (weights[name] * 127).to(torch.int8)}, file)
    with pytest.raises(MmtkError, match=r"blocks\.0\.0\.weight: has whole numbers \(int8\), no weights"):
        model("multimix", **{key: str(file)})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"encoder.width": 8}, r"does not fit this network: decoder\.blocks\.0\.0\.weight.* and 22 more missing"),
        ({"init": "nowhere.safetensors"}, r"nowhere\.safetensors: no such weights file"),
        ({"init": __file__}, r"(?s)test_model\.py: cannot be read: .*It is damaged, or no \.safetensors file"),
    ],
)
def test_weights_that_do_not_fit_are_named(changes, text, tmp_path):
    file = tmp_path / "donor.safetensors"
    save_file(dict(model("multimix").state_dict()), file)
    with pytest.raises(MmtkError, match=text):
        model("multimix", **{"init": str(file), **changes})
