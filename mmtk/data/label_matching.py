"""Labels of foreign data as the classes or organs of a run, matched by name or by the user."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np

from mmtk.api import Item, LabelSpec, Source, Split
from mmtk.errors import MmtkError, listing

IGNORED = 255
SIDE = re.compile(r"(left|right) ?(.*?) ?(mask|map)?")
LEFT_OUT = "*"  # in place of a label: all that the run does not know


class UnknownLabelsError(MmtkError):
    """Labels that are no classes or organs of the run, or organs of the run that the masks lack."""


class RelabelledSource(Source):
    """Source whose labels are mapped to the classes or organs of ``target``.

    ``numbers`` maps the source's classes or channels to those of ``target``; what it lacks is left out:
    images of such a class, and channels of such an organ. Several channels may join in one.
    """

    def __init__(self, source: Source, target: LabelSpec, numbers: Mapping[int, int]) -> None:
        self.source, self.labels, self.numbers = source, target, dict(numbers)
        self.one_image_per_patient = source.one_image_per_patient

    def items(self, split: Split) -> list[Item]:
        """The source's items; targets of classes are the numbers of ``target``."""
        items = self.source.items(split)
        if self.labels.task == "segmentation":
            return items
        return [
            item if item.target is None else replace(item, target=self.numbers[item.target])
            for item in items
            if item.target is None or item.target in self.numbers
        ]

    def image(self, item: Item) -> np.ndarray:
        """The source's image."""
        return self.source.image(item)

    def mask(self, item: Item) -> np.ndarray:
        """[K,H,W] with the channels of ``target``; uint8 in {0, 1}, 255 where unknown."""
        channels = self.source.mask(item)
        mask = np.zeros((len(self.labels.names), *channels.shape[1:]), np.uint8)
        for number, channel in self.numbers.items():
            mask[channel] = np.where(
                mask[channel] == 1, 1, np.where(channels[number] == 0, mask[channel], channels[number])
            )
        if self.labels.exclusive:
            unknown = (mask[1:] == IGNORED).any(0)
            mask[0] = np.where(unknown, IGNORED, ~(mask[1:] == 1).any(0))
        return mask

    def digest(self) -> str:
        """The source's digest, and the numbers where they change something."""
        return f"{self.source.digest()} as {self.labels.names} by {sorted(self.numbers.items())}"


def relabel(source: Source, target: LabelSpec, names: Mapping[str, str], where: str) -> Source:
    """Map the labels of ``source`` to those of ``target``; return it unchanged where they are the same.

    ``names``: label of the source → name of the run, "" to leave it out. ``where``: name of the set, for messages.
    Raises UnknownLabelsError for a label without a counterpart, and for an organ of the run that the masks lack.
    """
    source_labels = source.labels
    if (source_labels.names, source_labels.exclusive) == (target.names, target.exclusive):
        return source
    numbers = _numbers(source_labels, target, names, where)
    if target.task == "segmentation":
        first = 1 if target.exclusive else 0
        lacking = [name for number, name in enumerate(target.names) if number >= first]
        lacking = [name for name in lacking if target.names.index(name) not in numbers.values()]
        if lacking:
            raise UnknownLabelsError(
                f"has no mask of {listing(lacking)}, which the run marks: "
                f"here are {listing(source_labels.names)}.",
                where,
                f'Say which is which by --match "{source_labels.names[-1]}={lacking[0]}", or add the masks.',
            )
    return RelabelledSource(source, target, numbers)


def _numbers(labels: LabelSpec, target: LabelSpec, names: Mapping[str, str], where: str) -> dict[int, int]:
    """Map the number of every label of ``labels`` to that of ``target``."""
    first = 1 if target.task == "segmentation" and target.exclusive else 0
    numbers_by_name = {plain(name): number for number, name in enumerate(target.names) if number >= first}
    name_by_label = {
        plain(label): name for label, name in names.items() if not name or plain(name) in numbers_by_name
    }
    background = 1 if target.task == "segmentation" and labels.exclusive else 0
    single = len(labels.names) - background == 1 == len(numbers_by_name)
    numbers: dict[int, int] = {}
    strangers: list[str] = []
    for number, label in list(enumerate(labels.names))[background:]:
        name = name_by_label.get(plain(label), label)
        if plain(name) in numbers_by_name:
            numbers[number] = numbers_by_name[plain(name)]
        elif target.task == "segmentation" and (organ := _without_side(name, numbers_by_name)) in numbers_by_name:
            numbers[number] = numbers_by_name[organ]
        elif single and target.task == "segmentation" and {"mask"} & {label, *target.names}:
            numbers[number] = first
        elif name and LEFT_OUT not in names:
            strangers.append(label)
    if strangers:
        what = "classes" if target.task == "classification" else "organs"
        out = "images" if target.task == "classification" else "masks"
        raise UnknownLabelsError(
            f"the labels {listing(strangers)} are no {what} of the run, which knows {listing(target.names)}.",
            where,
            f'Say which is which: --match "{strangers[0]}={target.names[-1]}"; '
            f'--match "{strangers[0]}=" leaves its {out} out.',
        )
    return numbers


def plain(name: str) -> str:
    """Drop capitals, plural and punctuation of a name, for comparing: ``Left_Lungs`` → ``left lung``."""
    return re.sub(r"[\W_]+", " ", name.casefold()).strip().removesuffix("s")


def _without_side(name: str, organs: Collection[str]) -> str:
    """Organ that both sides belong to: ``left lung`` and ``leftMask`` → ``lung``; "" for other names."""
    if not (side := SIDE.fullmatch(plain(name))):
        return ""
    return side[2] or (next(iter(organs)) if len(organs) == 1 else "")


def check_names(names: Mapping[str, str], targets: Iterable[LabelSpec]) -> None:
    """Refuse a name on the right of ``--match`` that no task of the run knows."""
    names_by_spelling = {plain(name): name for target in targets for name in target.names}
    for label, name in names.items():
        if name and plain(name) not in names_by_spelling:
            raise MmtkError(
                f"--match {label}={name}: the run knows no '{name}'. Known: {listing(names_by_spelling.values())}."
            )


def parse_matches(texts: Iterable[str] | None) -> dict[str, str]:
    """Read ``LABEL=NAME`` of the command line as label → name of the run."""
    names: dict[str, str] = {}
    for text in texts or ():
        label, equals, name = text.rpartition("=")
        if not equals or not label:
            raise MmtkError(f"--match {text}: should be LABEL=NAME.", hint='For example --match "TB=pneumonia".')
        names[label.strip()] = name.strip()
    return names
