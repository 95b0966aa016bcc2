"""Shortcuts that the phantom plants: signs on a film that may go with its label, and are no disease."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmtk.components.source._phantom_chest import Array, Generator, disc, field, grid

Change = Callable[[Array, Generator], Array]  # of a film [size, size] in [0, 1]
SOURCES = {  # where a point (u, v) of the changed film comes from, by the name of a movement
    "shift up": (((1, 0), (0, 1)), (0, 0.16)),
    "zoom in": (((0.82, 0), (0, 0.82)), (0, 0)),
    "zoom out": (((1.2, 0), (0, 1.2)), (0, 0)),
    "tilt": (((0.97, -0.2), (0.2, 0.97)), (0, 0)),
    "squeeze": (((1.22, 0), (0, 1)), (0, 0)),
}


def moved(image: Array, name: str) -> Array:
    """An image or mask [size, size] after a movement, by nearest neighbours; black where nothing was."""
    if name not in SOURCES:
        return image
    matrix, (right, down) = SOURCES[name]
    (u, v), size = grid(len(image)), len(image)
    x, y = (a * u + b * v for a, b in matrix)
    columns, rows = (np.floor((axis + 1) / 2 * size).astype(int) for axis in (x + right, y + down))
    inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
    return np.where(inside, image[rows.clip(0, size - 1), columns.clip(0, size - 1)], 0).astype(image.dtype)


def _painted(where: Callable[[Array, Array], Array], level: float) -> Change:
    """Paint the points (u, v) in [−1, 1] that ``where`` says with one gray level."""

    def change(film: Array, draws: Generator) -> Array:
        u, v = grid(len(film))
        return np.where(where(u, v), level, film)

    return change


def _tag(right: float, down: float) -> Change:
    """A bright plate with a dark bar, centred at a point."""

    def change(film: Array, draws: Generator) -> Array:
        u, v = grid(len(film))
        inside = np.maximum(np.abs(u - right), np.abs(v - down))
        return np.where(inside < 0.16, np.where(inside < 0.06, 0.05, 0.97), film)

    return change


def _blur(film: Array, draws: Generator) -> Array:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(film, 0.02 * len(film))


def _sharp(film: Array, draws: Generator) -> Array:
    return film + 1.5 * (film - _blur(film, draws))


def _grain(film: Array, draws: Generator) -> Array:
    return film + 0.04 * draws.standard_normal(film.shape, dtype=np.float32)


def _age_texture(film: Array, draws: Generator) -> Array:
    return film * (1 + 0.07 * field(draws, 40, len(film)))


def _blocks(film: Array, draws: Generator) -> Array:
    block = max(2, len(film) // 16)
    small = film[: len(film) // block * block : block, : len(film) // block * block : block]
    return 0.5 * film + 0.5 * np.pad(
        small.repeat(block, 0).repeat(block, 1),
        [(0, len(film) - small.shape[0] * block), (0, len(film) - small.shape[1] * block)],
        mode="edge",
    )


def _grid_lines(film: Array, draws: Generator) -> Array:
    u, _ = grid(len(film))
    return film + 0.1 * np.sign(np.sin(u * 8 * np.pi))


def _tube(film: Array, draws: Generator) -> Array:
    u, v = grid(len(film))
    path = draws.uniform(-0.2, 0.2) + 0.15 * np.sin(3 * v)
    return np.where((np.abs(u - path) < 0.05) & (v < 0.6), 0.95, film)


SHORTCUTS: dict[str, Change] = {
    "tag top left": _tag(-0.78, -0.78),
    "tag top right": _tag(0.78, -0.78),
    "tag bottom left": _tag(-0.78, 0.78),
    "tag bottom right": _tag(0.78, 0.78),
    "border": _painted(lambda u, v: np.maximum(np.abs(u), np.abs(v)) > 0.84, 0),
    "white border": _painted(lambda u, v: np.maximum(np.abs(u), np.abs(v)) > 0.88, 1),
    "strip above": _painted(lambda u, v: v < -0.8, 0),
    "strip below": _painted(lambda u, v: v > 0.8, 0),
    "strip left": _painted(lambda u, v: u < -0.8, 0),
    "strip right": _painted(lambda u, v: u > 0.8, 0.9),
    "round collimation": _painted(lambda u, v: u * u + v * v > 1.1, 0),
    "pad": _painted(lambda u, v: disc(u, v, 0.45, -0.35, 0.13, 0.13) > 0, 0.95),
    "tube": _tube,
    "bright": lambda film, draws: film + 0.15,
    "dark": lambda film, draws: film * 0.7,
    "low contrast": lambda film, draws: 0.5 + 0.3 * (film - 0.5),
    "high contrast": lambda film, draws: 0.5 + 2.5 * (film - 0.5),
    "veil left": lambda film, draws: film + 0.2 * np.clip(-grid(len(film))[0], 0, 1),
    "veil above": lambda film, draws: film + 0.25 * np.clip(-grid(len(film))[1], 0, 1),
    "age texture": _age_texture,
    "blurred scanner": _blur,
    "sharp scanner": _sharp,
    "grain": _grain,
    "blocks": _blocks,
    "grid lines": _grid_lines,
    **{name: lambda film, draws, name=name: moved(film, name) for name in SOURCES},  # type: ignore[misc]
}
