"""What a strategy remembers from step to step."""

from __future__ import annotations

import torch
from mmtk.api import StepContext
from torch import Tensor, nn


class State(nn.Module):
    """A tensor that each step changes once, in buffers: moved and checkpointed with the strategy.

    A step that is repeated starts again from what the steps before it left, so it repeats its terms.
    """

    value: Tensor
    past: Tensor
    step: Tensor

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", start.clone())
        self.register_buffer("past", start.clone())
        self.register_buffer("step", torch.tensor(-1))

    def before(self, now: StepContext) -> Tensor:
        """The value that the steps before this one left."""
        if int(self.step) != now.index:
            self.past.copy_(self.value)
            self.step.fill_(now.index)
        return self.past

    def average(self, batch: Tensor, momentum: float, now: StepContext) -> Tensor:
        """The exponential moving average, this step's ``batch`` included: m · value before + (1 − m) · batch."""
        self.value.copy_(momentum * self.before(now) + (1 - momentum) * batch)
        return self.value


def uniform(classes: int) -> State:
    """A running distribution over classes that starts at 1/C."""
    return State(torch.full((classes,), 1 / classes))


def align(p: Tensor, marginal: Tensor, target: Tensor) -> Tensor:
    """p · target / marginal, rows summing to 1: distribution alignment (ReMixMatch, Berthelot et al. 2020).

    p: [B,C]; marginal: the model's running mean prediction [C]; target: the class distribution wanted [C].
    """
    scaled = p * (target.clamp_min(1e-6) / marginal.clamp_min(1e-6))
    return scaled / scaled.sum(1, keepdim=True)
