"""The paper's encoder and decoder against Tables 4 and 5, and the dropout that both share."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmtk.components._blocks import Block, Dropout
from mmtk.components.decoder.unet import UNetDecoder
from mmtk.components.encoder.unet import UNetEncoder
from mmtk.errors import MmtkError
from mmtk.model.network import ClassHead

CHANNELS = [16, 32, 64, 128, 256]
BRIDGED = [16, 32, 64, 128 + 2, 256]


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def convolutions(module):
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def test_the_encoder_is_that_of_table_4():
    encoder, head = UNetEncoder(1), ClassHead(256, 2)
    assert count(encoder, head) == 1_178_994
    assert encoder.channels == CHANNELS
    assert encoder.strides == [1, 2, 4, 8, 16]
    shapes = [(c.in_channels, c.out_channels) for c in convolutions(encoder)]
    assert shapes == [
        (1, 16),
        (16, 16),
        (16, 32),
        (32, 32),
        (32, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        (256, 256),
    ]
    assert (head.linear.in_features, head.linear.out_features) == (256, 2)


def test_the_decoder_is_that_of_table_5():
    decoder = UNetDecoder(BRIDGED, 1)
    assert count(decoder) == 786_161
    shapes = [(c.in_channels, c.out_channels) for c in convolutions(decoder)]
    assert shapes == [(386, 128), (128, 128), (192, 64), (64, 64), (96, 32), (32, 32), (48, 16), (16, 16), (16, 1)]
    assert convolutions(UNetDecoder(CHANNELS, 1))[0].in_channels == 384
    assert convolutions(decoder)[-1].kernel_size == (1, 1)


@pytest.mark.parametrize("module", [UNetEncoder(1), UNetDecoder(BRIDGED, 1)], ids=["encoder", "decoder"])
def test_every_weight_stands_in_a_plain_convolution(module):
    assert {type(m) for m in module.modules() if list(m.parameters(recurse=False))} == {nn.Conv2d}
    assert all(c.kernel_size == (3, 3) and c.padding == (1, 1) for c in convolutions(module)[:-1])
    assert all(c.bias is not None for c in convolutions(module))


@pytest.mark.parametrize("size", [64, 256])
def test_shapes_of_every_level_and_of_the_logits(size):
    encoder, decoder = UNetEncoder(1).eval(), UNetDecoder(BRIDGED, 1).eval()
    with torch.no_grad():
        features = encoder(torch.randn(1, 1, size, size))
        assert [tuple(f.shape) for f in features] == [
            (1, c, size // s, size // s) for c, s in zip(CHANNELS, encoder.strides, strict=True)
        ]
        features[3] = torch.cat([features[3], torch.zeros(1, 2, size // 8, size // 8)], 1)
        assert decoder(features, (size, size)).shape == (1, 1, size, size)
        assert ClassHead(256, 2)(features).shape == (1, 2)


def test_the_block_is_twice_convolution_norm_activation_and_then_dropout():
    block = Block(3, 5, 0.25)
    kinds = [nn.Conv2d, nn.InstanceNorm2d, nn.LeakyReLU] * 2 + [Dropout]
    assert [type(layer) for layer in block] == kinds
    assert [layer.negative_slope for layer in block if isinstance(layer, nn.LeakyReLU)] == [0.2, 0.2]
    assert not any(n.affine or n.track_running_stats for n in block if isinstance(n, nn.InstanceNorm2d))

    x = expected = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for conv in convolutions(block.double().eval()):
        expected = F.conv2d(expected, conv.weight, conv.bias, padding=1)
        mean, var = expected.mean((2, 3), keepdim=True), expected.var((2, 3), unbiased=False, keepdim=True)
        expected = (expected - mean) / (var + 1e-5).sqrt()
        expected = torch.where(expected > 0, expected, 0.2 * expected)
    torch.testing.assert_close(block(x), expected)


def test_the_encoder_pools_between_blocks_and_the_head_behind_them():
    encoder, head = UNetEncoder(1, width=2, depth=3).double().eval(), ClassHead(8, 2).double()
    x = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    expected = x
    for level, (block, feature) in enumerate(zip(encoder.blocks, encoder(x), strict=True)):
        if level:
            rows = expected.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2))
            expected = rows.amax((-3, -1))
        expected = block(expected)
        torch.testing.assert_close(feature, expected)
    largest = expected.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).amax((-3, -1))
    torch.testing.assert_close(head([expected]), head.linear(largest.mean((2, 3))))


def test_the_decoder_doubles_with_aligned_corners_and_puts_the_skip_last():
    decoder = UNetDecoder([4, 6], 1, width=3).double().eval()
    fine, coarse = (torch.randn(1, c, s, s, dtype=torch.float64) for c, s in ((4, 8), (6, 4)))
    at = torch.linspace(0, 3, 8, dtype=torch.float64)
    matrix = (1 - (at[:, None] - torch.arange(4)).abs()).clamp_min(0)  # linear interpolation at the 8 places
    doubled = torch.einsum("ij,bcjk,lk->bcil", matrix, coarse, matrix)
    expected = decoder.last(decoder.blocks[0](torch.cat([doubled, fine], 1)))
    torch.testing.assert_close(decoder([fine, coarse], (8, 8)), expected)


def test_logits_have_the_size_of_the_image_where_the_first_stride_is_above_1():
    decoder = UNetDecoder([4, 6], 2, width=3)
    assert decoder([torch.randn(1, 4, 16, 16), torch.randn(1, 6, 8, 8)], (64, 64)).shape == (1, 2, 64, 64)


def test_an_image_too_small_for_the_depth_is_refused():
    encoder = UNetEncoder(1, width=2)
    assert encoder(torch.randn(1, 1, 32, 32))[-1].shape == (1, 32, 2, 2)
    with pytest.raises(MmtkError, match=r"32 × 32 up, got 16 × 16\.\n  Set data\.size = 32"):
        encoder(torch.randn(1, 1, 16, 16))


@pytest.mark.parametrize("p", [0.25, 0.5, 0.1, 0.999])
def test_dropout_keeps_the_share_and_the_scale(p):
    torch.manual_seed(0)
    exact = min(255, round(256 * p)) / 256  # the bytes' multiple of 1/256
    out = Dropout(p)(torch.ones(4_000_003))
    kept = (out != 0).double().mean()
    assert abs(kept - (1 - exact)) < 5 * (exact * (1 - exact) / out.numel()) ** 0.5
    torch.testing.assert_close(out.unique(), torch.tensor([0, 1 / (1 - exact)]))


def test_every_byte_of_the_mask_is_drawn():
    """A word whose top bit stays 0 would drop every eighth value too often."""
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(80_000)) == 0).view(-1, 8).double().mean(0)
    assert (dropped - 0.5).abs().max() < 5 * (0.25 / 10_000) ** 0.5


@pytest.mark.parametrize(("p", "sharing"), [(0.25, 4), (0.5, 4), (0.75, 4), (1 / 16, 2), (0.1, 1)])
def test_values_that_share_a_random_byte_are_independent(p, sharing):
    torch.manual_seed(0)
    kept = Dropout(p).kept(torch.Size([10_000 * sharing])).view(sharing, -1).double()
    share = 1 - round(256 * p) / 256
    assert (kept.mean(1) - share).abs().max() < 5 * (share * (1 - share) / 10_000) ** 0.5
    alike = torch.corrcoef(kept).reshape(sharing, sharing) - torch.eye(sharing)
    assert alike.abs().max() < 5 / 10_000**0.5


@pytest.mark.parametrize("shape", [(3,), (2, 3, 5, 7), (0,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_keeps_shape_and_type(shape, dtype):
    out = Dropout(0.25)(torch.ones(shape, dtype=dtype))
    assert (out.shape, out.dtype) == (shape, dtype)


def test_dropout_is_off_in_evaluation_and_at_0():
    x = torch.randn(100)
    assert Dropout(0.25).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_draws_from_the_global_generator():
    drop, x = Dropout(0.25), torch.ones(1000)
    torch.manual_seed(1)
    first, second = drop(x), drop(x)
    torch.manual_seed(1)
    assert torch.equal(drop(x), first)
    assert not torch.equal(first, second)


def test_the_gradient_of_dropout_is_its_mask():
    x = torch.randn(5000, requires_grad=True)
    out = Dropout(0.25)(x)
    out.sum().backward()
    torch.testing.assert_close(x.grad, (out != 0).float() * 4 / 3)
