"""Folds that the columns of a table name: those of a search for settings, and of scores without cases."""

from __future__ import annotations

import re

from mmtk.compare.columns import Sheet

FOLD = re.compile(r"split(\d+)_test_(.+)")
SETTING = "param_"
REPLICATE = re.compile(r"\b(k?folds?|cv)\b", re.IGNORECASE)


def folds_of_a_search(sheet: Sheet) -> Sheet:
    """The table with a row for each setting and fold of ``cv_results_`` of scikit-learn; any other as it is.

    Times, ranks and means over the folds are left out, with a note. A setting is called by its keys and values.
    """
    from pandas import concat

    folds = {name: match for name in sheet.columns if (match := FOLD.fullmatch(name))}
    keys = [name for name in sheet.columns if name.startswith(SETTING)]
    if not folds or not keys:
        return sheet
    systems = [
        ", ".join(f"{key.removeprefix(SETTING)}={cell}" for key, cell in zip(keys, cells, strict=True) if cell)
        for cells in zip(*(sheet.texts(key) for key in keys), strict=True)
    ]
    parts = [
        sheet.frame[[]].assign(system=systems, fold=match[1], metric=match[2], value=sheet.frame[name])
        for name, match in folds.items()
    ]
    result = Sheet(concat(parts, ignore_index=True), sheet.where)
    result.notes += [*sheet.notes, "times, ranks, means and spreads of the search: left out"]
    return result


def shared_training(column: str, cases: int) -> list[str]:
    """Note on a column of folds in a table without cases, whose test takes them for independent trainings.

    column: of the replicates; "" without one
    cases: number of rows with a case
    """
    if cases or not REPLICATE.search(column.replace("_", " ")):
        return []
    return [
        f"'{column}' names folds, which share most of their training cases: intervals and tests over them are too "
        "sure. With a row for each case they are corrected for it"
    ]
