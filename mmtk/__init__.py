"""mmtk: which part of a semi-supervised, multi-task method really helps?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = [
    "__version__",
    "ablate",
    "audit",
    "build_model",
    "check",
    "compare",
    "evaluate",
    "inspect",
    "load",
    "load_recipe",
    "predict",
    "read_run",
    "read_study",
    "report",
    "run",
    "saliency",
    "track",
    "worth",
]

if TYPE_CHECKING:
    from mmtk.model.build import build_model
    from mmtk.model.predictor import load
    from mmtk.recipe.load import load_recipe
    from mmtk.runs.result import read_run
    from mmtk.study.folder import read_study
    from mmtk.workflows.ablate import ablate
    from mmtk.workflows.audit import audit
    from mmtk.workflows.check import check
    from mmtk.workflows.compare import compare
    from mmtk.workflows.evaluate import evaluate
    from mmtk.workflows.inspect import inspect
    from mmtk.workflows.predict import predict
    from mmtk.workflows.report import report
    from mmtk.workflows.run import run
    from mmtk.workflows.saliency import saliency
    from mmtk.workflows.track import track
    from mmtk.workflows.worth import worth

_HOMES = {
    "build_model": "model.build",
    "load": "model.predictor",
    "load_recipe": "recipe.load",
    "read_run": "runs.result",
    "read_study": "study.folder",
}


def __getattr__(name: str) -> Any:
    """Import the public functions on first use, so that ``import mmtk`` costs nothing."""
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"mmtk.{_HOMES.get(name, f'workflows.{name}')}"), name)
    raise AttributeError(f"module 'mmtk' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names, for tab completion."""
    return list(__all__)
