"""Random generators as pure functions of a key: no saved generator state, no shifted draws."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_of(*key: object) -> int:
    """A 63-bit seed from any key such as ``(seed, "order", "labelled", epoch)``; the same on every machine."""
    text = "/".join(str(part) for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*key: object) -> torch.Generator:
    """A fresh CPU generator for ``key``, so that every device draws the same numbers."""
    return torch.Generator().manual_seed(seed_of(*key))


@contextmanager
def seeded(*key: object) -> Iterator[None]:
    """Seed torch's global generators by ``key`` inside the block, and restore them after it."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    # For a GPU that nobody has started, torch.manual_seed writes down the whole stack, every time.
    seed_all = torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed
    with torch.random.fork_rng(devices):
        seed_all(seed_of(*key))
        yield
