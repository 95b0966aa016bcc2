"""FreeMatch's fairness among classes (Wang et al., ICLR 2023, eqs. 9 to 11)."""

from __future__ import annotations

import torch
from mmtk.api import StepContext
from torch import Tensor
from torch.nn import functional as F


def mean_of_all(rows: Tensor, now: StepContext) -> Tensor:
    """The mean over the rows of all ranks; the gradient goes through this rank's own."""
    own = rows.mean(0)
    return own + (now.gather(rows).mean(0) - own.detach())


def fairness(expected: Tensor, p: Tensor, accepted: Tensor, now: StepContext) -> tuple[Tensor, Tensor]:
    """Σ a log b: a = p̃/h̃ and b = p̄/h̄, both scaled to sum 1; and the share of the batch that took part.

    expected: p̃/h̃ [C]; p: strong predictions [B,C]; accepted: [B] of 0 and 1. p̄ is the mean of the accepted
    predictions, h̄ the histogram of their classes. A class that nothing accepted was predicted as is left out
    of the sum; where fewer than two are left, b is 1, nothing can be compared, and the share is 0.
    """
    mean = mean_of_all(accepted[:, None] * p, now)
    classes = F.one_hot(p.detach().argmax(1), p.shape[1]).to(p)
    histogram = now.gather(accepted[:, None] * classes).mean(0)
    present = histogram > 0
    ratio = torch.where(present, mean / histogram.clamp_min(1e-6), 0)
    found = torch.where(present, ratio / ratio.sum().clamp_min(1e-6), 1)
    share = accepted.mean() * (present.sum() > 1)
    return (expected / expected.sum() * found.log()).sum(), share
