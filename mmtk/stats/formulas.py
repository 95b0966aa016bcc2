"""Scores of a whole test set from its values per image, and the same without each patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.stats.ranking import Deletions, auroc, average_precision, pairs

REFUSED = ("median", "quantile", "percentile", "best-threshold")

Columns = Mapping[str, np.ndarray]  # [seeds, images] by name
BINS = 15  # of the calibration error, as the metric has them


@dataclass(frozen=True)
class Images:
    """Values per image of the runs of one system.

    columns: [seeds, images] by name
    patients: [images], numbers from 0, each with an image
    count: of the patients
    """

    columns: Columns
    patients: np.ndarray
    count: int

    def column(self, name: str) -> np.ndarray:
        """One column as floats; MmtkError where it is absent or lacks a value."""
        if name not in self.columns:
            raise MmtkError(f"there is no value '{name}' per image")
        values = np.asarray(self.columns[name], float)
        if missing := int((~np.isfinite(values)).any(0).sum()):
            raise MmtkError(f"{counted(missing, 'image')} without a value of '{name}'")
        return values

    @property
    def classes(self) -> list[str]:
        """Names of the classes, as the columns of their probabilities have them."""
        return [name[2:] for name in self.columns if name.startswith("p-")]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """[seeds, patients] Sums of values [seeds, images]."""
        return np.array([np.bincount(self.patients, row, self.count) for row in values])


@dataclass(frozen=True)
class Deleted:
    """A score [seeds], and [seeds, patients] without each patient.

    errors: patients whose images the score counts as wrong, mean over seeds; None where none is right or wrong
    """

    score: np.ndarray
    without: np.ndarray
    errors: float | None = None


def module_of(formula: str) -> str:
    """Module of a formula that is another author's function; "" for one of mmtk's own."""
    name, colon, _ = formula.partition(":")
    return name if colon and name not in ("mean", "f1", *REFUSED) else ""


def compute(formula: str, images: Images) -> Deleted:
    """The score of a formula; MmtkError with a reason in words where it cannot be computed.

    ``mean:COLUMN``, ``f1:CLASS``, one of the names in ``FORMULAS``, or ``package.module:function`` of another
    author: a function of ``{column: [images]}`` that returns a number. Scores that a jackknife cannot judge are
    refused: medians, quantiles, and those at a threshold that the test set has chosen (Efron 1982, section 3.4).
    """
    name, colon, argument = formula.partition(":")
    if name in REFUSED:
        raise MmtkError(
            "medians, quantiles and scores at a threshold chosen on the test set have no interval by jackknife"
        )
    if name == "mean" and argument:
        return _mean(images, argument)
    if name == "f1" and argument:
        if argument not in images.classes:
            raise MmtkError(f"there is no class '{argument}'")
        index = images.classes.index(argument)
        return _by_confusion(images, lambda confusion: _f1(confusion)[..., index])
    if formula in FORMULAS:
        return FORMULAS[formula](images)
    if not colon:
        raise MmtkError(f"the formula '{formula}' is unknown" if formula else "it has no formula")
    return _recomputed(images, _function(formula))


def _mean(images: Images, column: str) -> Deleted:
    """(Σ − Σ_p) / (n − n_p)."""
    values = images.column(column)
    rest = values.shape[1] - np.bincount(images.patients, minlength=images.count)
    with np.errstate(divide="ignore", invalid="ignore"):
        without = (values.sum(1, keepdims=True) - images.sums(values)) / rest
    return Deleted(values.mean(1), without)


# --- counts of classes ------------------------------------------------------------------------------------------


def _by_confusion(images: Images, score: Callable[[np.ndarray], np.ndarray]) -> Deleted:
    """A function of the counts [.., true, predicted]: subtract those of each patient."""
    target, predicted = images.column("target").astype(int), images.column("predicted").astype(int)
    size = max(len(images.classes), int(target.max()) + 1, int(predicted.max()) + 1)
    index = (images.patients * size + target) * size + predicted
    shape = (len(index), images.count, size, size)
    counts = np.array([np.bincount(row, minlength=images.count * size**2) for row in index]).reshape(shape)
    whole = counts.sum(1)
    rest = whole[:, None] - counts
    with np.errstate(divide="ignore", invalid="ignore"):
        full, without = score(whole), score(rest)
    # A class that is gone without a patient: the score of the other classes is another score.
    lost = ((rest.sum(-1) == 0) & (whole.sum(-1) > 0)[:, None]).any(-1)
    wrong = images.sums((target != predicted).astype(float)) > 0
    return Deleted(full, np.where(lost, np.nan, without), float(wrong.sum(1).mean()))


def _accuracy(images: Images) -> Deleted:
    right = {"right": images.column("target") == images.column("predicted")}
    mean = _mean(Images(right, images.patients, images.count), "right")
    wrong = images.sums(1.0 - right["right"]) > 0
    return Deleted(mean.score, mean.without, float(wrong.sum(1).mean()))


def _recall(confusion: np.ndarray) -> np.ndarray:
    """Recall of every class; NaN of one that does not occur."""
    return _diagonal(confusion) / confusion.sum(-1)


def _f1(confusion: np.ndarray) -> np.ndarray:
    """F1 of every class; NaN of one that neither occurs nor is predicted."""
    return 2 * _diagonal(confusion) / (confusion.sum(-1) + confusion.sum(-2))


def _diagonal(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _average(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, NaN passed over."""
    present = ~np.isnan(values)
    return np.where(present, values, 0).sum(-1) / present.sum(-1)


