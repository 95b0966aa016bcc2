"""What every test shares: no deadline per hypothesis example, and a cache of its own."""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, settings

# How long an example takes says something about the machine, not about the code.
settings.register_profile("mmtk", deadline=None)
settings.load_profile("mmtk")
# For tests that are meant to fail: one failing example is enough.
settings.register_profile("unshrunk", deadline=None, phases=[Phase.explicit, Phase.generate])


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["MMTK_CACHE"] = str(tmp_path_factory.getbasetemp() / "cache")
