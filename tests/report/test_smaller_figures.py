"""Figures of a study are small, and look as those of all colours and digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import draw_as_users_get
from scipy.ndimage import gaussian_filter

from mmtk.report.figures import style
from mmtk.report.figures.saliency import Block
from mmtk.report.figures.smaller import indexed

SIDE = 64
MOST = 500_000  # bytes of a figure


def film(rng: np.random.Generator) -> np.ndarray:
    """A smooth picture [H,W] in [0, 1]."""
    smooth = gaussian_filter(rng.random((SIDE, SIDE)), 6)
    return (smooth - smooth.min()) / np.ptp(smooth)


def noise_map(rng: np.random.Generator) -> np.ndarray:
    """A saliency map [H,W] of a network that has learned nothing, as alike in neighbours as a gradient is."""
    return gaussian_filter(rng.standard_normal((SIDE, SIDE)), 0.7)


def test_few_colours_stay_as_they_are_and_grays_within_a_level() -> None:
    rng = np.random.default_rng(1)
    palette = np.concatenate([rng.integers(0, 256, (150, 3)), np.repeat(np.arange(256)[:, None], 3, 1)])
    pixels = palette[rng.integers(0, len(palette), (60, 70))].astype(np.uint8)
    drawn = np.asarray(indexed(pixels).convert("RGB")).astype(int)
    gray = np.ptp(pixels.astype(int), axis=-1) == 0
    hued = np.ptp(pixels.astype(int), axis=-1) > 2
    assert (drawn == pixels)[hued].all()
    assert np.abs(drawn - pixels)[gray].max() <= 1
    assert np.ptp(drawn[gray], axis=-1).max() == 0


def test_a_map_beside_its_film_looks_the_same() -> None:
    """Seen from where pixels are not told apart; each film stays gray, without bands of more than one level."""
    rng = np.random.default_rng(2)
    one = film(rng)
    both = np.concatenate([np.repeat(one[..., None], 3, 2), style.heat(one, noise_map(rng))], axis=1)
    pixels = (255 * both.clip(0, 1)).round().astype(np.uint8)
    difference = np.asarray(indexed(pixels).convert("RGB")).astype(float) - pixels
    assert np.abs(difference[:, :SIDE]).max() <= 1
    assert np.sqrt((gaussian_filter(difference, (1.5, 1.5, 0)) ** 2).mean()) < 2


@pytest.mark.long
def test_a_page_of_films_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest page of maps that a usual study has: two test sets, four films of each, two classes."""
    draw_as_users_get(monkeypatch)
    rng = np.random.default_rng(3)
    sheet = style.Sheet("Maps", 4, 6, 1, 7.2 / 6, above=0.36, right=0.62, group=3)
    with sheet.open(tmp_path / "maps.png", "seed 0", vector=True) as fig:
        for first, domain in ((0, "in-domain"), (3, "cross-domain")):
            images = np.stack([film(rng) for _ in range(4)])
            maps = np.stack([[noise_map(rng), noise_map(rng)] for _ in images])
            arrays = {"image": images, "target": np.zeros(4), "maps": maps, "probabilities": np.full((4, 2), 0.5)}
            Block(domain, "X-ray", arrays, range(4)).draw(fig, sheet, first, ["normal", "pneumonia"])
        sheet.bar(fig, "relative saliency")
    assert (tmp_path / "maps.png").stat().st_size < MOST
    assert (tmp_path / "maps.svg").stat().st_size < MOST
