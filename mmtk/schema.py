"""What the installed components accept: JSON Schema of recipes, and a page about one component."""

from __future__ import annotations

import inspect
import json
from typing import Any

from mmtk import catalog, params, settings
from mmtk.errors import MmtkError


def _kind_schema(kind: str) -> dict[str, Any]:
    """One alternative per component of the kind; nothing is required, because a parent recipe may give it."""
    choices = []
    for entry in catalog.entries(kind):
        try:
            table = settings.model_of(entry).model_json_schema()
        except MmtkError as error:  # a broken plugin: its keys are not known
            table = {"type": "object", "properties": {}, "description": error.message}
        table.pop("required", None)
        table["title"] = entry.word
        table["properties"]["use"] = {"enum": [entry.name, f"{entry.dist}/{entry.name}"]}
        choices.append(table)
    return {"anyOf": choices}


def recipe_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a recipe file: every table, every key, its type, range and default."""
    kinds = {kind: _kind_schema(kind) for kind in sorted(set(settings.PLACES.values()))}
    top = settings.Top.model_json_schema()
    top["properties"]["extends"] = {"type": ["string", "array"], "items": {"type": "string"}}
    root: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mmtk recipe",
        **{key: value for key, value in top.items() if key not in ("title", "required")},
        "$defs": kinds,
    }
    for path, model in settings.FIXED.items():
        table = model.model_json_schema()
        table.pop("required", None)
        _place(root, path, table)
    for path, kind in settings.PLACES.items():
        _place(root, path, {"$ref": f"#/$defs/{kind}"})
    return root


def _place(root: dict[str, Any], path: str, table: dict[str, Any]) -> None:
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
    if not name or kind not in catalog.KINDS:
        raise MmtkError(f"'{word}' is not KIND/NAME.", hint=f"Kinds: {', '.join(catalog.KINDS)}.")
    entry = catalog.find(kind, name)
    component = catalog.load(entry)
    lines = [
        f"{entry.word}   {entry.dist} {entry.version}",
        "",
        inspect.getdoc(component) or "(no docstring)",
        "",
    ]
    model = settings.model_of(entry)
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
    wires = ", ".join(params.wired(component))
    lines.append(f"Wired by the host: {wires or 'nothing'}")
    views = getattr(component, "views", None)
    if isinstance(views, dict) and views:
        lines.append(f"Views: {', '.join(f'{n}: {v}' for n, v in views.items())}")
    try:
        file, line = inspect.getsourcefile(component), inspect.getsourcelines(component)[1]
        lines.append(f"Defined in {file}:{line}")
    except (OSError, TypeError):
        lines.append(f"Defined in {entry.target}")
    return "\n".join(lines)


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
    word = {"string": "text", "boolean": "true or false"}.get(kind, kind)
    return f"{word} {bounds}".strip()
