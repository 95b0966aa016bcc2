"""A supervised loss."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from mmtk.api import Field, Loss


class Example(Loss):
    """Focal loss, −(1 − p)^focus · log p, p the probability of the truth (Lin et al. 2017), for both tasks.

    focus: how much less the easy pixels and images count, from 1; γ in the paper.
    """

    def __init__(self, exclusive: bool, *, focus: Annotated[float, Field(ge=1)] = 2.0) -> None:
        self.exclusive, self.focus = exclusive, focus

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Classes: [B,C], [B]. Masks: [B,K,H,W], [B,K,H,W] in {0, 1} with −1 ignored; 0 where all is ignored."""
        valid = target >= 0
        if target.ndim == 1:
            log_p = logits.log_softmax(1).gather(1, target.clamp_min(0)[:, None])[:, 0]
        elif self.exclusive:
            log_p = logits.log_softmax(1).gather(1, target.argmax(1, keepdim=True))
            valid = valid.all(1, keepdim=True)
        else:
            log_p = F.logsigmoid((2 * target - 1) * logits)
        loss = -((1 - log_p.exp()) ** self.focus) * log_p
        return (loss * valid).sum() / valid.sum().clamp_min(1)
