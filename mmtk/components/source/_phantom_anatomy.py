"""Drawing of the phantom: one chest radiograph as a sum of attenuations over the shapes of a patient."""

from __future__ import annotations

import math

import numpy as np

from mmtk.components.source._phantom_chest import (
    Array,
    Chest,
    Generator,
    Part,
    bell,
    disc,
    dome,
    ramp,
    splines,
    uniform,
)


def pneumonia(rng: Generator, chest: Chest, lungs: Part) -> Array:
    """Share of the air that is replaced by fluid, [n] in [0, 1]: one pattern, or two together."""
    draw = uniform(rng)
    cloud, fine = lungs.field(rng, 9), lungs.field(rng, 26)
    patterns = (_lobar, _patchy, _interstitial)
    zones = rng.choice(3, size=1 + int(draw(0, 1) < 0.4), replace=False, p=(0.35, 0.40, 0.25))
    total = patterns[zones[0]](rng, chest, lungs, cloud, fine)
    for other in zones[1:]:
        total = 1 - (1 - total) * (1 - 0.7 * patterns[other](rng, chest, lungs, cloud, fine))
    return np.clip(total, 0, 0.95)


def _lobar(rng: Generator, chest: Chest, lungs: Part, cloud: Array, fine: Array) -> Array:
    """A lobe or a segment filled up to its fissure."""
    draw = uniform(rng)
    left, outer = bool(draw(0, 1) < 0.45), draw(-0.25, 0.30)  # a segment spares the inner part
    cut, soft, slope = draw(0.36, 0.58), draw(0.06, 0.22), draw(-0.35, 0.35)
    depth = lungs.depth + slope * (lungs.across - 0.4) - cut + 0.03 * cloud
    depth = depth if draw(0, 1) < 0.65 else -depth
    part = ramp(depth, soft) * ramp(lungs.across - outer + 0.05 * cloud, 0.15) * ((lungs.left != 0) == left)
    return part * np.clip(draw(0.60, 1.0) + 0.12 * cloud + 0.05 * fine, 0, 1)


def _patchy(rng: Generator, chest: Chest, lungs: Part, cloud: Array, fine: Array) -> Array:
    """Several soft patches, in one lung or in both."""
    draw, total = uniform(rng), np.zeros_like(lungs.x)
    both, first = bool(draw(0, 1) < 0.7), bool(draw(0, 1) < 0.45)
    for patch in range(rng.integers(3, 7)):
        cx, cy = chest.inside(rng, first ^ (patch % 2 == 1 and both))
        spot = disc(lungs.x, lungs.y, cx, cy, draw(0.13, 0.28), draw(0.13, 0.32), draw(0, 3))
        total = np.maximum(total, draw(0.65, 1.0) * ramp(spot + 1.5, 2.2))
    return np.clip(total * (0.80 + 0.22 * cloud + 0.16 * fine), 0, 1)


def _interstitial(rng: Generator, chest: Chest, lungs: Part, cloud: Array, fine: Array) -> Array:
    """A mesh with haze in both lungs, densest around the hila."""
    draw, (hx, hy) = uniform(rng), chest.hilum
    around = bell(lungs.across - hx, 0.34) * bell(lungs.y - hy - draw(-0.05, 0.25), 0.42)
    mesh = bell(lungs.field(rng, 56), 0.5)
    strength = draw(0.7, 1.0) * lungs.side(draw(0.7, 1), draw(0.7, 1))
    return np.clip(strength * (0.35 + 0.65 * around) * (0.50 + 0.16 * cloud + 0.12 * fine + 0.32 * mesh), 0, 1)


def vessels(body: Generator, chest: Chest, lungs: Part) -> Array:
    """Branching vessels around the hila: ridges of noise in polar coordinates, [n] in [0, 1]."""
    from scipy.ndimage import map_coordinates

    a = lungs.across - chest.hilum[0] + 0.025 * lungs.field(body, 9)
    b = lungs.y - chest.hilum[1] + 0.025 * lungs.field(body, 9)
    rho = np.sqrt(a * a + b * b)
    table = splines(256, 60) @ body.standard_normal((60, 6), dtype=np.float32) @ splines(48, 6).T
    # Each lung reads its own half of the table.
    turns = np.arctan2(b, a) * (1 / (2 * math.pi)) + 0.5
    at = (turns * 127 + lungs.side(0, 128), np.minimum(rho * (1 / 0.9), 1) * 47)
    ridge = map_coordinates(table, at, order=1, mode="nearest")
    crowd = uniform(body)(0.75, 1.2) * (1 - 0.25 * chest.breath)
    width = 0.40 - 0.36 * np.minimum(rho, 0.9)
    return np.minimum(crowd * (np.exp(-np.square(ridge / width) - rho * 2.2) + 0.5 * bell(rho, 0.09)), 1)


def bones(body: Generator, chest: Chest) -> Array:
    """Ribs, spine, clavicles, scapulae and upper arms: attenuation [size, size]."""
    total: Array = np.zeros((chest.size, chest.size), np.float32)
    for bone in (_ribs, _spine, _clavicles, _scapulae):
        bone(body, chest, total)
    return total


