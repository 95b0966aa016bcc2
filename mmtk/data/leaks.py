"""Patients, identical and near-identical images that training shares with the images a run is scored on."""

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
from mmtk.counts import counted
from mmtk.data import near_duplicates
from mmtk.data.split_checks import Role
from mmtk.data.store import FORMAT, Stored
from mmtk.errors import MmtkError
from mmtk.io.cache import kept
from mmtk.runs.finished import SHARED_DATA

Pairs = list[tuple[int, int]]  # places in two parts
MOST_ALIKE = 5  # an image that resembles more training images than this, and a tenth of them, is a copy of none
_PAIRS = "pairs.json"
NEAR = "near-identical (resized, recompressed, flipped or brightened)"
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
    """The images of one part of a source, as leaks are looked for among them."""

    role: Role
    part: Split
    stored: Stored
    rows: list[int]
    patients: list[str]

    @classmethod
    def of(cls, role: Role, source: Source, stored: Stored, part: Split) -> Images:
        """All images of a part, labelled or not."""
        items = source.items(part)
        rows = [int(row) for row in stored.rows([item.id for item in items])]
        return cls(role, part, stored, rows, [item.patient for item in items])

    def __str__(self) -> str:
        return f"{self.role}: {self.part}"

    @property
    def label(self) -> str:
        """The part in a word: train, val, test or cross."""
        return self.part if self.role.domain == "source" else self.role.domain

    def id(self, place: int) -> str:
        """The id of the image at a place of this part."""
        return self.stored.ids[self.rows[place]]

    def mark(self, place: int) -> str:
        """The id with the part it stands in."""
        return f"{self.id(place)} in {self.label}"

    @cached_property
    def details(self) -> np.ndarray:
        """Descriptors by which near-identical images are found (mmtk.data.near_duplicates)."""
        return near_duplicates.details(self.stored.images[self.rows])

    @cached_property
    def contents(self) -> dict[bytes, list[int]]:
        """A hash of the pixels → the places with it."""
        found: dict[bytes, list[int]] = defaultdict(list)
        for place, row in enumerate(self.rows):
            found[hashlib.blake2b(self.stored.images[row], digest_size=16).digest()].append(place)
        return found


