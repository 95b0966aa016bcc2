"""``from mmtk.predict import load``, as models that mmtk 0.1 logged to MLflow say; called, it is the workflow."""

from __future__ import annotations

from mmtk.callable_module import make_callable
from mmtk.model.predictor import load

__all__ = ["load"]

make_callable(__name__)
