"""Attributes of images, on images that show them."""

from __future__ import annotations

import numpy as np
import pytest

from mmtk.components.source._phantom_shortcuts import SHORTCUTS
from mmtk.components.source.phantom import Phantom
from mmtk.data.image_attributes import image_attributes
from mmtk.data.store import open_store


def attributes(tmp_path, shortcut: str) -> tuple[dict[str, float], dict[str, float]]:
    """Means over the films without and with a shortcut."""
    source = Phantom("classification", train=24, val=0, test=0, size=64, shortcut=shortcut, agreement=0.5)
    store = open_store(source, 64, cache=tmp_path)
    values = image_attributes(store, range(len(store.ids)))
    rows = {"yes": [], "no": []}
    for item in source.items("train"):
        rows[item.metadata[shortcut]].append(values[item.id])
    return tuple(
        {key: float(np.mean([row[key] for row in rows[side]])) for key in values[item.id]} for side in rows
    )[::-1]


@pytest.mark.parametrize(
    ("shortcut", "attribute", "sign"),
    [
        ("bright", "mean intensity", 1),
        ("dark", "mean intensity", -1),
        ("low contrast", "contrast", -1),
        ("border", "border", 1),
        ("tag top left", "burned-in signs", 1),
        ("sharp scanner", "sharpness", 1),
        ("blurred scanner", "sharpness", -1),
    ],
)
def test_a_sign_shows_in_its_attribute(tmp_path, shortcut, attribute, sign):
    without, with_sign = attributes(tmp_path, shortcut)
    assert sign * (with_sign[attribute] - without[attribute]) > 0.15 * abs(without[attribute])
    assert shortcut in SHORTCUTS


def test_values_of_a_film_drawn_by_hand(tmp_path):
    source = Phantom("classification", train=1, val=0, test=0, size=32)
    store = open_store(source, 32, cache=tmp_path)
    film = np.zeros((1, 1, 32, 32), np.uint8)
    film[..., 8:24, 8:24] = 100 + np.arange(16, dtype=np.uint8) * 4
    store.images, store.shapes = film, np.array([[1000, 2000]])
    (values,) = image_attributes(store, [0]).values()
    assert values["border"] == pytest.approx(0.75)
    assert values["file size"] == 2
    assert values["file aspect"] == 2
    assert values["burned-in signs"] == 0
    assert values["mean intensity"] == pytest.approx(film.mean() / 255)
    assert values["contrast"] == pytest.approx(film.std() / 255)
    store.images = np.full_like(film, 7)
    (flat,) = image_attributes(store, [0]).values()
    assert flat["border"] == 1
    assert flat["sharpness"] == 0
