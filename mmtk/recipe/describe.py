"""Descriptions of the installed components: JSON Schema of recipes, and a page for one component."""

from __future__ import annotations

import inspect
import json
from functools import partial
from typing import Any

from mmtk.errors import MmtkError
from mmtk.recipe import tables, toml
from mmtk.registry import catalog, memo, signature
from mmtk.registry.kinds import KINDS
from mmtk.scores import ScoreInfo
from mmtk.tasks import TASK_OF_STRATEGY, TASKS

RANGE = {
    "type": "object",
    "properties": {
        "low": {"type": "number", "description": "the smallest number"},
        "high": {"type": "number", "description": "the largest number"},
        "log": {"type": "boolean", "description": "equal factors are equally likely"},
    },
    "required": ["low", "high"],
    "additionalProperties": False,
}
# Keys of a recipe at any depth, each with a list or a range.
TUNE = {
    "type": "object",
    "description": "keys that mmtk ablate --tune varies",
    "additionalProperties": {"anyOf": [{"type": "array", "minItems": 2}, RANGE, {"$ref": "#/$defs/tune"}]},
}


def _table_schema(entry: catalog.Entry) -> dict[str, Any]:
    return tables.model_of(entry).model_json_schema()


def _kind_schema(kind: str) -> dict[str, Any]:
    """One alternative per component of the kind; nothing is required, because a parent recipe may give it."""
    choices = []
    for entry in catalog.entries(kind):
        try:
            table = memo.recall("schema", entry, None, partial(_table_schema, entry))
        except MmtkError as error:  # a broken plugin: its keys are not known
            table = {"type": "object", "properties": {}, "description": error.message}
        table.pop("required", None)
        table["title"] = entry.word
        full = [f"{entry.dist}/{entry.name}"] if entry.dist != catalog.CODE else []
        table["properties"]["use"] = {"enum": [entry.name, *full]}
        choices.append(table)
    return {"anyOf": choices}


def recipe_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a recipe file: every table, every key, its type, range and default."""
    kinds = {kind: _kind_schema(kind) for kind in sorted(set(tables.PLACES.values()))}
    top = tables.Top.model_json_schema()
    top["properties"]["extends"] = {"type": ["string", "array"], "items": {"type": "string"}}
    root: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mmtk recipe",
        **{key: value for key, value in top.items() if key not in ("title", "required")},
        "$defs": kinds,
    }
    for path, model in tables.FIXED.items():
        table = model.model_json_schema()
        table.pop("required", None)
        _insert_table(root, path, table)
    for path, kind in tables.PLACES.items():
        table = {"$ref": f"#/$defs/{kind}"}
        _insert_table(root, path, {"anyOf": [table, {"const": "none"}]} if toml.drops(path, "none") else table)
    root["$defs"]["tune"] = TUNE
    _insert_table(root, "tune", {"$ref": "#/$defs/tune"})
    memo.keep()
    return root


def _insert_table(root: dict[str, Any], path: str, table: dict[str, Any]) -> None:
    *groups, last = path.split(".")
    for group in groups:
        root = root["properties"].setdefault(
            group, {"type": "object", "properties": {}, "additionalProperties": False}
        )
        root.setdefault("properties", {})
    if last == "*":
        root["additionalProperties"] = table
    else:
        root["properties"][last] = table


def describe(word: str) -> str:
    """A component's documentation, keys with types and defaults, wiring, and file:line."""
    kind, _, name = word.partition("/")
    if kind == catalog.CODE:  # as recipes spell it: code/ClassName
        kind, name = next((entry.kind for entry in catalog.entries() if entry.name == word), kind), word
    if not name or kind not in KINDS:
        raise MmtkError(f"'{word}' is not KIND/NAME.", hint=f"Kinds: {', '.join(KINDS)}.")
    entry = catalog.find(kind, name)
    component = catalog.load(entry)
    lines = [f"{entry.word}   {entry.dist} {entry.version}", "", inspect.getdoc(component) or "(no docstring)", ""]
    model = tables.model_of(entry)
    fields = {key: field for key, field in model.model_fields.items() if key != "use"}
    lines.append("Recipe keys" if fields else "No recipe keys.")
    types = model.model_json_schema()["properties"]
    for key, field in fields.items():
        default = "optional"
        if field.is_required():
            default = "required"
        elif field.default is not None:
            default = f"default {json.dumps(field.default)}"
        lines.append(f"  {key}: {_type(types[key])}, {default}")
    wires = ", ".join(signature.wired(component))
    lines.append(f"Wired by the host: {wires or 'nothing'}")
    if tasks := _tasks(entry, component):
        lines.append(f"Tasks: {', '.join(tasks)}")
    if views := _views(entry, component):
        lines.append(f"Views: {', '.join(f'{name}: {_view(view)}' for name, view in views.items())}")
    lines += _scores(entry)
    try:
        file, line = inspect.getsourcefile(component), inspect.getsourcelines(component)[1]
        lines.append(f"Defined in {file}:{line}")
    except (OSError, TypeError):
        lines.append(f"Defined in {entry.target}")
    return "\n".join(lines)


