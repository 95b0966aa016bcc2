"""Scores of saliency maps [B,H,W], none of them negative, image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmtk.seeding import generator

STEPS = 8  # of deletion and insertion
SIDE = 32  # pixels of the maps that are compared by rank: single pixels are noise
BLUR = 1 / 16  # standard deviation of the blur that insertion begins with, as a share of the side

Logits = Callable[[Tensor], Tensor]


def mass_inside(maps: Tensor, region: Tensor) -> Tensor:
    """Share [B] of the mass of each map inside a region [B,H,W] of bool; NaN of an empty map or region."""
    inside = (maps * region).sum((1, 2)) / maps.sum((1, 2))
    return torch.where(region.any(2).any(1), inside, torch.nan)


def hits(maps: Tensor, region: Tensor) -> Tensor:
    """Pointing game [B]: 1 where the largest value lies in the region, a share where several are as large.

    Zhang et al. 2016, without their tolerance of 15 pixels. NaN of a flat map or an empty region.
    """
    largest = maps == maps.amax((1, 2), keepdim=True)
    share = (largest & region).sum((1, 2)) / largest.sum((1, 2))
    is_defined = region.any(2).any(1) & ~largest.all(2).all(1)
    return torch.where(is_defined, share.to(maps.dtype), torch.nan)


def boxes_region(boxes: tuple[tuple[float, float, float, float], ...], size: tuple[int, int]) -> Tensor:
    """Pixels [H,W] whose centre lies in a box (left, top, width, height), given as shares of the sides."""
    rows, columns = ((torch.arange(side) + 0.5) / side for side in size)
    region = torch.zeros(size, dtype=torch.bool)
    for left, top, width, height in boxes:
        inside_rows, inside_columns = (
            (centres >= start) & (centres < start + length)
            for centres, start, length in ((rows, top, height), (columns, left, width))
        )
        region |= inside_rows[:, None] & inside_columns
    return region


def curve_area(images: Tensor, start: Tensor, end: Tensor, maps: Tensor, classify: Logits) -> Tensor:
    """Mean probability [B] of the class of ``images`` while pixels of ``start`` become those of ``end``.

    images: [B,C,H,W] whose likeliest class is asked for
    start, end: [B,C,H,W]
    maps: [B,H,W]; the largest values go first, equal ones in a drawn order that is always the same
    classify: class logits [B,classes] of images

    Area below the curve over ``STEPS`` equal steps, by the trapezoid rule (Petsiuk et al. 2018).
    """
    classes = classify(images).argmax(1)
    count = maps[0].numel()
    order = torch.randperm(count, generator=generator("order of equal pixels")).to(maps.device)
    places = torch.empty_like(order).repeat(len(maps), 1)
    ranked = order[maps.flatten(1)[:, order].argsort(dim=1, descending=True, stable=True)]
    places.scatter_(1, ranked, torch.arange(count, device=maps.device).expand(len(maps), -1))
    probabilities = []
    for step in range(STEPS + 1):
        changed = (places < round(step / STEPS * count)).reshape(maps.shape)[:, None]
        logits = classify(torch.where(changed, end, start)).float()
        probabilities.append(logits.softmax(1).gather(1, classes[:, None])[:, 0])
    return torch.trapezoid(torch.stack(probabilities), dim=0) / STEPS


def deletion(images: Tensor, maps: Tensor, classify: Logits) -> Tensor:
    """Area [B] below the curve while pixels become the mean of their image; low is good."""
    mean = images.mean((2, 3), keepdim=True).expand_as(images)
    return curve_area(images, images, mean, maps, classify)


def insertion(images: Tensor, maps: Tensor, classify: Logits) -> Tensor:
    """Area [B] below the curve while pixels of the blurred image become those of the image; high is good."""
    return curve_area(images, blurred(images), images, maps, classify)


def blurred(images: Tensor) -> Tensor:
    """Images after a Gaussian blur of ``BLUR`` of their height, mirrored at the edges."""
    sigma = BLUR * images.shape[2]
    radius = min(round(3 * sigma), min(images.shape[2:]) - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    for turned in (kernel, kernel.transpose(2, 3)):
        padding = [radius if side > 1 else 0 for side in (turned.shape[3], turned.shape[2])]
        padded = F.pad(images, (padding[0], padding[0], padding[1], padding[1]), mode="reflect")
        images = F.conv2d(padded, turned, groups=images.shape[1])
    return images


def coarse(maps: Tensor) -> Tensor:
    """Maps as means over ``SIDE`` × ``SIDE`` cells, largest value 1; smaller maps keep their pixels."""
    size = min(SIDE, maps.shape[1]), min(SIDE, maps.shape[2])
    means = F.adaptive_avg_pool2d(maps[:, None], size)[:, 0]
    return means / means.amax((1, 2), keepdim=True).clamp(min=torch.finfo(means.dtype).tiny)


def rank_correlation(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's correlation [B] of maps [B,H,W], of size; NaN where one of them is flat."""
    from scipy.stats import rankdata

    ranks = [rankdata(part.reshape(len(part), -1), axis=1) for part in (maps, others)]
    first, second = (part - part.mean(1, keepdims=True) for part in ranks)
    scale = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 0, (first * second).sum(1) / scale, np.nan)


def control_maps(count: int, size: tuple[int, int]) -> Iterator[tuple[str, Tensor]]:
    """Maps [count,H,W] that look at no image, by name: noise, and a bell in the centre."""
    yield "noise", torch.rand(size, generator=generator("noise")).expand(count, -1, -1)
    rows, columns = ((torch.arange(side) + 0.5) / side - 0.5 for side in size)
    bell = torch.exp(-0.5 * (rows[:, None] ** 2 + columns**2) / 0.25**2)
    yield "centre", bell.expand(count, -1, -1)
