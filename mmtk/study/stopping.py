"""Stopping rule of a study that adds seeds in rounds until its verdicts are settled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mmtk.errors import MmtkError

FIRST = 3  # seeds of the first look: with two, Student's t says nothing
FEWEST_FOR_LOOKS = 10  # below, an early look costs more power than the seeds that it saves
MAX_SEEDS = 20


@dataclass(frozen=True)
class Stopping:
    """The rule, written down before the first run, and how many seeds its rounds have asked for.

    max_seeds: seeds of a cell at most; the levels of all looks depend on it
    margins: largest difference that does not matter, by name of a score, in place of the declared ones
    seeds: number of seeds asked for, by digest of the cell
    """

    max_seeds: int = MAX_SEEDS
    margins: Mapping[str, float] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_seeds < FIRST:
            raise MmtkError(
                f"a verdict needs {FIRST} seeds or more; --max-seeds is {self.max_seeds}.",
                hint=f"Usual: --max-seeds {MAX_SEEDS}.",
            )
        for name, margin in self.margins.items():
            if not (math.isfinite(margin) and margin > 0):
                raise MmtkError(f"the margin of {name} should be a number above 0; it is {margin}.")

    @property
    def first(self) -> int:
        """Seeds of the first look: all, where there are too few for looks."""
        return FIRST if self.max_seeds >= FEWEST_FOR_LOOKS else self.max_seeds

    @property
    def rule(self) -> dict[str, Any]:
        """Facts that may not change once a study has begun."""
        return {"max_seeds": self.max_seeds, "margins": dict(self.margins)}

    def seeds_of(self, digest: str) -> int:
        """The number of seeds that a cell is run with, so far."""
        return self.seeds.get(digest, self.first)

    def one_more(self, digests: Iterable[str]) -> Stopping:
        """The same rule, with another seed asked for in some cells, up to ``max_seeds``."""
        more = {digest: min(self.seeds_of(digest) + 1, self.max_seeds) for digest in digests}
        return replace(self, seeds={**self.seeds, **more})

    def to_json(self) -> dict[str, Any]:
        """The rule and the seeds, as study.json holds them."""
        return {**self.rule, "seeds": dict(self.seeds)}


def from_json(table: Mapping[str, Any] | None) -> Stopping | None:
    """A rule read back; None for a study with a number of seeds."""
    return Stopping(table["max_seeds"], table["margins"], table["seeds"]) if table else None
