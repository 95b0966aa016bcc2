"""Checks of losses and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmtk.errors import MmtkError
from mmtk.tasks import TASKS
from mmtk.testing.check import ContractError, Subject, expect

SIZE, COUNT = 16, 12
EVERY = list(range(COUNT))


def _class_target(classes: int) -> Tensor:
    return torch.arange(COUNT) % classes


def _mask_target(channels: int, exclusive: bool) -> Tensor:
    if exclusive:
        index = torch.randint(channels, (COUNT, SIZE, SIZE))
        return F.one_hot(index, channels).movedim(-1, 1).float()
    masks = torch.zeros(COUNT, channels, SIZE, SIZE)
    for i in range(COUNT):
        masks[i, :, 3 : 8 + i, 4 : 10 + i % 3] = 1
    return masks


# --- loss ------------------------------------------------------------------------------------------------------


def _losses(subject: Subject) -> Iterator[tuple[Any, Tensor, bool]]:
    """(loss, target, exclusive) for every task and shape that it takes; ContractError where there is none."""
    refusals, count = [], 0
    for classes, exclusive, masks in (
        (2, True, False),
        (3, True, False),
        (1, False, True),
        (3, False, True),
        (3, True, True),
    ):
        if ("segmentation" if masks else "classification") not in getattr(subject.component, "tasks", TASKS):
            continue
        target = _mask_target(classes, exclusive) if masks else _class_target(classes)
        shape = target.shape if masks else (COUNT, classes)
        try:
            loss = subject.make(classes=classes, exclusive=exclusive, class_weights=None)
            loss(torch.zeros(shape), target)
        except (MmtkError, ContractError, ValueError) as error:  # a refusal of the other task or shape
            refusals.append(str(error))
            continue
        count += 1
        yield loss, target, exclusive
    expect(
        bool(count),
        "a loss for classes or for masks",
        f"only refusals: {refusals[0] if refusals else ''}",
        'give keys that it needs by suite(keys={…}); a loss of one task declares tasks = ("segmentation",).',
    )


def _right(target: Tensor, exclusive: bool, classes: int, size: float) -> Tensor:
    """Logits that say what the target says, ``size`` strong."""
    if target.ndim == 1:
        return size * (2 * F.one_hot(target, classes).float() - 1)
    return size * (2 * target.clamp_min(0) - 1)


def smallest_at_the_target(subject: Subject) -> None:
    """Logits that agree with the target cost less than uniform ones, and those less than opposite ones."""
    for loss, target, exclusive in _losses(subject):
        classes = int(target.max()) + 1 if target.ndim == 1 else target.shape[1]
        right = _right(target, exclusive, classes, 6.0)
        values = [float(loss(sign * right, target)) for sign in (1.0, 0.0, -1.0)]
        expect(
            values[0] < values[1] < values[2],
            "right < undecided < wrong",
            " , ".join(f"{value:.4f}" for value in values),
            "check the sign and which argument is the target.",
        )


def a_scalar_with_a_gradient(subject: Subject) -> None:
    """The value is one finite number, at extreme logits too, and moves the logits."""
    for loss, target, exclusive in _losses(subject):
        classes = int(target.max()) + 1 if target.ndim == 1 else target.shape[1]
        for size in (1.0, 1e4, -1e4):
            logits = _right(target, exclusive, classes, size).requires_grad_()
            value = loss(logits, target)
            expect(value.dim() == 0, "a scalar", f"shape {tuple(value.shape)}", "take the mean.")
            expect(
                bool(torch.isfinite(value)),
                "a finite value",
                f"{value.item()} at logits of {size}",
                "use log_softmax or logsigmoid.",
            )
        logits = torch.randn_like(logits).requires_grad_()
        (slope,) = torch.autograd.grad(loss(logits, target), logits)
        expect(bool(slope.any()), "a gradient at the logits", "none", "leave out detach, argmax and thresholds.")


def the_order_of_images_does_not_matter(subject: Subject) -> None:
    """A permuted batch has the same loss."""
    for loss, target, exclusive in _losses(subject):
        classes = int(target.max()) + 1 if target.ndim == 1 else target.shape[1]
        logits = _right(target, exclusive, classes, 1.0) + torch.randn(
            target.shape if target.ndim > 1 else (COUNT, classes)
        )
        order = torch.randperm(COUNT)
        first, second = float(loss(logits, target)), float(loss(logits[order], target[order]))
        expect(
            abs(first - second) < 1e-4 * max(1.0, abs(first)),
            "the same value for the images in another order",
            f"{first} and {second}",
            "treat all images alike.",
        )


def ignored_pixels_take_no_part(subject: Subject) -> None:
    """Pixels of −1 give no gradient, and a batch of nothing else is finite."""
    for loss, target, _ in _losses(subject):
        if target.ndim == 1:
            continue
        target = target.clone()
        target[:, :, :5] = -1
        logits = torch.randn(target.shape, requires_grad=True)
        (slope,) = torch.autograd.grad(loss(logits, target), logits)
        expect(
            not bool(slope[:, :, :5].any()),
            "no gradient at ignored pixels",
            "a gradient",
            "multiply by (target >= 0), and divide by what is left.",
        )
        nothing = loss(torch.randn(target.shape), torch.full_like(target, -1.0))
        expect(
            bool(torch.isfinite(nothing)),
            "a finite value where all is ignored",
            f"{float(nothing)}",
            "divide by a count with clamp_min(1).",
        )


LOSS = (
    smallest_at_the_target,
    a_scalar_with_a_gradient,
    the_order_of_images_does_not_matter,
    ignored_pixels_take_no_part,
)


# --- metric ----------------------------------------------------------------------------------------------------


def _metric(subject: Subject) -> tuple[Any, Tensor, Tensor, list[str]]:
    """An empty metric of its task, with logits, target and ids to feed it."""
    task = getattr(subject.component, "task", None)
    expect(
        task in ("classification", "segmentation"),
        'task = "classification" or "segmentation"',
        f"{task!r}",
        "set it in the class.",
    )
    names = ("normal", "pneumonia") if task == "classification" else ("lung",)
    metric = subject.make(names=names, exclusive=task == "classification", spacing={})
    target = _class_target(2) if task == "classification" else _mask_target(1, False)
    noise = torch.randn(COUNT, 2) if task == "classification" else torch.randn(COUNT, 1, SIZE, SIZE)
    right = _right(target, task == "classification", 2, 1.0)
    return (
        metric,
        right + 2 * noise,
        target.long() if task == "classification" else target,
        [f"i{k:02}" for k in range(COUNT)],
    )


def _scores(
    subject: Subject, order: list[list[int]], truth: float = 0.0
) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores after the images in this order; each inner list is an instance, all merged into the first."""
    torch.manual_seed(1)
    merged = None
    for part in order:
        torch.manual_seed(1)
        metric, logits, target, ids = _metric(subject)
        if truth:
            logits = _right(target, target.ndim == 1, 2, truth)
        metric.update(logits[part], target[part], [ids[k] for k in part])
        if merged is None:
            merged = metric
        else:
            merged.merge(metric)
    assert merged is not None
    return merged.compute(), merged.per_image()


