"""Results of nnU-Net v2: ``summary.json`` of the validation of every fold, or of an evaluated folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.compare.mask_files import case_name, distinct_runs
from mmtk.compare.records import TEST_SET, Records, empty_numbers
from mmtk.compare.request import Request
from mmtk.compare.score_tasks import SEGMENTATION
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing
from mmtk.io.files import read_json

FOLDS = 5  # of nnU-Net's own division
FOLD = re.compile(r"fold_(\d+)")
SCORES = {"Dice": "dice", "IoU": "jaccard"}


def read_nnunet(request: Request) -> tuple[Records, list[str]]:
    """Records of nnU-Net's summaries: trainers and configurations as systems, folds as replicates."""
    from pandas import DataFrame

    origins = _origins([Path(source) for source in request.sources])
    if not origins:
        cure = "Name the folder of nnUNet_results, or of a data set in it."
        raise MmtkError("holds no summary.json of a fold or of an evaluated folder.", request.sources[0], cure)
    datasets = sorted({origin[0] for origin in origins.values()})
    if len(datasets) > 1:
        cure = f"Name one of them, such as {Path(request.sources[0]) / datasets[0]}."
        raise MmtkError(f"holds results of {counted(len(datasets), 'data set')}: {listing(datasets)}.", hint=cure)
    fold_numbers = [origin[2] for origin in origins.values() if origin[2] is not None]
    if fold_numbers and len(fold_numbers) < len(origins):
        cure = "Compare them apart."
        raise MmtkError("some summaries are of folds and some are not.", request.sources[0], cure)
    folds = max(*fold_numbers, FOLDS - 1) + 1 if fold_numbers else 0
    notes = [f"replicates are folds of nnU-Net, {folds} in a division of the cases"] if fold_numbers else []
    notes += _unread([Path(source) for source in request.sources])
    rows = []
    for file, (_, system, fold) in origins.items():
        key = {"system": system, "seed": str(fold or 0), "domain": TEST_SET, "task": SEGMENTATION}
        rows += [{**key, **row} for row in _cases(file)]
    frame = DataFrame(rows)
    frame.insert(5, "patient", None)
    short_names = without_shared_parts(list(dict.fromkeys(frame["system"])))
    frame["system"] = frame["system"].map(short_names)
    systems = [name if name == short else f"{short} ({name})" for name, short in short_names.items()]
    lines = [f"data set = {datasets[0]}", f"systems: {listing(systems, 12)}"]
    lines.append("seed = fold" if fold_numbers else "one replicate of each system")
    return Records(frame, empty_numbers(), folds=folds, notes=notes), lines


def without_shared_parts(names: list[str]) -> dict[str, str]:
    """Names of trainers without the parts, such as the plans, that all of them have."""
    parts = [name.split("__") for name in names]
    if len(names) < 2 or len({len(one) for one in parts}) > 1:
        return {name: name for name in names}
    differ = [len({*column}) > 1 for column in zip(*parts, strict=True)]
    distinct = [[part for part, keep in zip(one, differ, strict=True) if keep] for one in parts]
    return {name: "__".join(one) for name, one in zip(names, distinct, strict=True)}


def _origins(sources: list[Path]) -> dict[Path, tuple[str, str, int | None]]:
    """Data set, system and fold of every summary; trainers of one name in two sources are two systems."""
    origins = {
        (source, file): origin
        for source in sources
        for file in sorted(source.rglob("summary.json"))
        if (origin := _origin(file)) is not None
    }
    if len({data for data, *_ in origins.values()}) > 1:
        return {file: origin for (_, file), origin in origins.items()}  # refused
    runs = [(source, system, str(fold), file) for (source, file), (_, system, fold) in origins.items()]
    names = {file: system for system, _, file in distinct_runs(runs)}
    return {file: (data, names[file], fold) for (_, file), (data, _, fold) in origins.items()}


def _unread(sources: list[Path]) -> list[str]:
    """A sentence on validations of no fold, such as fold_all, which is trained on the cases that it scores."""
    files = {file for source in sources for file in source.rglob("validation/summary.json")}
    names = sorted({file.parent.parent.name for file in files if not FOLD.fullmatch(file.parent.parent.name)})
    return [f"{listing(names, 8)}: no number of a fold, left out"] if names else []


def _origin(file: Path) -> tuple[str, str, int | None] | None:
    """Data set, system and fold of a summary; None of one that no fold is validated by."""
    if file.parent.name == "validation":
        match = FOLD.fullmatch(file.parent.parent.name)
        trainer = file.parent.parent.parent
        return (trainer.parent.name, trainer.name, int(match[1])) if match else None
    if FOLD.search(str(file.parent)) or "crossval_results" in file.parent.name:
        return None  # the folds together, or after postprocessing
    return file.parent.parent.name, file.parent.name, None


def _cases(file: Path) -> Iterator[dict[str, Any]]:
    """Dice and IoU of every case: the mean over structures, then Dice of each where there are several."""
    facts = read_json(file)
    if not isinstance(facts, dict) or not isinstance(facts.get("metric_per_case"), list):
        version = "nnU-Net v1" if "results" in facts else "another program"
        cure = "nnUNetv2_evaluate_folder writes that of v2; or name the reference masks: --reference DIR."
        raise MmtkError(f"is a summary of {version}, not of nnU-Net v2.", str(file), cure)
    for case in facts["metric_per_case"]:
        try:
            path = Path(case["reference_file"])
            metrics: dict[str, dict[str, float]] = case["metrics"]
            row: dict[str, Any] = {"id": case_name(path, path.parent)}
            for theirs, name in SCORES.items():
                values = [_number(one[theirs], theirs, row["id"], file) for one in metrics.values()]
                finite = [value for value in values if np.isfinite(value)]
                row[name] = float(np.mean(finite)) if finite else float("nan")
            if len(metrics) > 1:
                row |= {
                    f"dice-label-{k}": _number(one["Dice"], "Dice", row["id"], file) for k, one in metrics.items()
                }
        except (KeyError, TypeError, AttributeError) as error:
            cure = "Is it written by nnU-Net v2?"
            raise MmtkError(f"has a case without {error}.", str(file), cure) from error
        yield row


def _number(value: Any, score: str, case: str, file: Path) -> float:
    """A score of a case, NaN where nnU-Net has none."""
    if value is None or isinstance(value, int | float):
        return float("nan" if value is None else value)
    raise MmtkError(f"{score} of case '{case}' is '{value}', no number.", str(file), "Correct it, or write NaN.")
