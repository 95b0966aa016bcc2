"""The building block that the paper's encoder and decoder share (Tables 4 and 5)."""

from __future__ import annotations

from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from mmtk.components._norm_leaky import norm_leaky

NEGATIVE_SLOPE = 0.2


class Dropout(nn.Dropout):
    """Dropout of single values, from bytes on a CPU: ``bernoulli_`` there is single-threaded and 7 times slower.

    On a CPU ``p`` is rounded to a multiple of 1/256 (0.25 is exact). Draws from torch's global generator.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[…] → […]: values dropped in training mode, the rest scaled by 1/(1 − p)."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        return x * self.kept(x.shape) * self.scale

    @property
    def scale(self) -> float:
        """The factor of the values that are kept, on a CPU; 1 where nothing is dropped."""
        return 256 / (256 - self._cut) if self.training else 1.0

    @property
    def _cut(self) -> int:
        return min(255, round(256 * self.p))

    def kept(self, shape: torch.Size) -> Tensor:
        """A fresh mask of bytes: 0 where a value is dropped, else 1; images' in channels-last memory."""
        # Random numbers are the slow part, drawn by one thread: a chance in quarters needs two bits of them.
        bits = next(bits for bits in (2, 4, 8) if self._cut % 2 ** (8 - bits) == 0)
        size = -(-shape.numel() * bits // 8)
        # Without bounds random_() leaves the top bit of every word 0.
        random_bytes = (
            torch.empty((size + 7) // 8, dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)[:size]
        )
        parts = torch.empty(8 // bits, size, dtype=torch.uint8)
        for number, part in enumerate(parts):
            low = number * bits
            torch.bitwise_and(random_bytes, (2**bits - 1) << low, out=part)
            # In place the comparison takes a fortieth of the time: it is vectorised for bytes only.
            part.ge_(self._cut >> (8 - bits) << low)
        mask = parts.view(-1)[: shape.numel()]
        if len(shape) != 4:
            return mask.view(shape)
        batch, channels, height, width = shape
        return mask.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """The probability, for printing."""
        return f"p={self.p}"


class Block(nn.Sequential):
    """2 × [convolution 3×3 → instance norm → leaky ReLU 0.2], then dropout (Table 4).

    On a CPU the layers run fused, with equal results but for rounding, unless something wants to see each of them.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [
                nn.Conv2d(channels, outputs, 3, padding=1),
                nn.InstanceNorm2d(outputs),
                nn.LeakyReLU(NEGATIVE_SLOPE),
            ]
        super().__init__(*layers, Dropout(dropout))

    def forward(self, *parts: Tensor) -> Tensor:
        """Parts [B,c,H,W] of the input, by channels → [B,outputs,H,W]."""
        if parts[0].device.type != "cpu" or self._watched():
            out: Tensor = super().forward(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
            return out
        first, second, dropout = cast(tuple[nn.Conv2d, nn.Conv2d, Dropout], (self[0], self[3], self[6]))
        x = norm_leaky(_convolved(parts, first), NEGATIVE_SLOPE)
        x = second(x)
        keep_mask = dropout.kept(x.shape) if dropout.training and dropout.p else None
        # The factor of dropout costs nothing in the norm.
        return norm_leaky(x, NEGATIVE_SLOPE, dropout.scale, keep_mask)

    def _watched(self) -> bool:
        """Whether a hook waits at a layer, or a tracer or counter follows every operation."""
        hooks = chain.from_iterable((m._forward_hooks, m._forward_pre_hooks) for m in self)
        return is_in_torch_dispatch_mode() or any(hooks)


def _convolved(parts: tuple[Tensor, ...], convolution: nn.Conv2d) -> Tensor:
    """The convolution of the concatenated parts, without the copies of a concatenation."""
    parts = tuple(channels_last(part) for part in parts)
    if len(parts) == 1:
        return cast(Tensor, convolution(parts[0]))
    weights = convolution.weight.split([part.shape[1] for part in parts], dim=1)
    whole = F.conv2d(parts[0], weights[0], convolution.bias, padding=convolution.padding)
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        whole += F.conv2d(part, weight, padding=convolution.padding)
    return whole


def channels_last(x: Tensor) -> Tensor:
    """[B,C,H,W] in channels-last memory; of one channel too, where ``contiguous`` would see no difference."""
    if x.shape[1] == 1:
        return x[:, 0].contiguous()[..., None].permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last)
