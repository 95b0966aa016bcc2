"""Summaries of components: the first line of their docstrings, read from their files without importing any."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from mmtk.registry.catalog import Entry

_STEPS = 5  # modules that a class is passed through before it is imported under its entry point


def summary(entry: Entry) -> str:
    """The first line of the component's docstring; empty where it has none or its file cannot be read."""
    module, _, attribute = entry.target.partition(":")
    try:
        return _line(module, attribute, _STEPS)
    except (OSError, ValueError, SyntaxError, ImportError, RecursionError):  # to say more is for --load
        return ""


def _line(module: str, name: str, steps: int) -> str:
    file = _file(module)
    if file is None or not steps:
        return ""
    for node in reversed(ast.parse(file.read_bytes()).body):  # the last definition of a name counts
        if isinstance(node, ast.ClassDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0].strip()
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return _line(_source(node, module, file), alias.name, steps - 1)
    return ""


def _source(node: ast.ImportFrom, module: str, file: Path) -> str:
    """The full name of the module that a class is imported from."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    package = parts if file.name == "__init__.py" else parts[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def _file(module: str) -> Path | None:
    """The file of a module; only a look for the outermost name asks Python, which would import packages."""
    top, *rest = module.split(".")
    spec = find_spec(top) if top else None
    if spec is None:
        return None
    if not rest and spec.origin:
        return Path(spec.origin) if spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder).joinpath(*rest)
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file():
                return file
    return None
