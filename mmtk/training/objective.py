"""One call for the objective of a whole step: every stream, every loss term, and their means over ranks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mmtk.api import SSL, Consistency, StepContext, Term, Terms
from mmtk.data.batches import Batch
from mmtk.errors import RunFailed
from mmtk.io import distributed
from mmtk.model.network import MultiTaskNet, at_least_float32, frozen_statistics
from mmtk.seeding import seeded
from mmtk.tasks import TASKS

Out = TypeVar("Out")


class Step:
    """The total loss of a step, its terms by ``task/name``, and the logits that carried gradient."""

    def __init__(self, loss: Tensor, terms: Terms, logits: list[Tensor]) -> None:
        self.loss, self.terms, self.logits = loss, terms, logits


class _Predict:
    """Forward of a task as strategies call it: dropout seeded per call, logits in fp32 and recorded."""

    def __init__(self, net: MultiTaskNet, task: str, now: StepContext, logits: list[Tensor]) -> None:
        self._net, self._task, self._now, self._logits = net, task, now, logits
        self._calls = 0

    def _run(self, function: Callable[[Tensor], Out], images: Tensor, statistics: bool = True) -> Out:
        keep = nullcontext() if statistics and torch.is_grad_enabled() else frozen_statistics(self._net)
        key = (self._now.seed, "dropout", self._task, self._now.index, self._calls, *self._now.rank_key)
        self._calls += 1
        with keep, seeded(*key):
            return function(images)

    def _note(self, logits: Tensor) -> Tensor:
        logits = at_least_float32(logits)
        if logits.requires_grad:
            self._logits.append(logits)
        return logits


class _Classify(_Predict):
    def __call__(self, images: Tensor, *, statistics: bool = True) -> Tensor:
        """[B,C,H,W] → class logits [B,classes]."""
        return self._note(self._run(self._net.classify, images, statistics))

    def features(self, images: Tensor) -> list[Tensor]:
        """The encoder's feature maps, fine → coarse."""
        encode: Callable[[Tensor], list[Tensor]] = self._net.encoder
        return self._run(encode, images)

    def head(self, features: list[Tensor]) -> Tensor:
        """Class logits from feature maps."""
        assert self._net.head is not None
        return self._note(self._net.head(features))


class _Segment(_Predict):
    def __call__(self, images: Tensor, *, statistics: bool = True) -> Tensor:
        """[B,C,H,W] → mask logits [B,K,H,W]."""
        return self._note(self._run(self._net.segment, images, statistics))


_PREDICT: dict[str, type[Any]] = {"classification": _Classify, "segmentation": _Segment}


class Objective(nn.Module):
    """The network and its strategies; ``forward`` gives the total of eqs. 1 and 2 over all streams."""

    def __init__(self, net: MultiTaskNet, ssl: SSL | None, consistency: Consistency | None) -> None:
        super().__init__()
        self.net, self.ssl, self.consistency = net, ssl, consistency

    @property
    def strategies(self) -> dict[str, SSL | Consistency | None]:
        """The strategy of every task, None where the recipe has not the task."""
        return {task.name: getattr(self, task.strategy) for task in TASKS.values()}

    def forward(self, batch: Batch) -> Step:
        """Every term of the step; total = Σ weight · value."""
        now = batch.now
        terms: Terms = {}
        logits: list[Tensor] = []
        for task, predict in _PREDICT.items():
            strategy, streams = self.strategies[task], batch.streams(task)
            if strategy is None or streams is None:
                continue
            with seeded(now.seed, "strategy", task, now.index, *now.rank_key):
                task_terms = strategy.terms(predict(self.net, task, now, logits), *streams, now)
            terms |= {f"{task}/{name}": term for name, term in task_terms.items()}
        weighted = [term.weight * term.value for term in terms.values() if term.weight]
        if not weighted:
            raise RunFailed(
                "no term of the objective has a weight above 0, so there is nothing to train.",
                hint="Set the weight of a loss above 0, such as loss.classification.weight = 1.",
            )
        return Step(torch.stack(weighted).sum(), terms, logits)


def mean_over_ranks(step: Step, note: Any = None) -> tuple[Step, list[Any]]:
    """Read loss and terms as means over the ranks, in one transfer; and the ``note`` of every rank."""
    terms, device = step.terms.items(), step.loss.device
    scalars = {"loss": step.loss} | {name: term.value for name, term in terms}
    scalars |= {f"active {name}": torch.as_tensor(term.active) for name, term in terms}
    values = torch.stack(
        [scalar.detach().to(device, torch.float64, non_blocking=True) for scalar in scalars.values()]
    )
    by_rank = distributed.all_gather_object((dict(zip(scalars, values.tolist(), strict=True)), note))

    def mean(name: str) -> Tensor:
        numbers = [numbers[name] for numbers, _ in by_rank if name in numbers]
        return torch.tensor(sum(numbers) / len(numbers), dtype=torch.float64)

    means = {name: Term(mean(name), term.weight, mean(f"active {name}")) for name, term in terms}
    return Step(mean("loss"), means, []), [rank_note for _, rank_note in by_rank]
