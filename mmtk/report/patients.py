"""Sentences on the patients that the intervals of a report rest on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from mmtk.counts import counted, share
from mmtk.errors import listing
from mmtk.scores import shown
from mmtk.stats.two_way import ENOUGH_PATIENTS, LEAST_PATIENTS
from mmtk.study.patients import TestImages
from mmtk.study.results import Study

NO_VALUES = "not every system has values per image that give it"
OVER_SEEDS = "intervals and tests are those over seeds, for new trainings on these patients"


def on_patients(study: Study) -> list[str]:
    """Sentences on the patients of a study, and of the scores that cannot speak of new ones."""
    places: dict[str, list[str]] = {}
    for domain, task in itertools.product(study.domains, study.tasks):
        if any((domain, task) in cell.cases for cell in study.cells):
            for sentence in _of_images(study.jackknives.images(domain, task)):
                places.setdefault(sentence, []).append(f"{domain} {task}")
        for sentence, score in _of_scores(study, domain, task):
            places.setdefault(sentence, []).append(f"{domain} {score}")
    lines = (f"{listing(where)}: {sentence}." for sentence, where in places.items())
    return [line[:1].upper() + line[1:] for line in lines]


def of_unnamed(images: TestImages) -> str:
    """Sentence on images of a test set whose patients are not known; "" where all are."""
    total = len(images.ids)
    if not images.unnamed:
        return ""
    if images.unnamed == total:
        return "no patient is known, so images are taken as independent, each as one of its own patient"
    some = share(images.unnamed, total, "image")
    return f"no patient is known of {some}: taken as independent, each as one of its own patient"


def _of_images(images: TestImages) -> Iterator[str]:
    """Sentences on the images of one test set."""
    patients = len(set(images.patients.tolist()))
    if unnamed := of_unnamed(images):
        yield unnamed
    if patients < LEAST_PATIENTS:
        yield f"{counted(patients, 'patient')}, too few for an interval, which takes {LEAST_PATIENTS}"
    elif patients < ENOUGH_PATIENTS:
        yield f"intervals rest on {patients} patients only"


def _of_scores(study: Study, domain: str, task: str) -> Iterator[tuple[str, str]]:
    """Scores without values per image, and those for which images are left out, each with its name."""
    declared = study.declared.get(task, {})
    if domain == study.folded_set:  # their intervals rest on the scores of the folds
        return
    for metric in shown(declared, "tests"):
        cells = [cell for cell in study.cells if cell.values(domain, task, metric)]
        samples = [study.jackknives.sample(cell, domain, task, metric) for cell in cells]
        if None in samples:
            reasons = (study.jackknives.reason(cell, domain, task, metric) for cell in cells)
            yield f"{next(filter(None, reasons), NO_VALUES)}, so {OVER_SEEDS}", declared[metric].label
        if left_out := max((sample.left_out for sample in samples if sample), default=0):
            total = len(study.jackknives.images(domain, task).ids)
            lacks = "no value in some run, so no interval counts"
            endings = (f"has {lacks} it", f"have {lacks} them")
            yield share(left_out, total, "image", *endings), declared[metric].label
