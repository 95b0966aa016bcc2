"""The data pipeline of a plain PyTorch script: PIL decodes, resizes and augments one image after another."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from mmtk.bench.data import BATCH, FILES


def batches(folder: str, size: int) -> dict[str, Any]:
    """Time batches of the same images and views as ``mmtk.bench.data.streams``.

    Returns ``seconds`` of each batch, and ``images``, its number of views.
    """
    paths = sorted((Path(folder) / "images").iterdir())
    augment = Augment(size)
    seconds = []
    for start in range(0, FILES, BATCH):
        batch_paths = paths[start : start + BATCH]
        start_time = time.perf_counter()
        torch.stack([_tensor(augment.weak(_open(path, size))) for path in batch_paths])  # labelled images
        images = [_open(path, size) for path in reversed(batch_paths)]  # unlabelled: two views of one image
        torch.stack([_tensor(augment.weak(image)) for image in images])
        torch.stack([_tensor(augment.strong(image)) for image in images])
        seconds.append(time.perf_counter() - start_time)
    return {"seconds": seconds, "images": 3 * BATCH}


class Augment:
    """Weak and strong views of square images of ``size`` pixels, with the operations of RandAugment."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.draw = np.random.default_rng(0)
        self.pool: list[Callable[[Image.Image, int], Image.Image]] = [
            lambda i, v: ImageOps.autocontrast(i),
            lambda i, v: _enhance(ImageEnhance.Brightness(i), v),
            lambda i, v: _enhance(ImageEnhance.Contrast(i), v),
            lambda i, v: ImageOps.equalize(i),
            lambda i, v: i,
            lambda i, v: ImageOps.posterize(i, 4 + 2 * v // 5),
            lambda i, v: i.rotate(3 * v),
            lambda i, v: _enhance(ImageEnhance.Sharpness(i), v),
            lambda i, v: _affine(i, 1, 0.03 * v, 0, 0, 1, 0),
            lambda i, v: _affine(i, 1, 0, 0, 0.03 * v, 1, 0),
            lambda i, v: ImageOps.solarize(i, 256 - 128 * v // 5),
            lambda i, v: _affine(i, 1, 0, 0.03 * v * size, 0, 1, 0),
            lambda i, v: _affine(i, 1, 0, 0, 0, 1, 0.03 * v * size),
        ]

    def weak(self, image: Image.Image) -> Image.Image:
        """Mirror half of the images, and shift by at most an eighth of the side."""
        reach = self.size // 8
        if self.draw.random() < 0.5:
            image = ImageOps.mirror(image)
        padded = Image.fromarray(np.pad(np.asarray(image), reach, mode="reflect"))
        x, y = self.draw.integers(0, 2 * reach + 1, 2).tolist()
        return padded.crop((x, y, x + self.size, y + self.size))

    def strong(self, image: Image.Image) -> Image.Image:
        """A weak view, then each of two random operations with probability 1/2."""
        image = self.weak(image)
        for number in self.draw.integers(0, len(self.pool), 2):
            if self.draw.random() < 0.5:
                image = self.pool[number](image, int(self.draw.integers(1, 10)))
        return image


def _open(path: Path, size: int) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("L").resize((size, size), Image.Resampling.BILINEAR)


def _enhance(enhancer: Any, magnitude: int) -> Image.Image:
    result: Image.Image = enhancer.enhance(0.05 + 0.09 * magnitude)
    return result


def _affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


def _tensor(image: Image.Image) -> torch.Tensor:
    return (torch.from_numpy(np.array(image)).float() / 255 - 0.5)[None] / 0.5
