"""Kinds of components: one row for each, which everything that lists kinds reads.

A new kind is a contract, a row, a template for ``mmtk plugins new`` and checks for ``mmtk plugins check``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from mmtk.tasks import CLASSIFICATION, SEGMENTATION

TEMPLATES = Path(__file__).parent / "templates"
STRATEGY_WIRES = ("supervised", "twin", "classes", "exclusive", "unlabelled_size", "in_channels", "channels")


@dataclass(frozen=True)
class Kind:
    """Properties of a kind of component; imports nothing until it is asked.

    name: its word: the entry-point group ``mmtk.NAME`` and KIND of KIND/NAME on the command line
    contract: the class that its components subclass, ``module:Class``
    checks: the checks of the contract kit, ``module:TUPLE``
    template: the file with a class ``Example`` that ``mmtk plugins new`` copies; ``NAME.toml`` beside it has the
        lines of a recipe that uses it, where a table with ``use`` alone would not show it at work
    wires: what the host offers to positional parameters
    tables: the recipe tables in which its components stand, ``*`` for any name; none where recipes do not name it
    task: the one task that it serves, and that needs it; empty for a kind of all tasks
    optional: whether it is a part of a method that ablations add and leave out, ``use = "none"``
    host_keys: keys that the host adds to its tables, ``module:TUPLE``
    lasting: those of the host's keys that stay when a recipe names another component
    command: how to run a package's recipe with it; ``$recipe`` and ``$name`` are filled in
    """

    name: str
    contract: str
    checks: str
    template: Path
    wires: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    task: str = ""
    optional: bool = False
    host_keys: str = ""
    lasting: tuple[str, ...] = ()
    command: str = "mmtk run $recipe"

    @property
    def contract_class(self) -> type[Any]:
        """The class that components of the kind subclass."""
        loaded: type[Any] = attribute(self.contract)
        return loaded

    @property
    def contract_name(self) -> str:
        """The contract as authors import it: ``mmtk.api.SSL``."""
        return f"mmtk.api.{self.contract.rpartition(':')[2]}"

    @property
    def added_keys(self) -> tuple[Any, ...]:
        """The host's keys: name, type and default of each."""
        return tuple(attribute(self.host_keys)) if self.host_keys else ()


def attribute(target: str) -> Any:
    """Import ``module:name`` and return what it names; a name may have dots."""
    module, _, names = target.partition(":")
    return reduce(getattr, names.split("."), importlib.import_module(module))


ROWS = (
    Kind(
        "encoder",
        "mmtk.api:Encoder",
        "mmtk.testing.parts:ENCODER",
        TEMPLATES / "encoder.py",
        ("in_channels",),
        tables=("encoder",),
        host_keys="mmtk.registry.signature:ENCODER_KEYS",
    ),
    Kind(
        "decoder",
        "mmtk.api:Decoder",
        "mmtk.testing.parts:DECODER",
        TEMPLATES / "decoder.py",
        ("channels", "strides", "classes"),
        tables=("decoder",),
        task=SEGMENTATION.name,
    ),
    Kind(
        "bridge",
        "mmtk.api:Bridge",
        "mmtk.testing.parts:BRIDGE",
        TEMPLATES / "bridge.py",
        ("in_channels",),
        tables=("bridge",),
        task=SEGMENTATION.name,
        optional=True,
    ),
    Kind(
        "ssl",
        "mmtk.api:SSL",
        "mmtk.testing.strategy:CHECKS",
        TEMPLATES / "ssl.py",
        STRATEGY_WIRES,
        tables=("ssl",),
        task=CLASSIFICATION.name,
        optional=True,
    ),
    Kind(
        "consistency",
        "mmtk.api:Consistency",
        "mmtk.testing.strategy:CONSISTENCY",
        TEMPLATES / "consistency.py",
        STRATEGY_WIRES,
        tables=("consistency",),
        task=SEGMENTATION.name,
        optional=True,
    ),
    Kind(
        "loss",
        "mmtk.api:Loss",
        "mmtk.testing.scoring:LOSS",
        TEMPLATES / "loss.py",
        ("classes", "exclusive", "class_weights"),
        tables=("loss.classification", "loss.segmentation"),
        host_keys="mmtk.registry.signature:LOSS_KEYS",
        lasting=("weight",),
    ),
    Kind(
        "augment",
        "mmtk.api:Augment",
        "mmtk.testing.data:AUGMENT",
        TEMPLATES / "augment.py",
        ("swap",),
        tables=("augment.*",),
    ),
    Kind(
        "metric",
        "mmtk.api:Metric",
        "mmtk.testing.scoring:METRIC",
        TEMPLATES / "metric.py",
        ("names", "exclusive", "spacing"),
        tables=("metric.*",),
    ),
    Kind(
        "source",
        "mmtk.api:Source",
        "mmtk.testing.data:SOURCE",
        TEMPLATES / "source.py",
        ("root", "task"),
        tables=(
            "data.classification.source",
            "data.classification.cross",
            "data.segmentation.source",
            "data.segmentation.cross",
        ),
    ),
    Kind(
        "launcher",
        "mmtk.jobs:Launcher",
        "mmtk.testing.launching:LAUNCHER",
        TEMPLATES / "launcher.py",
        command="mmtk ablate $recipe --components saliency --launcher $name",
    ),
    Kind(
        "search",
        "mmtk.search:Search",
        "mmtk.testing.searching:SEARCH",
        TEMPLATES / "search.py",
        command="mmtk ablate $recipe --components saliency --tune 8 --search $name",
    ),
)
KINDS: dict[str, Kind] = {row.name: row for row in ROWS}
