"""A complete recipe whose ``[origin]`` somebody changed."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmtk
from mmtk.errors import MmtkError


@pytest.mark.parametrize("value", ["true", "3", "[1]", "{ a = 1 }", '""'])
def test_another_profile_for_it_is_refused_in_words(value: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(f'extends = "umtl"\n\n[origin]\nrecipe = {value}\nprofile = {value}\n')
    with pytest.raises(MmtkError, match="a second profile would mix the two"):
        mmtk.load_recipe(file, "phantom")
