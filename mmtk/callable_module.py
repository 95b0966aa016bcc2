"""Modules that have the name of a workflow, and are called in its place: ``mmtk.report(…)``."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """A module of ``mmtk`` that calls the workflow of its name."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the workflow of this name, as its own help describes it: ``help(mmtk.workflows.NAME)``."""
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(f"mmtk.workflows.{name}"), name)(*args, **options)


def make_callable(module: str) -> None:
    """Let the module of this name be called: importing it hides the function that ``mmtk`` has under its name."""
    sys.modules[module].__class__ = CallableModule
