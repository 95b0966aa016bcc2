"""Drawing of the phantom: one chest radiograph as a sum of attenuations, from a few dozen random numbers.

All geometry lives in normalised coordinates (x to the image right, y down, the film from −1 to 1), so that
every size shows the same person. The patient's left is the image right.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

Array = np.ndarray
Generator = np.random.Generator


@lru_cache(maxsize=16)
def grid(size: int) -> tuple[Array, Array]:
    """Pixel centres (u, v), each [size, size] in (−1, 1); read-only."""
    axis = ((2 * np.arange(size) + 1) / size - 1).astype(np.float32)
    return np.broadcast_to(axis, (size, size)), np.broadcast_to(axis[:, None], (size, size))


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


def ramp(value: Array | np.float32, width: float) -> Array:
    """0 below zero, 1 above ``width``, linear between."""
    return np.minimum(np.maximum(value * (1 / width), 0), 1)


def dome(value: Array) -> Array:
    """The thickness of a round body over its level set: √value, 0 outside."""
    return np.sqrt(np.maximum(value, 0))


def bell(value: Array, width: float) -> Array:
    """exp(−(value/width)²)."""
    return np.exp(-np.square(value * (1 / width)))


def disc(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float, tilt: float = 0.0) -> Array:
    """1 − squared elliptic radius: positive inside."""
    c, s = math.cos(tilt), math.sin(tilt)
    a, b = x - cx, y - cy
    return 1 - np.square((c * a + s * b) * (1 / rx)) - np.square((c * b - s * a) * (1 / ry))


class Chest:
    """Shapes of one patient (``body``) in one pose (``film``) as level sets [size, size], positive inside."""

    def __init__(
        self, body: Generator, film: Generator, size: int, child: float, zoom: tuple[float, float], tilt: float
    ) -> None:
        draw, move = body.uniform, film.uniform
        self.size = size
        self.child = k = min(1.0, max(0.0, child + (0.2 * draw(-1, 1) if child else 0.0)))
        angle, scale = tilt * film.standard_normal(), move(*zoom)
        u, v = grid(size)
        u, v = u - 0.06 * film.standard_normal(), v - 0.01 - 0.06 * film.standard_normal()
        c, s = math.cos(angle) / scale, math.sin(angle) / scale
        self.x = x = (u * c + v * s) * (1 / draw(0.96, 1.08))
        self.y = y = (v * c - u * s) * (1 / draw(0.95, 1.05))
        # A shallow breath lifts the domes, widens the heart and crowds the vessels; a turn shifts the middle.
        self.breath = breath = max(-1.0, min(1.0, move(-1, 1) + 0.4 * draw(-1, 1)))
        self.turn = turn = 0.03 * film.standard_normal()

        self.left = x > 0.5 * turn
        self.across = across = np.abs(x - 0.5 * turn)
        self.top = top = -0.74 + 0.07 * k + draw(-0.04, 0.04)
        self.base = base = 0.70 - 0.05 * k + draw(-0.05, 0.05) + 0.06 * breath
        self.wide = (0.71 + draw(-0.05, 0.05) + 0.6 * turn, 0.71 + draw(-0.05, 0.05) - 0.6 * turn)
        self.apex, self.round = draw(0.24, 0.31), draw(0.36, 0.46) + 0.06 * k
        self.narrow = (draw(0.12, 0.16) + 0.03 * k - turn, draw(0.11, 0.15) + 0.02 * k + turn)
        # The rib cage first (the ribs follow it), then what of it is lung.
        self.depth = (y - top) * (1 / (base - top)) + self.side(0, draw(-0.02, 0.02))
        self.wall = self.cage(self.depth, self.side(*self.wide)) + 0.006 * field(body, 6, size)
        inner = self.apex - (self.apex - self.side(*self.narrow)) * self.bulge(self.depth * 2.6, 0.6)
        inner = inner + 0.012 * field(body, 8, size)
        lift = self.side(0.27 + draw(-0.05, 0.05) + 0.04 * breath, 0.23 + draw(-0.05, 0.05) + 0.04 * breath)
        reach = across / self.side(*self.wide) - draw(0.40, 0.50)
        fall = np.square(reach) * np.where(reach > 0, np.float32(draw(2.6, 3.6)), np.float32(draw(0.5, 1.6)))
        self.dome = base - lift * (1 - fall) + 0.004 * field(body, 7, size)
        # The heart: a tilted egg on the left dome, the right atrium, the great vessels, the aortic arch.
        big, low = (0.30 + 0.05 * k + draw(-0.035, 0.05)) * (1 - 0.06 * breath), base - 0.36 + 0.03 * k
        shift, lean = 0.13 - 0.02 * k + draw(-0.02, 0.04) + 1.2 * turn, draw(0.55, 0.85)
        egg = disc(x, y, shift, low + 0.05, big * 1.28, big * 0.86, lean)
        atrium = disc(x, y, -0.045 + turn, low + 0.02, 0.16 + draw(-0.02, 0.03) + 0.02 * k, 0.32)
        trunk = disc(x, y, 0.05 + turn, low - 0.20, 0.13 + draw(-0.02, 0.02) + 0.06 * k, 0.30)
        knob, height = draw(0.12, 0.17) - 0.04 * k, top + 0.40 + draw(-0.03, 0.03)
        arch = disc(x, y, 0.03 + turn, height, knob, 0.16)
        # A smooth maximum of the three; the tiny summand keeps the logarithm finite far away.
        heart = 0.02 * np.log(np.exp(6 * egg) + np.exp(6 * atrium) + np.exp(5 * trunk) + np.float32(1e-30))
        self.heart = np.minimum(heart, self.dome - y + 0.12)
        middle = np.minimum(across - inner, -np.maximum(heart, 0.1 * arch))
        cap = y - top - 1.5 * np.square(across - self.apex - 0.05)
        self.lung = np.minimum(np.minimum(self.wall - across, middle), np.minimum(self.dome - y, cap))
        self.hilum = (0.20 + draw(-0.02, 0.02), top + 0.46 * (base - top) + draw(-0.03, 0.03))

    def side(self, right: float, left: float) -> Array:
        """One value for the patient's right half and one for the left."""
        return np.where(self.left, np.float32(left), np.float32(right))

    @staticmethod
    def bulge(t: Array | np.float32, power: float) -> Array:
        """Rises from 0 at t = 0, steeply like a circle, to 1 at t = 1."""
        return np.power(1 - np.square(1 - ramp(t, 1.0)), power)

    def cage(self, t: Array | np.float32, wide: Array | float) -> Array:
        """Half-width of the rib cage at the share t of its height."""
        return self.apex + (wide - self.apex) * self.bulge(t, self.round) - 0.06 * np.maximum(t - 0.9, 0)

    def inside(self, rng: Generator, left: bool) -> tuple[float, float]:
        """A point in the given lung."""
        t, r = np.float32(rng.uniform(0.2, 0.8)), rng.uniform(0.2, 0.8)
        narrow = self.narrow[left] + 0.2 * left * float(t)
        across = narrow + r * (float(self.cage(t, self.wide[left])) - narrow)
        return (across if left else -across), self.top + float(t) * (self.base - self.top)


