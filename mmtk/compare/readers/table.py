"""Tables: long, wide, with a row for each score, or with targets and predictions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmtk import builtin_scores
from mmtk.compare.classes import read_predictions
from mmtk.compare.column_parts import column_parts, part_lines, with_rows
from mmtk.compare.columns import Sheet
from mmtk.compare.fold_columns import folds_of_a_search, shared_training
from mmtk.compare.layout import Layout, guess_layout, roles_of, split_system, states
from mmtk.compare.records import CASE, NUMBER, RUN, TEST_SET, Records, empty_cases, empty_numbers
from mmtk.compare.request import Request
from mmtk.compare.score_names import SUMMARY, known_score, score_name, scores_of_classes
from mmtk.compare.score_tasks import CLASSIFICATION, task_lines, tasks_of
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing
from mmtk.io.packed import unpacked
from mmtk.runs.attributes import METADATA

if TYPE_CHECKING:
    from pandas import DataFrame

CASE_CURE = "Say which column names the case: --column case=COLUMN."
NO_REPLICATE = "0"
CURVE = re.compile(r"(train(er)?[_ /])?(global[_ ])?(epoch|step|iteration|iter)s?", re.IGNORECASE)


def table_records(
    sheet: Sheet, request: Request, system: str, seed: str = "", alone: bool = True
) -> tuple[Records, list[str]]:
    """Records of a table, and the mapping of its columns in words.

    sheet: the table
    request: with the columns that the user names
    system: name, where no column names one
    seed: replicate, where no column names one; "" without one
    alone: whether there are no other tables
    """
    sheet = folds_of_a_search(sheet)
    column_names = dict(request.columns) | ({"seed": request.seed} if request.seed else {})
    by = [column for column in request.by if column]
    if by:
        sheet = _with_system(sheet, by)
        column_names["system"] = " ".join(by)
    sheet = _of_ended_runs(sheet)
    parts = column_parts(sheet, roles_of(sheet, column_names), alone)
    sheet = with_rows(sheet, parts) if parts else sheet
    layout = guess_layout(sheet, column_names, alone)
    frame = _wide(sheet, layout, seed) if layout.shape == "wide" else sheet.frame
    inner = sheet if frame is sheet.frame else Sheet(frame, sheet.where)
    keys = _keys(inner, layout, system, seed)
    notes, mapping = list(layout.notes), list(layout.lines)
    if layout.columns.get("target") is not None:
        records = _of_predictions(inner, layout, keys)
    else:
        records, tasks = _of_scores(inner, layout, keys, request)
        mapping += task_lines(tasks)
    notes += shared_training(layout.columns.get("seed", ""), len(records.cases))
    records.notes[:0] = [*notes, *sheet.notes, *(inner.notes if inner is not sheet else [])]
    lines = dict(part_lines(parts))
    return records, [lines.get(line.partition(" = ")[0], line) for line in mapping]


def _of_ended_runs(sheet: Sheet) -> Sheet:
    """The rows of runs that have ended well, where a tracker's export says so; a note counts the others."""
    run_states = states(sheet)
    is_ended = [state == "finished" for state in run_states]
    if all(is_ended):
        return sheet
    frame = sheet.frame[is_ended].reset_index(drop=True)
    ended = Sheet(frame, sheet.where, list(itertools.compress(sheet.lines, is_ended)))
    words = listing(sorted({*run_states} - {"finished"}))
    ended.notes += [*sheet.notes, f"{counted(is_ended.count(False), 'run')} not finished ({words}): left out"]
    return ended


def _with_system(sheet: Sheet, by: list[str]) -> Sheet:
    """The table with the values of several columns joined, as the name of the system."""
    if missing := [column for column in by if column not in sheet.columns]:
        raise MmtkError(f"--by: no column {listing(missing)}.", sheet.where, f"It has {listing(sheet.columns)}.")
    frame = sheet.frame.copy()
    parts = [sheet.texts(column) for column in by]
    joined_texts = parts[0]
    for part in parts[1:]:
        joined_texts = joined_texts + " " + part
    frame[" ".join(by)] = joined_texts
    named = Sheet(frame, sheet.where, sheet.lines)
    named.notes += sheet.notes
    return named


