"""Live components of recipe tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmtk.errors import MmtkError
from mmtk.registry import catalog, signature
from mmtk.registry.kinds import KINDS


def component(kind: str, table: Mapping[str, Any], wires: Mapping[str, Any]) -> Any:
    """The live component of a recipe table."""
    entry = catalog.find(kind, table["use"])
    loaded = catalog.load(entry)
    row = KINDS[kind]
    if not issubclass(loaded, row.contract_class):
        raise MmtkError(
            f"{entry.word} ({entry.target} of {entry.dist}) is no {kind}: it does not subclass "
            f"{row.contract_name}."
        )
    host = {"use", *(name for name, _, _ in row.added_keys)}
    keys = {key: value for key, value in table.items() if key not in host}
    return signature.construct(loaded, entry.word, wires, keys)
