"""Folders that hold the same films in several versions, such as with outlines drawn into them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmtk.data.plan.listing import Listing, stem
from mmtk.errors import MmtkError
from mmtk.images.loader import read_image

SAMPLES = 3  # pairs of films that are compared
NEAR = 8  # gray levels of 256 between the same pixels of two versions at most
ALIKE = 0.8  # share of the pixels that are near in two versions of one film


def are_versions(files: Listing, folder_by_film: Mapping[str, str]) -> bool:
    """Whether nearly all films lie in several folders under one name, and show the same there."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder_by_film):
        by_name[stem(path)].append(path)
    pairs = [paths for paths in by_name.values() if len({folder_by_film[path] for path in paths}) > 1]
    if 10 * len(pairs) < 9 * len(by_name):
        return False
    return all(_are_alike(files.root / one, files.root / other) for one, other, *_ in pairs[:SAMPLES])


def _are_alike(one: Path, other: Path) -> bool:
    try:
        first, second = (read_image(path).astype(np.int32) for path in (one, other))
    except MmtkError:  # the source names unreadable files
        return False
    return first.shape == second.shape and bool((abs(first - second) <= NEAR).mean() >= ALIKE)
