"""Values and calls of a training step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from mmtk import seeding
from mmtk.errors import MmtkError
from mmtk.io import distributed


@dataclass(eq=False)
class Term:
    """One summand of the objective: total = Σ weight · value; weight 0 means logged only.

    ``active`` is the share of the batch that took part (0…1): 0 explains a term that is exactly zero, and what
    is logged only is left out of that step.
    """

    value: Tensor
    weight: float = 1.0
    active: Tensor | float = 1.0


Terms = dict[str, Term]


@dataclass(frozen=True)
class StepContext:
    """The step a strategy is called in; all randomness of a strategy comes from ``generator``.

    A run on several devices has ``world`` ranks, each with its own rows of the batch. The host takes the mean of
    every term over the ranks, so whatever is no mean over images needs ``gather`` for its statistics. All ranks
    must call the networks and ``gather`` equally often.
    """

    seed: int
    index: int
    total: int
    rank: int = 0
    world: int = 1

    @property
    def progress(self) -> float:
        """The share of training done, in [0, 1]."""
        return min(1.0, self.index / max(1, self.total - 1))

    def ramp(self, length: float, shape: Literal["linear", "sigmoid"] = "linear") -> float:
        """A weight's rise x from 0 to 1 over the first ``length`` (0…1) of training; 1 throughout where that is 0.

        ``sigmoid`` is exp(−5 (1 − x)²), 0.0067 at the start (Laine and Aila 2017).
        """
        x = min(1.0, self.progress / length) if length else 1.0
        return x if shape == "linear" else math.exp(-5 * (1 - x) ** 2)

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator keyed by (seed, purpose, step), and by the rank where it is not the first.

        ``dataclasses.replace(now, rank=0)`` draws what all ranks share.
        """
        return seeding.generator(self.seed, "step", purpose, self.index, *self.rank_key)

    @property
    def rank_key(self) -> tuple[str, ...]:
        """Extra seed key of a rank for draws of its own rows; empty on the first rank."""
        return (f"rank-{self.rank}",) if self.rank else ()

    def gather(self, tensor: Tensor) -> Tensor:
        """Rows of all ranks concatenated, without gradient, so that cross-image statistics stay right."""
        return tensor.detach() if self.world == 1 else distributed.gather(tensor)


@dataclass(frozen=True)
class View:
    """A view a strategy asks for: how many, of which other view it starts, whether geometry may change."""

    count: int = 1
    on: str | None = None
    geometric: bool = True


@dataclass(frozen=True)
class Labelled:
    """Labelled images [B,C,H,W]; target [B] (classes) or [B,K,H,W] (masks 0/1, −1 ignored).

    Images are in [−1, 1], 2v − 1 of gray levels v in [0, 1], after the augmentation of the task (``augment.weak``,
    ``augment.segmentation``); classification with ``data.classification.normalise = false``: in [0, 1].

    ``index`` [B] says which of the labelled images each is, from 0.
    """

    image: Tensor
    target: Tensor
    index: Tensor


@dataclass(frozen=True)
class Unlabelled:
    """Unlabelled images and the declared views: ``unlabelled["weak"]`` is a tuple of [B,C,H,W].

    ``index`` [B] says which of the ``unlabelled_size`` unlabelled images each is, from 0.
    ``truth`` holds the hidden labels where the host knows them: for logging only, never for a loss.
    """

    image: Tensor
    index: Tensor
    views: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    truth: Tensor | None = None

    def __getitem__(self, view: str) -> tuple[Tensor, ...]:
        if view not in self.views:
            hint = f"Declare it in the strategy's views. Declared: {', '.join(self.views) or 'none'}."
            raise MmtkError(f"the view '{view}' of unlabelled images is not declared.", hint=hint)
        return self.views[view]


@dataclass
class Prediction:
    """Output of a model: class logits [B,C], mask logits [B,K,H,W], saliency [B,1,H,W]; None where absent."""

    classification: Tensor | None = None
    segmentation: Tensor | None = None
    saliency: Tensor | None = None


class Classify(Protocol):
    """Images [B,C,H,W] → class logits [B,classes]; ``statistics=False`` leaves batch-norm statistics alone.

    In a strategy: logits are float32 under any precision of the run, and gradients pass to the images too
    (``torch.autograd.grad`` works); dropout is on, and two calls draw two masks; statistics of batch norm are
    updated by calls that record gradients only, so a target under ``torch.no_grad()`` leaves them alone.
    """

    def __call__(self, images: Tensor, *, statistics: bool = True) -> Tensor:
        """The task's logits."""
        ...

    def features(self, images: Tensor) -> list[Tensor]:
        """The encoder's feature maps, fine → coarse."""
        ...

    def head(self, features: list[Tensor]) -> Tensor:
        """Class logits from feature maps."""
        ...


class Segment(Protocol):
    """Images [B,C,H,W] → mask logits [B,K,H,W]; ``statistics=False`` leaves batch-norm statistics alone.

    In a strategy it behaves as ``Classify`` does. The bridge runs for these images, in evaluation mode.
    """

    def __call__(self, images: Tensor, *, statistics: bool = True) -> Tensor:
        """The task's logits."""
        ...


class Supervised(Protocol):
    """The task's supervised loss as terms; ``logits`` saves a second forward."""

    def __call__(self, predict: Any, labelled: Labelled, logits: Tensor | None = None) -> Terms:
        """The weighted supervised terms."""
        ...


class Twin(Protocol):
    """Makes a second network of the task: trained (``twin()``) or an EMA copy (``twin(decay=0.999)``)."""

    def __call__(self, decay: float | None = None) -> nn.Module:
        """A module: images → the task's logits."""
        ...
