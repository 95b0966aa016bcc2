"""A study's launcher: its name and keys, from the command line and from what the study keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from mmtk.errors import MmtkError, Problems
from mmtk.jobs import Launcher
from mmtk.recipe import tables, toml
from mmtk.registry import catalog, factory, signature

DEFAULT = "process"
Table = dict[str, Any]  # ``use`` and the keys that were given, as a recipe's table


def keys_of(texts: Iterable[str], short: Mapping[str, Any]) -> Table:
    """The keys of ``--launch KEY=VALUE …`` and of the options that are short for one, where given."""
    keys = {key: value for key, value in short.items() if value is not None}
    for text in texts:
        key, value = toml.assignment(text, "--launch", "per_gpu=2")
        if key == "use":
            raise MmtkError(f"--launch {text}: the launcher itself is chosen with --launcher.")
        if key in keys:
            raise MmtkError(f"--launch {text}: '{key}' is given twice.", hint="Leave one out.")
        keys[key] = value
    return keys


def choose(settings: Mapping[str, Any], name: str | None, keys: Mapping[str, Any]) -> Table:
    """The launcher's table: as kept, changed by what is given; another launcher starts at its defaults."""
    use = name or settings.get("use", DEFAULT)
    before = settings if use == settings.get("use") else {}
    try:
        return _checked({**before, **keys, "use": use})
    except Problems as problems:
        if name is None and settings:
            problems.problems[-1].hint = f"The study goes on with {use}; --launcher chooses another one."
        raise


def make(table: Mapping[str, Any]) -> Launcher:
    """The live launcher of a table."""
    return cast(Launcher, factory.component("launcher", table, {}))


def _checked(table: Table) -> Table:
    """The same keys, typed; raises MmtkError with everything that is wrong."""
    entry = catalog.find("launcher", table["use"])
    typed, problems = signature.validate(tables.model_of(entry), table, "launcher", lambda key: None)
    if problems:
        problems[-1].hint = f"Keys are given as --launch KEY=VALUE; mmtk plugins show {entry.word} tells them."
        raise Problems(problems)
    return {key: typed[key] for key in table if key in typed}
