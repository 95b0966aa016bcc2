"""The architecture page says what the imports are, and names files that there are."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DRAWN = ROOT / "docs" / "images" / "architecture.svg"


@pytest.fixture(scope="module")
def drawing() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "make_architecture.py"))


def test_the_page_is_drawn_from_the_imports(drawing: dict[str, Any]) -> None:
    text = drawing["PAGE"].read_text(encoding="utf-8")
    assert drawing["page"](text) == text, "run make docs"
    assert drawing["PICTURE"].read_text(encoding="utf-8") == drawing["picture"](), "run make docs"


def test_every_package_stands_in_the_picture(drawing: dict[str, Any]) -> None:
    packages = {
        path.stem for path in (ROOT / "mmtk").iterdir() if not path.name.startswith(("_", "py.typed", "."))
    }
    assert packages == {*drawing["layers"]()}


def test_the_data_flow_names_files_that_there_are() -> None:
    names = re.findall(r"(?<![A-Z/])\b[a-z_/]+\.py\b", DRAWN.read_text(encoding="utf-8"))
    assert len(names) > 8
    assert [name for name in names if not (ROOT / "mmtk" / name).is_file()] == []


def test_the_page_names_files_that_there_are() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    names = re.findall(r"`((?:mmtk/)?(?!docs/)[a-z_]+(?:/[a-z_]+)*\.py)`", page)
    assert len(names) > 5
    assert [name for name in names if not (ROOT / "mmtk" / name.removeprefix("mmtk/")).is_file()] == []
