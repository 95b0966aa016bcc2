"""The line that installs an extra names what pyproject.toml has for it."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mmtk.io.extras import install_line, plugin_line
from mmtk.registry.catalog import BESIDE

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - {"dev"}))
def test_the_line_names_the_packages_of_the_extra_and_not_mmtk(extra):
    python, dash, pip, install, *packages = shlex.split(install_line(extra))
    assert [python, dash, pip, install] == ["python", "-m", "pip", "install"]
    assert {Requirement(p).name for p in packages} == {Requirement(line).name for line in EXTRAS[extra]}
    assert all(Requirement(package).specifier for package in packages)


@pytest.mark.parametrize("name", sorted(BESIDE))
def test_the_line_of_a_plugin_names_the_folder_where_it_lies(name):
    *_, editable, folder = shlex.split(plugin_line(name))
    assert editable == "-e"
    assert tomllib.loads((Path(folder) / "pyproject.toml").read_text())["project"]["name"] == name


def test_an_installed_mmtk_says_that_its_plugins_lie_in_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr("mmtk.io.extras.__file__", str(tmp_path / "mmtk/io/extras.py"))
    line = "python -m pip install -e plugins/mmtk-ray (in a checkout of mmtk: no package index has it)"
    assert plugin_line("mmtk-ray") == line


def test_no_text_installs_a_package_of_mmtk_by_its_name():
    """mmtk and its plugins are on no package index: they are installed from a folder."""
    files = [path for part in ("mmtk", "docs", "plugins", "recipes") for path in (ROOT / part).rglob("*.*")]
    texts = [path for path in (*files, ROOT / "README.md") if path.suffix in (".py", ".md", ".toml")]
    by_name = re.compile(r"pip install (?:-U |--upgrade )?['\"]?mmtk(?:-[a-z-]+)?(?![\w/-]|\[dicom\]'``)")
    lines = [(path.name, line) for path in texts for line in path.read_text(encoding="utf-8").splitlines()]
    assert not [(name, line) for name, line in lines if by_name.search(line)]
