"""Gradients with respect to images that ONNX has no operators for, as plain operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
Window = tuple[int, int, float]  # first line, line behind the last, and weight of each
Windows = list[Window]


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Torch's operators by the functions that replace them in a graph."""
    table: dict[Any, Callable[..., Any]] = dict(torch._decomp.core_aten_decompositions().items())
    table[aten.convolution_backward.default] = _convolution_backward
    table[aten.max_pool2d_with_indices_backward.default] = _max_pool_backward
    table[aten.adaptive_max_pool2d_backward.default] = _max_pool_backward
    table[aten.avg_pool2d_backward.default] = _average_pool_backward
    table[aten._adaptive_avg_pool2d_backward.default] = _adaptive_pool_backward
    table[aten.replication_pad2d_backward.default] = _replication_backward
    return table


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, bias: Any, *settings: Any
) -> tuple[Tensor | None, None, None]:
    """A convolution's gradient with respect to its input: the transposed convolution with the same weights.

    settings: the further arguments of ``aten::convolution_backward``

    That of a transposed convolution is the plain one.
    """
    stride, padding, dilation, transposed, _, groups, (_, needs_weight, needs_bias) = settings
    if needs_weight or needs_bias:
        raise NotImplementedError("the gradient of weights")
    sides = range(weight.dim() - 2)
    if transposed:
        none = [0 for _ in sides]
        plain = aten.convolution(gradient, weight, None, stride, padding, dilation, False, none, groups)
        return plain, None, None
    reached = [
        (gradient.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (weight.shape[2 + i] - 1) + 1
        for i in sides
    ]
    beyond = [int(x.shape[2 + i] - reached[i]) for i in sides]  # rows that no step of the stride reached
    input_gradient = aten.convolution(gradient, weight, None, stride, padding, dilation, True, beyond, groups)
    return input_gradient, None, None


def _max_pool_backward(gradient: Tensor, x: Tensor, *settings: Any) -> Tensor:
    """Add every gradient to the pixel that was the largest of its window.

    settings: the further arguments of the backward operator; the last are the indices
    """
    indices = settings[-1]
    empty = torch.zeros_like(x).flatten(-2)
    return empty.scatter_add(-1, indices.flatten(-2), gradient.flatten(-2)).reshape(x.shape)


def _average_pool_backward(gradient: Tensor, x: Tensor, kernel: Sequence[int], *settings: Any) -> Tensor:
    """Share every gradient among the pixels of its window.

    settings: the further arguments of ``aten::avg_pool2d_backward``
    """
    stride, padding, _, count_padding, divisor = settings
    windows: list[Windows] = []
    for side in (0, 1):
        size, width = int(x.shape[side - 2]), kernel[side % len(kernel)]
        step = (stride or kernel)[side % len(stride or kernel)]
        pad = padding[side % len(padding)]
        windows.append([])
        for start in range(-pad, -pad + step * int(gradient.shape[side - 2]), step):
            first, end = max(start, 0), min(start + width, size)
            count = min(start + width, size + pad) - start if count_padding else end - first
            weight = 1 / count if divisor is None else 1.0
            windows[side].append((first, end, weight))
    return _spread(gradient, x, *windows) / (divisor or 1)


def _adaptive_pool_backward(gradient: Tensor, x: Tensor) -> Tensor:
    """Share every gradient among the pixels of its part of the image."""
    windows: list[Windows] = []
    for side in (-2, -1):
        size, count = int(x.shape[side]), int(gradient.shape[side])
        ends = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        windows.append([(first, end, 1 / (end - first)) for first, end in ends])
    return _spread(gradient, x, *windows)


def _replication_backward(gradient: Tensor, x: Tensor, padding: Sequence[int]) -> Tensor:
    """Add every gradient to the pixel that was repeated; ``padding``: left, right, top, bottom."""
    windows: list[Windows] = []
    for side, before in ((-2, padding[2]), (-1, padding[0])):
        last = int(x.shape[side]) - 1
        lines = [min(max(i - before, 0), last) for i in range(int(gradient.shape[side]))]
        windows.append([(line, line + 1, 1.0) for line in lines])
    return _spread(gradient, x, *windows)


def _spread(gradient: Tensor, x: Tensor, rows: Windows, columns: Windows) -> Tensor:
    """Add gradients [..., N, M] to the lines of their windows, with their weights.

    gradient: of the N x M windows
    x: of the size of the result
    rows: N windows of lines of pixels
    columns: M windows of columns of pixels
    """
    down, across = (
        _matrix(windows, int(x.shape[side])).to(gradient) for side, windows in ((-2, rows), (-1, columns))
    )
    return down.T @ gradient @ across


def _matrix(windows: Windows, size: int) -> Tensor:
    """Weights [windows, size] of the lines of each window."""
    return torch.tensor(
        [[weight * (first <= line < end) for line in range(size)] for first, end, weight in windows]
    )
