"""Installed distributions written by hand: metadata in a folder on sys.path, as an installer leaves it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from mmtk.registry import catalog


def install(
    site: Path,
    dist: str,
    points: Mapping[str, str],
    *,
    version: str = "1.0",
    requires: Sequence[str] = (),
    modules: Mapping[str, str] | None = None,
) -> None:
    """Lay ``dist`` into ``site``: entry points ``"kind/name" → "module:Class"`` and the text of its modules."""
    info = site / f"{dist.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}"]
    lines += [f"Requires-Dist: {line}" for line in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    groups: dict[str, list[str]] = {}
    for word, target in points.items():
        kind, name = word.split("/")
        groups.setdefault(kind, []).append(f"{name} = {target}")
    text = "\n".join(f"[mmtk.{kind}]\n" + "\n".join(lines) for kind, lines in groups.items())
    (info / "entry_points.txt").write_text(text + "\n")
    for name, code in (modules or {}).items():
        (site / f"{name}.py").write_text(code)
    refresh()


def alone(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the catalog see distributions below ``folder`` only: this machine may have plugins of its own."""
    everywhere = metadata.distributions

    def below() -> object:
        return everywhere(path=[place for place in sys.path if Path(place).is_relative_to(folder)])

    monkeypatch.setattr(metadata, "distributions", below)
    # An answer of its own, which goes with the test: others see the plugins of this machine.
    monkeypatch.setattr(catalog, "_third_party", cache(catalog._third_party.__wrapped__))
    refresh()


def refresh() -> None:
    """Let the catalog look again."""
    importlib.invalidate_caches()
    catalog._third_party.cache_clear()
