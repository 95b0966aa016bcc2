"""Timed steps of systems, kept in the cache: a plan that was timed once is shown at once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from mmtk.data.locations import data_paths
from mmtk.io import cache
from mmtk.io.files import read_json, write_json
from mmtk.recipe.recipe import Recipe
from mmtk.runs.hardware import hardware
from mmtk.runs.pace import cores
from mmtk.runs.versions import expected_versions
from mmtk.study.estimate import Work

MOST = 1000  # recipes that are remembered


@dataclass(frozen=True)
class Timing:
    """A few steps of a system: ``step`` seconds of wall time each; ``wall`` and ``cpu`` seconds of all."""

    work: Work
    step: float
    wall: float
    cpu: float


class Timings:
    """Recipes that passed the checks of a study before, most of them timed, on this machine.

    root: folder of the data sets
    device: ``cpu`` or ``cuda``, with ``threads`` threads

    An entry is of a recipe with its versions and its files in their state; no answer is given for others.
    """

    def __init__(self, root: Path | None, device: str, threads: int) -> None:
        self.root, self.threads = root, threads
        self._machine = [hardware(device), device, threads, metadata.version("torch")]
        self._file = cache.default_root() / "timings.json"
        self._entries: dict[str, Any] = {}
        with suppress(Exception):  # whatever is wrong with the file: steps can be timed again
            self._entries = dict(read_json(self._file))

    def passed(self, recipe: Recipe) -> bool:
        """Whether the recipe passed the checks of a study."""
        return self._key(recipe) in self._entries

    def get(self, recipe: Recipe) -> Timing | None:
        """The timing of a recipe, stretched as the load of the machine stretches steps now."""
        entry = self._entries.get(self._key(recipe), {})
        with suppress(TypeError, KeyError):
            step = float(entry["step"])
            now = step * max(1.0, os.getloadavg()[0] / cores())
            return Timing(Work(**entry["work"]), now, now, step)
        return None

    def has_images(self, recipe: Recipe) -> bool:
        """Whether the images of the recipe were read and its data checked for leaks."""
        return bool(self._entries.get(self._key(recipe), {}).get("images"))

    def add(self, recipes: Iterable[Recipe], timing: Timing | None = None, *, images: bool = False) -> None:
        """Remember that recipes passed, with a ``timing`` where they were timed; ``images``: and all were read."""
        entry: dict[str, Any] = {"work": asdict(timing.work), "step": self._quiet(timing)} if timing else {}
        entry |= {"images": True} if images else {}
        for recipe in recipes:
            self._entries[self._key(recipe)] = self._entries.get(self._key(recipe), {}) | entry

    def save(self) -> None:
        """Write the file, if it can be written."""
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, dict([*self._entries.items()][-MOST:]))

    def _quiet(self, timing: Timing) -> float:
        """Seconds of a step on free cores."""
        if self.threads == 1 and timing.cpu > 0:
            return timing.step * min(1.0, timing.cpu / timing.wall)
        return timing.step / max(1.0, os.getloadavg()[0] / cores())

    def _key(self, recipe: Recipe) -> str:
        files = [
            *data_paths(recipe, self.root),
            *map(Path, filter(None, (recipe.encoder.get("weights"), recipe.init))),
        ]
        states = [[str(path.absolute()), path.stat().st_mtime_ns if path.exists() else 0] for path in files]
        facts = [recipe.digest, str(self.root), expected_versions(recipe), states, self._machine]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
