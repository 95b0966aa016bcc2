"""Contrastive learning of features (SimCLR; Chen et al., ICML 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Term, Terms, Unlabelled
from torch import Tensor, nn
from torch.nn import functional as F

from mmtk_self_start.common import pooled, probe, refuse_collapse, spread


class SimCLR(SSL):
    """Two strong views of an image have like features, other images of the batch unlike ones.

    No label reaches the encoder. The class head learns beside it on its features, so validation chooses the step
    whose features tell the classes apart best.

    width: of the projection that is compared
    temperature: of the contrast: below it, near images count more
    collapse: spread of the projections below which the run ends; 0: never
    """

    views = {"strong": 2}

    def __init__(
        self,
        supervised: Supervised,
        channels: Sequence[int],
        *,
        width: Annotated[int, Field(ge=2)] = 128,
        temperature: Annotated[float, Field(gt=0)] = 0.2,
        collapse: Annotated[float, Field(ge=0, lt=1)] = 0.02,
    ) -> None:
        super().__init__()
        self.supervised, self.temperature, self.collapse = supervised, temperature, collapse
        last = channels[-1]
        self.projector = nn.Sequential(nn.Linear(last, last), nn.ReLU(), nn.Linear(last, width))

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """The probe's loss, the contrast of the views of this rank, and the spread of their projections."""
        terms = probe(self.supervised, classify, labelled)
        vectors = torch.cat([pooled(classify.features(view)) for view in unlabelled["strong"]])
        # Standardised over the batch, as by the paper's batch norm: means of normalised maps differ little.
        one, other = self.projector(F.batch_norm(vectors, None, None, training=True)).chunk(2)
        value = spread(one)
        refuse_collapse(value, self.collapse, now)
        return terms | {"simclr": Term(contrast(one, other, self.temperature)), "spread": Term(value, 0.0)}


def contrast(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """NT-Xent of the projections [B,D] of two views (eq. 1 of the paper), the mean over both.

    −log exp(s(i, j) / T) / Σ_{k ≠ i} exp(s(i, k) / T), with cosines s and j the other view of i.
    """
    both = F.normalize(torch.cat([one, other]).float(), dim=1)
    similar = both @ both.T / temperature
    similar = similar.masked_fill(torch.eye(len(both), dtype=torch.bool, device=both.device), -torch.inf)
    partners = torch.arange(len(both), device=both.device).roll(len(one))
    return F.cross_entropy(similar, partners)
