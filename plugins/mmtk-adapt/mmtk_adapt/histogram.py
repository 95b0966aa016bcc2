"""Films with the gray levels of another source."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from mmtk.api import Field, Item, Task

from mmtk_adapt.wrapped import Wrapped, digest_of, inner_source


class Histogram(Wrapped):
    """Films of one source, each with the mean histogram of another source's training films.

    of: word of the source whose films are changed
    to: word of the source whose gray levels they get
    films: training films of ``to`` that give the histogram, the first ones by id

    Labels of neither are used. Every film is matched alone, so no other film is needed when one is read.
    """

    def __init__(
        self, root: Path, task: Task, *, of: str, to: str, films: Annotated[int, Field(ge=1)] = 64
    ) -> None:
        super().__init__(inner_source(of, root, task))
        self.other, self.films = inner_source(to, root, task), films

    @cached_property
    def shares(self) -> np.ndarray:
        """[256] Share of the pixels up to each gray level in the films of the other source."""
        items = self.other.items("train")[: self.films] or self.other.items("all")[: self.films]
        return np.mean([shares(gray(self.other.image(item))) for item in items], axis=0)

    def image(self, item: Item) -> np.ndarray:
        """The film with the other gray levels."""
        return matched(self.inner.image(item), self.shares)

    def digest(self) -> str:
        """SHA-256 of both sources and the keys."""
        return digest_of("histogram", self.inner.digest(), self.other.digest(), self.films)


def gray(image: np.ndarray) -> np.ndarray:
    """[H,W] or [H,W,C] → the mean over channels as uint8 [H,W]."""
    return image if image.ndim == 2 else np.rint(image.mean(-1)).astype(np.uint8)


def shares(image: np.ndarray) -> np.ndarray:
    """[256] Share of the pixels of a film up to each gray level."""
    return np.bincount(image.ravel(), minlength=256).cumsum() / image.size


def matched(image: np.ndarray, wanted_shares: np.ndarray) -> np.ndarray:
    """A film whose gray levels have the shares [256] of others (Gonzalez and Woods, histogram specification).

    Level g becomes the lowest level with at least the share of g. Levels keep their order.
    """
    levels = np.searchsorted(wanted_shares, shares(gray(image)) - 1e-12, "left").clip(max=255)
    return levels.astype(np.uint8)[image]
