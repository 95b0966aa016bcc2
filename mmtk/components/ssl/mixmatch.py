"""MixMatch (Berthelot et al. 2019), the paper's Enc-MM."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Term, Terms, Unlabelled


def sharpen(p: Tensor, temperature: float) -> Tensor:
    """p^(1/T) over its sum: [B,C] → [B,C] (MixMatch eq. 7)."""
    return (p.log() / temperature).softmax(1)  # as a power it would be 0/0 at low temperatures


def interleave(parts: list[Tensor]) -> list[Tensor]:
    """Swap rows so that the first part holds rows of all parts; its own inverse (the published code's trick)."""
    rows = len(parts[0])
    offsets = [rows * i // len(parts) for i in range(len(parts) + 1)]
    pieces = [[part[offsets[i] : offsets[i + 1]] for i in range(len(parts))] for part in parts]
    for i in range(1, len(parts)):
        pieces[0][i], pieces[i][i] = pieces[i][i], pieces[0][i]
    return [torch.cat(piece) for piece in pieces]


class MixMatch(SSL):
    """Guess labels from averaged, sharpened predictions, then mix labelled and unlabelled images.

    views: weak views per unlabelled image (K).
    temperature: of the sharpening (T).
    alpha: of Beta(α, α), drawn per sample.
    weight: factor of the unlabelled loss after the ramp (w, λ_U in the publication).
    ramp: share of the training over which the weight rises linearly from 0; 0 for none.
    """

    def __init__(
        self,
        classes: int,
        *,
        views: Annotated[int, Field(ge=1)] = 2,
        temperature: Annotated[float, Field(gt=0)] = 0.5,
        alpha: Annotated[float, Field(gt=0)] = 0.75,
        weight: Annotated[float, Field(ge=0)] = 75.0,
        ramp: Annotated[float, Field(ge=0, le=1)] = 1.0,
    ) -> None:
        super().__init__()
        self.views = {"weak": views}
        self.classes, self.temperature, self.alpha = classes, temperature, alpha
        self.weight, self.ramp = weight, ramp

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """CE on the mixed labelled part + w · mean over images and classes of (p − q)² on the unlabelled part."""
        weak = unlabelled["weak"]
        with torch.no_grad():
            guess = torch.stack([classify(view).softmax(1) for view in weak]).mean(0)
            guess = sharpen(guess, self.temperature)
        images = torch.cat([labelled.image, *weak])
        # Not one_hot, and copies without waiting: a GPU would be asked whether the classes fit.
        sure = torch.eye(self.classes, dtype=guess.dtype, device=guess.device)[labelled.target]
        targets = torch.cat([sure, *[guess] * len(weak)])
        generator = now.generator("mixmatch")
        order = torch.randperm(len(images), generator=generator).to(images.device, non_blocking=True)
        draws = np.random.default_rng(generator.initial_seed()).beta(self.alpha, self.alpha, len(images))
        share = torch.from_numpy(np.maximum(draws, 1 - draws)).to(guess, non_blocking=True)
        pixels = share[:, None, None, None].to(images.dtype)
        images = pixels * images + (1 - pixels) * images[order]
        targets = share[:, None] * targets + (1 - share[:, None]) * targets[order]
        logits = self._forward(classify, images, len(labelled.image))
        labelled_count = len(labelled.image)
        supervised = F.cross_entropy(logits[:labelled_count], targets[:labelled_count])
        guessed = (logits[labelled_count:].softmax(1) - targets[labelled_count:]).square().mean()
        weight = self.weight * now.ramp(self.ramp)
        terms = {"mixed-cross-entropy": Term(supervised), "mixed-squared-error": Term(guessed, weight)}
        if unlabelled.truth is not None:
            terms["pseudo-label-accuracy"] = Term((guess.argmax(1) == unlabelled.truth).float().mean(), 0)
        return terms

    @staticmethod
    def _forward(classify: Classify, images: Tensor, rows: int) -> Tensor:
        """One forward per part of ``rows`` images; only the first updates batch-norm statistics."""
        if len(images) % rows:
            return classify(images)
        parts = interleave(list(images.split(rows)))
        logits = [classify(part, statistics=i == 0) for i, part in enumerate(parts)]
        return torch.cat(interleave(logits))