def _tasks(entry: catalog.Entry, component: type[Any]) -> list[str]:
    """The tasks that a component serves; none where its class alone does not say."""
    declared_task = getattr(component, "task", None) or getattr(getattr(component, "labels", None), "task", None)
    if isinstance(declared_task, str):
        return [declared_task]
    kind = KINDS[entry.kind]
    if not kind.tables or ("task" in kind.wires and "task" not in signature.wired(component)):
        return []
    return [kind.task] if kind.task else [*getattr(component, "tasks", TASKS)]


def _full(entry: catalog.Entry) -> str:
    """The name that finds the entry even where two distributions have it."""
    return entry.name if entry.dist == catalog.CODE else f"{entry.dist}/{entry.name}"


def _views(entry: catalog.Entry, component: type[Any]) -> dict[str, Any]:
    """The views of an instance with default keys; of the class, where one key has no default."""
    if entry.kind not in TASK_OF_STRATEGY:
        return {}
    from mmtk.recipe import parts
    from mmtk.recipe.recipe import Recipe

    recipe = Recipe({entry.kind: {"use": _full(entry)}, "data": {"channels": 1}}, {})
    try:
        return dict(parts.sketch_views(recipe, entry.kind))
    except (MmtkError, ValueError):
        views = getattr(component, "views", {})
        return dict(views) if isinstance(views, dict) else {}


def _scores(entry: catalog.Entry) -> list[str]:
    """Lines with the scores that a metric with default keys declares for the classes or organs a and b."""
    if entry.kind != "metric":
        return []
    from mmtk.registry import factory

    wires = {"names": ("a", "b"), "exclusive": False, "spacing": {}}
    try:
        scores = factory.component("metric", {"use": _full(entry)}, wires).scores
    except (MmtkError, ValueError):  # a key without a default
        return ["Scores: as its keys say"]
    lines = [f"  {name}: {score.heading}{_direction(score)}" for name, score in scores.items()]
    return ["Scores of the classes or organs a and b", *lines] if lines else ["Scores: none declared"]


def _direction(score: ScoreInfo) -> str:
    """The direction in which a score improves; empty for one that is only counted."""
    return f", {score.better} is better" if score.shown else ""


def _view(view: Any) -> str:
    """A view in words: ``2``, or ``1 on weak, geometry kept``."""
    count = str(getattr(view, "count", view))
    start = f" on {view.on}" if getattr(view, "on", None) else ""
    return count + start + ("" if getattr(view, "geometric", True) else ", geometry kept")


def fault(entry: catalog.Entry) -> str:
    """Reason in one line why no recipe can use the component; "" if it loads and its keys can be read."""
    kind = KINDS[entry.kind]
    try:
        if not issubclass(catalog.load(entry), kind.contract_class):
            return f"{entry.target} does not subclass {kind.contract_name}"
        tables.model_of(entry)
    except MmtkError as error:
        return error.message.splitlines()[-1].strip()
    return ""


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "prefixItems" in schema:
        return f"[{', '.join(map(_type, schema['prefixItems']))}]"
    kind = str(schema.get("type", "value"))
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = " and ".join(f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema)
    word = {"string": "text", "boolean": "true or false", "object": "table"}.get(kind, kind)
    return f"{word} {bounds}".strip()
