"""Shapes of the phantom: one patient in one pose as level sets over pixels, from a few dozen random numbers.

All geometry lives in normalised coordinates (x to the image right, y down, the film from −1 to 1), so that
every size shows the same person. The patient's left is the image right. Level sets are float32 over a row of
pixels [n]: those of the whole film, of some of its rows, or a choice, so that an organ is drawn where it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

Array = np.ndarray
Generator = np.random.Generator
NAMES = ("x", "y", "across", "left", "depth", "wall", "dome", "heart", "lung")  # arrays of a chest


@lru_cache(maxsize=16)
def axes(size: int) -> tuple[Array, Array]:
    """Pixel centres along the film: u [1, size] and v [size, 1] in (−1, 1)."""
    axis = ((2 * np.arange(size) + 1) / size - 1).astype(np.float32)
    return axis[None], axis[:, None]


def grid(size: int) -> tuple[Array, Array]:
    """Pixel centres (u, v), each [size, size] in (−1, 1); read-only."""
    u, v = axes(size)
    return np.broadcast_to(u, (size, size)), np.broadcast_to(v, (size, size))


@lru_cache(maxsize=128)
def splines(size: int, knots: int) -> Array:
    """Cubic B-spline weights [size, knots] whose rows have unit norm: white noise stays of unit variance."""
    at = (np.arange(size) + 0.5) / size * (knots - 1)
    t = np.abs(at[:, None] - np.arange(knots))
    weights = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6)
    return (weights / np.sqrt((weights**2).sum(1, keepdims=True))).astype(np.float32)


def field(rng: Generator, knots: int, size: int) -> Array:
    """A smooth random field [size, size] of unit variance with ``knots`` knots per axis."""
    weights = splines(size, knots)
    return weights @ rng.standard_normal((knots, knots), dtype=np.float32) @ weights.T


def uniform(rng: Generator) -> Callable[[float, float], float]:
    """Draws from (low, high) as ``rng.uniform`` makes them, which takes four times as long for one number."""
    random = rng.random
    return lambda low, high: low + (high - low) * random()


def ramp(value: Array | np.float32, width: float) -> Array:
    """0 below zero, 1 above ``width``, linear between."""
    return (value * (1 / width)).clip(0, 1)


def dome(value: Array) -> Array:
    """The thickness of a round body over its level set, at most 1: √value, 0 outside."""
    return np.sqrt(value.clip(0, 1))


def bell(value: Array, width: float) -> Array:
    """exp(−(value/width)²)."""
    return np.exp(-np.square(value * (1 / width)))


def disc(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float, tilt: float = 0.0) -> Array:
    """1 − squared elliptic radius: positive inside."""
    a, b = x - cx, y - cy
    if tilt:
        c, s = math.cos(tilt), math.sin(tilt)
        a, b = c * a + s * b, c * b - s * a
    return 1 - np.square(a * (1 / rx)) - np.square(b * (1 / ry))


def blurred(image: Array, width: float) -> Array:
    """SciPy's ``gaussian_filter(image, width, truncate=3)``, without its detours for other numbers of axes."""
    from scipy.ndimage import correlate1d

    radius = int(3 * width + 0.5)
    weights = np.exp(-0.5 / (width * width) * np.arange(-radius, radius + 1) ** 2)
    weights /= weights.sum()
    return correlate1d(correlate1d(image, weights, 0), weights, 1)


def choice(bits: Array, if_set: float | np.float32, if_not: float | np.float32) -> Array:
    """One of two numbers for every element of ``bits``, int32 with all bits set or none: ``np.where``, faster."""
    one, other = np.array((if_set, if_not), np.float32).view(np.int32)
    merged: Array = ((one ^ other) & bits) ^ other
    return merged.view(np.float32)


