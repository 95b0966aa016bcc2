"""A recipe small enough to train in a second: 32 px, a narrow network, few synthetic images."""

from __future__ import annotations

from typing import Any

from mmtk import load_recipe
from mmtk.recipe.recipe import Recipe

TINY: dict[str, Any] = {
    "data.size": 32,
    "encoder.width": 4,
    "train.steps": 4,
    "train.validate_every": 2,
    "train.batch": 2,
    "train.precision": "fp32",
    "evaluate.cases": 2,
    "tracking.enabled": False,
}
CLASSIFICATION = {"data.classification.labels": 8}
SEGMENTATION = {"data.segmentation.labels": 4, "decoder.width": 4}
SOURCES = {
    f"data.{task}.{domain}.{part}": count
    for task in ("classification", "segmentation")
    for domain in ("source", "cross")
    for part, count in (("train", 24), ("val", 8), ("test", 10), ("size", 32))
}


TOY = TINY | CLASSIFICATION | SEGMENTATION | SOURCES
SHALLOW = {"encoder.depth": 4}  # blocks of a U-Net, the fewest that a bridge takes


def tiny(recipe_name: str = "multimix", /, **changes: Any) -> Recipe:
    """The recipe of a name at toy size; ``changes`` write dots as double underscores."""
    return load_recipe(
        recipe_name, "phantom", TOY | {key.replace("__", "."): value for key, value in changes.items()}
    )


def shallow(recipe_name: str = "multimix", /, **changes: Any) -> Recipe:
    """The same with a shallow U-Net."""
    return tiny(recipe_name, **SHALLOW | changes)
