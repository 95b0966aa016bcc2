"""A strategy wired to a small real network, as the host does it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmtk.api import Labelled, StepContext, Terms, Unlabelled
from mmtk.components.decoder.unet import UNetDecoder
from mmtk.components.encoder.unet import UNetEncoder
from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.model.network import ClassHead, MultiTaskNet
from mmtk.seeding import seeded
from mmtk.tasks import TASK_OF_STRATEGY
from mmtk.testing.check import Subject
from mmtk.training.objective import _Classify, _Segment
from mmtk.training.strategies import SupervisedLoss, TwinNet

SIZE, LABELLED, UNLABELLED, TOTAL = 16, 4, 6, 40
CERTAIN, EXTREME = 30.0, 1e4


class Views(Mapping[str, Any]):
    """The declared views, and which of them were read."""

    def __init__(self, views: Mapping[str, tuple[Tensor, ...]]) -> None:
        self.views, self.read = views, set[str]()

    def __getitem__(self, name: str) -> tuple[Tensor, ...]:
        self.read.add(name)
        return self.views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.views)

    def __len__(self) -> int:
        return len(self.views)


@dataclass
class Bench:
    """A strategy wired to a network of its own: ``classes`` classes or mask channels, ``exclusive`` or not."""

    subject: Subject
    classes: int
    exclusive: bool

    def __post_init__(self) -> None:
        self.task = TASK_OF_STRATEGY[self.subject.kind].name
        self.scale, self.predicted = 1.0, list[tuple[Tensor, Tensor]]()
        self.net = self._network("main")
        self.twins: list[TwinNet] = []
        with seeded("contract", "strategy"):
            self.strategy = self.subject.make(
                supervised=SupervisedLoss("supervised", CrossEntropy(self.classes, self.exclusive, None), 1.0),
                twin=self._twin,
                classes=self.classes,
                exclusive=self.exclusive,
                unlabelled_size=UNLABELLED,
                in_channels=1,
                channels=list(self.net.encoder.channels),
            )

    def _network(self, key: str) -> MultiTaskNet:
        with seeded("contract", key):
            # Masks need two levels; a head after less than three is hardly ever certain.
            depth = 3 if self.task == "classification" else 2
            encoder = UNetEncoder(1, width=4, depth=depth, dropout=0.0)
            head = ClassHead(encoder.channels[-1], self.classes) if self.task == "classification" else None
            decoder = UNetDecoder(encoder.channels, self.classes, width=4, dropout=0.0) if head is None else None
        return MultiTaskNet(encoder, head, decoder, None)

    def _twin(self, decay: float | None = None) -> nn.Module:
        other = copy.deepcopy(self.net) if decay is not None else self._network(f"twin-{len(self.twins)}")
        twin = TwinNet(self.net, other, self.task, decay)
        twin.register_forward_hook(lambda module, images, logits: logits * self.scale)
        self.twins.append(twin)
        return twin

    def batch(self, truth: int | None = 0) -> tuple[Labelled, Unlabelled]:
        """The same images each time; ``truth`` seeds the hidden labels (None: unknown)."""
        draw = torch.Generator().manual_seed(7)

        def images(count: int) -> Tensor:
            return torch.rand(count, 1, SIZE, SIZE, generator=draw) * 2 - 1

        labelled_images, unlabelled_images = images(LABELLED), images(UNLABELLED)
        declared = self.strategy.declared_views
        view_images = {
            name: tuple(images(UNLABELLED) for _ in range(view.count)) for name, view in declared.items()
        }
        labelled = Labelled(labelled_images, self._target(LABELLED, 1), torch.arange(LABELLED))
        if not self.strategy.needs_unlabelled:
            return labelled, Unlabelled(labelled_images[:0], torch.arange(0))
        hidden = None if truth is None or self.task == "segmentation" else self._target(UNLABELLED, truth)
        return labelled, Unlabelled(unlabelled_images, torch.arange(UNLABELLED), Views(view_images), hidden)

    def _target(self, count: int, seed: int) -> Tensor:
        draw = torch.Generator().manual_seed(seed)
        if self.task == "classification":
            return torch.randint(self.classes, (count,), generator=draw)
        if self.exclusive:
            index = torch.randint(self.classes, (count, SIZE, SIZE), generator=draw)
            return nn.functional.one_hot(index, self.classes).movedim(-1, 1).float()
        return (torch.rand(count, self.classes, SIZE, SIZE, generator=draw) > 0.5).float()

    def terms(self, index: int = 5, batch: tuple[Labelled, Unlabelled] | None = None) -> Terms:
        """The terms of one step, as the host asks for them."""
        now, logits_list = StepContext(0, index, TOTAL), list[Tensor]()
        kind = _Classify if self.task == "classification" else _Segment
        bench = self
        bench.predicted = []

        class Scaled(kind):  # type: ignore[valid-type, misc]
            """The real one, its logits multiplied: 0 makes every prediction uniform."""

            def __call__(self, images: Tensor, *, statistics: bool = True) -> Tensor:
                logits = super().__call__(images, statistics=statistics) * bench.scale
                bench.predicted.append((images, logits))
                if logits.requires_grad:
                    logits.retain_grad()
                return logits

        self.net.train()
        self.strategy.train()
        with seeded(0, "strategy", self.task, index):
            predict = Scaled(self.net, self.task, now, logits_list)
            terms: Terms = self.strategy.terms(predict, *(batch or self.batch()), now)
        return terms

    def trained(self) -> list[nn.Parameter]:
        """Everything that the optimiser moves."""
        return [p for p in (*self.net.parameters(), *self.strategy.parameters()) if p.requires_grad]

    def step(self, index: int) -> None:
        """One step of the training: terms, gradients, a small move, the averaged copies."""
        weighted = [t.weight * t.value for t in self.terms(index).values() if t.weight and t.value.requires_grad]
        parameters = self.trained()
        gradients = torch.autograd.grad(torch.stack(weighted).sum(), parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.sub_(0.01 * gradient)
        for twin in self.twins:
            twin.update(index + 1)