class Part:
    """Coordinates and level sets on a box of a film, [rows, columns], or on a choice of its pixels, [n]."""

    x: Array
    y: Array
    across: Array  # distance from the midline
    left: Array  # int32: all bits set in the patient's left half
    depth: Array  # share of the height of the rib cage
    wall: Array
    dome: Array
    heart: Array
    lung: Array
    size: int  # of the film
    at: tuple[slice, slice] | Array  # box in the film, or flat indices of pixels

    def box(self, rows: slice, columns: slice | None = None) -> Part:
        """The part on rows and columns of the film that it has."""
        part, columns = Part(), columns or slice(0, self.size)
        above = self.at[0].start if isinstance(self.at, tuple) else 0
        inside = slice(rows.start - above, rows.stop - above), columns
        vars(part).update((name, array[inside]) for name, array in vars(self).items() if name in NAMES)
        part.size, part.at = self.size, (rows, columns)
        return part

    def pixels(self, mask: Array, *names: str) -> Part:
        """The part on the pixels of its rows for which a mask [rows, size] holds, with some of its arrays."""
        part, indices = Part(), mask.ravel().nonzero()[0]
        vars(part).update((name, getattr(self, name).take(indices)) for name in names)
        above = self.at[0].start if isinstance(self.at, tuple) else 0
        part.size, part.at = self.size, indices + above * self.size
        return part

    def of(self, whole: Array) -> Array:
        """Pixels of this part in a picture [size, size]."""
        return whole[self.at] if isinstance(self.at, tuple) else whole.take(self.at)

    def field(self, rng: Generator, knots: int) -> Array:
        """A smooth random field of unit variance with ``knots`` knots along the film."""
        return self.of(field(rng, knots, self.size))

    def side(self, right: float | np.float32, left: float | np.float32) -> Array:
        """One value for the patient's right half and one for the left."""
        return choice(self.left, left, right)


