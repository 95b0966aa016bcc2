"""Films with masks that do not belong where they lie: which files are wrong, and how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from leaks_inputs import film
from PIL import Image

SIDE = 96
COUNT = 16


def lungs(number: int) -> np.ndarray:
    """Two upright lungs, wider below, of another size and place in every film."""
    rng = np.random.default_rng(1000 + number)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    found = np.zeros((SIDE, SIDE), bool)
    for middle in (0.3, 0.68):
        across, down = middle + rng.uniform(-0.04, 0.04), 0.36 + rng.uniform(-0.04, 0.04)
        wide, tall = 0.12 + rng.uniform(0, 0.03), 0.26 + rng.uniform(0, 0.06)
        found |= ((x - across) / (wide * (0.4 + 1.4 * y))) ** 2 + ((y - down) / tall) ** 2 < 1
    return found


def write_masks(folder: Path, wrong: dict[int, Callable[[np.ndarray], np.ndarray]]) -> Path:
    """Films, in which the lungs are dark, and their masks, of which those of ``wrong`` are changed."""
    for name in ("films", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(COUNT):
        mask = lungs(number)
        gray = np.where(mask, 0.45, 1.0) * np.asarray(film(number, SIDE), float)
        Image.fromarray(gray.astype(np.uint8)).save(folder / "films" / f"f{number:02d}.png")
        drawn = wrong.get(number, lambda same: same)(mask)
        Image.fromarray(drawn.astype(np.uint8) * 255).save(folder / "masks" / f"f{number:02d}.png")
    return folder
