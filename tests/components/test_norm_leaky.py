"""The fused instance norm and leaky ReLU, and the block around it, against torch's own layers."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmtk.components import _norm_leaky as fused
from mmtk.components._blocks import Block, channels_last
from mmtk.components._norm_leaky import norm_leaky

SLOPE = 0.2
SHAPES = [(2, 3, 5, 4), (2, 3, 40, 33), (2, 16, 32, 32), (1, 1, 2, 2)]  # of one kernel or the other


def plain(x: Tensor, scale: float = 1.0) -> Tensor:
    return scale * F.leaky_relu(F.instance_norm(x), SLOPE)


def images(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(shape, generator=draw, dtype=torch.float64) + 1).requires_grad_()


def slope(y: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    return torch.autograd.grad(y, x, weight.to(y.dtype))[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 4 / 3])
def test_value_and_gradient_are_those_of_the_two_layers(shape: tuple[int, ...], scale: float) -> None:
    x, weight = images(*shape), images(*shape, seed=1).detach()
    ours, theirs = norm_leaky(x, SLOPE, scale), plain(x, scale)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(slope(ours, x, weight), slope(theirs, x, weight), rtol=0, atol=1e-12)


def test_the_loop_over_images_equals_the_formula() -> None:
    x, weight = images(2, 16, 40, 30).detach(), images(2, 16, 40, 30, seed=1).detach()
    y, rstd = fused._forward(channels_last(x), SLOPE, 1.25, None)
    kept = channels_last((images(2, 16, 40, 30, seed=2) > 0).to(torch.uint8))
    for mask, given in ((None, weight), (kept, weight * kept)):
        expected = fused._formula(given, None, y, rstd, SLOPE, 1.25)
        found = fused._by_image(weight, y, rstd, SLOPE, 1.25, mask)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [*SHAPES, (5, 8, 9, 7)])
def test_images_together_give_the_bits_of_one_after_the_other(
    shape: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = images(*shape, seed=1).detach()
    for mask in (None, channels_last((images(*shape, seed=2) > 0).to(torch.uint8))):
        results = []
        for small in (0, 10**9):
            monkeypatch.setattr(fused, "SMALL", small)
            x = images(*shape).detach().to(dtype).requires_grad_()
            y = norm_leaky(x, SLOPE, 1.25, mask)
            results.append((y, slope(y, x, weight)))
        for alone, together in zip(*results, strict=True):
            assert torch.equal(alone, together)


@pytest.mark.parametrize("shape", SHAPES)
def test_fp32_and_bf16_stay_near(shape: tuple[int, ...]) -> None:
    for dtype, near in ((torch.float32, 1e-5), (torch.bfloat16, 0.02)):
        narrow = images(*shape).detach().to(dtype).requires_grad_()
        wide, weight = narrow.detach().double().requires_grad_(), images(*shape, seed=1).detach()
        found, expected = norm_leaky(narrow, SLOPE), plain(wide)
        assert found.dtype == dtype
        assert (found - expected).abs().max() < near * expected.abs().max()
        wanted = slope(expected, wide, weight)
        assert (slope(found, narrow, weight) - wanted).abs().max() < near * wanted.abs().max().clamp_min(1)


@pytest.mark.parametrize("size", [16, 128])
def test_statistics_in_single_precision_err_no_more_than_torchs_own(size: int) -> None:
    """Also far from 0, where the difference of two sums would lose digits."""
    x = (images(2, 4, size, size).detach() + 10).float()
    expected = plain(x.double())
    ours, theirs = ((each(x) - expected).abs().max() for each in (lambda x: norm_leaky(x, SLOPE), plain))
    assert ours < 3 * theirs


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_mask_drops_is_0_and_gives_no_gradient(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = images(*shape).detach().to(dtype).requires_grad_()
    weight = images(*shape, seed=1).detach()
    kept = (images(*shape, seed=2) > 0).to(torch.uint8)
    whole, some = norm_leaky(x, SLOPE, 1.5), norm_leaky(x, SLOPE, 1.5, kept)
    assert torch.equal(some, whole * kept)
    assert torch.equal(slope(some, x, weight), slope(whole, x, weight * kept))


@pytest.mark.parametrize("dropped", [False, True])
def test_first_and_second_derivatives(dropped: bool) -> None:
    x = images(2, 3, 4, 3)
    kept = (images(2, 3, 4, 3, seed=1) > 0).to(torch.uint8) if dropped else None
    assert torch.autograd.gradcheck(lambda x: norm_leaky(x, SLOPE, 1.5, kept), x)
    assert torch.autograd.gradgradcheck(lambda x: norm_leaky(x, SLOPE, 1.5, kept), x)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [8, 32])
def test_a_block_fused_equals_its_layers_one_by_one(size: int, training: bool) -> None:
    """Of two parts, with the same values dropped; a counter of operations has the layers run one by one."""
    block = Block(7, 16, 0.25).double().train(training)
    parts = [images(2, channels, size, size, seed=channels) for channels in (4, 3)]
    inputs, found = [*parts, *block.parameters()], []
    for mode in (nullcontext(), FlopCounterMode(display=False)):
        torch.manual_seed(1)
        with mode:
            out = block(*parts)
        found.append((out, *torch.autograd.grad(out.square().sum(), inputs)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_a_hook_at_a_layer_sees_it_run() -> None:
    block, x = Block(2, 3, 0.25), torch.randn(1, 2, 8, 8)
    seen: list[Tensor] = []
    handle = block[2].register_forward_hook(lambda module, given, made: seen.append(made))
    watched = block.eval()(x)
    handle.remove()
    assert len(seen) == 1
    torch.testing.assert_close(block(x), watched)
    assert len(seen) == 1