class Chest(Part):
    """Shapes of one patient (``body``) in one pose (``film``) as level sets, positive inside.

    They cover the rows from the apex down; those above show no more than soft tissue, collar bones and shoulders.
    ``film`` has the coordinates of all pixels.
    """

    def __init__(
        self, body: Generator, film: Generator, size: int, child: float, zoom: tuple[float, float], tilt: float
    ) -> None:
        self.size = size
        self._pose(body, film, child, zoom, tilt)
        self._organs(body, self._cage(body))

    def _pose(
        self, body: Generator, film: Generator, child: float, zoom: tuple[float, float], tilt: float
    ) -> None:
        """Set coordinates, and the measures of the rib cage."""
        draw, move, whole = uniform(body), uniform(film), Part()
        self.child = k = min(1.0, max(0.0, child + (0.2 * draw(-1, 1) if child else 0.0)))
        angle, scale = tilt * film.standard_normal(), move(*zoom)
        u, v = axes(self.size)
        u, v = u - 0.06 * film.standard_normal(), v - 0.01 - 0.06 * film.standard_normal()
        c, s = math.cos(angle) / scale, math.sin(angle) / scale
        whole.x, whole.y = (u * c + v * s) * (1 / draw(0.96, 1.08)), (v * c - u * s) * (1 / draw(0.95, 1.05))
        # A shallow breath lifts the domes, widens the heart and crowds the vessels; a turn shifts the middle.
        self.breath = breath = max(-1.0, min(1.0, move(-1, 1) + 0.4 * draw(-1, 1)))
        self.turn = turn = 0.03 * film.standard_normal()
        aside = whole.x - 0.5 * turn
        whole.across, whole.left = np.abs(aside), -(aside > 0).astype(np.int32)
        whole.size, whole.at = self.size, (slice(0, self.size), slice(0, self.size))
        self.film = whole
        self.top = -0.74 + 0.07 * k + draw(-0.04, 0.04)
        self.base = 0.70 - 0.05 * k + draw(-0.05, 0.05) + 0.06 * breath
        self.wide = (0.71 + draw(-0.05, 0.05) + 0.6 * turn, 0.71 + draw(-0.05, 0.05) - 0.6 * turn)
        self.apex, self.round = draw(0.24, 0.31), draw(0.36, 0.46) + 0.06 * k
        self.narrow = (draw(0.12, 0.16) + 0.03 * k - turn, draw(0.11, 0.15) + 0.02 * k + turn)
        vars(self).update(vars(whole.box(self.rows(self.top - 0.03, math.inf))))

    def rows(self, low: float, high: float) -> slice:
        """Rows of the film of which a pixel lies between two heights y."""
        first, last = self.film.y[:, 0], self.film.y[:, -1]  # y grows downwards, and along a row or against it
        return slice(
            int(np.maximum(first, last).searchsorted(low)), int(np.minimum(first, last).searchsorted(high))
        )

    def columns(self, low: float, high: float) -> slice:
        """Columns of the film of which a pixel lies between two places x."""
        first, last = self.film.x[0], self.film.x[-1]
        return slice(
            int(np.maximum(first, last).searchsorted(low)), int(np.minimum(first, last).searchsorted(high))
        )

    def _cage(self, body: Generator) -> Array:
        """Set the rib cage (the ribs follow it) and the domes below it; the inner edge of the lungs."""
        draw, y, apex = uniform(body), self.y, np.float32(self.apex)
        self.depth = (y - self.top) * (1 / (self.base - self.top)) + self.side(0, draw(-0.02, 0.02))
        spread = self.side(*(np.float32(wide) - apex for wide in self.wide)) * self.bulge(self.depth, self.round)
        self.wall = self.apex + spread - 0.06 * (self.depth - 0.9).clip(0, 9) + 0.006 * self.field(body, 6)
        spread = self.side(*(apex - np.float32(narrow) for narrow in self.narrow))
        edge: Array = self.apex - spread * self.bulge(self.depth * 2.6, 0.6) + 0.012 * self.field(body, 8)
        lift = self.side(
            0.27 + draw(-0.05, 0.05) + 0.04 * self.breath, 0.23 + draw(-0.05, 0.05) + 0.04 * self.breath
        )
        reach = self.across / self.side(*self.wide) - draw(0.40, 0.50)
        outer, inner = draw(2.6, 3.6), draw(0.5, 1.6)
        fall = np.square(reach) * choice(reach.view(np.int32) >> 31, inner, outer)  # by its sign
        self.dome = self.base - lift * (1 - fall) + 0.004 * self.field(body, 7)
        return edge

    def _organs(self, body: Generator, edge: Array) -> None:
        """Set the heart (an egg on the left dome, right atrium, great vessels, aortic arch) and the lungs."""
        draw, k, turn, x, y, top, base = uniform(body), self.child, self.turn, self.x, self.y, self.top, self.base
        big, low = (0.30 + 0.05 * k + draw(-0.035, 0.05)) * (1 - 0.06 * self.breath), base - 0.36 + 0.03 * k
        shift, lean = 0.13 - 0.02 * k + draw(-0.02, 0.04) + 1.2 * turn, draw(0.55, 0.85)
        egg = disc(x, y, shift, low + 0.05, big * 1.28, big * 0.86, lean)
        atrium = disc(x, y, -0.045 + turn, low + 0.02, 0.16 + draw(-0.02, 0.03) + 0.02 * k, 0.32)
        trunk = disc(x, y, 0.05 + turn, low - 0.20, 0.13 + draw(-0.02, 0.02) + 0.06 * k, 0.30)
        knob, height = draw(0.12, 0.17) - 0.04 * k, top + 0.40 + draw(-0.03, 0.03)
        arch = disc(x, y, 0.03 + turn, height, knob, 0.16)
        # A smooth maximum of the three; the tiny summand keeps the logarithm finite far away.
        heart = 0.02 * np.log(np.exp(6 * egg) + np.exp(6 * atrium) + np.exp(5 * trunk) + np.float32(1e-30))
        below = self.dome - y
        self.heart = np.minimum(heart, below + 0.12)
        middle = np.minimum(self.across - edge, -np.maximum(heart, 0.1 * arch))
        cap = y - top - 1.5 * np.square(self.across - self.apex - 0.05)
        self.lung = np.minimum(np.minimum(self.wall - self.across, middle), np.minimum(below, cap))
        self.hilum = (0.20 + draw(-0.02, 0.02), top + 0.46 * (base - top) + draw(-0.03, 0.03))

    @staticmethod
    def bulge(t: Array | np.float32, power: float) -> Array:
        """Rises from 0 at t = 0, steeply like a circle, to 1 at t = 1."""
        return np.power(1 - np.square(1 - t.clip(0, 1)), power)

    def inside(self, rng: Generator, left: bool) -> tuple[float, float]:
        """A point in the given lung."""
        draw = uniform(rng)
        t, r = np.float32(draw(0.2, 0.8)), draw(0.2, 0.8)
        narrow, wide = self.narrow[left] + 0.2 * left * float(t), self.wide[left]
        edge = self.apex + (wide - self.apex) * self.bulge(t, self.round) - 0.06 * np.maximum(t - 0.9, 0)
        across = narrow + r * (float(edge) - narrow)
        return (across if left else -across), self.top + float(t) * (self.base - self.top)
