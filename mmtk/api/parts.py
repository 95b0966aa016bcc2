"""Contracts of the parts of a method: network, strategies, loss, augmentation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmtk.api.data import Task
from mmtk.api.step import Classify, Labelled, Segment, StepContext, Terms, Unlabelled, View


class Encoder(nn.Module, ABC):
    """(in_channels, *, …) → features fine → coarse; ``channels`` and ``strides`` describe them.

    ``pretrained_pixels`` holds the mean and the standard deviation, a value a channel, of pixels in [0, 1] as
    weights files of the architecture expect them; the host absorbs the difference to its own images, which lie in
    [−1, 1]. None: the weights expect such images.

    ``pretrained_file`` names a file of weights that the host loads where the recipe names none.
    """

    channels: Sequence[int]
    strides: Sequence[int]
    pretrained_pixels: tuple[Sequence[float], Sequence[float]] | None = None
    pretrained_file: Path | None = None

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