def two_halves_equal_the_whole(subject: Subject) -> None:
    """Instances that saw a half each, merged, have the scores of one that saw all, in any order."""
    whole, _ = _scores(subject, [EVERY])
    halves, _ = _scores(subject, [EVERY[:6], EVERY[6:]])
    reversed_scores, _ = _scores(subject, [EVERY[::-2], EVERY[::2]])
    for name, other in (("two halves", halves), ("another order", reversed_scores)):
        differ = [k for k in whole if k not in other or abs(whole[k] - other[k]) > 1e-9]
        expect(
            not differ and set(whole) == set(other),
            f"the same scores from {name}",
            f"other {', '.join(differ)}",
            "keep rows per image and compute from all of them.",
        )
    fine = all(isinstance(v, int | float) for v in whole.values())
    expect(bool(whole) and fine, "numbers by name", f"{whole}", "return floats.")


def a_perfect_input_scores_best(subject: Subject) -> None:
    """There is a score in which perfect logits lead, noisy ones follow and wrong ones come last."""
    best, noisy, worst = (_scores(subject, [EVERY], truth)[0] for truth in (20.0, 0.0, -20.0))
    shared = best.keys() & noisy.keys() & worst.keys()
    ordered = [
        name for name in shared if best[name] > noisy[name] > worst[name] or best[name] < noisy[name] < worst[name]
    ]
    expect(
        bool(ordered),
        "a score that orders perfect, noisy and wrong predictions",
        f"{best}, {noisy} and {worst}",
        "read the logits, and mind which side is better.",
    )


def per_image_has_every_image_once(subject: Subject) -> None:
    """``per_image`` has an ``id`` column first and one value per image in each, or is empty."""
    _, columns = _scores(subject, [EVERY[6:], EVERY[5::-1]])
    if columns:
        expect(next(iter(columns)) == "id", "the column id first", f"{next(iter(columns))}", "put it first.")
        wrong = {name: len(column) for name, column in columns.items() if len(column) != COUNT}
        expect(
            not wrong, f"{COUNT} values in every column", f"{wrong}", "give one value per image, None for none."
        )
        same = sorted(columns["id"]) == [f"i{k:02}" for k in range(COUNT)]
        expect(same, "every id once", f"{columns['id']}", "take the ids from update.")


METRIC = (two_halves_equal_the_whole, a_perfect_input_scores_best, per_image_has_every_image_once)