def _keys(sheet: Sheet, layout: Layout, system: str, seed: str) -> DataFrame:
    """System, seed, test set, task, case and patient of every row; None where no column says it.

    sheet: the table
    layout: of its columns
    system: name, where no column names one
    seed: replicate, where no column names one
    """
    from pandas import DataFrame

    def texts(role: str, default: str | None) -> object:
        return sheet.texts(layout.columns[role]) if role in layout.columns else default

    keys = DataFrame(index=sheet.frame.index)
    keys["system"], keys["seed"] = texts("system", system), texts("seed", seed or NO_REPLICATE)
    keys["domain"], keys["task"] = texts("domain", TEST_SET), texts("task", None)
    keys["id"], keys["patient"] = texts("case", None), texts("patient", None)
    for role in ("system", "id"):
        blank = keys[role] == ""
        if blank.any():
            column = layout.columns["system" if role == "system" else "case"]
            message = f"column '{column}' is empty in {counted(int(blank.sum()), 'row')}."
            raise MmtkError(message, sheet.at(int(np.flatnonzero(blank)[0])), "Fill it in, or remove the rows.")
    keys["patient"] = keys["patient"].replace("", None)
    return keys


def _wide(sheet: Sheet, layout: Layout, seed: str) -> DataFrame:
    """A table with a column for every system as one with a row for every system and case.

    sheet: the table
    layout: of its columns
    seed: replicate, where no column names one
    """
    from pandas import concat

    systems = split_system(layout.values)
    others = [name for name in sheet.columns if name not in layout.values]
    parts = []
    has_seeds = len({*systems.values()}) > len({system for system, _ in systems.values()})
    seeds = sheet.texts(layout.columns["seed"]) if "seed" in layout.columns else seed or NO_REPLICATE
    for column, (system, number) in systems.items():
        part = sheet.frame[others].copy()
        part["system"], part["seed"] = system, number if has_seeds else seeds
        part["value"] = sheet.numbers(column) if sheet.is_numeric(column) else sheet.frame[column]
        parts.append(part)
    return concat(parts, ignore_index=True)


def _of_predictions(sheet: Sheet, layout: Layout, keys: DataFrame) -> Records:
    """Records of targets and predicted classes or probabilities."""
    columns = layout.columns
    if layout.shape == "wide":
        keys["system"], keys["seed"] = sheet.texts("system"), sheet.texts("seed")
        is_score = sheet.is_numeric("value") and bool((sheet.numbers("value") % 1 > 0).any())
        predicted, scores = (None, ["value"]) if is_score else ("value", [])
    else:
        predicted, scores = columns.get("predicted"), list(layout.values)
    if keys["id"].isna().all():
        raise MmtkError("predictions need the case that each of them is of.", sheet.where, CASE_CURE)
    result = read_predictions(sheet, columns["target"], predicted, scores)
    keys["task"] = keys["task"].fillna(CLASSIFICATION)
    frame = keys.assign(**result.columns, **_attributes(sheet, layout))
    names = builtin_scores.classification(result.names)
    if not any(name.startswith("p-") for name in result.columns):
        names = {name: names[name] for name in ("accuracy", "majority-accuracy", "balanced-accuracy", "macro-f1")}
    elif any("calibration" in note for note in result.notes):
        names.pop("calibration-error")
    declared = {name: info for name, info in names.items() if info.shown}
    tasks = list(dict.fromkeys(frame["task"]))
    return Records(
        _unique(sheet, layout, frame, list(CASE), result.notes),
        empty_numbers(),
        {task: dict(declared) for task in tasks},
        dict.fromkeys(tasks, result.names),
        notes=result.notes,
    )


def _attributes(sheet: Sheet, layout: Layout) -> dict[str, object]:
    """Columns that describe cases, under the names that reports look for."""
    columns: dict[str, object] = {}
    for name in layout.attributes:
        texts = sheet.texts(name)
        numeric = sheet.is_numeric(name)
        columns[f"{METADATA}{name}"] = sheet.numbers(name) if numeric else texts.replace("", None)
    return columns


