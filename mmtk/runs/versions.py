"""Versions of the components of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog


def component_versions(recipe: Recipe) -> dict[str, str]:
    """``place=kind/name`` → distribution and version."""
    return {v.word: f"{v.dist} {v.version}" for v in versions(recipe)}


def expected_versions(recipe: Recipe) -> dict[str, str]:
    """mmtk and every component of the recipe with its version: what all machines of a study must agree on."""
    return {"mmtk": catalog.version(), **component_versions(recipe)}


def version_changes(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Names with another version ``now`` than ``before``, with both; parts of mmtk have that of ``mmtk``."""
    first, second = _with_own_parts(before), _with_own_parts(now)
    return {
        name: (first.get(name) or "unknown", second.get(name) or "unknown")
        for name in sorted({*first, *second})
        if first.get(name) != second.get(name)
    }


def _with_own_parts(versions: Mapping[str, str]) -> dict[str, str]:
    builtin = f"{catalog.OURS} {versions.get(catalog.OURS)}"
    return {name: catalog.OURS if version == builtin else version for name, version in versions.items()}


def listed(changes: Mapping[str, tuple[str, str]], first: str, second: str) -> str:
    """Changes of versions in words; ``first`` and ``second`` say when or where."""
    return "; ".join(f"{name}: {before} {first}, {now} {second}" for name, (before, now) in changes.items())


@dataclass(frozen=True)
class Version:
    """Version of a component: its word, and the distribution that brings it."""

    word: str
    dist: str
    version: str


def versions(recipe: Recipe) -> list[Version]:
    """The distributions behind every component of the recipe, for provenance."""
    components = []
    for path, kind, table in recipe.components():
        entry = catalog.find(kind, table["use"])
        components.append(Version(f"{path}={entry.word}", entry.dist, entry.version))
    return components
