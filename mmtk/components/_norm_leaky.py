"""Instance norm and leaky ReLU as one function for CPUs, in channels-last memory.

torch's instance norm takes several times as long there, and its kernels for its gradient are slower still in
channels-last, in which convolutions are fastest. Beside time this saves memory: only the output is kept, which the
next convolution keeps anyway; the normalised values follow from it, since leaky ReLU can be undone (Rota Bulò,
Porzi and Kontschieder 2018).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-5  # as nn.InstanceNorm2d
SMALL = 16_384  # values of an image that stay in the cache whatever is done; calls for each image would cost more

_LEAKY_BACKWARD = torch.ops.aten.leaky_relu_backward.default
_NORM_BACKWARD = torch.ops.aten.native_batch_norm_backward.default


def norm_leaky(x: Tensor, slope: float, scale: float = 1.0, keep_mask: Tensor | None = None) -> Tensor:
    """Compute keep_mask · scale · leaky_relu(instance_norm(x)) of [B,C,H,W]; channels-last; twice differentiable.

    ``keep_mask`` [B,C,H,W] of 0 and 1 is the mask of dropout. Half precision is read and written as it is; sums
    are fp32.
    """
    y, _, *dropped = cast(tuple[Tensor, ...], _NormLeaky.apply(x, slope, scale, keep_mask))
    return dropped[0] if dropped else y


class _NormLeaky(torch.autograd.Function):
    """x → (y, 1/σ [B,C], y · kept); the second output lets a second derivative pass through the formula."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, scale: float, keep_mask: Tensor | None) -> tuple[Tensor, ...]:
        x = x.contiguous(memory_format=torch.channels_last)
        y, rstd, *dropped = _forward(x, slope, scale, keep_mask)
        ctx.slope, ctx.scale = slope, scale
        ctx.save_for_backward(y, rstd, *() if keep_mask is None else (keep_mask,))
        ctx.set_materialize_grads(False)
        return y, rstd, *dropped

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, grad_rstd: Tensor | None, dropped: Tensor | None = None
    ) -> tuple[Tensor | None, None, None, None]:
        y, rstd, *masks = ctx.saved_tensors
        keep_mask = masks[0] if dropped is not None else None
        one = dropped if grad is None else grad if dropped is None else None
        if torch.is_grad_enabled() or grad_rstd is not None or one is None:
            parts = [
                part for part in (grad, None if keep_mask is None else dropped * keep_mask) if part is not None
            ]
            whole = sum(parts[1:], parts[0]) if parts else None
            return _formula(whole, grad_rstd, y, rstd, ctx.slope, ctx.scale), None, None, None
        return _by_image(one, y, rstd, ctx.slope, ctx.scale, keep_mask), None, None, None


def _statistics_type(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _forward(x: Tensor, slope: float, scale: float, keep_mask: Tensor | None) -> tuple[Tensor, ...]:
    """y = scale · leaky_relu((x − μ)/σ), 1/σ [B,C] over the pixels of every image and channel, and y · kept."""
    batch, channels, height, width = x.shape
    wide = _statistics_type(x)
    if x.dtype != wide and height * width >= 1024:
        # Its sums in one long row err by 1e-4, less than half precision rounds; for few pixels it is slow.
        gamma = torch.full((channels,), scale, dtype=wide)
        y, _, rstd = torch.native_group_norm(x, gamma, None, batch, channels, height * width, channels, EPS)
        F.leaky_relu_(y, slope)
        return (y, rstd) if keep_mask is None else (y, rstd, y * keep_mask)
    # Statistics of every column first: sums that are short are exact, and long vectors are fast.
    rows = _rows(x).to(wide)
    columns = [torch.batch_norm_update_stats(image, None, None, 0.0) for image in rows]
    means, variances = (
        torch.stack(moments).view(batch, width, channels) for moments in zip(*columns, strict=True)
    )
    rstd = (variances.mean(1) + means.var(1, correction=0) + EPS).rsqrt()
    factor = scale * rstd
    shift = -factor * means.mean(1)
    factors, shifts = (values.repeat(1, width)[:, None] for values in (factor, shift))
    outputs = [torch.empty_like(rows, dtype=x.dtype) for _ in range(1 if keep_mask is None else 2)]
    masks = None if keep_mask is None else _rows(keep_mask)
    for part in _parts(x):
        y = outputs[0][part]
        torch.addcmul(shifts[part], rows[part], factors[part], out=y)
        F.leaky_relu_(y, slope)
        if masks is not None:
            torch.mul(y, masks[part], out=outputs[1][part])
    y, *dropped = (values.view(batch, height, width, channels).permute(0, 3, 1, 2) for values in outputs)
    return y, rstd, *dropped


def _parts(x: Tensor) -> list[slice]:
    """Images that pass several operations together: one, so that it stays in the cache, or all if small."""
    return [slice(None)] if x[0].numel() <= SMALL else [slice(index, index + 1) for index in range(len(x))]


def _rows(x: Tensor) -> Tensor:
    """[B,C,H,W] in channels-last memory as [B,H,W·C]."""
    return x.permute(0, 2, 3, 1).flatten(2)


def _formula(
    grad: Tensor | None, grad_rstd: Tensor | None, y: Tensor, rstd: Tensor, slope: float, scale: float
) -> Tensor:
    """The gradient by x: with z the normalised values and g theirs, (g − mean g − z · mean(g z)) / σ."""
    wide = _statistics_type(y)
    z = F.leaky_relu(y, 1 / slope).to(wide) / scale
    inverse = rstd[:, :, None, None]
    gradient = torch.zeros_like(z)
    if grad is not None:
        g = scale * _LEAKY_BACKWARD(grad, y, slope, True).to(wide)
        gradient = (g - g.mean((2, 3), keepdim=True) - z * (g * z).mean((2, 3), keepdim=True)) * inverse
    if grad_rstd is not None:  # ∂(1/σ)/∂x = −z / (σ² · pixels)
        gradient = gradient - grad_rstd[:, :, None, None] * inverse**2 * z / z[0, 0].numel()
    return gradient.to(y.dtype)


def _by_image(
    grad: Tensor, y: Tensor, rstd: Tensor, slope: float, scale: float, keep_mask: Tensor | None
) -> Tensor:
    """``_formula`` by batch norm's kernels, image by image, so that what is between them stays in the cache."""
    grad = grad.contiguous(memory_format=torch.channels_last)
    channels = y.shape[1]
    mean, inverse = rstd.new_zeros(channels), rstd.new_full((channels,), 1 / scale)
    gamma = rstd * scale**2
    gradient = torch.empty_like(y)
    for part in _parts(y):
        g = grad[part] if keep_mask is None else grad[part] * keep_mask[part]
        g = _LEAKY_BACKWARD(g, y[part], slope, True)
        z = F.leaky_relu(y[part], 1 / slope)
        for into, *images, factor in zip(
            gradient[part].split(1), g.split(1), z.split(1), gamma[part], strict=True
        ):
            result = _NORM_BACKWARD(*images, factor, None, None, mean, inverse, True, EPS, [True, False, False])
            into.copy_(result[0])
    return gradient
