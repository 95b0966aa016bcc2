"""A data source."""

from __future__ import annotations

import hashlib
from typing import Annotated

import numpy as np

from mmtk.api import Field, Item, LabelSpec, Source, Split, Task

VERSION = 1  # of the drawing: raise it whenever a pixel changes, for it is part of the digest
PARTS: tuple[Split, ...] = ("train", "val", "test")


class Example(Source):
    """Discs and squares on noise, drawn in code: their two classes, or the mask of the shape.

    train: images to learn from.
    val: images to choose the best weights by.
    test: images to score.
    size: side of the images in pixels.
    """

    def __init__(
        self,
        task: Task,
        *,
        train: Annotated[int, Field(ge=2)] = 120,
        val: Annotated[int, Field(ge=2)] = 20,
        test: Annotated[int, Field(ge=2)] = 40,
        size: Annotated[int, Field(ge=16)] = 64,
    ) -> None:
        self.counts, self.size, self.task = (train, val, test), size, task
        if task == "classification":
            self.labels = LabelSpec(task, ("disc", "square"))
        else:
            self.labels = LabelSpec(task, ("shape",), exclusive=False)

    def items(self, split: Split) -> list[Item]:
        """Ids tell part and number; every image is a patient. Files would be listed here."""
        chosen = PARTS if split == "all" else (split,)
        items = [
            Item(name, name, number % 2 if self.task == "classification" else name, patient=name)
            for part, count in zip(PARTS, self.counts, strict=True)
            if part in chosen
            for number in range(count)
            for name in [f"{part}-{number:05}"]
        ]
        return sorted(items, key=lambda item: item.id)

    def image(self, item: Item) -> np.ndarray:
        """Pixels [H,W], uint8. A file would be read here; without this method ``item.image`` is a path."""
        shape, draw = self._shape(item)
        noise = draw.normal(60, 25, shape.shape)
        return np.clip(noise + 110 * shape, 0, 255).astype(np.uint8)

    def mask(self, item: Item) -> np.ndarray:
        """The shape, [1,H,W], uint8 in {0, 1}."""
        return self._shape(item)[0][None].astype(np.uint8)

    def digest(self) -> str:
        """A hash of all that decides a pixel or a label; of files it would be their content."""
        facts = (VERSION, self.task, self.counts, self.size)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def _shape(self, item: Item) -> tuple[np.ndarray, np.random.Generator]:
        """Where the shape is, bool [H,W], and the image's generator; the id alone decides."""
        part, _, number = item.id.partition("-")
        draw = np.random.default_rng([PARTS.index(part), int(number)])
        row, column = draw.uniform(0.35, 0.65, 2)
        radius = draw.uniform(0.15, 0.3)
        grid = (np.arange(self.size) + 0.5) / self.size
        down, right = np.abs(grid[:, None] - row), np.abs(grid - column)
        square = int(number) % 2
        return (np.maximum(down, right) if square else np.hypot(down, right)) <= radius, draw
