"""Monitor of the loss: terms that are dead (exactly zero, or without gradient), values that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmtk.api import Term
from mmtk.errors import NotFinite
from mmtk.io import distributed
from mmtk.training.objective import Step


class Alarm:
    """Monitor of weighted terms that stay exactly zero or give no gradient at the logits (steps 1, 10, 50)."""

    looks = (0, 9, 49)

    def __init__(self) -> None:
        self._dead: dict[str, str] = {}
        self._alive: set[str] = set()
        self._looked: list[int] = []

    def look(self, index: int, step: Step) -> None:
        """Judge the terms of one step, before its backward pass; a term that was alive once stays so."""
        if index not in self.looks:
            return
        self._looked.append(index + 1)
        reasons_here = {
            n: self._reason(term, step.logits) for n, term in step.terms.items() if n not in self._alive
        }
        everywhere = distributed.all_gather_object(reasons_here)
        for name in reasons_here:
            reasons = [rank_reasons[name] for rank_reasons in everywhere if name in rank_reasons]
            # Alive on one rank is alive; else explained on one ("" is the smallest) is explained.
            reason = (
                None
                if None in reasons
                else min(rank_reasons for rank_reasons in reasons if rank_reasons is not None)
            )
            if reason is None:
                self._alive.add(name)
                self._dead.pop(name, None)
            elif reason:
                self._dead[name] = reason

    @staticmethod
    def _reason(term: Term, logits: list[Tensor]) -> str | None:
        """Fault of a term; None if it is alive, "" if explained (weight or ramp 0, empty confident set)."""
        if term.weight == 0 or float(term.active) == 0:
            return ""
        if not term.value.requires_grad:
            return "gives no gradient to anything"
        zero = "is exactly 0 and " if float(term.value.detach()) == 0 else ""
        gradients_or_none = (
            torch.autograd.grad(term.value, logits, retain_graph=True, allow_unused=True) if logits else ()
        )
        gradients = [gradient for gradient in gradients_or_none if gradient is not None]
        # A term that goes around these logits (a twin's, or features) shows its death by its value alone.
        alive = any(bool(gradient.any()) for gradient in gradients) if gradients else not zero
        return None if alive else f"{zero}gives no gradient at the logits"

    def verdict(self, index: int, last: int) -> list[str]:
        """Sentence for every dead term, after the last look of a run with ``last`` steps; else []."""
        if index != min(self.looks[-1], last - 1):
            return []
        looked = ", ".join(map(str, self._looked))
        return [
            f"The loss term {name} {reason} (looked at in step {looked}). It has a weight but trains nothing."
            for name, reason in sorted(self._dead.items())
        ]


def not_finite(
    step: Step, index: int, ids: Mapping[str, Sequence[str]], folder: Path, train: Mapping[str, Any]
) -> NotFinite:
    """Error for a step whose loss is not finite.

    step: with the values of the whole batch
    index: of the step, from 0
    ids: of the labelled images in the step, by task
    folder: of the run
    train: table of the recipe, whose ``clip`` and ``precision`` may be a cure already
    """
    cures = ["lower train.lr", f"{'lower' if train.get('clip') else 'set'} train.clip"]
    cures += ['use train.precision = "fp32"'] if train["precision"] == "bf16" else []
    bad = [name for name, term in step.terms.items() if not math.isfinite(float(term.value))]
    images = "; ".join(f"{task}: {', '.join(names)}" for task, names in ids.items())
    return NotFinite(
        f"the loss is not finite in step {index + 1}: {', '.join(bad) or 'the weighted total'}. "
        f"Labelled images of this step: {images}.",
        str(folder),
        f"{', '.join(cures[:-1]).capitalize()} or {cures[-1]}; the last checkpoint is kept.",
    )
