"""One forward for a whole step: every stream, every loss term, and the alarm for terms that are dead."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

from mmtk.api import SSL, Consistency, Labelled, Now, Term, Terms, Unlabelled
from mmtk.errors import RunFailed
from mmtk.io import distributed
from mmtk.model.network import MultiTaskNet, at_least_float32, frozen_statistics
from mmtk.seeding import seeded

Out = TypeVar("Out")


class Batch:
    """The streams of one step; a task that the recipe lacks has none.

    No dataclass on purpose: engines that wrap the objective copy dataclasses, and this must pass untouched.
    """

    def __init__(
        self,
        now: Now,
        classification: tuple[Labelled, Unlabelled | None] | None = None,
        segmentation: tuple[Labelled, Unlabelled | None] | None = None,
    ) -> None:
        self.now, self.classification, self.segmentation = now, classification, segmentation


class Step:
    """The total loss of a step, its terms by ``task/name``, and the logits that carried gradient."""

    def __init__(self, loss: Tensor, terms: Terms, logits: list[Tensor]) -> None:
        self.loss, self.terms, self.logits = loss, terms, logits


class _Predict:
    """A task's forward as strategies call it: dropout seeded per call, logits in fp32 and remembered."""

    def __init__(self, net: MultiTaskNet, task: str, now: Now, seen: list[Tensor]) -> None:
        self._net, self._task, self._now, self._seen = net, task, now, seen
        self._calls = 0

    def _run(self, function: Callable[[Tensor], Out], images: Tensor, statistics: bool = True) -> Out:
        keep = nullcontext() if statistics and torch.is_grad_enabled() else frozen_statistics(self._net)
        key = (self._now.seed, "dropout", self._task, self._now.index, self._calls, *self._now.own)
        self._calls += 1
        with keep, seeded(*key):
            return function(images)

    def _note(self, logits: Tensor) -> Tensor:
        logits = at_least_float32(logits)
        if logits.requires_grad:
            self._seen.append(logits)
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


class Objective(nn.Module):
    """The network and its strategies; ``forward`` gives the total of eqs. 1 and 2 over all streams."""

    def __init__(self, net: MultiTaskNet, ssl: SSL | None, consistency: Consistency | None) -> None:
        super().__init__()
        self.net, self.ssl, self.consistency = net, ssl, consistency

    def forward(self, batch: Batch) -> Step:
        """Every term of the step; total = Σ weight · value."""
        now = batch.now
        terms: Terms = {}
        seen: list[Tensor] = []
        if self.ssl is not None and batch.classification is not None:
            classify = _Classify(self.net, "classification", now, seen)
            with seeded(now.seed, "strategy", "classification", now.index, *now.own):
                found = self.ssl.terms(classify, *batch.classification, now)
            terms |= {f"classification/{name}": term for name, term in found.items()}
        if self.consistency is not None and batch.segmentation is not None:
            segment = _Segment(self.net, "segmentation", now, seen)
            with seeded(now.seed, "strategy", "segmentation", now.index, *now.own):
                found = self.consistency.terms(segment, *batch.segmentation, now)
            terms |= {f"segmentation/{name}": term for name, term in found.items()}
        weighted = [term.weight * term.value for term in terms.values() if term.weight]
        if not weighted:
            raise RunFailed("no term of the objective has a weight above 0, so there is nothing to train.")
        return Step(torch.stack(weighted).sum(), terms, seen)


class Alarm:
    """Notices weighted terms that stay exactly zero or give no gradient at the logits (steps 1, 10, 50)."""

    looks = (0, 9, 49)

    def __init__(self) -> None:
        self._dead: dict[str, str] = {}
        self._alive: set[str] = set()
        self._looked: list[int] = []

    def look(self, index: int, step: Step) -> None:
        """Judge the terms of one step, before its backward pass; a term found alive once stays so."""
        if index not in self.looks:
            return
        self._looked.append(index + 1)
        found = {n: self._reason(term, step.logits) for n, term in step.terms.items() if n not in self._alive}
        everywhere = distributed.share(found)
        for name in found:
            reasons = [each[name] for each in everywhere if name in each]
            # Alive on one rank is alive; else explained on one ("" is the smallest) is explained.
            reason = None if None in reasons else min(each for each in reasons if each is not None)
            if reason is None:
                self._alive.add(name)
                self._dead.pop(name, None)
            elif reason:
                self._dead[name] = reason

    @staticmethod
    def _reason(term: Term, logits: list[Tensor]) -> str | None:
        """None: alive; empty: explained (weight or ramp 0, empty confident set); else what is wrong."""
        if term.weight == 0 or float(term.support) == 0:
            return ""
        if not term.value.requires_grad:
            return "gives no gradient to anything"
        zero = "is exactly 0 and " if float(term.value.detach()) == 0 else ""
        found = torch.autograd.grad(term.value, logits, retain_graph=True, allow_unused=True) if logits else ()
        gradients = [gradient for gradient in found if gradient is not None]
        # A term that goes around these logits (a twin's, or features) shows its death by its value alone.
        alive = any(bool(gradient.any()) for gradient in gradients) if gradients else not zero
        return None if alive else f"{zero}gives no gradient at the logits"

    def verdict(self, index: int, last: int) -> list[str]:
        """Once, after the last look of a run with ``last`` steps: a sentence for every dead term."""
        if index != min(self.looks[-1], last - 1):
            return []
        looked = ", ".join(map(str, self._looked))
        return [
            f"The loss term {name} {reason} (looked at in step {looked}). It has a weight but trains nothing."
            for name, reason in sorted(self._dead.items())
        ]
