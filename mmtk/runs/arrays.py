"""Results of runs as arrays: values per test image, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io.files import read_lines
from mmtk.runs.attributes import is_attribute
from mmtk.runs.score_names import current, current_name

if TYPE_CHECKING:
    import pyarrow as pa

Series = tuple[np.ndarray, np.ndarray]
Cases = dict[tuple[str, str], dict[str, np.ndarray]]


def read_cases(files: Sequence[Path]) -> Cases:
    """Read the values per test image of runs with the same test images, by (domain, task).

    ``id`` is [images], ascending. ``patient`` is [images], None where the source names none; it is absent where
    no file has it (runs of mmtk 0.2). A text that describes images is [images], None where it is not known. Every
    column of numbers is [files, images], NaN where a run has it not. A column without a value belongs to another
    task and is left out. MmtkError where a file has other images, or groups them into other patients.
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
    tables = _of_one_type(tables)
    whole = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    numbers = {
        name: _numbers(whole[name]).reshape(len(files), -1)
        for name, kind in zip(whole.schema.names, whole.schema.types, strict=True)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind)
    }
    domains, tasks, ids = (_texts(images[name]) for name in ("domain", "task", "id"))
    texts = {
        name: _texts(next(table[name] for table in tables if name in table.schema.names))
        for name, kind in zip(whole.schema.names, whole.schema.types, strict=True)
        if pa.types.is_string(kind) and (name == "patient" or is_attribute(name))
    }
    patients = [_texts(table["patient"]) if "patient" in table.schema.names else None for table in tables]
    order = np.argsort(ids, kind="stable")
    tables_by_part: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for domain, task in dict.fromkeys(zip(domains, tasks, strict=True)):
        group_rows = order[(domains[order] == domain) & (tasks[order] == task)]
        parts = {name: values[:, group_rows] for name, values in numbers.items()}
        columns = {name: values for name, values in parts.items() if not np.isnan(values).all()}
        of_part = {name: values[group_rows] for name, values in texts.items()}
        if "patient" in of_part:
            of_part["patient"] = _patients(ids[group_rows], patients, group_rows, files)
        present = {name: values for name, values in of_part.items() if name == "patient" or any(values)}
        tables_by_part[domain, task] = {"id": ids[group_rows]} | present | columns
    return tables_by_part


def _patients(
    ids: np.ndarray, columns: Sequence[np.ndarray | None], rows: np.ndarray, files: Sequence[Path]
) -> np.ndarray:
    """Patients of images as all files name them.

    ids: [images] of a test set
    columns: [rows] patients of every file; None of one that holds none
    rows: [images] of the test set in the files
    files: as messages name them
    """
    names: dict[str, str] = {}
    first: np.ndarray | None = None
    for file, column in zip(files, columns, strict=True):
        if column is None or (first is not None and np.array_equal(column[rows], first)):
            continue
        first = column[rows] if first is None else first
        add_patients(names, ids, column[rows], str(file))
    return np.array([names.get(one) for one in ids], object)


def add_patients(names: dict[str, str], ids: np.ndarray, patients: np.ndarray, where: str) -> None:
    """Add patients to the names so far; MmtkError where they are grouped otherwise.

    names: patients by image
    ids: [images]
    patients: [images] their names, None where nobody knows
    where: what a message names

    Other names of the same groups change nothing: patients are numbered in the order of their source.
    """
    added = {one: name for one, name in zip(ids, patients, strict=True) if name is not None}
    pairs = {(names[one], name): one for one, name in added.items() if one in names}
    if len(pairs) > min(len({pair[side] for pair in pairs}) for side in (0, 1)):
        raise MmtkError(
            f"groups {counted(len(added), 'image')} into other patients than other runs do, although their images "
            "are the same.",
            where,
            "Report them apart, or run the older ones again with the patients that the source names now.",
        )
    if all(before == name for before, name in pairs):
        names |= added


FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}  # names in Arrow and in NumPy


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers of a column, NaN where it has none; ``to_numpy`` of pyarrow would import pandas: 0.25 s."""
    parts = [np.empty(0)]
    for chunk in column.chunks:
        present, data = chunk.buffers()
        end = chunk.offset + len(chunk)
        if data is None:
            parts.append(np.full(len(chunk), np.nan))
            continue
        kind = FLOATS.get(str(chunk.type), str(chunk.type))
        values = np.frombuffer(data, kind, end)[chunk.offset :].astype(float)
        if chunk.null_count:
            bits = np.unpackbits(np.frombuffer(present, np.uint8), bitorder="little")[chunk.offset : end]
            values[bits == 0] = np.nan
        parts.append(values)
    return np.concatenate(parts)


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    """Texts of a column, None where it has none."""
    return np.array(column.to_pylist(), object)


def joined(tables: Sequence[Cases]) -> Cases:
    """Values of runs with other test images as one table: all images, NaN for a run that has not tested one.

    tables: of one run each, as of ``read_cases``
    """
    result: Cases = {}
    for part in dict.fromkeys(part for table in tables for part in table):
        of_part = [table.get(part, {}) for table in tables]
        ids = np.array(sorted({name for one in filter(None, of_part) for name in one["id"]}), object)
        result[part] = {"id": ids}
        columns = {name: column for one in of_part for name, column in one.items() if name != "id"}
        for name, column in columns.items():
            is_text = column.ndim == 1
            values = np.full(len(ids), None) if is_text else np.full((len(tables), len(ids)), np.nan)
            for run, one in enumerate(of_part):
                if name in one and one[name].ndim == column.ndim:
                    places = np.searchsorted(ids, one["id"])
                    values[places if is_text else (run, places)] = one[name] if is_text else one[name][0]
            result[part][name] = values
    return result


def _of_one_type(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The tables, with attributes as text that are text in one and numbers in another."""
    import pyarrow as pa

    schemas = [tables[0].schema]
    schemas += [table.schema for table in tables if not table.schema.equals(schemas[0])]
    if len(schemas) == 1:
        return list(tables)
    types: dict[str, set[pa.DataType]] = {}
    for column in (column for schema in schemas for column in schema):
        if is_attribute(column.name) and column.type != pa.null():
            types.setdefault(column.name, set()).add(column.type)
    mixed = {name for name, kinds in types.items() if len(kinds) > 1}
    return [
        table.cast(pa.schema([c.with_type(pa.string()) if c.name in mixed else c for c in table.schema]))
        for table in tables
    ]


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
