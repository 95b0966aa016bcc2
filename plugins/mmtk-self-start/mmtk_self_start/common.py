"""Parts of every self-supervised strategy: the probe, pooled features, and the monitor of collapse."""

from __future__ import annotations

import torch
from mmtk.api import Classify, Labelled, MmtkError, StepContext, Supervised, Terms
from torch import Tensor
from torch.nn import functional as F

EVERY = 50  # steps between two looks at collapse: each waits for a value of the device


def probe(supervised: Supervised, classify: Classify, labelled: Labelled) -> Terms:
    """The supervised loss of a head on features that it does not teach: validation then says how good they are."""
    with torch.no_grad():
        features = classify.features(labelled.image)
    return supervised(classify, labelled, classify.head(features))


def pooled(features: list[Tensor]) -> Tensor:
    """Means of the coarsest feature map [B,C], at least float32."""
    coarsest = features[-1]
    return coarsest.to(torch.promote_types(coarsest.dtype, torch.float32)).mean((2, 3))


def spread(vectors: Tensor) -> Tensor:
    """Standard deviation over images of vectors [B,C] of length 1, times √C: 0 is collapse, 1 as on a sphere.

    Chen and He 2021 watch a network by it.
    """
    return F.normalize(vectors.detach().float(), dim=1).std(0, correction=0).mean() * vectors.shape[1] ** 0.5


def refuse_collapse(value: Tensor, least: float, now: StepContext) -> None:
    """Raise MmtkError where the spread of a step is below ``least``; looked at in every 50th step."""
    if least and now.index % EVERY == EVERY - 1 and float(value) < least:
        raise MmtkError(
            f"the features of all images are nearly the same in step {now.index + 1}: their spread is "
            f"{float(value):.4f}, below {least:g}. The encoder has collapsed.",
            hint="Lower train.lr, take larger batches or stronger views; ssl.collapse = 0 goes on all the same.",
        )