def _ribs(body: Generator, chest: Chest, total: Array) -> None:
    """Add the ribs, behind and in front, and the edge of the cage."""
    draw, k, y, across = uniform(body), chest.child, chest.y, chest.across
    r = np.minimum(across / chest.wall, 1)
    gap = draw(0.150, 0.185)
    warp = 0.005 * chest.field(body, 5) + chest.side(0, draw(-0.02, 0.02))
    behind = y - draw(0.30, 0.40) * (1 - 0.2 * k) * r * r * np.sqrt(r) + draw(0.12, 0.18) * r + warp
    front = y - draw(0.34, 0.46) * (1 - 0.25 * k) * np.sqrt(1 - r * r) - 0.20 + warp
    ribs = _bars(behind, gap, 0.48, 0.11 * (1 + 0.6 * k))
    ribs += _bars(front, gap, 0.55, 0.05 * (1 + 0.6 * k)) * ramp(r - 0.50, 0.35)
    ribs *= ramp(chest.wall + 0.012 - across, 0.02) * ramp(y - chest.top + 0.03, 0.05)
    ribs *= 1 - 0.75 * ramp(y - chest.dome, 0.25)
    ribs += 0.08 * bell(across - chest.wall, 0.016) * ramp(y - chest.top, 0.1)
    total[chest.at] = ribs


def _bars(curve: Array, gap: float, share: float, strength: float) -> Array:
    """Bars across a curve, one every ``gap``, each over a ``share`` of it, with bright edges."""
    phase = curve * (1 / gap)
    q = np.abs(phase - np.floor(phase) - 0.5) * (2 / share)
    return strength * (0.62 * dome(1 - q * q) + 0.55 * bell(q - 0.86, 0.14))


# Boxes end where bells are below 1e-21, seven widths away: that changes no other number that it is added to.


def _spine(body: Generator, chest: Chest, total: Array) -> None:
    """Add the spine with the plates of its vertebrae."""
    draw, middle = uniform(body), 0.3 * chest.turn
    part = chest.film.box(slice(0, chest.size), chest.columns(middle - 0.23, middle + 0.23))
    off = np.abs(part.x - middle - 0.012 * np.sin(2.2 * part.y + draw(0, 6)))
    plates = np.cos((2 * math.pi / draw(0.105, 0.125)) * part.y)
    inside = ramp(0.078 + 0.01 * chest.child - off, 0.02)
    total[part.at] += inside * (0.13 + 0.035 * plates) + 0.04 * bell(off - 0.07, 0.02)


def _clavicles(body: Generator, chest: Chest, total: Array) -> None:
    """Add the collar bones."""
    draw, k = uniform(body), chest.child
    rise, bend = draw(0.16, 0.42) * (1 - 0.5 * k), draw(0.02, 0.045)
    height = chest.top + draw(0.20, 0.27) - 0.05 * k
    low, high = height - 0.72 * rise - bend - 0.1, height + 0.01 * rise + bend + 0.1
    part = chest.film.box(chest.rows(low, high))
    out = part.across - 0.08
    line = height - rise * out - bend * np.sin(8.5 * out)
    q = np.abs(part.y - line) / (0.020 + 0.016 * bell(out, 0.12) + 0.008 * ramp(out - 0.4, 0.3))
    span = ramp(out + 0.01, 0.03) * ramp(0.72 - out, 0.04)
    clavicle = (1 - 0.5 * ramp(out - 0.2, 0.5)) * span * (0.75 * dome(1 - q * q) + 0.45 * bell(q - 0.82, 0.2))
    total[part.at] += 0.15 * clavicle


def _scapulae(body: Generator, chest: Chest, total: Array) -> None:
    """Add shoulder blades, and the heads and shafts of the arms."""
    draw, k, top, middle = uniform(body), chest.child, chest.top, 0.5 * chest.turn
    cx, cy, tilt = 0.80 + draw(-0.04, 0.08), top + 0.34 + draw(-0.05, 0.05), draw(0.1, 0.35)
    rows, inner = chest.rows(min(cy - 0.53, top - 0.2), top + 1.1), cx - 0.30
    for low, high in ((-math.inf, middle - inner), (middle + inner, math.inf)):
        part = chest.film.box(rows, chest.columns(low, high))
        blade = disc(part.across, part.y, cx, cy, 0.18, 0.36, tilt)
        scapula = 0.5 * ramp(blade, 0.3) + 0.6 * bell(blade, 0.14)
        ball = disc(part.across, part.y, 0.98, top + 0.12 - 0.06 * k, 0.12, 0.13)
        shaft = disc(part.across, part.y, 1.09, top + 0.50 - 0.1 * k, 0.085, 0.55, -0.15)
        arms = total[part.at]
        arms += 0.07 * scapula
        arms += 0.09 * dome(np.maximum(ball, shaft))


