"""The contracts: all that a component author imports.

A component's positional parameters are wired by name by the host (any subset of what it offers);
its annotated keyword-only parameters are the keys of its recipe table. The signature is the schema.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from mmtk import seeding
from mmtk.errors import MmtkError
from mmtk.io import distributed
from mmtk.jobs import Job, JobResult, Launcher
from mmtk.scores import ScoreInfo

__all__ = [
    "SSL",
    "Augment",
    "Bridge",
    "Classify",
    "Consistency",
    "Decoder",
    "Encoder",
    "Field",
    "Item",
    "Job",
    "JobResult",
    "LabelSpec",
    "Labelled",
    "Launcher",
    "Loss",
    "Metric",
    "MmtkError",
    "Prediction",
    "ScoreInfo",
    "Segment",
    "Source",
    "Split",
    "StepContext",
    "Strategy",
    "Supervised",
    "Task",
    "Term",
    "Terms",
    "Twin",
    "Unlabelled",
    "View",
]

Task = Literal["classification", "segmentation"]
Split = Literal["train", "val", "test", "all"]


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
        return seeding.generator(self.seed, "step", purpose, self.index, *self.own)

    @property
    def own(self) -> tuple[str, ...]:
        """What this rank adds to the key of a draw for its own rows: nothing on the first."""
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
        return self.views[view]


@dataclass
class Prediction:
    """What a model says: class logits [B,C], mask logits [B,K,H,W], saliency [B,1,H,W]; None where absent."""

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


class Encoder(nn.Module, ABC):
    """(in_channels, *, …) → features fine → coarse; ``channels`` and ``strides`` describe them."""

    channels: Sequence[int]
    strides: Sequence[int]

    @abstractmethod
    def forward(self, x: Tensor) -> list[Tensor]:
        """[B,C,H,W] → one [B,channels[i],H/strides[i],W/strides[i]] per level."""


class Decoder(nn.Module, ABC):
    """(channels, strides, classes, *, …): ``channels`` already counts what a bridge adds to its level."""

    @abstractmethod
    def forward(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Features fine → coarse → logits [B,classes,H,W] at ``size``."""


class Bridge(nn.Module, ABC):
    """(in_channels, *, …): what the class branch tells the decoder; joined to the skip of ``stride``.

    A bridge goes one way, from the class branch to the decoder: it sees the images and ``classify``, never a
    mask, and its tensor joins the encoder's features of ``stride`` in front of the decoder. Gradients of the
    segmentation loss pass through what it returns unless it is detached. It may have parameters; they are
    trained with the network. ``channels = 0`` joins nothing.
    """

    channels: int
    stride: int

    @abstractmethod
    def forward(self, x: Tensor, classify: Classify) -> tuple[Tensor, Tensor | None]:
        """Images → ([B,channels,H/stride,W/stride], a map [B,1,H,W] to show or None).

        ``classify`` runs with dropout off, norms frozen, in fp32, and also under an outer ``no_grad``.
        """


class Strategy(nn.Module, ABC):
    """Base of ``SSL`` and ``Consistency``: the whole objective of one task.

    ``views`` declares the views of unlabelled images that it reads, and may depend on the keys. A strategy that
    needs no unlabelled images gets an empty ``unlabelled``, its image [0,C,H,W]. Its own parameters are trained
    with the network.
    """

    views: Mapping[str, int | View] = {}
    unlabelled_stream: ClassVar[bool] = True

    @property
    def declared_views(self) -> dict[str, View]:
        """The views by name; a number stands for so many views of the images themselves."""
        return {name: view if isinstance(view, View) else View(view) for name, view in self.views.items()}

    @property
    def needs_unlabelled(self) -> bool:
        """Whether the host has to read unlabelled images for it."""
        return bool(self.views) or self.unlabelled_stream


class SSL(Strategy):
    """(supervised, *, …): the whole classification objective.

    Unlabelled images come with the declared views; ``unlabelled_stream = True`` asks for them without a view.
    """

    unlabelled_stream = False

    @abstractmethod
    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """The terms of one step, by name.

        classify: predicts class logits [B,classes] of images
        labelled: labelled images of the step, with their classes
        unlabelled: unlabelled images of the step, with the declared views; none without a stream
        now: seed, progress and ranks of the step
        """


