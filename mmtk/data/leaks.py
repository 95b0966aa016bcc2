"""Leaks: patients and identical or near-identical images shared by training and scored parts."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.api import Source, Split
from mmtk.components.source._splitting import person
from mmtk.counts import counted
from mmtk.data import near_duplicates
from mmtk.data.split_checks import Role
from mmtk.data.store import FORMAT, ImageStore
from mmtk.errors import MmtkError
from mmtk.io.cache import cached_folder
from mmtk.runs.finished import SHARED_DATA

Pairs = list[tuple[int, int]]  # indices in two parts
MOST_ALIKE = 5  # an image that resembles more training images than this, and a tenth of them, is a copy of none
_PAIRS = "pairs.json"
NEAR = "near-identical (resized, recompressed, brightened, inverted, flipped or turned)"
CURE = (
    "A score would be too good. Give all films of a person one patient (a column patient), leave the copies out, "
    'or accept it with data.leaks = "allow": it is then counted in the results.'
)
HOSPITALS = (
    "If these are different persons whom two hospitals number alike, write the hospital before the numbers of one "
    "(the column patient)."
)


@dataclass
class Images:
    """Images of one part of a source, as compared for leaks.

    set_name: of films that no profile names, as ``mmtk evaluate`` scores them
    """

    role: Role
    part: Split
    store: ImageStore
    rows: list[int]
    patients: list[str]
    set_name: str = ""

    @classmethod
    def of(cls, role: Role, source: Source, store: ImageStore, part: Split) -> Images:
        """Collect all images of ``part``, labelled or not, from ``source`` in its ``role`` and its ``store``."""
        items = source.items(part)
        rows = [int(row) for row in store.rows([item.id for item in items])]
        return cls(role, part, store, rows, [item.patient for item in items])

    def __str__(self) -> str:
        return f"{self.role}: {self.part}"

    @property
    def label(self) -> str:
        """Part in a word: train, val, test or cross; else the name of the set."""
        return self.set_name or (self.part if self.role.domain == "source" else self.role.domain)

    def id(self, index: int) -> str:
        """Id of the image at an index of this part."""
        return self.store.ids[self.rows[index]]

    def mark(self, index: int) -> str:
        """Id of an image with its part, for messages."""
        return f"{self.id(index)} in {self.label}"

    @cached_property
    def details(self) -> np.ndarray:
        """Descriptors by which near-identical images are found (mmtk.data.near_duplicates)."""
        return near_duplicates.details(self.store.images[self.rows])

    @cached_property
    def directions(self) -> np.ndarray:
        """Directions in which the details differ most."""
        return near_duplicates.directions(self.details)

    @cached_property
    def contents(self) -> dict[bytes, list[int]]:
        """Indices of the images by the hash of their pixels."""
        indices: dict[bytes, list[int]] = defaultdict(list)
        for index, row in enumerate(self.rows):
            indices[hashlib.blake2b(self.store.images[row], digest_size=16).digest()].append(index)
        return indices


@dataclass
class Overlap:
    """Overlap of two parts, as ids: patients (patient, id, id), identical and near-identical images (id, id).

    ``train`` is what weights are trained on, or the validation images that choose among them.
    """

    train: Images
    scored: Images
    patients: list[tuple[str, str, str]] = field(default_factory=list)
    identical: list[tuple[str, str]] = field(default_factory=list)
    near: list[tuple[str, str]] = field(default_factory=list)

    @property
    def roles(self) -> tuple[Role, Role]:
        """Sources of the two parts."""
        return self.train.role, self.scored.role

    @property
    def across(self) -> bool:
        """Whether the parts belong to different tasks, which share the encoder and no label."""
        return self.train.role.task != self.scored.role.task

    @property
    def cure(self) -> str:
        """Recipe key that gives a film one part in both tasks, where both read one folder; else ""."""
        one, other = self.roles
        if not self.across or one.use != other.use or not one.use.startswith("folder") or one.folds:
            return ""
        return " Set both_tasks = true in both tables: a film is then of one part in both."

    def __bool__(self) -> bool:
        return bool(self.patients or self.identical or self.near)

    @property
    def images(self) -> int:
        """Number of scored images concerned."""
        return len({pair[-1] for pair in (*self.patients, *self.identical, *self.near)})

    def lines(self, most: int = 10) -> list[str]:
        """Describe the overlap: a sentence of each kind with ids."""
        kinds = (
            ("patients in more than one split", sorted({p[0] for p in self.patients}), self._persons()),
            (
                f"the same image in {self.train.label} and {self.scored.label}",
                self.identical,
                [" = ".join(pair) for pair in self.identical],
            ),
            (
                f"{NEAR} images in {self.train.label} and {self.scored.label}",
                self.near,
                [" ≈ ".join(pair) for pair in self.near],
            ),
        )
        return [f"{title} ({len(matches)}): {_first(texts, most)}" for title, matches, texts in kinds if matches]

    def _persons(self) -> list[str]:
        ids: dict[str, dict[str, None]] = {}
        for patient, one, other in self.patients:
            ids.setdefault(patient, {}).update({one: None, other: None})
        return [f"{patient} ({', '.join(names)})" for patient, names in ids.items()]

    def __str__(self) -> str:
        return f"{self.train} and {self.scored}: " + " ".join(self.lines())

    def report(self) -> dict[str, Any]:
        """JSON content of the overlap."""
        return {
            "train": str(self.train),
            "scored": str(self.scored),
            "across": self.across,
            "images": self.images,
            "patients": [list(match) for match in self.patients],
            "identical": [list(match) for match in self.identical],
            "near_identical": [list(match) for match in self.near],
            "lines": self.lines(),
        }

    def count(self) -> str:
        """Sentence for results and reports: number of images, their part, and the reason."""
        images = "validation images" if self.train.label == "val" else "training images"
        kinds = [
            f"{len({pair[-1] for pair in pairs})} {word}"
            for pairs, word in (
                (self.identical, f"identical to {images}"),
                (self.near, f"near-identical to {images}"),
                (self.patients, f"of patients of {images}"),
            )
            if pairs
        ]
        verb = "is" if self.images == 1 else "are"
        return f"{counted(self.images, 'image')} of {self.scored} {verb} known to {self.train}: {', '.join(kinds)}"


def overlap(train: Images, scored: Images) -> Overlap:
    """Compare a training or validation part with one that is scored."""
    result = Overlap(train, scored)
    result.patients = [
        (patient, train.mark(first), scored.mark(second))
        for patient, first, second in _shared_patients(train, scored)
    ]
    same, near = _remembered(train, scored)
    result.identical = [(train.mark(one), scored.mark(other)) for one, other in same]
    result.near = [(train.mark(one), scored.mark(other)) for one, other in near]
    return result


def _remembered(train: Images, scored: Images) -> tuple[Pairs, Pairs]:
    """Indices of identical and near-identical images; compared once, then read from the cache."""
    stores = [part.store for part in (train, scored)]
    files = [part.images.filename for part in stores if isinstance(part.images, np.memmap)]
    caches = {Path(str(file)).parents[1] for file in files}
    if len(files) < len(stores) or len(caches) > 1:  # one of them is not cached
        return _compared(train, scored)
    contents = [(store.digest, store.images.shape) for store in stores]
    rule = (
        FORMAT,
        near_duplicates.SIDE,
        near_duplicates.RADIUS,
        near_duplicates.THRESHOLD,
        near_duplicates.FLAT,
        MOST_ALIKE,
    )
    key = hashlib.sha256(repr((rule, contents, train.rows, scored.rows)).encode()).hexdigest()

    def build(folder: Path) -> None:
        (folder / _PAIRS).write_text(json.dumps(_compared(train, scored)))

    folder = cached_folder(f"alike-{key[:20]}", build, 1 << 16, caches.pop())
    same, near = json.loads((folder / _PAIRS).read_bytes())
    return same, near


def _compared(train: Images, scored: Images) -> tuple[Pairs, Pairs]:
    same = {
        other: train.contents[content][0]
        for content in train.contents.keys() & scored.contents.keys()
        for other in scored.contents[content]
    }
    near = [(one, other) for one, other in _near(train, scored) if other not in same]
    return [(one, other) for other, one in sorted(same.items())], near


def overlaps(parts: Sequence[Images]) -> list[Overlap]:
    """Compare every training part with the scored parts of every task, and val with the tests of its task."""
    training = [part for part in parts if part.role.domain == "source" and part.part == "train"]
    scored = [part for part in parts if not any(part is one for one in training)]
    validation = [part for part in scored if part.label == "val"]
    tests = [part for part in scored if part.label != "val"]
    pairs = [(one, other) for one in training for other in scored]
    pairs += [(one, other) for one in validation for other in tests if one.role.task == other.role.task]
    return [result for pair in pairs if (result := overlap(*pair))]


def _shared_patients(train: Images, scored: Images) -> Iterator[tuple[str, int, int]]:
    """Yield (patient, index, index); of two sources only where both name the patient."""
    one_source = train.role == scored.role
    first: dict[str, int] = {}
    for index, patient in enumerate(train.patients):
        if one_source or patient != train.id(index):
            first.setdefault(_person(train, index), index)
    for index, patient in enumerate(scored.patients):
        name = _person(scored, index)
        if name in first and (one_source or patient != scored.id(index)):
            yield patient, first[name], index


def _person(images: Images, index: int) -> str:
    return person(images.patients[index], images.id(index))


def _near(train: Images, scored: Images) -> list[tuple[int, int]]:
    """Pairs of indices of near-identical images; one that resembles a good part of training proves nothing."""
    matches: dict[int, list[int]] = defaultdict(list)
    for one, other in near_duplicates.alike(train.details, scored.details, train.directions):
        matches[other].append(one)
    most = max(MOST_ALIKE, len(train.rows) // 10)
    return [(ones[0], other) for other, ones in sorted(matches.items()) if len(ones) <= most]


def cure_of(overlaps: Sequence[Overlap]) -> str:
    """Sentences on what mends overlaps within a task."""
    numbered = any(overlap.patients and overlap.roles[0] != overlap.roles[1] for overlap in overlaps)
    return f"{CURE} {HOSPITALS}" if numbered else CURE


def check(overlaps: Sequence[Overlap], refuse: bool) -> list[str]:
    """Refuse overlaps of training with the scored images of its own task; return sentences on the others.

    Another task's images are never refused: the encoder has seen the pixels, but training has no label of them.
    """
    leaks = [overlap for overlap in overlaps if overlap and not overlap.across] if refuse else []
    if leaks:
        raise MmtkError("\n".join(map(str, leaks)), hint=cure_of(leaks))
    return [f"{SHARED_DATA[overlap.across]}: {overlap.count()}.{overlap.cure}" for overlap in overlaps if overlap]


def _first(texts: Sequence[str], most: int = 10) -> str:
    return "; ".join(texts[:most]) + ("; …" if len(texts) > most else ".")
