"""ssl/hello keeps the contract of its kind, and its recipe is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmtk_hello import Entropy

import mmtk
from mmtk.testing import suite


@pytest.mark.parametrize("check", suite("ssl", Entropy), ids=str)
def test_contract(check):
    check()


def test_the_recipe_is_fine():
    recipe = mmtk.load_recipe(Path(__file__).parents[1] / "recipe.toml")
    assert recipe.name == "MultiMix with hello"
