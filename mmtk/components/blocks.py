"""The building block that the paper's encoder and decoder share (Tables 4 and 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NEGATIVE_SLOPE = 0.2


class Dropout(nn.Module):
    """Dropout of single values, from bytes on a CPU: ``bernoulli_`` there is single-threaded and 7 times slower.

    On a CPU ``p`` is rounded to a multiple of 1/256 (0.25 is exact). Draws from torch's global generator.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """[…] → […]: values dropped in training mode, the rest scaled by 1/(1 − p)."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        cut = min(255, round(256 * self.p))
        # Without bounds random_() leaves the top bit of every word 0.
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= cut
        return x * kept.to(x.dtype).mul_(256 / (256 - cut))

    def extra_repr(self) -> str:
        """The probability, for printing."""
        return f"p={self.p}"


class Block(nn.Sequential):
    """2 × [convolution 3×3 → instance norm → leaky ReLU 0.2], then dropout (Table 4)."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [
                nn.Conv2d(channels, outputs, 3, padding=1),
                nn.InstanceNorm2d(outputs),
                nn.LeakyReLU(NEGATIVE_SLOPE),
            ]
        super().__init__(*layers, Dropout(dropout))
