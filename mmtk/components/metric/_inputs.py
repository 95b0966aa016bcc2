"""Checks of the inputs of every metric: shapes, unknown labels, logits that are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from mmtk.counts import counted
from mmtk.errors import MmtkError, RunFailed, listing


def check_batch(logits: Tensor, target: Tensor, ids: Sequence[str], names: Sequence[str], labels: range) -> None:
    """Refuse shapes that disagree, a target outside ``labels`` and logits that are not finite."""
    expected = logits.shape[:1] if logits.ndim == 2 else logits.shape
    if logits.shape[1:2] != (len(names),) or target.shape != expected or len(ids) != len(logits):
        raise MmtkError(
            f"Logits {tuple(logits.shape)}, target {tuple(target.shape)} and {counted(len(ids), 'id')} "
            f"do not fit {counted(len(names), 'name')} ({', '.join(names)})."
        )
    is_label = torch.isin(target, torch.tensor(list(labels), dtype=target.dtype))
    if unknown := _failing(is_label, ids):
        raise MmtkError(
            f"Unknown labels for {listing(unknown)}.", hint=f"A label is one of {', '.join(map(str, labels))}."
        )
    if diverged := _failing(logits.isfinite(), ids):
        raise RunFailed(
            f"Logits that are not finite for {listing(diverged)}.",
            hint="The model diverged: try a lower train.lr.",
        )


def _failing(good: Tensor, ids: Sequence[str]) -> list[str]:
    fine = good.reshape(len(ids), prod(good.shape[1:])).all(1).tolist()
    return [name for name, is_fine in zip(ids, fine, strict=True) if not is_fine]
