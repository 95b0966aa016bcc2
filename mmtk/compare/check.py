"""Checks of records: what is missing, in other units, or cannot be; nothing is changed without a sentence."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from mmtk.compare.records import CASE, MOST_SYSTEMS, NUMBER, PART, RUN, Records
from mmtk.compare.score_names import declare, order
from mmtk.counts import counted, share
from mmtk.errors import MmtkError, listing
from mmtk.io.spelling import folded_word
from mmtk.runs.attributes import is_attribute

if TYPE_CHECKING:
    from pandas import DataFrame, Series

NO_SCORES = ("target", "predicted", "pixels-reference", "pixels-predicted")
SHOWN = 8  # cases that a sentence names


def value_columns(cases: DataFrame) -> list[str]:
    """Columns of values per case."""
    return [str(name) for name in cases.columns if name not in (*CASE, "patient") and not is_attribute(str(name))]


def score_columns(cases: DataFrame) -> list[str]:
    """Columns of scores per case: not targets, predictions, probabilities and sizes."""
    return [name for name in value_columns(cases) if name not in NO_SCORES and not name.startswith("p-")]


def checked(records: Records, lower: Collection[str] = ()) -> Records:
    """Records of which every system can be compared with the others; MmtkError where none can.

    records: as they were read
    lower: scores that improve downwards, as the user says
    """
    _check_systems(records)
    _leave_out_blanks(records)
    _count_once(records)
    _check_targets(records)
    _number_seeds(records)
    _find_folds(records)
    _as_shares(records)
    _declare(records, lower)
    _check_bounds(records)
    _keep_common(records)
    _note_gaps(records)
    _note_absent_scores(records)
    return records


def _tables(records: Records) -> list[DataFrame]:
    return [table for table in (records.cases, records.numbers) if len(table)]


def _check_systems(records: Records) -> None:
    tables = _tables(records)
    if not tables:
        raise MmtkError("the sources hold no values.", hint="A score is a column of numbers.")
    names = list(dict.fromkeys(name for table in tables for name in table["system"]))
    if len(names) > MOST_SYSTEMS:
        raise MmtkError(
            f"{counted(len(names), 'system')}: {listing(names, 5)}.",
            hint=f"At most {MOST_SYSTEMS} can be compared. Say what names a system: --by COLUMN, or --column "
            "system=COLUMN; cases are named by --column case=COLUMN.",
        )
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(folded_word(name), []).append(name)
    for several in alike.values():
        if len(several) > 1:
            count = counted(len(several), "system")
            records.notes.append(f"{listing(several)} differ in case, spaces or signs alone: taken as {count}")
    if not len(records.cases) and (records.numbers.groupby("system")["seed"].nunique() < 2).all():
        raise MmtkError(
            "there is one number for each system: no cases, and no replicates.",
            hint="Nothing can be tested on that. What such a table can still tell: mmtk audit TABLE.csv.",
        )
    if len(names) == 1:
        records.notes.append(f"there is one system only, {names[0]}: nothing is compared")


def _leave_out_blanks(records: Records) -> None:
    """Leave out scores of runs that are NaN; a note says which."""
    blank = records.numbers["value"].isna().to_numpy(bool)
    for metric, part in records.numbers[blank].groupby("metric", sort=False):
        runs = [f"{system} (seed {seed})" for system, seed in part[list(RUN)].itertuples(index=False)]
        records.notes.append(f"{metric}: no value in {listing(runs, SHOWN)}")
    records.numbers = records.numbers[~blank].reset_index(drop=True)


def _count_once(records: Records) -> None:
    """Count equal rows of one case or score once; MmtkError where they differ."""
    for name, column in (("cases", "id"), ("numbers", "metric")):
        table = getattr(records, name)
        keys = [*RUN, *PART, column]
        repeated = table.duplicated(keys, keep=False)
        if not repeated.any():
            continue
        distinct = table[~table.duplicated()]
        if (twice := distinct.duplicated(keys)).any():
            row = distinct[twice].iloc[0]
            what = f"case '{row['id']}'" if column == "id" else row["metric"]
            message = f"{what} of system '{row['system']}', seed {row['seed']}, is there twice, with other values."
            raise MmtkError(message, hint="Keep one, or say what tells them apart.")
        count = counted(len(table) - len(distinct), "row is", "rows are")
        records.notes.append(f"{count} a repetition of another: counted once")
        setattr(records, name, distinct.reset_index(drop=True))


def _check_targets(records: Records) -> None:
    """Refuse a case that is of one class in one run and of another class in another."""
    cases = records.cases
    if "target" not in cases:
        return
    keys = ["domain", "task", "id"]
    first = cases.groupby(keys, sort=False)["target"].transform("first")
    wrong = np.flatnonzero((cases["target"] != first) & cases["target"].notna() & first.notna())
    if wrong.size:
        row = cases.iloc[int(wrong[0])]
        other = cases[(cases[keys] == row[keys]).all(axis=1)].iloc[0]
        names = records.classes[row["task"]]
        both = (f"'{names[int(one['target'])]}' in system '{one['system']}'" for one in (other, row))
        raise MmtkError(
            f"case '{row['id']}' is {' and '.join(both)} ({counted(int(wrong.size), 'row')} of this kind).",
            hint="A case has one class, whatever a system predicts. Correct the targets.",
        )


def _number_seeds(records: Records) -> None:
    """Seeds as whole numbers; words are numbered in their order."""
    tables = _tables(records)
    texts = sorted({str(text) for table in tables for text in table["seed"]})
    try:
        numbers = {text: int(float(text)) for text in texts if float(text) % 1 == 0}
    except ValueError:
        numbers = {}
    if len({*numbers.values()}) < len(texts):
        numbers = {text: number for number, text in enumerate(texts)}
        names = ", ".join(f"{number} = {text or '(empty)'}" for text, number in list(numbers.items())[:SHOWN])
        more = " …" if len(texts) > SHOWN else ""
        records.notes.append(f"seeds are no whole numbers, so they are numbered: {names}{more}")
    for table in tables:
        table["seed"] = [numbers[str(text)] for text in table["seed"]]


def _find_folds(records: Records) -> None:
    """Take replicates as folds where each tests cases of its own."""
    cases = records.cases
    if records.folds or len(records.numbers) or not len(cases) or cases["domain"].nunique() > 1:
        return
    runs_of_case = cases.groupby(["system", "task", "id"], sort=False)["seed"].nunique()
    seeds = sorted(cases["seed"].unique())
    runs_of_system = cases.groupby("system")["seed"].nunique()
    if (runs_of_system < 2).any() or (runs_of_case > 1).any():
        return
    numbers = {seed: number for number, seed in enumerate(seeds)}
    records.cases = cases.assign(seed=[numbers[seed] for seed in cases["seed"]])
    records.folds = len(seeds)
    records.notes.append(
        f"every case is in one replicate alone, so replicates are taken as {counted(len(seeds), 'fold')}"
    )


def _as_shares(records: Records) -> None:
    """Scores between 0 and 1 that a run gives in percent as shares."""
    for name in score_columns(records.cases):
        info, _ = declare(name)
        if info.high == 1.0:
            highest = records.cases.groupby(list(RUN), sort=False)[name].max()
            rows = _in_percent(records, name, highest, records.cases)
            records.cases.loc[rows, name] /= 100
    for name in dict.fromkeys(records.numbers["metric"]):
        info, _ = declare(name)
        if info.high == 1.0:
            of_score = records.numbers["metric"] == name
            highest = records.numbers[of_score].groupby(list(RUN), sort=False)["value"].max()
            rows = _in_percent(records, name, highest, records.numbers)
            records.numbers.loc[of_score & rows, "value"] /= 100


def _in_percent(records: Records, name: str, highest: Series, table: DataFrame) -> np.ndarray:
    """Mask of the rows of ``table`` whose run gives a score in percent; a note says which, where not all do.

    highest: the largest value of the score ``name`` by run
    """
    values = {(str(system), seed): value for (system, seed), value in highest.dropna().items()}
    runs = {run for run, value in values.items() if 1.5 < value <= 100}
    whole = {system for system, _ in values} - {system for system, seed in values.keys() - runs}
    parts = [f"{system} (seed {seed})" for system, seed in sorted(runs) if system not in whole]
    if runs:
        some = "" if len(runs) == len(values) else f" of {listing([*sorted(whole), *parts], SHOWN)} alone"
        records.notes.append(f"{name}{some} is in percent: divided by 100")
    is_of_run = [run in runs for run in zip(table["system"].astype(str), table["seed"], strict=True)]
    return np.array(is_of_run, bool)


def _declare(records: Records, lower: Collection[str]) -> None:
    """Declarations of scores that no reader has declared."""
    names_by_task: dict[str, list[str]] = {}
    for task, part in records.cases.groupby("task", sort=False):
        names_by_task[str(task)] = [name for name in score_columns(part) if part[name].notna().any()]
    for task, part in records.numbers.groupby("task", sort=False):
        names = names_by_task.setdefault(str(task), [])
        names += [name for name in dict.fromkeys(part["metric"]) if name not in names]
    unsure, every = [], [name for names in names_by_task.values() for name in names]
    if not every and not any(records.declared.values()):
        raise MmtkError("the sources hold no values.", hint="A score is a column of numbers.")
    if unknown := sorted({*lower} - {*every}):
        raise MmtkError(f"--lower: no score {listing(unknown)}.", hint=f"There are {listing(every)}.")
    for task, names in names_by_task.items():
        declared = records.declared.setdefault(task, {})
        for name in order(names):
            if name not in declared:
                declared[name], is_certain = declare(name, lower)
                unsure += [] if is_certain else [name]
    if unsure:
        records.notes.append(
            f"higher is taken as better: {listing(dict.fromkeys(unsure))} (--lower SCORE says otherwise)"
        )


def _check_bounds(records: Records) -> None:
    """Refuse scores that cannot be: a Dice above 1, a distance below 0."""
    for task, declared in records.declared.items():
        for name, info in declared.items():
            if name in records.cases:
                part = records.cases[records.cases["task"] == task]
                values = part[name]
            else:
                part = records.numbers[(records.numbers["task"] == task) & (records.numbers["metric"] == name)]
                values = part["value"]
            numbers = values.to_numpy(float)
            if np.isinf(numbers).any():
                numbers = np.where(np.isinf(numbers), np.nan, numbers)
                _refuse(part, int(np.flatnonzero(np.isinf(values.to_numpy(float)))[0]), name, "infinite")
            low, high = (-np.inf if info.low is None else info.low), (np.inf if info.high is None else info.high)
            wrong = np.flatnonzero((numbers < low - 1e-6) | (numbers > high + 1e-6))
            if wrong.size:
                _refuse(part, int(wrong[0]), name, f"{numbers[wrong[0]]:g}")


def _refuse(part: DataFrame, row: int, name: str, value: str) -> None:
    one = part.iloc[row]
    case = f", case '{one['id']}'" if "id" in part and one["id"] is not None else ""
    raise MmtkError(
        f"{name} of system '{one['system']}', seed {one['seed']}{case}, is {value}, which it cannot be.",
        hint="Correct it, or leave it empty; give another name to a score that is meant otherwise.",
    )


def _keep_common(records: Records) -> None:
    """Keep the cases that every run of every system has, of each test set."""
    cases = records.cases
    if not len(cases):
        return
    masks = np.ones(len(cases), bool)
    keys = ["domain", "task", *["seed"] * bool(records.folds)]  # a fold tests cases of its own
    for key, part in cases.groupby(keys, sort=False):
        domain, task = str(key[0]), str(key[1])
        runs = part[list(RUN)].drop_duplicates()
        counts = part.groupby("id", sort=True)["system"].size()
        partial = counts.index[counts < len(runs)]
        if not len(partial):
            continue
        if len(partial) == len(counts):
            raise MmtkError(
                f"no case of test set '{domain}' ({task}) is in all {counted(len(runs), 'run')}.",
                hint="Cases are paired by their names: name them alike in all systems.",
            )
        masks[part.index[part["id"].isin(partial)]] = False
        records.notes.append(_absent(part, list(partial), len(counts), f"{domain} {task}"))
    records.cases = cases[masks].reset_index(drop=True)


def _absent(part: DataFrame, partial: list[str], total: int, name: str) -> str:
    """Sentence on cases that some runs do not have."""
    ids = {run: set(group["id"]) for run, group in part.groupby(list(RUN), sort=False)}
    lacking = [f"{run[0]} (seed {run[1]})" for run, of_run in ids.items() if {*partial} - of_run]
    left_out = share(len(partial), total, "case")
    return (
        f"{name}: {left_out} not in every run, left out everywhere: {listing(partial, SHOWN)}; "
        f"absent from {listing(lacking, SHOWN)}"
    )


def _note_gaps(records: Records) -> None:
    """Note the cases that lack a score in some run that has it of others: the score leaves them out everywhere."""
    for name in score_columns(records.cases):
        part = records.cases[["system", "seed", "task", "id", name]]
        part = part[part.groupby(["system", "seed", "task"])[name].transform("count") > 0]
        ids, lacking = part["id"].nunique(), list(dict.fromkeys(part["id"][part[name].isna()]))
        if lacking:
            left_out = share(len(lacking), ids, "case")
            records.notes.append(
                f"{name}: {left_out} without a value in some run, left out: {listing(lacking, SHOWN)}"
            )


def _note_absent_scores(records: Records) -> None:
    """Note the systems that have no value of a score which others have: structures under other names, or none."""
    systems: dict[tuple[str, str], set[str]] = {}
    for task, part in records.cases.groupby("task", sort=False):
        for name in score_columns(part):
            systems.setdefault((str(task), name), set()).update(part["system"][part[name].notna()])
    for (task, name), part in records.numbers.groupby(["task", "metric"], sort=False):
        systems.setdefault((str(task), str(name)), set()).update(part["system"])
    every = dict.fromkeys(str(name) for table in _tables(records) for name in table["system"])
    for (task, name), present in systems.items():
        lacking = [system for system in every if system not in present]
        if present and lacking and name in records.declared.get(task, {}):
            records.notes.append(f"{name}: no value of {listing(lacking, SHOWN)}")


def missing_runs(records: Records) -> list[str]:
    """Sentences on seeds that a system has not."""
    runs: dict[str, set[int]] = {}
    for table in _tables(records):
        for system, seed in table[list(NUMBER[:2])].drop_duplicates().itertuples(index=False):
            runs.setdefault(str(system), set()).add(int(seed))
    seeds = sorted(set().union(*runs.values()))
    pairs = ((system, seed) for system, present in runs.items() for seed in seeds if seed not in present)
    return [f"{system}: no run with seed {seed}" for system, seed in pairs]
