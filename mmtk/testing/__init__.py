"""The contract kit: what a component of each kind has to keep, as named checks that plugin authors run.

    @pytest.mark.parametrize("check", suite("ssl", Entropy), ids=str)
    def test_contract(check):
        check()

The same checks run with ``mmtk plugins check KIND/NAME``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmtk.errors import MmtkError, listing
from mmtk.registry import catalog
from mmtk.registry.kinds import KINDS, attribute
from mmtk.testing import every
from mmtk.testing.check import Check, ContractError, Subject, named, outcomes

__all__ = ["Check", "ContractError", "checks_of", "outcomes", "suite"]


def kind_checks(kind: str) -> tuple[Callable[[Subject], None], ...]:
    """The checks that a kind has beside those of every kind."""
    if kind not in KINDS:
        raise MmtkError(f"no such kind: {kind}.", hint=f"Kinds: {listing(KINDS)}.")
    return tuple(attribute(KINDS[kind].checks))


def suite(
    kind: str, component: type[Any], keys: Mapping[str, Any] | None = None, root: Path | None = None
) -> list[Check]:
    """Every check of a component of the kind; ``keys`` are recipe keys, ``root`` a source's data folder.

    kind: of the component
    component: its class
    keys: of its recipe table, defaults where they are left out
    root: data folder of a source
    """
    functions = (*every.CHECKS, *kind_checks(kind))
    subject = Subject(kind, component, keys or {}, root)
    return [Check(named(function), subject, function) for function in functions]


def checks_of(
    word: str, keys: Mapping[str, Any] | None = None, root: Path | None = None
) -> Iterator[tuple[catalog.Entry, list[Check]]]:
    """The checks of ``KIND/NAME``, or of every component that a distribution brings."""
    kind, _, name = word.partition("/")
    if name and kind in KINDS:
        components = [catalog.find(kind, name)]
    else:
        components = [e for e in catalog.entries() if word == e.dist or (kind == catalog.CODE and word == e.name)]
        if not components:
            dists = sorted({entry.dist for entry in catalog.entries()})
            raise MmtkError(
                f"'{word}' is neither KIND/NAME nor a distribution with components.",
                hint=f"Distributions: {', '.join(dists)}. mmtk plugins lists the components.",
            )
    for entry in components:
        yield entry, suite(entry.kind, catalog.load(entry), keys, root)
