"""Our own components keep the contracts that the kit checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmtk.registry import catalog
from mmtk.testing import suite

KEYS: dict[str, dict[str, Any]] = {
    "encoder/timm": {"model": "resnet10t"},
    "encoder/smp": {"name": "resnet18"},
    "source/phantom": {"train": 12, "val": 4, "test": 4, "size": 32},
}
REAL = ("source/chex", "source/jsrt", "source/mcu", "source/nihx")  # they need their own files


def cases() -> list[Any]:
    """Every check of every built-in component that needs no data set."""
    found = []
    for kind, table in catalog.BUILTINS.items():
        for name in table:
            word = f"{kind}/{name}"
            if word in (*REAL, "source/folder"):
                continue
            component = catalog.load(catalog.find(kind, f"mmtk/{name}"))
            found += [
                pytest.param(check, id=f"{word}-{check}") for check in suite(kind, component, KEYS.get(word))
            ]
    return found


@pytest.mark.parametrize("check", cases())
def test_contract(check) -> None:
    check()


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_contract_of_a_folder(task: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    keys: dict[str, Any] = {"images": "images"}
    for number in range(12):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            pixels = rng.integers(0, 255, (32, 32)) if folder == "images" else 255 * (rng.random((32, 32)) > 0.5)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / folder / f"film-{number:02}.png")
    if task == "segmentation":
        keys["masks"] = "masks"
    else:
        keys["labels"] = "films.csv"
        lines = "".join(f"film-{number:02}.png,{'sick' if number % 2 else 'well'}\n" for number in range(12))
        (tmp_path / "films.csv").write_text(f"image,label\n{lines}")
    component = catalog.load(catalog.find("source", "mmtk/folder"))
    for check in suite("source", component, keys, tmp_path):
        check()
