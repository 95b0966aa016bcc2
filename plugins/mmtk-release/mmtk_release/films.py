"""One image at a time, as the released loaders treat them: gray levels and masks as arrays, flip and crop."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Generator, Tensor

Film = np.ndarray  # uint8 [channels,H,W]: gray levels, or masks with 255 for what is ignored
Change = Callable[[Film, Film | None, random.Random], tuple[Film, Film | None]]


def each(
    images: Tensor, masks: Tensor | None, generator: Generator, change: Change
) -> tuple[Tensor, Tensor | None]:
    """Apply ``change`` to every image [B,C,H,W] in [0, 1] and its masks, each with random numbers of its own."""
    seeds = torch.randint(2**62, (len(images),), generator=generator).tolist()
    films = (images * 255).round().clamp(0, 255).byte().cpu().numpy()
    signs = None if masks is None else torch.where(masks < 0, 255.0, masks).byte().cpu().numpy()
    done = [
        change(film, None if signs is None else signs[i], random.Random(seed))
        for i, (film, seed) in enumerate(zip(films, seeds, strict=True))
    ]
    seen = torch.from_numpy(np.stack([film for film, _ in done])).to(images) / 255
    moved = None
    if masks is not None:
        moved = torch.from_numpy(np.stack([np.asarray(sign) for _, sign in done])).to(masks)
        moved = torch.where(moved == 255, -1.0, moved)
    return seen, moved


def flip_and_crop(
    film: Film, mask: Film | None, draw: random.Random, padding: int, swap: Sequence[tuple[int, int]]
) -> tuple[Film, Film | None]:
    """Flip with probability 0.5, then crop the full size from the image reflected by ``padding`` pixels."""
    flip = draw.random() < 0.5
    top, left = draw.randint(0, 2 * padding), draw.randint(0, 2 * padding)

    def moved(planes: Film) -> Film:
        height, width = planes.shape[1:]
        planes = planes[:, :, ::-1] if flip else planes
        wide = np.pad(planes, ((0, 0), (padding, padding), (padding, padding)), "reflect")
        return np.ascontiguousarray(wide[:, top : top + height, left : left + width])

    if mask is None:
        return moved(film), None
    order = list(range(len(mask)))
    for one, other in swap if flip else ():
        order[one], order[other] = order[other], order[one]
    return moved(film), moved(mask[order])
