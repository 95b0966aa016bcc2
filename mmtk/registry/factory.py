"""Live components of recipe tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmtk import api
from mmtk.errors import MmtkError
from mmtk.registry import catalog, signature

CONTRACTS: dict[str, type[Any]] = {
    "encoder": api.Encoder,
    "decoder": api.Decoder,
    "ssl": api.SSL,
    "consistency": api.Consistency,
    "bridge": api.Bridge,
    "loss": api.Loss,
    "augment": api.Augment,
    "source": api.Source,
    "metric": api.Metric,
    "launcher": api.Launcher,
}


def component(kind: str, table: Mapping[str, Any], wires: Mapping[str, Any]) -> Any:
    """The live component of a recipe table."""
    entry = catalog.find(kind, table["use"])
    loaded = catalog.load(entry)
    if not issubclass(loaded, CONTRACTS[kind]):
        raise MmtkError(
            f"{entry.word} ({entry.target} of {entry.dist}) is no {kind}: it does not subclass "
            f"mmtk.api.{CONTRACTS[kind].__name__}."
        )
    host = {"use", *(name for name, _, _ in signature.HOST_KEYS.get(kind, ()))}
    keys = {key: value for key, value in table.items() if key not in host}
    return signature.construct(loaded, entry.word, wires, keys)