def _of_scores(sheet: Sheet, layout: Layout, keys: DataFrame, request: Request) -> tuple[Records, dict[str, str]]:
    """Records of scores, per case where a column names the cases, and tasks by score where no column says them."""
    notes: list[str] = []
    if layout.shape == "wide":
        keys["system"], keys["seed"] = sheet.texts("system"), sheet.texts("seed")
    frame = _without_summary(_melted(sheet, layout, keys, request), notes)
    if layout.shape == "scores":
        frame = _with_means(frame, layout.values, notes)
    if tasks := _tasks(frame) if frame["task"].isna().all() else {}:
        frame["task"] = frame["metric"].map(tasks)
    if request.metrics and layout.shape != "wide":
        frame = _of_names(sheet, frame, request.metrics)
    if frame["id"].isna().all():
        return Records(empty_cases(), _numbers(sheet, layout, frame, notes), notes=notes), tasks
    frame = _unique(sheet, layout, frame, [*CASE, "metric"], notes)
    cases = _by_case(frame)
    if layout.attributes and layout.shape == "scores":
        described = keys.assign(**_attributes(sheet, layout)).drop_duplicates(list(CASE))
        names = [name for name in described.columns if name.startswith(METADATA)]
        on = [name for name in CASE if name != "task" or not tasks]
        cases = cases.merge(described[[*on, *names]], on=on, how="left")
    return Records(cases, empty_numbers(), notes=notes), tasks


def _tasks(frame: DataFrame) -> dict[str, str]:
    """Task by score of a table without a column of tasks."""
    by_score = frame.dropna(subset=["id", "value"]).groupby("metric", sort=False)["value"]
    return tasks_of(dict.fromkeys(frame["metric"]), {str(name): {*values} for name, values in by_score})


def _of_names(sheet: Sheet, frame: DataFrame, metrics: Sequence[str]) -> DataFrame:
    """The rows of the scores that the user names."""
    names = {score_name(name) for name in metrics}
    present = list(dict.fromkeys(frame["metric"]))
    if missing := sorted(names - {*present}):
        raise MmtkError(f"--metric: no score {listing(missing)}.", sheet.where, f"It has {listing(present)}.")
    return frame[frame["metric"].isin(names)]


def _by_case(frame: DataFrame) -> DataFrame:
    """A row for every case of every run, with a column for every score."""
    codes = frame.groupby(list(CASE), sort=False).ngroup()
    cases = frame[[*CASE, "patient"]].assign(code=codes).drop_duplicates("code").set_index("code")
    wide = frame.assign(code=codes).pivot(index="code", columns="metric", values="value")
    return cases.join(wide[list(dict.fromkeys(frame["metric"]))]).reset_index(drop=True)


def _melted(sheet: Sheet, layout: Layout, keys: DataFrame, request: Request) -> DataFrame:
    """A row for every score of every row of the table."""
    from pandas import concat

    if layout.shape == "rows":
        names = [score_name(text) for text in sheet.texts(layout.columns["metric"])]
        return keys.assign(metric=names, value=sheet.numbers(layout.columns["value"]))
    if layout.shape == "wide":
        stem = unpacked(Path(sheet.where)).stem
        name = request.metrics[0] if request.metrics else known_score(stem) or "score"
        columns = {"value": name}
    else:
        columns = {column: column for column in layout.values}
    parts = [keys.assign(metric=score_name(name), value=sheet.numbers(column)) for column, name in columns.items()]
    return concat(parts, ignore_index=True)


def _with_means(frame: DataFrame, columns: Sequence[str], notes: list[str]) -> DataFrame:
    """The rows with the mean over the classes of a score, where a table has the classes alone.

    frame: a row for every score of every row of the table
    columns: of the table
    notes: to which a sentence on every mean is added
    """
    from pandas import concat

    parts = [frame]
    for score, classes in scores_of_classes(columns).items():
        names = [score_name(name) for name in classes]
        values = np.array([frame["value"][frame["metric"] == name].to_numpy(float) for name in names])
        finite = np.isfinite(values)
        sums, counts = np.where(finite, values, 0.0).sum(0), finite.sum(0)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        parts.append(frame[frame["metric"] == names[0]].assign(metric=score, value=means))
        notes.append(f"{score} is the mean of {listing(classes)}, of those that have a value")
    return concat(parts, ignore_index=True) if len(parts) > 1 else frame


