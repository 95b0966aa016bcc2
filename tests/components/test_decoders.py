"""Decoders of segmentation-models-pytorch, on every shape of pyramid."""

import pytest
import segmentation_models_pytorch as smp
import torch

from mmtk.components.decoder.smp import SmpDecoder
from mmtk.components.encoder.smp import SmpEncoder
from mmtk.components.encoder.timm import TimmEncoder
from mmtk.errors import MmtkError

PYRAMIDS = {
    "from-1": ([8, 16, 24, 32, 40], [1, 2, 4, 8, 16]),
    "from-2": ([8, 8, 16, 32, 64], [2, 4, 8, 16, 32]),
    "from-4": ([16, 24, 32, 48], [4, 8, 16, 32]),
    "bridged": ([8, 16, 24, 32 + 2, 40], [1, 2, 4, 8, 16]),
    "three": ([8, 16, 32], [2, 4, 8]),
    "coarse": ([8, 16, 32], [16, 32, 64]),
}
NAMES = ["unet", "fpn", "segformer"]


def pyramid(channels, strides, size, batch=2):
    return [
        torch.randn(batch, c, size // s, size // s, requires_grad=True)
        for c, s in zip(channels, strides, strict=True)
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "strides"), PYRAMIDS.values(), ids=PYRAMIDS)
def test_logits_have_the_size_of_the_image_and_everything_learns(channels, strides, name):
    if name == "fpn" and len(channels) < 4:
        with pytest.raises(MmtkError, match="'fpn' needs four levels"):
            SmpDecoder(channels, strides, 3, name=name)
        return
    torch.manual_seed(0)
    decoder = SmpDecoder(channels, strides, 3, name=name, width=4)
    for size in (128, 64):
        features = pyramid(channels, strides, size)
        logits = decoder(features, (size, size))
        assert logits.shape == (2, 3, size, size)
    logits.square().sum().backward()
    assert [n for n, p in decoder.named_parameters() if p.grad is None] == []
    read = features[-4:] if name == "fpn" else features
    assert all(feature.grad.abs().sum() > 0 for feature in read)


@pytest.mark.parametrize("name", NAMES)
def test_the_size_is_256_too_and_may_be_oblong(name):
    decoder = SmpDecoder([4, 4, 8, 8], [4, 8, 16, 32], 1, name=name, width=4).eval()
    features = [torch.randn(1, c, 256 // s, 192 // s) for c, s in [(4, 4), (4, 8), (8, 16), (8, 32)]]
    with torch.no_grad():
        assert decoder(features, (256, 192)).shape == (1, 1, 256, 192)


@pytest.mark.parametrize("name", ["unet", "segformer"])
def test_a_size_that_the_strides_do_not_divide(name):
    encoder = SmpEncoder(1)
    decoder = SmpDecoder(encoder.channels, encoder.strides, 1, name=name, width=4)
    assert decoder(encoder(torch.randn(2, 1, 72, 72)), (72, 72)).shape == (2, 1, 72, 72)


def test_fpn_refuses_a_size_that_the_strides_do_not_divide():
    encoder = SmpEncoder(1)
    decoder = SmpDecoder(encoder.channels, encoder.strides, 1, name="fpn")
    with pytest.raises(MmtkError, match=r"1/32 on, which 72 × 72 does not divide into"):
        decoder(encoder(torch.randn(2, 1, 72, 72)), (72, 72))


def test_fpn_refuses_a_width_that_its_groups_do_not_divide():
    with pytest.raises(MmtkError, match=r"not with width = 6\.\n  Take a multiple of 4"):
        SmpDecoder([8, 8, 8, 8], [4, 8, 16, 32], 1, name="fpn", width=6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TimmEncoder(1, model="mobilenetv3_small_050"),
        lambda: TimmEncoder(1, model="convnext_atto"),
        lambda: SmpEncoder(1, name="resnet18"),
        lambda: SmpEncoder(1, name="mit_b0"),
    ],
    ids=["timm-2", "timm-4", "smp-2", "smp-4"],
)
@pytest.mark.parametrize("name", NAMES)
def test_encoders_and_decoders_fit(make, name):
    encoder = make()
    decoder = SmpDecoder(encoder.channels, encoder.strides, 2, name=name, width=4)
    x = torch.randn(2, 1, 64, 64)
    assert decoder(encoder(x), (64, 64)).shape == (2, 2, 64, 64)


@pytest.mark.parametrize(("name", "whole"), [("unet", smp.Unet), ("segformer", smp.Segformer)])
def test_the_parameters_are_those_of_smp(name, whole):
    """The default width is SMP's default model: the same shapes in the same places."""
    model = whole("resnet18", encoder_weights=None, in_channels=1, classes=2)
    encoder = SmpEncoder(1)
    decoder = SmpDecoder(encoder.channels, encoder.strides, 2, name=name)
    ours = {n: tuple(v.shape) for n, v in decoder.body.state_dict().items()}
    assert ours == {n: tuple(v.shape) for n, v in model.decoder.state_dict().items()}


@pytest.mark.parametrize(
    ("encoder_name", "name", "whole"),
    [("resnet18", "unet", smp.Unet), ("mit_b0", "unet", smp.Unet), ("resnet18", "fpn", smp.FPN)],
)
def test_logits_equal_those_of_the_whole_smp_model(encoder_name, name, whole):
    torch.manual_seed(0)
    model = whole(encoder_name, encoder_weights=None, in_channels=1, classes=2).eval()
    encoder = SmpEncoder(1, name=encoder_name)
    decoder = SmpDecoder(encoder.channels, encoder.strides, 2, name=name).eval()
    decoder.body.load_state_dict(model.decoder.state_dict())
    encoder.body.load_state_dict(model.encoder.state_dict())
    decoder.head = model.segmentation_head[0]
    # SMP's own FPN aligns corners in its last enlargement; before that, all must agree.
    model.segmentation_head = torch.nn.Identity()
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        before = decoder.head(model(x))
        expected = torch.nn.functional.interpolate(before, (64, 64), mode="bilinear")
        torch.testing.assert_close(decoder(encoder.eval()(x), (64, 64)), expected)