def pneumonia(rng: Generator, chest: Chest) -> Array:
    """Share of the air that is replaced by fluid, [size, size] in [0, 1]: one pattern, or two together."""
    draw, size = rng.uniform, chest.size
    cloud, fine = field(rng, 9, size), field(rng, 26, size)
    patterns = (_lobar, _patchy, _interstitial)
    zones = rng.choice(3, size=1 + int(draw() < 0.4), replace=False, p=(0.35, 0.40, 0.25))
    total = patterns[zones[0]](rng, chest, cloud, fine)
    for other in zones[1:]:
        total = 1 - (1 - total) * (1 - 0.7 * patterns[other](rng, chest, cloud, fine))
    return np.clip(total, 0, 0.95)


def _lobar(rng: Generator, chest: Chest, cloud: Array, fine: Array) -> Array:
    """A lobe or a segment filled up to its fissure."""
    draw = rng.uniform
    left, outer = bool(draw() < 0.45), draw(-0.25, 0.30)  # a segment spares the inner part
    cut, soft, slope = draw(0.36, 0.58), draw(0.06, 0.22), draw(-0.35, 0.35)
    depth = chest.depth + slope * (chest.across - 0.4) - cut + 0.03 * cloud
    depth = depth if draw() < 0.65 else -depth
    part = ramp(depth, soft) * ramp(chest.across - outer + 0.05 * cloud, 0.15) * (chest.left == left)
    return part * np.clip(draw(0.60, 1.0) + 0.12 * cloud + 0.05 * fine, 0, 1)


def _patchy(rng: Generator, chest: Chest, cloud: Array, fine: Array) -> Array:
    """Several soft patches, in one lung or in both."""
    draw, total = rng.uniform, np.zeros_like(chest.x)
    both, first = bool(draw() < 0.7), bool(draw() < 0.45)
    for patch in range(rng.integers(3, 7)):
        cx, cy = chest.inside(rng, first ^ (patch % 2 == 1 and both))
        spot = disc(chest.x, chest.y, cx, cy, draw(0.13, 0.28), draw(0.13, 0.32), draw(0, 3))
        total = np.maximum(total, draw(0.65, 1.0) * ramp(spot + 1.5, 2.2))
    return np.clip(total * (0.80 + 0.22 * cloud + 0.16 * fine), 0, 1)


