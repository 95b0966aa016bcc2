"""The line that installs an extra names what pyproject.toml has for it."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mmtk.io.extras import install_line

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - {"dev"}))
def test_the_line_names_the_packages_of_the_extra_and_not_mmtk(extra):
    python, dash, pip, install, *packages = shlex.split(install_line(extra))
    assert [python, dash, pip, install] == ["python", "-m", "pip", "install"]
    assert {Requirement(p).name for p in packages} == {Requirement(line).name for line in EXTRAS[extra]}
    assert all(Requirement(package).specifier for package in packages)
