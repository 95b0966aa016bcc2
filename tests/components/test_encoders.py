"""Encoders of timm and segmentation-models-pytorch, against the libraries themselves."""

import sys
import time

import huggingface_hub
import pytest
import timm
import torch
from segmentation_models_pytorch.encoders import get_encoder

from mmtk.components.decoder.smp import SmpDecoder
from mmtk.components.encoder.smp import SmpEncoder
from mmtk.components.encoder.timm import TimmEncoder
from mmtk.components.loss.smp import SmpLoss
from mmtk.errors import MmtkError

SMALL = {
    "resnet": (lambda c: TimmEncoder(c, model="resnet18", drop_path=0.1), (2, 4, 8, 16, 32)),
    "mobilenet": (lambda c: TimmEncoder(c, model="mobilenetv3_small_050"), (2, 4, 8, 16, 32)),
    "convnext": (lambda c: TimmEncoder(c, model="convnext_atto"), (4, 8, 16, 32)),
    "channels-last": (lambda c: TimmEncoder(c, model="mambaout_femto"), (4, 8, 16, 32)),
    "smp-resnet": (lambda c: SmpEncoder(c), (2, 4, 8, 16, 32)),
    "smp-classifier": (lambda c: SmpEncoder(c, name="efficientnet-b0"), (2, 4, 8, 16, 32)),
    "smp-transformer": (lambda c: SmpEncoder(c, name="mit_b0"), (4, 8, 16, 32)),
    "smp-shallow": (lambda c: SmpEncoder(c, name="mobilenet_v2", depth=4), (2, 4, 8, 16)),
}


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize(("make", "strides"), SMALL.values(), ids=SMALL)
def test_features_are_as_declared_and_every_parameter_learns(make, strides, in_channels):
    torch.manual_seed(0)
    encoder = make(in_channels).train()
    assert tuple(encoder.strides) == strides
    for size in (96, 64):
        features = encoder(torch.randn(2, in_channels, size, size))
        declared = [(2, c, size // s, size // s) for c, s in zip(encoder.channels, strides, strict=True)]
        assert [tuple(f.shape) for f in features] == declared
    sum(f.square().sum() for f in features).backward()
    silent = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert silent == []


@pytest.mark.parametrize("model", ["resnet18", "mambaout_femto"])
def test_timm_features_equal_those_of_timm(model):
    torch.manual_seed(3)
    ours = TimmEncoder(3, model=model).eval()
    torch.manual_seed(3)
    theirs = timm.create_model(model, features_only=True).eval()
    x = torch.randn(1, 3, 64, 64)
    for a, b in zip(ours(x), theirs(x), strict=True):
        torch.testing.assert_close(a, b.permute(0, 3, 1, 2) if model == "mambaout_femto" else b)


def test_smp_features_equal_those_of_smp_without_its_input():
    torch.manual_seed(3)
    ours = SmpEncoder(1, name="efficientnet-b0", depth=4).eval()
    torch.manual_seed(3)
    theirs = get_encoder("efficientnet-b0", in_channels=1, depth=4, weights=None).eval()
    x = torch.randn(1, 1, 64, 64)
    for a, b in zip(ours(x), theirs(x)[1:], strict=True):
        torch.testing.assert_close(a, b)


def test_smp_keeps_a_first_level_of_real_features():
    encoder = SmpEncoder(1, name="vgg11", depth=3)
    assert tuple(encoder.strides) == (1, 2, 4, 8)
    assert tuple(encoder.channels) == (64, 128, 256, 512)


def test_smp_stages_below_depth_are_removed():
    kept = sum(p.numel() for p in SmpEncoder(1, depth=3).parameters())
    whole = get_encoder("resnet18", in_channels=1, weights=None)
    assert kept == sum(p.numel() for n, p in whole.named_parameters() if not n.startswith(("layer3", "layer4")))


def test_window_attention_takes_any_size():
    encoder = TimmEncoder(1, model="swin_tiny_patch4_window7_224").eval()
    with torch.no_grad():
        assert [f.shape[1:] for f in encoder(torch.randn(1, 1, 64, 64))] == [
            (96, 16, 16),
            (192, 8, 8),
            (384, 4, 4),
            (768, 2, 2),
        ]


def test_drop_path_acts_in_training_only():
    encoder = TimmEncoder(1, model="convnext_atto", drop_path=0.9)
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        assert not torch.equal(encoder.train()(x)[-1], encoder(x)[-1])
        assert torch.equal(encoder.eval()(x)[-1], encoder(x)[-1])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TimmEncoder(1, model="vit_tiny_patch16_224"), r"strides \(16, 16, 16\)[^$]*Families that fit"),
        (lambda: TimmEncoder(1, model="resnt18"), r"no model called 'resnt18'\. Nearest: resnet18"),
        (lambda: TimmEncoder(1, model="resnet18.nope"), r"Invalid pretrained tag \(nope\)"),
        (lambda: TimmEncoder(1, model="vgg11", drop_path=0.1), r"'vgg11'.* no drop path"),
        (lambda: TimmEncoder(1, model="test_resnet.nope", pretrained=True), "no pretrained weights"),
        (lambda: SmpEncoder(1, name="resnet19"), r"no encoder called 'resnet19'\. Nearest: resnet18"),
        (lambda: SmpEncoder(1, name="tu-resnet18"), 'use = "timm" and model = "resnet18"'),
    ],
)
def test_refusals(make, text):
    with pytest.raises(MmtkError, match=text):
        make()


@pytest.mark.parametrize("model", ["coatnet_nano_rw_224", "inception_v3"])
def test_an_image_size_that_a_model_cannot_take(model):
    encoder = TimmEncoder(1, model=model).eval()
    with pytest.raises(MmtkError, match=rf"'{model}' cannot take images of 96 × 96: [^$]*Families that fit"):
        encoder(torch.zeros(1, 1, 96, 96))


@pytest.mark.parametrize(
    "setting", [("HF_HUB_OFFLINE", True), ("ENDPOINT", "http://localhost:9")], ids=["offline", "no-network"]
)
@pytest.mark.parametrize("encoder", [TimmEncoder, SmpEncoder])
def test_weights_that_cannot_be_had_are_an_error_at_once(encoder, setting, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, *setting)
    start = time.monotonic()
    with pytest.raises(MmtkError, match=r"no pretrained weights for [^$]*encoder\.weights = \"FILE"):
        encoder(1, pretrained=True)
    assert time.monotonic() - start < 8


@pytest.mark.parametrize("cls", [TimmEncoder, SmpEncoder, SmpDecoder, SmpLoss])
def test_the_libraries_are_imported_only_when_used(cls):
    names = vars(sys.modules[cls.__module__]).values()
    homes = {getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in names}
    assert not {home.split(".")[0] for home in homes} & {"timm", "segmentation_models_pytorch"}
