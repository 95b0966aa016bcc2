"""A look for GPUs without torch, whose import takes seconds."""

from __future__ import annotations

import sys
from pathlib import Path

DEVICES = ("nvidia[0-9]*", "dxg", "kfd")  # of NVIDIA's driver, of Windows under Linux, of AMD's driver


def possible() -> bool:
    """Whether torch may see a GPU on this machine."""
    if sys.platform == "linux":
        return any(True for pattern in DEVICES for _ in Path("/dev").glob(pattern))
    return sys.platform != "darwin"
