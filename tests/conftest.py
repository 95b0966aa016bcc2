"""What every test shares: no deadline per hypothesis example, and a cache of its own."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# How long an example takes says something about the machine, not about the code.
settings.register_profile("mmtk", deadline=None)
settings.load_profile("mmtk")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["MMTK_CACHE"] = str(tmp_path_factory.getbasetemp() / "cache")
