"""Results of runs as arrays: values per test image, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmtk.errors import MmtkError
from mmtk.io.files import read_lines
from mmtk.runs.score_names import current, current_name

KEYS = ("id", "patient")  # columns that say whose values a row holds
Series = tuple[np.ndarray, np.ndarray]
Cases = dict[tuple[str, str], dict[str, np.ndarray]]


def read_cases(files: Sequence[Path]) -> Cases:
    """Read the values per test image of runs with the same test images, by (domain, task).

    ``id`` is [images], ascending. ``patient`` is [images], None where the source names none; it is absent where
    no file has it (runs of mmtk 0.2). Every column of numbers is [files, images], NaN where a run has it not. A
    column without a value belongs to another task and is left out. MmtkError where a file has other images.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for file in files:
        # One small file: starting threads, or looking for partitions of a data set, takes longer than reading.
        with pq.ParquetFile(pa.BufferReader(file.read_bytes())) as opened:
            table = opened.read(use_threads=False)
            tables.append(table.rename_columns([current_name(name) for name in table.column_names]))
    keys = ["domain", "task", "id"]
    if any(not table.select(keys).equals(tables[0].select(keys)) for table in tables):
        tables = [table.sort_by([(key, "ascending") for key in keys]) for table in tables]
    images = tables[0].select(keys)
    for file, table in zip(files, tables, strict=True):
        if not table.select(keys).equals(images):
            raise MmtkError(f"has other test images than {files[0]}.", str(file))
    whole = pa.concat_tables(tables, promote_options="permissive")
    numbers = {
        name: whole[name].to_numpy().astype(float).reshape(len(files), -1)
        for name, kind in zip(whole.schema.names, whole.schema.types, strict=True)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind)
    }
    domains, tasks, ids = (images[name].to_numpy() for name in ("domain", "task", "id"))
    named = next((table["patient"] for table in tables if "patient" in table.schema.names), None)
    patients = None if named is None or not pa.types.is_string(named.type) else named.to_numpy()
    order = np.argsort(ids, kind="stable")
    tables_by_part: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for domain, task in dict.fromkeys(zip(domains, tasks, strict=True)):
        group_rows = order[(domains[order] == domain) & (tasks[order] == task)]
        parts = {name: values[:, group_rows] for name, values in numbers.items()}
        columns = {name: values for name, values in parts.items() if not np.isnan(values).all()}
        texts = {"id": ids[group_rows]} | ({} if patients is None else {"patient": patients[group_rows]})
        tables_by_part[domain, task] = texts | columns
    return tables_by_part


def joined(tables: Sequence[Cases]) -> Cases:
    """Values of runs with other test images as one table: all images, NaN for a run that has not tested one.

    tables: of one run each, as of ``read_cases``
    """
    result: Cases = {}
    for part in dict.fromkeys(part for table in tables for part in table):
        of_part = [table.get(part, {}) for table in tables]
        patients: dict[str, str | None] = {}
        for one in filter(None, of_part):
            names = one.get("patient", np.full(len(one["id"]), None))
            patients |= dict(zip(one["id"], names, strict=True))
        ids = np.array(sorted(patients), object)
        result[part] = {"id": ids}
        if any("patient" in one for one in of_part):
            result[part]["patient"] = np.array([patients[name] for name in ids], object)
        for name in dict.fromkeys(name for one in of_part for name in one if name not in KEYS):
            values = np.full((len(tables), len(ids)), np.nan)
            for run, one in enumerate(of_part):
                if name in one:
                    values[run, np.searchsorted(ids, one["id"])] = one[name][0]
            result[part][name] = values
    return result


def read_curves(files: Sequence[Path]) -> dict[str, Series]:
    """Read every key of the runs' ``metrics.jsonl``: the steps [T] that all share, and values [runs, T] at them.

    Values that are not finite count as missing, and a run without a value as one that does not have the key. A
    resumed run may repeat a step: its last row counts.
    """
    rows, runs = [], []
    for run, file in enumerate(files):
        run_rows = [current(row) for row in read_lines(file)]
        rows += run_rows
        runs += [run] * len(run_rows)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if "step" not in keys:
        return {}
    table = np.array([[row.get(key, np.nan) for key in keys] for row in rows], float)
    steps, places = np.unique(table[:, keys.index("step")], return_inverse=True)
    curves = {}
    for key, column in zip(keys, table.T, strict=True):
        is_finite = np.isfinite(column)
        values = np.full((len(files), len(steps)), np.nan)
        values[np.array(runs)[is_finite], places[is_finite]] = column[is_finite]
        values = values[~np.isnan(values).all(1)]
        shared = ~np.isnan(values).any(0)
        if len(values) and shared.any():
            curves[key] = steps[shared], values[:, shared]
    return curves
