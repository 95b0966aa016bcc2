"""Checks of strategies, ``ssl`` and ``consistency``: a small real network, real wires, random images."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor, nn

from mmtk.api import Labelled, Term, Terms, Unlabelled
from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.tasks import TASKS
from mmtk.testing.check import Subject, expect
from mmtk.testing.parts import before_norms
from mmtk.testing.strategy_bench import CERTAIN, EXTREME, TOTAL, Bench, Views
from mmtk.training.strategies import SupervisedLoss

# Factors of the logits, and steps, in which a term may give a gradient. The first show every term of a strategy;
# the others are for those that gave none.
STEPS = (0, TOTAL // 2, TOTAL - 1)
MOMENTS = [*product([1.0], STEPS), (CERTAIN, TOTAL - 1), *product([3.0, CERTAIN], STEPS)]
FIRST = 4


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
        if isinstance(batch[1].views, Views):
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
        for position, (scale, index) in enumerate(MOMENTS):
            if position >= FIRST and all(alive.values()):
                break
            bench.scale = scale
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
        for index in STEPS if trained else ():
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
            if {"weak", "strong"} <= set(bench.strategy.declared_views):
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
            fresh = Bench(subject, bench.classes, bench.exclusive)  # a strategy may remember a batch
            terms = _weighted(fresh.terms(batch=fresh.batch(truth)))
            values.append({name: term.value.item() for name, term in terms.items()})
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
            if all(alive.values()):
                break
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
        views_before = [x.clone() for v in batch[1].views.values() for x in v]
        bench.terms(batch=replace_views(batch))
        same = torch.equal(before.image, batch[0].image) and torch.equal(before.target, batch[0].target)
        now = [x for v in batch[1].views.values() for x in v]
        same = same and all(torch.equal(a, b) for a, b in zip(views_before, now, strict=True))
        expect(same, "an unchanged batch", "images or targets that were changed", "work on a copy.")


def replace_views(batch: tuple[Labelled, Unlabelled]) -> tuple[Labelled, Unlabelled]:
    """The same tensors in another record of what is read."""
    labelled, unlabelled = batch
    return labelled, replace(unlabelled, views=Views(unlabelled.views))


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