@dataclass
class Overlap:
    """Overlap of two parts, as ids: patients (patient, id, id), identical and near-identical images (id, id)."""

    train: Images
    scored: Images
    patients: list[tuple[str, str, str]] = field(default_factory=list)
    identical: list[tuple[str, str]] = field(default_factory=list)
    near: list[tuple[str, str]] = field(default_factory=list)

    @property
    def roles(self) -> tuple[Role, Role]:
        """The sources of the two parts."""
        return self.train.role, self.scored.role

    @property
    def across(self) -> bool:
        """Whether the parts belong to different tasks, which share the encoder and no label."""
        return self.train.role.task != self.scored.role.task

    @property
    def cure(self) -> str:
        """The key that gives a film one part in both tasks, where both read one folder; else nothing."""
        one, other = self.roles
        if not self.across or one.use != other.use or not one.use.startswith("folder"):
            return ""
        return " Set both_tasks = true in both tables: a film is then of one part in both."

    def __bool__(self) -> bool:
        return bool(self.patients or self.identical or self.near)

    @property
    def images(self) -> int:
        """How many scored images are concerned."""
        return len({pair[-1] for pair in (*self.patients, *self.identical, *self.near)})

    def lines(self, most: int = 10) -> list[str]:
        """Describe what is shared: a sentence of each kind with ids."""
        kinds = (
            ("patients in more than one split", sorted({p[0] for p in self.patients}), self._persons()),
            (
                f"the same image in train and {self.scored.label}",
                self.identical,
                [" = ".join(pair) for pair in self.identical],
            ),
            (
                f"{NEAR} images in train and {self.scored.label}",
                self.near,
                [" ≈ ".join(pair) for pair in self.near],
            ),
        )
        return [f"{title} ({len(found)}): {_first(texts, most)}" for title, found, texts in kinds if found]

    def _persons(self) -> list[str]:
        ids: dict[str, dict[str, None]] = {}
        for patient, one, other in self.patients:
            ids.setdefault(patient, {}).update({one: None, other: None})
        return [f"{patient} ({', '.join(found)})" for patient, found in ids.items()]

    def __str__(self) -> str:
        return f"{self.train} and {self.scored}: " + " ".join(self.lines())

    def report(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {
            "train": str(self.train),
            "scored": str(self.scored),
            "across": self.across,
            "images": self.images,
            "patients": [list(each) for each in self.patients],
            "identical": [list(each) for each in self.identical],
            "near_identical": [list(each) for each in self.near],
            "lines": self.lines(),
        }

    def count(self) -> str:
        """One sentence for results and reports: how many images of which part, and why."""
        kinds = [
            f"{len({pair[-1] for pair in found})} {word}"
            for found, word in (
                (self.identical, "identical to training images"),
                (self.near, "near-identical to training images"),
                (self.patients, "of patients that are trained on"),
            )
            if found
        ]
        verb = "is" if self.images == 1 else "are"
        return f"{counted(self.images, 'image')} of {self.scored} {verb} known to {self.train}: {', '.join(kinds)}"


def overlap(train: Images, scored: Images) -> Overlap:
    """Compare a training part with one that is scored."""
    found = _persons_in_both(train, scored)
    same, near = _remembered(train, scored)
    found.identical = [(train.mark(one), scored.mark(other)) for one, other in same]
    found.near = [(train.mark(one), scored.mark(other)) for one, other in near]
    return found


def _remembered(train: Images, scored: Images) -> tuple[Pairs, Pairs]:
    """Places of identical and near-identical images; stored images are compared once, then read from the cache."""
    stores = [each.stored for each in (train, scored)]
    files = [each.images.filename for each in stores if isinstance(each.images, np.memmap)]
    caches = {Path(str(file)).parents[1] for file in files}
    if len(files) < len(stores) or len(caches) > 1:  # one of them is not kept itself
        return _compared(train, scored)
    told = [(stored.digest, stored.images.shape) for stored in stores]
    rule = (
        FORMAT,
        near_duplicates.SIDE,
        near_duplicates.RADIUS,
        near_duplicates.THRESHOLD,
        near_duplicates.FLAT,
        MOST_ALIKE,
    )
    key = hashlib.sha256(repr((rule, told, train.rows, scored.rows)).encode()).hexdigest()

    def build(folder: Path) -> None:
        (folder / _PAIRS).write_text(json.dumps(_compared(train, scored)))

    folder = kept(f"alike-{key[:20]}", build, 1 << 16, caches.pop())
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
    """Find what every training part shares with the scored parts of every task, and val with test by patient."""
    training = [each for each in parts if each.role.domain == "source" and each.part == "train"]
    others = [each for each in parts if not any(each is one for one in training)]
    found = [overlap(one, other) for one in training for other in others]
    chosen = {each.role: each for each in others if each.part == "val"}
    for other in others:
        if other.part == "test" and other.role in chosen:
            found.append(_persons_in_both(chosen[other.role], other))
    return [each for each in found if each]


def _persons_in_both(one: Images, other: Images) -> Overlap:
    found = Overlap(one, other)
    found.patients = [
        (patient, one.mark(first), other.mark(second)) for patient, first, second in _shared_patients(one, other)
    ]
    return found


def _shared_patients(train: Images, scored: Images) -> Iterator[tuple[str, int, int]]:
    """(patient, place, place). Of two sources only where both say who it is: an id is no person elsewhere."""
    one_source = train.role == scored.role
    first: dict[str, int] = {}
    for place, patient in enumerate(train.patients):
        if one_source or patient != train.id(place):
            first.setdefault(patient, place)
    for place, patient in enumerate(scored.patients):
        if patient in first and (one_source or patient != scored.id(place)):
            yield patient, first[patient], place


def _near(train: Images, scored: Images) -> list[tuple[int, int]]:
    """(place, place) of near-identical images; one that resembles a good part of training proves nothing."""
    matches: dict[int, list[int]] = defaultdict(list)
    for one, other in near_duplicates.alike(train.details, scored.details):
        matches[other].append(one)
    most = max(MOST_ALIKE, len(train.rows) // 10)
    return [(ones[0], other) for other, ones in sorted(matches.items()) if len(ones) <= most]


def check(overlaps: Sequence[Overlap], refuse: bool) -> list[str]:
    """Refuse what training shares with the scored images of its own task; gives the sentences of what stays.

    Another task's images are never refused: the encoder has seen the pixels, but training has no label of them.
    """
    refused = [each for each in overlaps if each and not each.across] if refuse else []
    if refused:
        numbered = any(each.patients and each.roles[0] != each.roles[1] for each in refused)
        raise MmtkError("\n".join(map(str, refused)), hint=f"{CURE} {HOSPITALS}" if numbered else CURE)
    return [f"{SHARED_DATA[each.across]}: {each.count()}.{each.cure}" for each in overlaps if each]


def _first(texts: Sequence[str], most: int = 10) -> str:
    return "; ".join(texts[:most]) + ("; …" if len(texts) > most else ".")
