"""mmtk: which part of a semi-supervised, multi-task method really helps?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "build_model", "load", "load_recipe", "read_run", "read_study", "run"]

if TYPE_CHECKING:
    from mmtk.model.build import build_model
    from mmtk.model.predictor import load
    from mmtk.recipe.load import load_recipe
    from mmtk.runs.result import read_run
    from mmtk.study.folder import read_study
    from mmtk.workflows.run import run

_HOMES = {
    "load_recipe": "recipe.load",
    "build_model": "model.build",
    "run": "workflows.run",
    "load": "model.predictor",
    "read_run": "runs.result",
    "read_study": "study.folder",
}


def __getattr__(name: str) -> Any:
    """Import the public functions on first use, so that ``import mmtk`` costs nothing."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"mmtk.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mmtk' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names, for tab completion."""
    return list(__all__)