class Consistency(Strategy):
    """(supervised, *, …): the whole segmentation objective.

    ``unlabelled_stream = False`` says that the strategy needs no unlabelled images at all.
    """

    @abstractmethod
    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """The terms of one step, by name.

        segment: predicts mask logits [B,K,H,W] of images
        labelled: labelled images of the step, with their masks
        unlabelled: unlabelled images of the step, with the declared views; none without a stream
        now: seed, progress and ranks of the step
        """


class Loss(ABC):
    """(classes, exclusive, class_weights, *, …): logits and target → a scalar, smallest at the target.

    ``tasks`` names the tasks that the loss serves: ``tasks = ("segmentation",)`` for a loss of masks only. A
    recipe that uses it for another task is refused by ``mmtk check``. Logits are float32, or float64 where the
    run is.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("classification", "segmentation")

    @abstractmethod
    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Classes: [B,C], [B]. Masks: [B,K,H,W], [B,K,H,W] in {0, 1} with −1 ignored."""


class Augment(ABC):
    """(swap, *, …): ``swap`` lists the mask channels that a horizontal flip exchanges.

    ``uint8`` says that it takes 8-bit gray levels too, uint8 [B,C,H,W] → uint8: a quarter of the memory to move.
    """

    uint8: ClassVar[bool] = False

    @abstractmethod
    def __call__(
        self, images: Tensor, generator: torch.Generator, masks: Tensor | None = None, geometric: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] in [0, 1] (and masks [B,K,H,W]) → the same shapes; parameters drawn per image.

        ``generator`` is a CPU generator on every device; ``geometric=False`` keeps every pixel in its place.
        """


@dataclass(frozen=True)
class LabelSpec:
    """What a source labels: names of classes or mask channels.

    ``exclusive`` masks have one class per pixel (softmax, channel 0 is the background), others are
    independent (sigmoid). ``swap`` lists pairs of channels that a horizontal flip exchanges.
    """

    task: Task
    names: tuple[str, ...]
    exclusive: bool = True
    swap: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Item:
    """One image of a source: where it lies, its label, whose it is, its pixel spacing in mm (row, column).

    ``target`` is a class index, or whatever ``Source.mask`` needs to read the mask; None: no label known.
    """

    id: str
    image: Any
    target: Any
    patient: str
    spacing: tuple[float, float] | None = None


class Source(ABC):
    """(root, *, …): a data set; ids and splits are the same on every machine."""

    labels: LabelSpec

    @abstractmethod
    def items(self, split: Split) -> list[Item]:
        """The items of a split, ordered by id; splits are disjoint by id and by patient."""

    def image(self, item: Item) -> np.ndarray:
        """Pixels [H,W] or [H,W,C], uint8; deeper images mapped to 8 bits per image."""
        from mmtk.images.loader import read_image

        return read_image(Path(item.image))

    def mask(self, item: Item) -> np.ndarray:
        """Mask [K,H,W], uint8 in {0, 1} with 255 ignored; segmentation sources only."""
        raise MmtkError(f"{type(self).__name__} has no masks")

    @abstractmethod
    def digest(self) -> str:
        """A hash of the content (files and labels) that changes whenever a result could."""

    def files(self) -> list[Path]:
        """Every file that is read, for inspection; empty for a synthetic source."""
        return []


class Metric(ABC):
    """(names, exclusive, spacing, *, …): scores of one task over a data set.

    ``spacing`` maps an id to (row, column) in mm per pixel at run size; ids without one are absent. ``scores``
    declares what ``compute`` gives, in the order in which it is shown; it may depend on the names and the keys.
    A score that is not declared is a row in the table of all scores, and nothing else.
    """

    task: ClassVar[Task]
    scores: Mapping[str, ScoreInfo] = {}

    @abstractmethod
    def update(self, logits: Tensor, target: Tensor, ids: Sequence[str]) -> None:
        """Add a batch: logits as the model gives them, fp32, on the CPU."""

    @abstractmethod
    def merge(self, other: Metric) -> None:
        """Add what another instance has seen, so that two halves equal the whole."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Every score by name over all that was added."""

    def calibrate(self, validation: Metric) -> None:  # noqa: B027 - optional hook
        """Take what may be chosen on validation (a threshold) from an instance that has seen it."""

    def per_image(self) -> dict[str, list[Any]]:
        """Values per image as columns, with ``id`` first; empty where a score has none."""
        return {}
