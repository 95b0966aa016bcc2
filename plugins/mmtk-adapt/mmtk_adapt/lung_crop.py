"""Films cropped to the lungs that a trained network finds."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from mmtk.api import Field, Item, MmtkError, Task
from mmtk.model.predictor import Predictor, load

from mmtk_adapt.wrapped import Wrapped, digest_of, inner_source


class LungCrop(Wrapped):
    """Films of another source, cropped to the box around the lungs that a finished run finds.

    of: word of the source
    run: folder of a finished run, or of an exported model, with masks
    margin: width added on every side, as a share of the box

    A film in which the run finds nothing stays as it is. Masks are cropped alike.
    """

    def __init__(
        self, root: Path, task: Task, *, of: str, run: str, margin: Annotated[float, Field(ge=0)] = 0.05
    ) -> None:
        super().__init__(inner_source(of, root, task))
        self.run, self.margin = Path(run), margin
        self.weights = next(
            (
                path
                for path in (self.run / "model.safetensors", self.run / "checkpoints/best.safetensors")
                if path.is_file()
            ),
            None,
        )
        if self.weights is None:
            cure = "Name a finished run: mmtk run umtl --out RUN trains one."
            raise MmtkError("has no weights, so no lungs can be found.", str(self.run), cure)

    @cached_property
    def predictor(self) -> Predictor:
        """The network of the run."""
        predictor = load(self.run, "cpu")
        if "segmentation" not in predictor.targets:
            raise MmtkError("was not trained for masks.", str(self.run), "Name a run with masks of lungs.")
        return predictor

    def box(self, item: Item) -> tuple[slice, slice]:
        """Rows and columns of a film around its lungs."""
        mask = self.predictor(self.inner.image(item)).mask
        return box_around(mask.any(0), self.margin)

    def image(self, item: Item) -> np.ndarray:
        """The part of the film."""
        return self.inner.image(item)[self.box(item)]

    def mask(self, item: Item) -> np.ndarray:
        """The part of the mask."""
        return self.inner.mask(item)[(slice(None), *self.box(item))]

    def digest(self) -> str:
        """SHA-256 of the source, the weights and the margin."""
        assert self.weights is not None
        weights = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        return digest_of("lung-crop", self.inner.digest(), weights, self.margin)


def box_around(mask: np.ndarray, margin: float) -> tuple[slice, slice]:
    """Rows and columns around a mask [H,W], with a share of the box on every side; all of an empty mask."""
    if not mask.any():
        return slice(None), slice(None)
    sides = []
    for axis in (1, 0):
        places = np.flatnonzero(mask.any(axis))
        first, after = int(places[0]), int(places[-1]) + 1
        width = round(margin * (after - first))
        sides.append(slice(max(first - width, 0), after + width))
    return sides[0], sides[1]