def soft_tissue(body: Generator, film: Generator, chest: Chest) -> Array:
    """The trunk as if it held no air: attenuation [size, size], 0 beside the body."""
    draw, k, top, whole = uniform(body), chest.child, chest.top, chest.film
    x, y, across = whole.x, whole.y, whole.across
    neck, flank = draw(0.22, 0.30) + 0.05 * k, 0.84 + draw(-0.02, 0.12) - 0.02 * k
    # Outline: the slope of neck and shoulders, the flank, and the arm beyond the axilla, raised or hanging.
    slope = ramp(y - top + draw(0.34, 0.54), 0.34)
    torso = flank + 0.05 * ramp(y - 0.2, 0.8) + 0.012 * whole.field(body, 6)
    axilla, arm = top + draw(0.55, 1.05) - 0.1 * k, math.tan(draw(0.2, 1.4) - 0.9 * k)
    under = (axilla + arm * (across - flank) - y) * math.cos(math.atan(arm))
    margin = np.minimum(neck + (1.45 - neck) * slope * np.sqrt(slope) - across, np.maximum(torso - across, under))
    within = ramp(margin, 0.025)
    round_trunk = dome(1 - np.square(across * (1 / (flank + 0.14))))
    tissue = within * (0.20 + draw(0, 0.08) + 0.12 * ramp(margin, 0.2) + 0.52 * round_trunk) * (0.6 + 0.4 * slope)
    if draw(0, 1) < 0.5 * k:  # the chin of a child
        cx, tall = draw(-0.2, 0.2), draw(0.18, 0.36)
        part = whole.box(chest.rows(-math.inf, tall - 1.15))
        tissue[part.at] += 0.4 * ramp(disc(part.x, part.y, cx, -1.15, 0.34, tall), 0.25)
    _abdomen(body, chest, within, tissue)
    if draw(0, 1) < 0.45 * (1 - k):  # breasts veil the lower zones of healthy films too
        size, low, cx = draw(0.24, 0.36), chest.base - draw(0.12, 0.40), draw(0.44, 0.55)
        part = whole.box(chest.rows(low - size, low + size))
        breast = dome(disc(part.across, part.y, cx, low, size * 1.15, size))
        tissue[part.at] += draw(0.06, 0.17) * breast * (0.6 + 0.4 * ramp(part.y - low, 0.2))
    if film.random() < 0.6:  # a pad, a fold, a roll of the arm: not confined to the lung
        veil = uniform(film)
        cx, cy, wide = veil(-0.7, 0.7), veil(-0.5, 0.5), veil(0.22, 0.5)
        tissue += within * veil(0.03, 0.16) * bell(x - cx, wide) * bell(y - cy, wide)
    # An off-centre beam makes one side lighter; the windpipe is a dark band above the hila.
    lean, middle = film.normal(0, 0.06) * x, 0.01 + chest.turn
    height = chest.hilum[1] - 0.12
    part = whole.box(chest.rows(-math.inf, height), chest.columns(middle - 0.32, middle + 0.32))
    lean[part.at] -= 0.16 * (bell(part.x - 0.01 - chest.turn, 0.045) * ramp(height - part.y, 0.12))
    tissue += within * lean
    return tissue


def _abdomen(body: Generator, chest: Chest, within: Array, tissue: Array) -> None:
    """Add what lies below the domes: the body is thicker, and gas lies in the stomach under the left one."""
    draw = uniform(body)
    part = chest.box(chest.rows(float(chest.dome.min()), math.inf))
    depth, soft = part.y - part.dome, tissue[part.at]
    below = ramp(depth, 0.02) * within[part.at] * ramp(part.wall + 0.09 - part.across, 0.2)
    soft += below * (0.14 + 0.08 * (1 - chest.child) + 0.25 * depth.clip(0, 0.6))
    if draw(0, 1) < 0.65:
        cx, cy = draw(0.25, 0.45), chest.base - 0.03 + draw(-0.04, 0.1)
        gas = disc(part.x, part.y, cx, cy, draw(0.07, 0.19), draw(0.04, 0.12))
        soft -= below * draw(0.15, 0.4) * ramp(gas + 0.3 * part.field(body, 10), 0.7)


def attenuation(body: Generator, film: Generator, chest: Chest, disease: Generator | None) -> Array:
    """Everything the beam meets, [size, size], about 0 (air) to 1.3 (spine); ``disease`` draws pneumonia."""
    lungs = chest.pixels(chest.lung > 0, "x", "y", "across", "left", "depth", "lung")
    fluid, d = pneumonia(disease, chest, lungs) if disease else None, lungs.lung
    air = ramp(d, 0.014) * (1 - 0.45 * np.square(1 - ramp(d, 0.28)))
    air *= (0.52 + 0.05 * chest.breath + film.uniform(-0.03, 0.05)) * (1 - 0.1 * ramp(lungs.depth - 0.6, 0.5))
    air *= 1 - 0.5 * vessels(body, chest, lungs) - 0.03 * lungs.field(body, 20)
    if fluid is not None:
        air *= 1 - fluid
    heart = 0.12 * bell(chest.film.across, 0.17)
    heart[chest.at] += 0.15 * dome(ramp(chest.heart, 0.1))
    total = soft_tissue(body, film, chest)
    total += heart
    total.ravel()[lungs.at] -= air
    total += bones(body, chest)
    return total
