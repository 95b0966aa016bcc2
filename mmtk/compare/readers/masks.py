"""Folders of predicted masks beside reference masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmtk import builtin_scores
from mmtk.compare.mask_files import (
    Spacing,
    channels,
    distinct_runs,
    files_by_case,
    folders_of_systems,
    is_mask_file,
    read_pixels,
    structures,
)
from mmtk.compare.mask_scores import Reference
from mmtk.compare.readers.nnunet import without_shared_parts
from mmtk.compare.records import TEST_SET, Records, empty_numbers
from mmtk.compare.request import Request
from mmtk.compare.score_tasks import SEGMENTATION
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing
from mmtk.images.files import find_images
from mmtk.io import status_line
from mmtk.io.parallel import on_all_cores
from mmtk.scores import PLACES, ScoreInfo

INVERTED = -0.5  # informedness below which a mask shows what the reference does not; Dice is then below 2/3
AT_ONCE = 25  # cases that a core scores before it takes the next
Files = dict[tuple[str, str], dict[str, Path]]  # predictions by system and seed, then by case
CURE = "PRED/SYSTEM/SEED/files or PRED/SYSTEM/files, with the references under the same names in --reference DIR."


def read_masks(request: Request) -> tuple[Records, list[str]]:
    """Records of predicted masks, and where they lie in words."""
    reference = Path(request.reference)
    _check_folder(reference)
    references = files_by_case(_files(reference), reference)
    if not references:
        raise MmtkError(
            "holds no mask.", str(reference), "Name the folder of the reference masks: --reference DIR."
        )
    predictions = _predictions([Path(source) for source in request.sources])
    notes = _unmatched(references, predictions)
    return _records(references, predictions, notes), _lines(reference, predictions)


def _check_folder(reference: Path) -> None:
    """Refuse a folder of reference masks that is none."""
    if not reference.is_dir():
        what = "is a file, not a folder of masks." if reference.exists() else "no such folder."
        raise MmtkError(what, str(reference), "Name the folder of the reference masks: --reference DIR.")


def _predictions(sources: Sequence[Path]) -> Files:
    """Files of every system and seed, by case; folders without a mask are none."""
    runs = []
    for source in sources:
        if not source.is_dir():
            raise MmtkError("is not a folder of masks.", str(source), f"Layouts: {CURE}")
        runs += [(source, *run) for run in folders_of_systems(source) if _files(run[2])]
    distinct = distinct_runs(runs)
    names = without_shared_parts(list(dict.fromkeys(system for system, _, _ in distinct)))
    return {(names[system], seed): files_by_case(_files(folder), folder) for system, seed, folder in distinct}


def _files(folder: Path) -> list[Path]:
    return find_images(folder, is_mask_file) if folder.is_dir() else []


def _lines(reference: Path, predictions: Files) -> list[str]:
    systems = list(dict.fromkeys(system for system, _ in predictions))
    seeds = sorted({seed for _, seed in predictions})
    return [
        f"systems: {listing(systems, 12)}",
        f"seeds: {listing(seeds, 12)}",
        f"reference masks = {reference.name}",
    ]


def _unmatched(references: dict[str, Path], predictions: Files) -> list[str]:
    """Sentences on predictions without a reference; MmtkError where nothing fits."""
    if not predictions:
        raise MmtkError("the sources hold no masks.", hint=f"Layouts: {CURE}")
    names = {name for files in predictions.values() for name in files}
    if not names & references.keys():
        some = f"predictions: {listing(names, 3)}; references: {listing(references, 3)}"
        raise MmtkError(f"no prediction has the name of a reference mask ({some}).", hint=f"Layouts: {CURE}")
    if spare := names - references.keys():
        number = counted(len(spare), "predicted case has", "predicted cases have")
        return [f"{number} no reference mask, left out: {listing(spare, 8)}"]
    return []


def _records(references: dict[str, Path], predictions: Files, notes: list[str]) -> Records:
    """Scores of every prediction that has a reference."""
    from pandas import DataFrame

    labels = structures(list(references.values()))
    names = [f"label-{label}" for label in labels] if len(labels) > 1 else ["mask"]
    cases = sorted(name for name in references if any(name in files for files in predictions.values()))
    status_line.stage("scoring the masks")
    jobs = [
        partial(_score, cases[first : first + AT_ONCE], references, predictions, labels, names)
        for first in range(0, len(cases), AT_ONCE)
    ]
    rows, soft, volumes = [], 0, False
    for part, soft_count, has_volumes in on_all_cores(jobs):
        rows += part
        soft += soft_count
        volumes = volumes or has_volumes
    frame = DataFrame(rows)
    if soft:
        notes.append(f"{counted(soft, 'predicted mask is', 'predicted masks are')} soft: cut at half of 255")
    if empty := int((frame.pop("empty") > 0).sum()):
        notes.append(f"{counted(empty, 'predicted mask is', 'predicted masks are')} empty, counted as such")
    inverted = frame["system"][frame.pop("inverted")].value_counts(sort=False)
    for system, count in inverted.items():
        masks = counted(int(count), f"predicted mask of {system} covers", f"predicted masks of {system} cover")
        notes.append(f"{masks} what the reference leaves out, and not what it covers: inverted?")
    frame.insert(5, "patient", None)
    declared = _declared(names, frame.columns, volumes)
    return Records(frame, empty_numbers(), {SEGMENTATION: declared}, {SEGMENTATION: names}, notes=notes)


def _declared(names: Sequence[str], columns: Sequence[str], volumes: bool) -> dict[str, ScoreInfo]:
    """Scores of the built-in metric that there are values of; of volumes distances in mm are tested."""
    channel_names = names if len(names) > 1 else ()
    declared = builtin_scores.segmentation(channel_names)
    present = {name: info for name, info in declared.items() if name in columns}
    if volumes:
        present = {k: replace(v, shown=PLACES) if k.endswith("-mm") else v for k, v in present.items()}
    return present


def _score(
    cases: Sequence[str],
    references: dict[str, Path],
    predictions: Files,
    labels: Sequence[int],
    names: Sequence[str],
) -> tuple[list[dict[str, Any]], int, bool]:
    """Rows of some cases, the number of soft predictions, and whether the cases are volumes.

    cases: names
    references: files by case
    predictions: files by run and case
    labels: of the structures
    names: of the structures
    """
    rows, soft, is_volume = [], 0, False
    for case in cases:
        pixels = read_pixels(references[case])
        masks = channels(pixels, references[case], labels)[0]
        reference = Reference(masks, pixels.spacing, len(predictions))
        is_volume = reference.is_volume
        for (system, seed), files in predictions.items():
            if case not in files:
                continue
            predicted = read_pixels(files[case])
            _check_same(
                pixels.values.shape, pixels.spacing, predicted.values.shape, predicted.spacing, files[case]
            )
            masks, is_soft = channels(predicted, files[case], labels)
            soft += is_soft
            key = {"system": system, "seed": seed, "domain": TEST_SET, "task": SEGMENTATION, "id": case}
            empty = float((~masks.reshape(len(masks), -1).any(1)).sum())
            scores: dict[str, Any] = {**reference.scores(masks, names)}
            doubt = scores["dice"] < 2 / 3 and reference.informedness(masks) < INVERTED
            rows.append({**key, **scores, "empty": empty, "inverted": doubt})
    return rows, soft, is_volume


def _check_same(
    shape: tuple[int, ...], spacing: Spacing, other: tuple[int, ...], other_spacing: Spacing, path: Path
) -> None:
    """Refuse a prediction on another grid than its reference.

    shape: of the reference
    spacing: of the reference
    other: shape of the prediction
    other_spacing: of the prediction
    path: of the prediction
    """
    if shape != other:
        sizes = [" × ".join(map(str, one)) for one in (other, shape)]
        cure = "Save predictions at the size of the references."
        raise MmtkError(f"is {sizes[0]}, its reference mask {sizes[1]}.", str(path), cure)
    if any(abs(a - b) > 1e-3 for a, b in zip(spacing, other_spacing, strict=False)):
        steps = [" × ".join(f"{step:g}" for step in one) for one in (other_spacing, spacing)]
        cure = "Resample the prediction to the grid of its reference."
        raise MmtkError(f"has a spacing of {steps[0]} mm, its reference mask {steps[1]} mm.", str(path), cure)