def _without_summary(frame: DataFrame, notes: list[str]) -> DataFrame:
    """The rows of cases and replicates, without rows that a program has put below them as means."""
    for column, what in (("id", "cases"), ("seed", "replicates")):
        is_summary = frame[column].astype(object).map(lambda text: str(text).casefold() in SUMMARY)
        if is_summary.any() and not is_summary.all():
            names = listing(dict.fromkeys(frame[column][is_summary]))
            notes.append(f"rows called {names} are summaries, not {what}: left out")
            frame = frame[~is_summary]
    return frame


def _unique(sheet: Sheet, layout: Layout, frame: DataFrame, keys: list[str], notes: list[str]) -> DataFrame:
    """The rows without repetitions; MmtkError where two rows of the same keys differ.

    sheet: the table
    layout: of its columns
    frame: values with their keys; the place of a row is that in the table, plus a multiple of its length
    keys: columns of the frame that name a value
    notes: to which a sentence on equal rows is added
    """
    repeated = frame.duplicated(keys, keep=False)
    if not repeated.any():
        return frame
    distinct = frame[~frame.duplicated()]
    if (twice := distinct.duplicated(keys, keep=False)).any():
        first = distinct[twice].iloc[0]
        alike = (distinct[keys].astype(object).fillna("") == first[keys].astype(object).fillna("")).all(axis=1)
        cure = _telling_apart(sheet, layout, [int(row) % len(sheet.frame) for row in distinct.index[alike]])
        if frame["id"].isna().all():
            message = (
                f"system '{first['system']}' has several rows with seed {first['seed']}, and no case in them."
            )
            cure = cure or f"{CASE_CURE[:-1]}; or which one the replicate: --seed COLUMN."
        else:
            what = f"case '{first['id']}' of system '{first['system']}', seed {first['seed']}"
            message = f"{what}, has two rows with other values."
            cure = cure or "Keep one: no other column tells them apart."
        raise MmtkError(message, sheet.where, cure)
    cases = frame[frame.duplicated()].drop_duplicates(list(CASE))
    what = "run" if frame["id"].isna().all() else "case"
    notes.append(f"{counted(len(cases), f'{what} stands', f'{what}s stand')} in several equal rows: counted once")
    return distinct


def _telling_apart(sheet: Sheet, layout: Layout, rows: Sequence[int]) -> str:
    """Columns without a meaning as yet in which rows differ, and the options that give them one; "" without."""
    used = {*layout.columns.values(), *layout.values, "system", "seed", "value"}
    part = sheet.frame.iloc[list(rows)]
    names = [
        name
        for name in sheet.columns
        if name not in used
        and part[name].nunique() > 1
        and not (sheet.is_numeric(name) and (sheet.numbers(name)[list(rows)] % 1 > 0).any())
    ]
    if not names:
        return ""
    by = f"{system}," if (system := layout.columns.get("system")) else ""
    name = names[0]
    log = " Of the log of a training, keep the row of each run that counts." * bool(CURVE.fullmatch(name))
    return (
        f"They differ in {listing(names, 8)}. Name it as a part of the system (--by {by}{name}), as the replicate "
        f"(--seed {name}), or as the case, test set or structure (--column case={name}, domain=…, task=…).{log}"
    )


def _numbers(sheet: Sheet, layout: Layout, frame: DataFrame, notes: list[str]) -> DataFrame:
    """Scores of runs without values per case; NaN where a run has none."""
    from pandas import concat

    keys = [*RUN, "domain", "task", "metric"]
    filled = _unique(sheet, layout, frame.dropna(subset=["value"]), keys, notes)
    return (
        concat([filled, frame])[list(NUMBER)].drop_duplicates(keys).reset_index(drop=True)
    )  # blanks where none is
