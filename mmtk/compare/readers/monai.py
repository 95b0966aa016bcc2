"""Per-case tables of MONAI's ``MetricsSaver``: ``METRIC_raw.csv`` in a folder for each system and seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmtk.compare.columns import read_sheet
from mmtk.compare.mask_files import case_name, distinct_runs, folders_of_systems
from mmtk.compare.records import CASE, TEST_SET, Records, empty_numbers
from mmtk.compare.request import Request
from mmtk.compare.score_names import plain, score_name
from mmtk.compare.score_tasks import task_lines, tasks_of
from mmtk.errors import MmtkError, listing

if TYPE_CHECKING:
    from pandas import DataFrame

END = "_raw.csv"
CURE = "Layout: SYSTEM/SEED/METRIC_raw.csv, as MetricsSaver(metric_details=…) writes them."


def read_monai(request: Request) -> tuple[Records, list[str]]:
    """Records of MetricsSaver's tables, and the mapping in words."""
    from pandas import concat

    parts, metrics = [], []
    runs = [
        (source, *run)
        for source in map(Path, request.sources)
        for run in folders_of_systems(source, lambda path: path.name.endswith(END))
        if any(run[2].glob(f"*{END}"))
    ]
    for system, seed, folder in distinct_runs(runs):
        files = sorted(folder.glob(f"*{END}"))
        parts.append(_joined(files).assign(system=system, seed=seed, domain=TEST_SET, patient=None))
        metrics += [file.name.removesuffix(END) for file in files]
    if not parts:
        raise MmtkError("holds no table of MetricsSaver.", request.sources[0], CURE)
    frame = concat(parts, ignore_index=True)
    names = [name for name in frame.columns if name not in ("system", "seed", "domain", "patient", "id")]
    tasks = tasks_of(names, {name: frame[name].dropna() for name in names})
    frame = concat(
        [
            frame.assign(task=task)[[*CASE, "patient", *(name for name in names if tasks[name] == task)]]
            for task in dict.fromkeys(tasks.values())
        ],
        ignore_index=True,
    )
    systems = list(dict.fromkeys(frame["system"]))
    lines = [
        f"systems: {listing(systems, 12)}",
        f"seeds: {listing(sorted(set(frame['seed'])), 12)}",
        f"scores: {listing(dict.fromkeys(metrics))}",
        "case = filename",
        *task_lines(tasks),
    ]
    return Records(frame, empty_numbers()), lines


def _joined(files: list[Path]) -> DataFrame:
    """One table of all scores of a run: the mean over classes, and each class where there are several."""
    from pandas import DataFrame

    table = None
    for file in files:
        sheet = read_sheet(file)
        if "filename" not in sheet.columns or "mean" not in sheet.columns:
            raise MmtkError("has no columns 'filename' and 'mean'.", str(file), CURE)
        name = _metric(file.name.removesuffix(END))
        classes = [column for column in sheet.columns if column not in ("filename", "mean")]
        paths = [Path(text) for text in sheet.texts("filename")]
        columns = {"id": [case_name(path, path.parent) for path in paths], name: sheet.numbers("mean")}
        if len(classes) > 1:
            columns |= {f"{name}-{column}": sheet.numbers(column) for column in classes}
        one = DataFrame(columns)
        table = one if table is None else table.merge(one, on="id", how="outer")
    assert table is not None
    return table


def _metric(stem: str) -> str:
    """The score of a file, without what loops put in front: ``val_mean_dice`` is Dice."""
    for start in ("", "val_", "test_", "mean_", "val_mean_", "test_mean_"):
        if stem.startswith(start) and score_name(stem[len(start) :]) != stem[len(start) :]:
            return score_name(stem[len(start) :])
    words = [word for word in stem.split("_") if plain(word) not in ("val", "test", "mean")]
    return score_name("-".join(words) or stem)
