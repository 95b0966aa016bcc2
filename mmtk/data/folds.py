"""Folds of patients: every image of a source is tested once in each repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmtk.api import Item, Source, Split
from mmtk.components.source._splitting import person
from mmtk.counts import counted
from mmtk.data.label_budget import permutation
from mmtk.errors import MmtkError
from mmtk.tasks import TASKS

PARTS: tuple[Split, ...] = ("train", "val", "test")
LEAST = 4  # patients of a class: with fewer, training or validation may be without it


@dataclass(frozen=True)
class Fold:
    """One fold of one repeat, as a run's seed says it: seed = repeat · count + index.

    count: folds of a repeat, 2 or more
    index: of the fold that is tested, from 0
    repeat: of the folds, from 0, each with a division of its own
    """

    count: int
    index: int
    repeat: int

    @classmethod
    def of(cls, count: int, seed: int) -> Fold:
        """The fold that a run of a seed tests."""
        return cls(count, seed % count, seed // count)


class FoldedSource(Source):
    """Source whose parts are those of one fold; images, labels and content are those of ``source``.

    source: whose images of train, val and test are divided anew
    fold: which of the divisions
    where: name of the source, for messages

    The test part is the fold. Validation is a share of the patients of the other folds, as large as the source's
    own; nothing is chosen on the fold. Patients are divided so that every class, and images without a label, are
    spread evenly; the division depends on the images, the count and the repeat alone. Raises MmtkError for fewer
    patients than folds, in all or of one class.
    """

    def __init__(self, source: Source, fold: Fold, where: str) -> None:
        self.source, self.labels = source, source.labels
        self.one_image_per_patient = source.one_image_per_patient
        self.notes: list[str] = [*getattr(source, "notes", ())]
        parts = {split: source.items(split) for split in PARTS}
        pool = sorted((item for items in parts.values() for item in items), key=lambda item: item.id)
        _check(pool, source, fold, where)
        self.fold_notes = [] if source.one_image_per_patient else _unnamed(pool, where)
        key = ("folds", source.labels.task, fold.count, fold.repeat)
        tested = _divided(pool, fold.count, *key) == fold.index
        rest = [item for item, is_tested in zip(pool, tested, strict=True) if not is_tested]
        validates = _divided(rest, _validation_folds(parts, fold), *key, fold.index, "validation") == 0
        self._parts: dict[Split, list[Item]] = {
            "train": [item for item, is_chosen in zip(rest, validates, strict=True) if not is_chosen],
            "val": [item for item, is_chosen in zip(rest, validates, strict=True) if is_chosen],
            "test": [item for item, is_tested in zip(pool, tested, strict=True) if is_tested],
        }

    def items(self, split: Split) -> list[Item]:
        """The items of a part of the fold, ordered by id; all of the source for ``all``."""
        return self.source.items("all") if split == "all" else list(self._parts[split])

    def image(self, item: Item) -> np.ndarray:
        """The source's image."""
        return self.source.image(item)

    def mask(self, item: Item) -> np.ndarray:
        """The source's mask."""
        return self.source.mask(item)

    def digest(self) -> str:
        """The source's digest: the folds change parts, not content."""
        return self.source.digest()

    def files(self) -> list[Path]:
        """The source's files."""
        return self.source.files()


def notes(source: Source) -> list[str]:
    """Sentences on the folds of a source, for results and reports."""
    return source.fold_notes if isinstance(source, FoldedSource) else []


def undivided(source: Source) -> Source:
    """The source below the folds, whose name its store has."""
    return source.source if isinstance(source, FoldedSource) else source


def divide(strata: np.ndarray, patients: np.ndarray, count: int, *key: object) -> np.ndarray:
    """[images] The part of every image, from 0, all images of a patient in one part.

    strata: [images], a number for every class
    patients: [images], numbers from 0
    count: of the parts
    key: of the order in which patients are taken

    Greedy, as in scikit-learn's StratifiedGroupKFold: patients with many images first, each into the part that has
    the smallest share of what the patient has; of several, into that with the fewest images.
    """
    of_patient = np.zeros((patients.max() + 1, strata.max() + 1))
    np.add.at(of_patient, (patients, strata), 1)
    shares = of_patient / np.maximum(of_patient.sum(0), 1)
    order = np.array(permutation(len(of_patient), *key))
    order = order[np.argsort(-of_patient.sum(1)[order], kind="stable")]
    loads, images, part = np.zeros((count, shares.shape[1])), np.zeros(count), np.zeros(len(of_patient), int)
    for patient in order:
        costs = (loads @ shares[patient]).round(12)
        best = np.flatnonzero(costs == costs.min())
        part[patient] = best[images[best].argmin()]
        loads[part[patient]] += shares[patient]
        images[part[patient]] += of_patient[patient].sum()
    return part[patients]


def _divided(items: Sequence[Item], count: int, *key: object) -> np.ndarray:
    names = [person(item.patient, item.id) for item in items]
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return divide(_strata(items), np.array([codes[name] for name in names]), count, *key)


def _strata(items: Sequence[Item]) -> np.ndarray:
    """[images] Class of every image, 0 without a label; of masks only whether there is one."""
    is_class = [isinstance(item.target, int | np.integer) for item in items]
    targets = [
        int(item.target) + 1 if number else int(item.target is not None)
        for item, number in zip(items, is_class, strict=True)
    ]
    return np.array(targets, int)


def _validation_folds(parts: Mapping[Split, Sequence[Item]], fold: Fold) -> int:
    """Parts of the training folds, of which one validates: by the share that validation has in the source."""
    validation = len(parts["val"])
    return max(2, round((validation + len(parts["train"])) / validation)) if validation else max(2, fold.count)


def _check(pool: Sequence[Item], source: Source, fold: Fold, where: str) -> None:
    """Refuse more folds than patients, in all or of one class."""
    least = max(fold.count, LEAST)
    labelled = [item for item in pool if item.target is not None]
    groups = {"": labelled}
    if not TASKS[source.labels.task].has_masks:
        present = sorted({int(item.target) for item in labelled})
        groups |= {source.labels.names[k]: [item for item in labelled if int(item.target) == k] for k in present}
    counts = {name: len({person(item.patient, item.id) for item in items}) for name, items in groups.items()}
    name = min(counts, key=lambda name: counts[name])
    if counts[name] < least:
        images = f"images of the class {name}" if name else "labelled images"
        cure = f"Ask for at most {counts[name]} folds (--folds), or add" if counts[name] >= LEAST else "Add"
        raise MmtkError(
            f"{counted(fold.count, 'fold')} need {images} from {least} patients or more; there "
            f"{'is' if counts[name] == 1 else 'are'} {counted(counts[name], 'patient')}.",
            where,
            f"{cure} images of other patients.",
        )


def _unnamed(pool: Sequence[Item], where: str) -> list[str]:
    """Sentence on a source that names no patient, whose folds are therefore of images; none for another."""
    if any(item.patient != item.id for item in pool):
        return []
    return [
        f"{where}: no patient is named, so the folds divide images. If a person has several images, they "
        "come into training and test, and scores are too good: name the patients (a column patient), "
        "or say one_image_per_patient = true."
    ]
