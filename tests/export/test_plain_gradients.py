"""Gradients that ONNX has no operators for: the plain operations say what torch says."""

from __future__ import annotations

import itertools

import torch

from mmtk.export.gradients import decompositions

aten = torch.ops.aten


def test_every_gradient_is_that_of_torch() -> None:
    torch.manual_seed(0)
    x, plain = torch.randn(2, 3, 7, 8), decompositions()
    pools = itertools.product(([2], [3, 2]), ([], [1, 2]), ([0], [1]), (True, False), (True, False), (None, 5))
    cases = [(aten.avg_pool2d, aten.avg_pool2d_backward, (x,), settings) for settings in pools]
    cases += [(aten._adaptive_avg_pool2d, aten._adaptive_avg_pool2d_backward, (x,), ([3, 5],), ())]
    cases += [(aten.replication_pad2d, aten.replication_pad2d_backward, (x,), ([2, 1, 0, 3],))]
    for forward, backward, inputs, settings, *rest in cases:
        gradient = torch.randn_like(forward(*inputs, *settings))
        arguments = (gradient, *inputs, *(rest[0] if rest else settings))
        torch.testing.assert_close(plain[backward.default](*arguments), backward(*arguments), msg=str(settings))
    values, indices = aten.adaptive_max_pool2d(x, [3, 4])
    backward = aten.adaptive_max_pool2d_backward
    torch.testing.assert_close(plain[backward.default](values, x, indices), backward(values, x, indices))


def test_the_gradient_of_a_transposed_convolution_is_that_of_torch() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, 5, 6), torch.randn(4, 3, 3, 3)
    settings = ([2, 2], [1, 1], [1, 1], True, [1, 0], 1)
    gradient = torch.randn_like(aten.convolution(x, weight, None, *settings))
    arguments = (gradient, x, weight, None, *settings, (True, False, False))
    ours = decompositions()[aten.convolution_backward.default](*arguments)[0]
    torch.testing.assert_close(ours, aten.convolution_backward(*arguments)[0])
