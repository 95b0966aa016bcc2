"""Live components of recipe tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmtk.errors import MmtkError, listing
from mmtk.registry import catalog, signature
from mmtk.registry.kinds import KINDS


def component(kind: str, table: Mapping[str, Any], wires: Mapping[str, Any]) -> Any:
    """Make the component of a recipe table.

    kind: a name of ``kinds.KINDS``
    table: ``use``, the component's keys, and those that the host adds
    wires: what the host offers to positional parameters, by name

    Raises MmtkError for a class that does not keep the contract: another base, missing attributes, unknown keys.
    """
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
    instance = signature.construct(loaded, entry.word, wires, keys)
    declared = vars(row.contract_class).get("__annotations__", {})
    missing = [f"'{name}'" for name in declared if not hasattr(instance, name)]
    if missing:
        raise MmtkError(
            f"{entry.word} has no {listing(missing)}, which {row.contract_name} declares.",
            hint=f"Set it in the class {loaded.__name__}, or in its __init__.",
        )
    return instance
