"""The code of the model that a run logs to MLflow: MLflow copies this file and runs it to load the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from mmtk.errors import MmtkError


class RunModel(PythonModel):
    """A run directory's best weights behind MLflow's predict.

    Input: gray images of one size, float32 [N,H,W], values 0…255 as in an 8-bit file. Output: one row per
    image with ``class`` and ``p-NAME`` for every class (classification), and ``mask-NAME``, H lists of W
    zeros and ones, for every organ (segmentation).
    """

    def load_context(self, context: Any) -> None:
        """Read recipe and weights; the weights are safetensors, nothing is unpickled."""
        from mmtk.model.predictor import load
        from mmtk.registry import local_file

        folder = Path(context.artifacts["run"])
        if (code := folder / local_file.COPY).is_file():
            local_file.use(code)
        self.predictor = load(folder)

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> list[dict[str, Any]]:
        """Images → rows as the class docstring has them; MmtkError for values outside 0…255."""
        images = _gray(model_input)
        return [self._row(case) for case in self.predictor(list(images))]

    def _row(self, case: Any) -> dict[str, Any]:
        row: dict[str, Any] = {}
        if case.classes is not None:
            row["class"] = max(case.classes, key=case.classes.__getitem__)
            row |= {f"p-{name}": p for name, p in case.classes.items()}
        if case.mask is not None:
            names = self.predictor.targets["segmentation"].names
            row |= {f"mask-{n}": mask.astype(int).tolist() for n, mask in zip(names, case.mask, strict=True)}
        return row


def _gray(images: np.ndarray) -> np.ndarray:
    if images.ndim != 3 or not images.size:
        raise MmtkError(f"the input is {list(images.shape)}, not images [N,H,W].")
    # NaN fails both comparisons.
    if not (images.min() >= 0 and images.max() <= 255):
        raise MmtkError("the input has values outside 0…255.", hint="Give gray values as in an 8-bit file.")
    rounded: np.ndarray = np.rint(images).astype(np.uint8)
    return rounded


set_model(RunModel())