def _interstitial(rng: Generator, chest: Chest, cloud: Array, fine: Array) -> Array:
    """A mesh with haze in both lungs, densest around the hila."""
    draw, (hx, hy) = rng.uniform, chest.hilum
    around = bell(chest.across - hx, 0.34) * bell(chest.y - hy - draw(-0.05, 0.25), 0.42)
    mesh = bell(field(rng, 56, chest.size), 0.5)
    strength = draw(0.7, 1.0) * chest.side(draw(0.7, 1), draw(0.7, 1))
    return np.clip(strength * (0.35 + 0.65 * around) * (0.50 + 0.16 * cloud + 0.12 * fine + 0.32 * mesh), 0, 1)


def vessels(body: Generator, chest: Chest) -> Array:
    """Branching vessels around the hila: ridges of noise in polar coordinates, [size, size] in [0, 1]."""
    from scipy.ndimage import map_coordinates

    a = chest.across - chest.hilum[0] + 0.025 * field(body, 9, chest.size)
    b = chest.y - chest.hilum[1] + 0.025 * field(body, 9, chest.size)
    rho = np.sqrt(a * a + b * b)
    table = splines(256, 60) @ body.standard_normal((60, 6), dtype=np.float32) @ splines(48, 6).T
    # Each lung reads its own half of the table.
    turns = np.arctan2(b, a) * (1 / (2 * math.pi)) + 0.5
    at = (turns * 127 + chest.side(0, 128), np.minimum(rho * (1 / 0.9), 1) * 47)
    ridge = map_coordinates(table, at, order=1, mode="nearest")
    crowd = body.uniform(0.75, 1.2) * (1 - 0.25 * chest.breath)
    width = 0.40 - 0.36 * np.minimum(rho, 0.9)
    return np.minimum(crowd * (np.exp(-np.square(ridge / width) - rho * 2.2) + 0.5 * bell(rho, 0.09)), 1)


def bones(body: Generator, chest: Chest) -> Array:
    """Ribs, spine, clavicles, scapulae and upper arms: attenuation [size, size]."""
    draw, k, x, y, across, top = body.uniform, chest.child, chest.x, chest.y, chest.across, chest.top
    r = np.minimum(across / chest.wall, 1)
    gap = draw(0.150, 0.185)
    warp = 0.005 * field(body, 5, chest.size) + chest.side(0, draw(-0.02, 0.02))
    behind = y - draw(0.30, 0.40) * (1 - 0.2 * k) * r * r * np.sqrt(r) + draw(0.12, 0.18) * r + warp
    front = y - draw(0.34, 0.46) * (1 - 0.25 * k) * np.sqrt(1 - r * r) - 0.20 + warp
    ribs = np.zeros_like(x)
    for curve, share, strength in ((behind, 0.48, 0.11), (front, 0.55, 0.05)):
        phase = curve * (1 / gap)
        q = np.abs(phase - np.floor(phase) - 0.5) * (2 / share)
        visible = 1 if curve is behind else ramp(r - 0.50, 0.35)
        ribs += strength * (1 + 0.6 * k) * (0.62 * dome(1 - q * q) + 0.55 * bell(q - 0.86, 0.14)) * visible
    ribs *= ramp(chest.wall + 0.012 - across, 0.02) * ramp(y - top + 0.03, 0.05)
    ribs *= 1 - 0.75 * ramp(y - chest.dome, 0.25)
    ribs += 0.08 * bell(across - chest.wall, 0.016) * ramp(y - top, 0.1)

    off = np.abs(x - 0.3 * chest.turn - 0.012 * np.sin(2.2 * y + draw(0, 6)))
    plates = np.cos((2 * math.pi / draw(0.105, 0.125)) * y)
    spine = ramp(0.078 + 0.01 * k - off, 0.02) * (0.13 + 0.035 * plates) + 0.04 * bell(off - 0.07, 0.02)

    rise, bend = draw(0.16, 0.42) * (1 - 0.5 * k), draw(0.02, 0.045)
    out = across - 0.08
    line = top + draw(0.20, 0.27) - 0.05 * k - rise * out - bend * np.sin(8.5 * out)
    q = np.abs(y - line) / (0.020 + 0.016 * bell(out, 0.12) + 0.008 * ramp(out - 0.4, 0.3))
    span = ramp(out + 0.01, 0.03) * ramp(0.72 - out, 0.04)
    clavicle = (1 - 0.5 * ramp(out - 0.2, 0.5)) * span * (0.75 * dome(1 - q * q) + 0.45 * bell(q - 0.82, 0.2))

    blade = disc(across, y, 0.80 + draw(-0.04, 0.08), top + 0.34 + draw(-0.05, 0.05), 0.18, 0.36, draw(0.1, 0.35))
    scapula = 0.5 * ramp(blade, 0.3) + 0.6 * bell(blade, 0.14)
    ball = disc(across, y, 0.98, top + 0.12 - 0.06 * k, 0.12, 0.13)
    shaft = disc(across, y, 1.09, top + 0.50 - 0.1 * k, 0.085, 0.55, -0.15)
    arm = dome(np.maximum(ball, shaft))
    return ribs + spine + 0.15 * clavicle + 0.07 * scapula + 0.09 * arm


