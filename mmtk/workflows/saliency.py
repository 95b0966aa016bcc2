"""Saliency maps of finished runs, measured on the runs' own test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.counts import counted
from mmtk.data.dataset import TestSet, prepare
from mmtk.errors import MmtkError
from mmtk.io import status_line
from mmtk.io.files import atomic, write_json
from mmtk.model.map_measurement import CONTROLS, MapTable, explained, map_name, measure
from mmtk.model.predictor import load
from mmtk.runs.display import Display
from mmtk.runs.finished import read_run
from mmtk.runs.folder import RunDir
from mmtk.runs.saliency_files import ABOUT, CASES, MAPS, maps_folder
from mmtk.study.folder import StudyDir
from mmtk.tasks import TASKS
from mmtk.workflows.members import Runs, is_study
from mmtk.workflows.run import data_root

DEFAULT = ("", *CONTROLS)
IMAGES = 50


def saliency(
    runs: Runs,
    maps: Sequence[str] = (),
    *,
    images: int = IMAGES,
    data: str | Path | None = None,
    device: str = "auto",
    quiet: bool = True,
) -> list[Path]:
    """Measure saliency maps of finished runs into ``RUN/saliency/MAP``; the folders that were folders.

    runs: run directories, or a study, of which all finished runs count
    maps: ``saliency``, ``captum,method=grad-cam``, any bridge with its keys, ``noise``, ``centre`` (default: the
        network's own map, noise and centre)
    images: of every test set, the same in every run; images with boxes count beside them
    data: the folder of the data sets (default: the one that the run used)
    device: auto, cpu or cuda
    quiet: print nothing
    """
    if images < 1:
        raise MmtkError(f"--images {images}: there is nothing to measure.", hint="Give 1 or more.")
    display, folders = Display(quiet), _folders(runs)
    return [
        folder
        for number, path in enumerate(folders, 1)
        for folder in _measure_run(path, maps, images, data, device, (f"{number}/{len(folders)}", display))
    ]


def _folders(runs: Runs) -> list[Path]:
    """Directories of the finished runs; in the place of a study all of its own."""
    paths = [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]
    folders = []
    for path in paths:
        cells = StudyDir(path).collect().cells if is_study(path) else ()
        folders += [run.path for cell in cells for _, run in sorted(cell.runs.items())] or [read_run(path).path]
    return folders


def _measure_run(
    path: Path,
    maps: Sequence[str],
    images: int,
    data: str | Path | None,
    device: str,
    progress: tuple[str, Display],
) -> list[Path]:
    """Measure the maps of one run.

    path: of the run
    maps, images, data, device: as of ``saliency``
    progress: number of the run, and the display that says it
    """
    number, display = progress
    predictor = load(path, device)
    recipe, (net,) = predictor.recipe, predictor.net.members
    names = list(dict.fromkeys(map_name(word, recipe) for word in maps or DEFAULT))
    kinds = {name: explained(net, recipe, predictor.targets, name) for name in names}
    tests = prepare(recipe, data_root(data, RunDir(path)), display.reading).tests()
    folders = []
    for name, one in kinds.items():
        status_line.stage(f"measuring {name}")
        display.note(f"Run {number}: {path.name}, {name}, {counted(len(tests), 'test set')}")
        tables = {(test.domain, test.task): measure(one, test, images) for test in tests}
        folder = maps_folder(path, name)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, tests, tables)
        write_json(folder / ABOUT, {"map": name, "images": images, **_described(tests)})
        folders.append(folder)
    return folders


def _write(folder: Path, tests: Sequence[TestSet], tables: Mapping[tuple[str, str], MapTable]) -> None:
    """Write values per image as a table like ``cases.parquet``, and the coarse maps."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts, arrays = [], dict[str, Any]()
    for test in tests:
        table, patients = tables[test.domain, test.task], test.patients
        keys = {"domain": [test.domain] * len(table.ids), "task": [test.task] * len(table.ids), "id": table.ids}
        columns = {
            name: pa.array(values, pa.float64(), from_pandas=True) for name, values in table.columns.items()
        }
        patient = pa.array([patients.get(name) for name in table.ids], pa.string())
        parts.append(pa.table({**keys, "patient": patient, **columns}))
        arrays[f"{test.domain}/{test.task}"] = table.maps.astype(np.float16)
        arrays[f"{test.domain}/{test.task}/ids"] = np.array(table.ids)
    with atomic(folder / CASES) as temporary, open(temporary, "wb") as file:
        pq.write_table(pa.concat_tables(parts, promote_options="permissive"), file)
    with atomic(folder / MAPS) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def _described(tests: Sequence[TestSet]) -> dict[str, Any]:
    """Origin of the lungs by test set."""
    origins = {True: "reference masks", False: "the network's own masks"}
    return {"lungs": {f"{test.domain} {test.task}": origins[TASKS[test.task].has_masks] for test in tests}}
