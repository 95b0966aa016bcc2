"""Checks of strategies, ``ssl`` and ``consistency``: a small real network, real wires, random images."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mmtk.api import Labelled, StepContext, Term, Terms, Unlabelled
from mmtk.components.decoder.unet import UNetDecoder
from mmtk.components.encoder.unet import UNetEncoder
from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.model.network import ClassHead, MultiTaskNet
from mmtk.registry.factory import views
from mmtk.seeding import seeded
from mmtk.tasks import TASK_OF_STRATEGY, TASKS
from mmtk.testing.check import Subject, expect
from mmtk.testing.parts import before_norms
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
            )

    def _network(self, key: str) -> MultiTaskNet:
        with seeded("contract", key):
            encoder = UNetEncoder(1, width=4, depth=3, dropout=0.0)
            head = ClassHead(16, self.classes) if self.task == "classification" else None
            decoder = UNetDecoder(encoder.channels, self.classes, width=4, dropout=0.0) if head is None else None
        return MultiTaskNet(encoder, head, decoder, None)

    def _twin(self, decay: float | None = None) -> nn.Module:
        other = copy.deepcopy(self.net) if decay is not None else self._network(f"twin-{len(self.twins)}")
        twin = TwinNet(self.net, other, self.task, decay)
        twin.register_forward_hook(lambda module, images, logits: logits * self.scale)
        self.twins.append(twin)
        return twin

    def batch(self, truth: int | None = 0) -> tuple[Labelled, Unlabelled | None]:
        """The same images each time; ``truth`` seeds the hidden labels (None: unknown)."""
        draw = torch.Generator().manual_seed(7)

        def images(count: int) -> Tensor:
            return torch.rand(count, 1, SIZE, SIZE, generator=draw) * 2 - 1

        labelled_images, unlabelled_images = images(LABELLED), images(UNLABELLED)
        declared = views(self.strategy)
        view_images = {
            name: tuple(images(UNLABELLED) for _ in range(view.count)) for name, view in declared.items()
        }
        labelled = Labelled(labelled_images, self._target(LABELLED, 1), torch.arange(LABELLED))
        if not declared and not getattr(self.strategy, "unlabelled_stream", False):
            return labelled, None
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

    def terms(self, index: int = 5, batch: tuple[Labelled, Unlabelled | None] | None = None) -> Terms:
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


def benches(subject: Subject) -> Iterator[Bench]:
    """Every shape of the task: two and three classes; one to three mask channels, exclusive and independent."""
    shapes = [(2, True), (3, True)] if subject.kind == "ssl" else [(1, False), (3, False), (2, True)]
    for classes, exclusive in shapes:
        yield Bench(subject, classes, exclusive)


def _weighted(terms: Terms) -> dict[str, Term]:
    return {name: term for name, term in terms.items() if term.weight}


def gives_terms(subject: Subject) -> None:
    """``terms`` gives a dictionary of scalar Terms with at least one weight."""
    for bench in benches(subject):
        terms = bench.terms()
        good = isinstance(terms, dict) and all(isinstance(term, Term) for term in terms.values())
        expect(
            good, "a dict of name → mmtk.api.Term", repr(type(terms)), "wrap every value in Term(value, weight)."
        )
        shaped = {name: tuple(term.value.shape) for name, term in terms.items() if term.value.dim()}
        expect(not shaped, "scalar values", f"shapes {shaped}", "take the mean over images and pixels.")
        expect(bool(_weighted(terms)), "a term with a weight above 0", "none", "give the terms their weights.")


def reads_the_views_it_declares(subject: Subject) -> None:
    """All declared views are read, and no others."""
    for bench in benches(subject):
        batch = bench.batch()
        try:
            bench.terms(batch=batch)
        except (KeyError, IndexError) as error:
            expect(
                False,
                f"only the declared views: {dict(bench.strategy.views)}",
                f"{error!r} is not among them",
                "declare it in `views`, with the number of copies that is read.",
            )
        if batch[1] is not None and isinstance(batch[1].views, Views):
            unread = set(batch[1].views) - batch[1].views.read
            expect(
                not unread,
                "every declared view is read",
                f"{', '.join(sorted(unread))} is not",
                "take it out of `views`: each costs an augmentation of every batch.",
            )


def finite_when_nothing_is_confident(subject: Subject) -> None:
    """Uniform predictions, below any threshold, leave values and gradients finite."""
    _finite(subject, 0.0, "divide by a count only after clamp_min(1), and use log_softmax.")


def finite_with_extreme_logits(subject: Subject) -> None:
    """Logits in the thousands leave values and gradients finite."""
    _finite(subject, EXTREME, "use log_softmax or logsigmoid instead of the logarithm of a probability.")


def _finite(subject: Subject, scale: float, change: str) -> None:
    for bench in benches(subject):
        bench.scale = scale
        for name, term in bench.terms(TOTAL - 1).items():
            expect(bool(torch.isfinite(term.value)), f"a finite {name}", f"{term.value.item()}", change)
            if term.weight and term.value.requires_grad:
                slopes = torch.autograd.grad(term.value, bench.trained(), retain_graph=True, allow_unused=True)
                fine = all(bool(torch.isfinite(slope).all()) for slope in slopes if slope is not None)
                expect(fine, f"a finite gradient of {name}", "NaN or infinity", change)


def every_weighted_term_is_alive(subject: Subject) -> None:
    """Each term with a weight gives a gradient in some step, from the first to the last."""
    for bench in benches(subject):
        alive: dict[str, bool] = {}
        for scale in (1.0, 3.0, CERTAIN):
            bench.scale = scale
            for index in (0, TOTAL // 2, TOTAL - 1):
                for name, term in _weighted(bench.terms(index)).items():
                    alive[name] = alive.get(name, False) or _moves(term.value, bench.trained())
        dead = sorted(name for name, lives in alive.items() if not lives)
        expect(
            not dead,
            "a gradient of every weighted term",
            f"none of {', '.join(dead)} in any step",
            "check what is detached, under no_grad, or constant (a softmax over one channel is 1).",
        )


def its_parameters_learn(subject: Subject) -> None:
    """Each parameter of the strategy itself gets a gradient in some step, from the first to the last."""
    for bench in benches(subject):
        alive: set[str] = set()
        trained = {name: p for name, p in bench.strategy.named_parameters() if p.requires_grad}
        for index in (0, TOTAL // 2, TOTAL - 1) if trained else ():
            total = torch.stack([t.weight * t.value for t in _weighted(bench.terms(index)).values()]).sum()
            slopes = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
            alive |= {
                name for name, slope in zip(trained, slopes, strict=True) if slope is not None and slope.any()
            }
        dead = sorted(trained.keys() - alive - before_norms(bench.strategy))
        expect(
            not dead,
            "a gradient of every parameter of the strategy",
            f"none of {', '.join(dead[:5])}",
            "use it in a weighted term, or freeze it by requires_grad_(False), or remove it.",
        )


def _moves(value: Tensor, parameters: list[nn.Parameter]) -> bool:
    if not value.requires_grad:
        return False
    slopes = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return any(float(slope.abs().max()) > 1e-9 for slope in slopes if slope is not None)


def targets_carry_no_gradient(subject: Subject) -> None:
    """Where a strategy has weak and strong views, the weak one is the target; an averaged copy never learns."""
    for bench in benches(subject):
        for scale in (1.0, CERTAIN):
            bench.scale = scale
            batch = bench.batch()
            terms = _weighted(bench.terms(batch=batch))
            torch.stack([t.weight * t.value for t in terms.values() if t.value.requires_grad]).sum().backward()
            if batch[1] is not None and {"weak", "strong"} <= set(views(bench.strategy)):
                weak = {id(image) for image in batch[1].views["weak"]}
                pulled = [
                    x
                    for x, logits in bench.predicted
                    if id(x) in weak and logits.grad is not None and bool(logits.grad.any())
                ]
                expect(
                    not pulled,
                    "no gradient at the prediction of the weak view",
                    "a gradient",
                    "predict it under torch.no_grad().",
                )
            taught = [
                twin
                for twin in bench.twins
                if twin.decay is not None
                and any(p.grad is not None and bool(p.grad.any()) for p in twin.net.parameters())
            ]
            expect(not taught, "no gradient in an averaged copy", "a gradient", "leave the teacher frozen.")


def equal_calls_are_equal(subject: Subject) -> None:
    """Two calls with the same ``now`` and batch give the same values, whatever was drawn between them."""
    for bench in benches(subject):
        first = {name: term.value.detach().clone() for name, term in bench.terms(3).items()}
        torch.rand(5)
        second = bench.terms(3)
        differ = sorted(name for name in first if not torch.equal(first[name], second[name].value))
        expect(
            not differ,
            "equal values from equal calls",
            f"{', '.join(differ)} differ",
            "draw from now.generator(…) alone, and let a second call of a step change no state.",
        )


def state_survives_a_checkpoint(subject: Subject) -> None:
    """After three steps, a new instance with the saved state gives the same next step."""
    for bench in benches(subject):
        for index in range(3):
            bench.step(index)
        saved = copy.deepcopy(bench.strategy.state_dict())
        restored = Bench(subject, bench.classes, bench.exclusive)
        restored.net.load_state_dict(bench.net.state_dict())
        restored.strategy.load_state_dict(saved)
        terms, restored_terms = bench.terms(3), restored.terms(3)
        differ = sorted(name for name in terms if not torch.equal(terms[name].value, restored_terms[name].value))
        expect(
            not differ,
            "the same terms after loading the state",
            f"{', '.join(differ)} differ",
            "keep what a step leaves behind in buffers (register_buffer), changed in place.",
        )


def hidden_labels_enter_no_loss(subject: Subject) -> None:
    """The true labels of unlabelled images are for logging: no weighted term knows them."""
    for bench in benches(subject):
        values = []
        for truth in (0, 3, None):
            bench_without = Bench(subject, bench.classes, bench.exclusive)
            values.append(
                {
                    n: t.value.item()
                    for n, t in _weighted(bench_without.terms(batch=bench_without.batch(truth))).items()
                }
            )
        expect(
            values[0] == values[1] == values[2],
            "weighted terms that do not change with the hidden labels",
            f"{values[0]}, {values[1]} and {values[2]}",
            "use unlabelled.truth in terms of weight 0 only.",
        )


def compared_predictions_are_zero_when_equal(subject: Subject) -> None:
    """A term that is zero for equal predictions is above zero, with a gradient, for different ones."""
    for bench in benches(subject):
        bench.scale = 0.0
        supervised = set(_weighted(_only_supervised(bench)))
        equal = {n: t.value.item() for n, t in _weighted(bench.terms(TOTAL - 1)).items() if n not in supervised}
        zero = [name for name, value in equal.items() if abs(value) < 1e-6]
        alive = dict.fromkeys(zero, False)
        for scale in (1.0, 5.0, CERTAIN):
            bench.scale = scale
            for name, term in bench.terms(TOTAL - 1).items():
                if name in alive:
                    alive[name] = alive[name] or (term.value.item() > 1e-9 and _moves(term.value, bench.trained()))
        dead = sorted(name for name, lives in alive.items() if not lives)
        expect(
            not dead,
            "a value above 0 and a gradient where predictions differ",
            f"none of {', '.join(dead)}",
            "compare sigmoids, or a softmax over two channels or more.",
        )


def _only_supervised(bench: Bench) -> Terms:
    labelled, _ = bench.batch()
    loss = SupervisedLoss("supervised", CrossEntropy(bench.classes, bench.exclusive, None), 1.0)
    predict = getattr(bench.net, TASKS[bench.task].forward)
    return loss(predict, labelled)


def leaves_the_batch_alone(subject: Subject) -> None:
    """Images and targets are not changed in place."""
    for bench in benches(subject):
        batch = bench.batch()
        before = copy.deepcopy(batch[0])
        views_before = None if batch[1] is None else [x.clone() for v in batch[1].views.values() for x in v]
        bench.terms(batch=replace_views(batch))
        same = torch.equal(before.image, batch[0].image) and torch.equal(before.target, batch[0].target)
        if batch[1] is not None and views_before is not None:
            now = [x for v in batch[1].views.values() for x in v]
            same = same and all(torch.equal(a, b) for a, b in zip(views_before, now, strict=True))
        expect(same, "an unchanged batch", "images or targets that were changed", "work on a copy.")


def replace_views(batch: tuple[Labelled, Unlabelled | None]) -> tuple[Labelled, Unlabelled | None]:
    """The same tensors in another record of what is read."""
    labelled, unlabelled = batch
    return labelled, None if unlabelled is None else replace(unlabelled, views=Views(unlabelled.views))


CHECKS = (
    gives_terms,
    reads_the_views_it_declares,
    finite_when_nothing_is_confident,
    finite_with_extreme_logits,
    every_weighted_term_is_alive,
    its_parameters_learn,
    targets_carry_no_gradient,
    equal_calls_are_equal,
    state_survives_a_checkpoint,
    hidden_labels_enter_no_loss,
    leaves_the_batch_alone,
)
CONSISTENCY = (*CHECKS, compared_predictions_are_zero_when_equal)
