"""Sources around another source."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import cast

import numpy as np
from mmtk.api import Item, MmtkError, Source, Split, Task
from mmtk.registry.factory import component


def inner_source(word: str, root: Path, task: Task) -> Source:
    """The source that a word names, with its default keys."""
    if word.rpartition("/")[2] in ("histogram", "lung-crop"):
        raise MmtkError(f"'{word}' changes the films of another source.", hint="Name a source that reads films.")
    return cast(Source, component("source", {"use": word}, {"root": root, "task": task}))


class Wrapped(Source):
    """Items, labels and files of another source; what becomes of its films a subclass says."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner
        self.labels, self.one_image_per_patient = inner.labels, inner.one_image_per_patient

    def items(self, split: Split) -> list[Item]:
        """The items of the other source."""
        return self.inner.items(split)

    def image(self, item: Item) -> np.ndarray:
        """The film of the other source."""
        return self.inner.image(item)

    def mask(self, item: Item) -> np.ndarray:
        """The mask of the other source."""
        return self.inner.mask(item)

    def files(self) -> list[Path]:
        """The files of the other source."""
        return self.inner.files()


def digest_of(*facts: object) -> str:
    """SHA-256 of facts that JSON holds."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