def _recall_of(images: Images, index: int) -> Deleted:
    if len(images.classes) != 2:
        raise MmtkError("sensitivity and specificity are those of two classes")
    return _by_confusion(images, lambda confusion: _recall(confusion)[..., index])


# --- probabilities ----------------------------------------------------------------------------------------------


def _by_class(images: Images, needs_both: bool) -> Deleted:
    """AUROC (``needs_both`` classes) or average precision: of the last of two classes, else means over classes."""
    target = images.column("target")
    score, without = np.empty(len(target)), np.empty((len(target), images.count))
    errors = np.empty(len(target))
    for seeds in _of_one_target(target):
        parts, misranked = zip(*_of_classes(images, seeds, needs_both), strict=True)
        score[seeds] = np.stack([part.score for part in parts], 1).mean(1)
        without[seeds] = np.mean([part.without for part in parts], axis=0)
        errors[seeds] = np.min(misranked, axis=0)
    return Deleted(score, without, float(errors.mean()))


def _of_one_target(target: np.ndarray) -> list[slice]:
    """The seeds that have the same classes of the images: all, else each alone."""
    same = bool((target == target[0]).all())
    return [slice(None)] if same else [slice(seed, seed + 1) for seed in range(len(target))]


def _of_classes(images: Images, seeds: slice, needs_both: bool) -> list[tuple[Deletions, np.ndarray]]:
    """The score of every class that occurs, and [seeds] the patients that are ranked wrongly."""
    names, labels, of_classes = images.classes, images.column("target")[seeds][0], []
    for k in [1] if len(names) == 2 else range(len(names)):
        positive = labels == k
        if not positive.any() or (needs_both and positive.all()):
            continue
        ranked = images.column(f"p-{names[k]}")[seeds], positive, images.patients, images.count
        counts = pairs(*ranked)
        of_classes.append((auroc(counts) if needs_both else average_precision(*ranked), counts.misranked))
    if not of_classes:
        raise MmtkError("a class has no image")
    return of_classes


def _calibration_error(images: Images) -> Deleted:
    """Σ_b |Σ_{i∈b} (right_i − confidence_i)| / n over 15 bins of the likeliest class's probability (Guo 2017)."""
    right = images.column("target") == images.column("predicted")
    confidence = np.max([images.column(f"p-{name}") for name in images.classes], axis=0).clip(max=1 - 2**-53)
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1), confidence, "right") - 1
    index, size = images.patients * BINS + bins, images.count * BINS
    gaps = np.array([np.bincount(*row, size) for row in zip(index, right - confidence, strict=True)])
    gaps = gaps.reshape(len(index), images.count, BINS)
    whole = gaps.sum(1)
    rest = len(images.patients) - np.bincount(images.patients, minlength=images.count)
    with np.errstate(divide="ignore", invalid="ignore"):
        without = np.abs(whole[:, None] - gaps).sum(-1) / rest
    return Deleted(np.abs(whole).sum(-1) / len(images.patients), without)


FORMULAS: dict[str, Callable[[Images], Deleted]] = {
    "accuracy": _accuracy,
    "balanced-accuracy": lambda images: _by_confusion(images, lambda c: _average(_recall(c))),
    "macro-f1": lambda images: _by_confusion(images, lambda c: _average(_f1(c))),
    "sensitivity": lambda images: _recall_of(images, 1),
    "specificity": lambda images: _recall_of(images, 0),
    "auroc": lambda images: _by_class(images, needs_both=True),
    "average-precision": lambda images: _by_class(images, needs_both=False),
    "calibration-error": _calibration_error,
}


# --- another author's --------------------------------------------------------------------------------------------


def _function(formula: str) -> Callable[[dict[str, np.ndarray]], float]:
    module, _, name = formula.partition(":")
    try:
        function = getattr(import_module(module), name)
    except Exception as error:  # an author's module may raise anything
        raise MmtkError(f"its formula {formula} cannot be imported ({error})") from error
    if not callable(function):
        raise MmtkError(f"its formula {formula} is no function")
    return function


def _recomputed(images: Images, function: Callable[[dict[str, np.ndarray]], float]) -> Deleted:
    """Call the function without each patient."""
    columns = {name: np.asarray(values) for name, values in images.columns.items()}
    rest = [images.patients != patient for patient in range(images.count)]
    seeds = range(len(next(iter(columns.values()))))

    def score(seed: int, image_mask: np.ndarray) -> float:
        return float(function({name: values[seed][image_mask] for name, values in columns.items()}))

    every = np.ones(len(images.patients), bool)
    try:
        with np.errstate(all="ignore"):
            scores = [score(seed, every) for seed in seeds]
            without = [[score(seed, part) for part in rest] for seed in seeds]
    except Exception as error:  # likewise
        raise MmtkError(f"its formula fails ({type(error).__name__}: {error})") from error
    return Deleted(np.array(scores), np.array(without))
