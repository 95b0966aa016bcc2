"""Contract of data sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mmtk.errors import MmtkError

Task = Literal["classification", "segmentation"]


Split = Literal["train", "val", "test", "all"]


@dataclass(frozen=True)
class LabelSpec:
    """Labels of a source: names of classes or mask channels.

    ``exclusive`` masks have one class per pixel (softmax, channel 0 is the background), others are
    independent (sigmoid). ``swap`` lists pairs of channels that a horizontal flip exchanges.
    """

    task: Task
    names: tuple[str, ...]
    exclusive: bool = True
    swap: tuple[tuple[int, int], ...] = ()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Turn logits [B,C] or [B,K,H,W] into probabilities.

        Classes and exclusive channels have a softmax, independent channels sigmoids.
        """
        return logits.softmax(1) if self.exclusive or self.task == "classification" else logits.sigmoid()

    def decode(self, logits: Tensor) -> Tensor:
        """Turn logits into predictions: class indices [B], or masks [B,K,H,W] of boolean, one for each channel.

        Of exclusive channels a pixel has the likeliest one, of others all with a probability from 0.5 on.
        """
        if self.task == "classification":
            return logits.argmax(1)
        if self.exclusive:
            return torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1]).movedim(-1, 1).bool()
        return logits.sigmoid() >= 0.5


@dataclass(frozen=True)
class Item:
    """One image of a source: where it lies, its label, whose it is, its pixel spacing in mm (row, column).

    ``target`` is a class index, or whatever ``Source.mask`` needs to read the mask; None: no label known.
    ``metadata`` is what else is known of the image, texts or numbers by name (``{"view": "PA", "age": 58.0}``);
    what is not known is absent. It goes into results, is never trained on, and names no person.
    ``boxes`` are places of what the label names, as shares of the image: (left, top, width, height).
    """

    id: str
    image: Any
    target: Any
    patient: str
    spacing: tuple[float, float] | None = None
    metadata: Mapping[str, str | float] = field(default_factory=dict, compare=False)
    boxes: tuple[tuple[float, float, float, float], ...] = field(default=(), compare=False)


class Source(ABC):
    """(root, *, …): a data set; ids and splits are the same on every machine.

    ``one_image_per_patient`` declares that items whose patient is their id are each the only image of a person.
    Without it such items have no known patient, and statistics say that images are taken as independent.
    """

    labels: LabelSpec
    one_image_per_patient: bool = False

    @abstractmethod
    def items(self, split: Split) -> list[Item]:
        """The items of a split, ordered by id; splits are disjoint by id and by patient."""

    def image(self, item: Item) -> np.ndarray:
        """Pixels [H,W] or [H,W,C], uint8; deeper images mapped to 8 bits per image."""
        from mmtk.images.loader import read_image

        return read_image(Path(item.image))

    def mask(self, item: Item) -> np.ndarray:
        """Mask [K,H,W], uint8 in {0, 1} with 255 ignored; segmentation sources only."""
        raise MmtkError(
            f"{type(self).__name__} has no masks.", hint="A source for segmentation has the method mask."
        )

    @abstractmethod
    def digest(self) -> str:
        """A hash of the content (files and labels) that changes whenever a result could."""

    def files(self) -> list[Path]:
        """Every file that is read, for inspection; empty for a synthetic source."""
        return []
