"""Recipe: complete and checked values, named by a digest."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, cast

from mmtk.errors import MmtkError
from mmtk.recipe import tables as recipe_tables
from mmtk.recipe import toml as toml_layers
from mmtk.recipe.toml import Values
from mmtk.registry import catalog
from mmtk.registry.signature import Table
from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN

# What a run is called and where it is logged does not change its result.
NOT_IN_DIGEST = ("name", "description", "profile", "seed", "others", "origin", "tracking", "tune")
# Keys younger than the first runs, at the value that says what a recipe without them said: digests outlive them.
YOUNGER = {"data.classification.normalise": True, "data.match": [], "evaluate.test": True, "evaluate.tta": []} | {
    f"{path}.{key}": field.default
    for path, table in recipe_tables.FIXED.items()
    if path.startswith("train.groups")
    for key, field in table.model_fields.items()
}


@dataclass(frozen=True, repr=False)
class Recipe:
    """A complete, checked recipe: nested plain values, and the origin of every dotted key."""

    values: Values
    origins: Mapping[str, str]

    def __getitem__(self, dotted: str) -> Any:
        missing = object()
        value = toml_layers.get(self.values, dotted, missing)
        if value is missing:
            raise KeyError(dotted)
        return value

    def get(self, dotted: str, default: Any = None) -> Any:
        """Value of a dotted key, or ``default``."""
        return toml_layers.get(self.values, dotted, default)

    @property
    def name(self) -> str:
        """The system's name, such as ``MultiMix``."""
        return cast(str, self["name"])

    @property
    def tasks(self) -> list[str]:
        """``classification`` and/or ``segmentation``."""
        return cast(list[str], self["tasks"])

    @property
    def seed(self) -> int:
        """The run's seed."""
        return cast(int, self["seed"])

    @property
    def profile(self) -> str:
        """The profile that gave data and training budget."""
        return cast(str, self.get("origin.profile", ""))

    @property
    def description(self) -> str:
        """The recipe in one line, as its author put it."""
        return cast(str, self.get("description", ""))

    @property
    def init(self) -> str | None:
        """A run directory or weights file to start the whole network from."""
        return cast("str | None", self.get("init"))

    @cached_property
    def data(self) -> recipe_tables.Data:
        """Format of every image: ``size`` in pixels, ``channels``, and whether leaks are refused."""
        return recipe_tables.Data(**_own_keys(self["data"], recipe_tables.Data))

    @cached_property
    def train(self) -> recipe_tables.Train:
        """The training budget: steps, batch, optimiser and schedule."""
        return recipe_tables.Train(**_own_keys(self["train"], recipe_tables.Train))

    @cached_property
    def groups(self) -> dict[str, recipe_tables.Group]:
        """Training of single parts, by name; empty where all are trained alike."""
        tables = {part: self.get(f"train.groups.{part}") for part in recipe_tables.PARTS}
        kinds = {"encoder": recipe_tables.EncoderGroup}
        return {part: kinds.get(part, recipe_tables.Group)(**table) for part, table in tables.items() if table}

    @cached_property
    def evaluate(self) -> recipe_tables.Evaluate:
        """Settings of the scoring of test sets."""
        return recipe_tables.Evaluate(**self["evaluate"])

    @cached_property
    def tracking(self) -> recipe_tables.Tracking:
        """The MLflow mirror."""
        return recipe_tables.Tracking(**self["tracking"])

    def task_data(self, task: str) -> recipe_tables.TaskData:
        """The label budget of a task."""
        return recipe_tables.TaskData(**_own_keys(self[f"data.{task}"], recipe_tables.TaskData))

    def normalises(self, task: str) -> bool:
        """Whether the images of a task are mapped from [0, 1] to [−1, 1]."""
        return cast(bool, self.get(f"data.{task}.normalise", True))

    def source(self, task: str, domain: str = "source") -> Values:
        """The table of a data source, ``use`` among it; empty where there is none. ``domain``: source or cross."""
        return cast(Values, self.get(f"data.{task}.{domain}") or {})

    def source_name(self, task: str, domain: str) -> str:
        """Name of a data source: its component, with the domain or the folder of images where it has one; or "".

        ``domain``: in-domain or cross-domain
        """
        table = self.source(task, {IN_DOMAIN: "source", CROSS_DOMAIN: "cross"}[domain])
        if images := table.get("images"):
            return Path(images).as_posix().strip("/")
        return " ".join(str(table[key]) for key in ("use", "domain") if table.get(key))

    @property
    def encoder(self) -> Values:
        """The table of the encoder: ``use``, its keys, and ``weights`` or ``pretrained``."""
        return cast(Values, self["encoder"])

    @property
    def decoder(self) -> Values:
        """The table of the decoder; empty without segmentation."""
        return cast(Values, self.get("decoder", {}))

    @property
    def bridge(self) -> Values:
        """The table of the bridge; empty where there is none."""
        return cast(Values, self.get("bridge", {}))

    def strategy(self, kind: str) -> Values:
        """The table of the strategy ``ssl`` or ``consistency``; empty where there is none."""
        return cast(Values, self.get(kind, {}))

    def loss(self, task: str) -> Values:
        """The table of the supervised loss of a task, with its ``weight``; empty without the task."""
        return cast(Values, self.get(f"loss.{task}", {}))

    @property
    def augmentations(self) -> dict[str, Values]:
        """The tables ``augment.NAME`` by name."""
        return cast("dict[str, Values]", self.get("augment", {}))

    @property
    def metrics(self) -> dict[str, Values]:
        """The tables ``metric.NAME`` by name."""
        return cast("dict[str, Values]", self.get("metric", {}))

    @cached_property
    def digest(self) -> str:
        """Ten hex digits over everything that changes a result, except the seed."""
        values = copy.deepcopy({key: value for key, value in self.values.items() if key not in NOT_IN_DIGEST})
        for key, plain in YOUNGER.items():
            if toml_layers.get(values, key) == plain:
                toml_layers.drop(values, key)
        text = json.dumps(values, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def system_digest(self) -> str:
        """The digest without the label budgets: one for a system at all of them."""
        return self.with_values({f"data.{task}.labels": "full" for task in self.tasks}).digest

    @property
    def run_name(self) -> str:
        """``name-digest-sSEED``, the default name of the run directory."""
        return f"{self.slug}-{self.digest}-s{self.seed}"

    @property
    def slug(self) -> str:
        """The name as file names begin."""
        return re.sub(r"([^\w.]|-)+", "-", self.name.lower()).strip("-.") or "run"

    def with_values(self, changes: Mapping[str, Any], origin: str = "resolved") -> Recipe:
        """A copy with some dotted keys changed, the other tables shared; nothing is checked again."""
        values, origins = self.values, dict(self.origins)
        for key, value in changes.items():
            values = toml_layers.changed(values, key, value)
            origins[key] = origin
        return replace(self, values=values, origins=origins)

    def components(self) -> Iterator[tuple[str, str, Values]]:
        """Every component table: dotted name, kind, values."""
        return component_tables(self.values)

    def __repr__(self) -> str:
        return f"Recipe({self.name} {self.digest}, {' and '.join(self.tasks)}, seed {self.seed})"

    def _repr_html_(self) -> str:
        """Every key with its value, folded, for a notebook."""
        return f"<details><summary>{escape(repr(self))}</summary><pre>{escape(self.toml())}</pre></details>"

    def toml(self) -> str:
        """The resolved recipe as TOML that runs by itself."""
        import tomli_w

        head = f"# Resolved by mmtk {catalog.version()}; complete and runnable: mmtk run FILE\n"
        return head + tomli_w.dumps(self.values)


def _own_keys(table: Values, model: type[Table]) -> Values:
    """The keys of a table that are no tables of their own."""
    return {key: value for key, value in table.items() if key in model.model_fields}


def component_tables(values: Values) -> Iterator[tuple[str, str, Values]]:
    """Every component table present: dotted name, kind, values (whatever they are)."""
    for pattern, kind in recipe_tables.PLACES.items():
        group, _, last = pattern.rpartition(".")
        if last != "*":
            if toml_layers.has(values, pattern):
                yield pattern, kind, toml_layers.get(values, pattern)
        elif isinstance(toml_layers.get(values, group), dict):
            for name, table in toml_layers.get(values, group).items():
                yield f"{group}.{name}", kind, table


def need_recipe(value: object, call: str) -> Recipe:
    """Return ``value`` if it is a recipe; else an MmtkError that shows how ``call`` is written."""
    if isinstance(value, Recipe):
        return value
    what = f"not {value!r}" if isinstance(value, str | os.PathLike) else f"not a {type(value).__name__}"
    name = str(value) if isinstance(value, str | os.PathLike) else "multimix"
    message = f"mmtk.{call} takes a recipe, {what}."
    raise MmtkError(message, hint=f'Load it first: mmtk.{call}(mmtk.load_recipe("{name}"))')
