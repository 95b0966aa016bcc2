"""Agreement of the maps of several seeds, with values per seed that have its spread."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np


def agreement(maps: Sequence[np.ndarray]) -> np.ndarray:
    """[seeds, images] Rank correlation with the maps of the other seeds, so that means have the right spread.

    maps: [images,h,w] of every seed, at least two

    A seed's mean over its pairs is r_s; the mean over seeds is that over pairs, U. Pairs share seeds, so U without
    a seed is (n U − 2 r_s) / (n − 2), and the jackknife's variance of U is that of the mean of U + f (r_s − U)
    with f = 2 (n − 1) / (n − 2): these are the values (Arvesen 1969). Of two seeds both rows are their one pair.
    """
    count = len(maps)
    pairs = np.zeros((count, count, len(maps[0])))
    ranked = [_standardised(one) for one in maps]
    for first, second in itertools.combinations(range(count), 2):
        pairs[first, second] = pairs[second, first] = (ranked[first] * ranked[second]).sum(1)
    by_seed = pairs.sum(1) / (count - 1)
    if count == 2:
        return by_seed
    mean = by_seed.mean(0)
    return mean + 2 * (count - 1) / (count - 2) * (by_seed - mean)


def _standardised(maps: np.ndarray) -> np.ndarray:
    """Ranks [images, pixels] of mean 0 and length 1; NaN of a flat map."""
    from scipy.stats import rankdata

    ranks = rankdata(maps.reshape(len(maps), -1), axis=1)
    centred = ranks - ranks.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length > 0, centred / length, np.nan)