def soft_tissue(body: Generator, film: Generator, chest: Chest) -> Array:
    """The trunk as if it held no air: attenuation [size, size], 0 beside the body."""
    draw, k, x, y, across, top = body.uniform, chest.child, chest.x, chest.y, chest.across, chest.top
    neck, flank = draw(0.22, 0.30) + 0.05 * k, 0.84 + draw(-0.02, 0.12) - 0.02 * k
    # Outline: the slope of neck and shoulders, the flank, and the arm beyond the axilla, raised or hanging.
    slope = ramp(y - top + draw(0.34, 0.54), 0.34)
    torso = flank + 0.05 * ramp(y - 0.2, 0.8) + 0.012 * field(body, 6, chest.size)
    axilla, arm = top + draw(0.55, 1.05) - 0.1 * k, math.tan(draw(0.2, 1.4) - 0.9 * k)
    under = (axilla + arm * (across - flank) - y) * math.cos(math.atan(arm))
    margin = np.minimum(neck + (1.45 - neck) * slope * np.sqrt(slope) - across, np.maximum(torso - across, under))
    within = ramp(margin, 0.025)
    round_trunk = dome(1 - np.square(across * (1 / (flank + 0.14))))
    tissue = within * (0.20 + draw(0, 0.08) + 0.12 * ramp(margin, 0.2) + 0.52 * round_trunk) * (0.6 + 0.4 * slope)
    if draw() < 0.5 * k:  # the chin of a child
        tissue += 0.4 * ramp(disc(x, y, draw(-0.2, 0.2), -1.15, 0.34, draw(0.18, 0.36)), 0.25)
    # Below the domes the body is thicker; gas lies in the stomach under the left one.
    below = ramp(y - chest.dome, 0.02) * within * ramp(chest.wall + 0.09 - across, 0.2)
    tissue += below * (0.14 + 0.08 * (1 - k) + 0.25 * np.clip(y - chest.dome, 0, 0.6))
    if draw() < 0.65:
        gas = disc(
            x, y, draw(0.25, 0.45), chest.base - 0.03 + draw(-0.04, 0.1), draw(0.07, 0.19), draw(0.04, 0.12)
        )
        tissue -= below * draw(0.15, 0.4) * ramp(gas + 0.3 * field(body, 10, chest.size), 0.7)
    if draw() < 0.45 * (1 - k):  # breasts veil the lower zones of healthy films too
        size, low = draw(0.24, 0.36), chest.base - draw(0.12, 0.40)
        breast = disc(across, y, draw(0.44, 0.55), low, size * 1.15, size)
        tissue += draw(0.06, 0.17) * dome(breast) * (0.6 + 0.4 * ramp(y - low, 0.2))
    if film.random() < 0.6:  # a pad, a fold, a roll of the arm: not confined to the lung
        cx, cy, wide = film.uniform(-0.7, 0.7), film.uniform(-0.5, 0.5), film.uniform(0.22, 0.5)
        tissue += within * film.uniform(0.03, 0.16) * bell(x - cx, wide) * bell(y - cy, wide)
    # An off-centre beam makes one side lighter; the windpipe is a dark band above the hila.
    wind = bell(x - 0.01 - chest.turn, 0.045) * ramp(chest.hilum[1] - 0.12 - y, 0.12)
    return tissue + within * (film.normal(0, 0.06) * x - 0.16 * wind)


def attenuation(body: Generator, film: Generator, chest: Chest, fluid: Array | None) -> Array:
    """Everything the beam meets, [size, size], about 0 (air) to 1.3 (spine); ``fluid`` is pneumonia's."""
    d = chest.lung
    air = ramp(d, 0.014) * (1 - 0.45 * np.square(1 - ramp(d, 0.28)))
    air *= (0.52 + 0.05 * chest.breath + film.uniform(-0.03, 0.05)) * (1 - 0.1 * ramp(chest.depth - 0.6, 0.5))
    air *= 1 - 0.5 * vessels(body, chest) - 0.03 * field(body, 20, chest.size)
    if fluid is not None:
        air *= 1 - fluid
    heart = 0.15 * dome(ramp(chest.heart, 0.1)) + 0.12 * bell(chest.across, 0.17)
    return soft_tissue(body, film, chest) + heart - air + bones(body, chest)
