"""Records: systems × replicates × cases in one form, whatever program made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmtk.errors import MmtkError, listing
from mmtk.runs.attributes import is_attribute
from mmtk.scores import ScoreInfo

if TYPE_CHECKING:
    from pandas import DataFrame

RUN = ("system", "seed")
PART = ("domain", "task")
CASE = (*RUN, *PART, "id")
NUMBER = (*RUN, *PART, "metric", "value")
TEST_SET = "test"  # name of the test set where no column names one
MOST_SYSTEMS = 100


@dataclass
class Records:
    """Values of systems, by replicate and case.

    cases: a row for each of ``CASE``, with ``patient`` (None where unknown) and a column for every value
    numbers: a row for each of ``NUMBER``, of scores that have no values per case
    declared: scores by task
    classes: names of the classes by task, where cases have targets
    folds: of a repeat, where replicates are folds: the seed is fold + folds × repeat; else 0
    notes: sentences on what was changed or left out
    """

    cases: DataFrame
    numbers: DataFrame
    declared: dict[str, dict[str, ScoreInfo]] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    folds: int = 0
    notes: list[str] = field(default_factory=list)


def empty_cases() -> DataFrame:
    """A table of cases without a row."""
    from pandas import DataFrame

    return DataFrame(columns=[*CASE, "patient"])


def empty_numbers() -> DataFrame:
    """A table of scores without a row."""
    from pandas import DataFrame

    return DataFrame(columns=list(NUMBER))


def joined(parts: Sequence[Records]) -> Records:
    """Records of several sources as one; MmtkError where two have the same run of a system."""
    from pandas import concat

    if len(parts) == 1:
        return parts[0]
    cases = [part.cases for part in parts if len(part.cases)]
    numbers = [part.numbers for part in parts if len(part.numbers)]
    result = Records(
        concat(cases, ignore_index=True) if cases else empty_cases(),
        concat(numbers, ignore_index=True) if numbers else empty_numbers(),
        folds=parts[0].folds,
    )
    if len({part.folds for part in parts}) > 1:
        raise MmtkError("the sources have different numbers of folds.", hint="Compare them apart.")
    result.cases = _merged(result.cases, "id", "case '{id}' of system '{system}', seed {seed}")
    result.numbers = _merged(result.numbers, "metric", "{metric} of system '{system}', seed {seed}")
    for part in parts:
        result.notes += [note for note in part.notes if note not in result.notes]
        for task, scores in part.declared.items():
            result.declared[task] = {**scores, **result.declared.get(task, {})}
        for task, names in part.classes.items():
            if result.classes.setdefault(task, names) != names:
                both = f"{listing(result.classes[task])} and {listing(names)}"
                raise MmtkError(f"the sources have different classes: {both}.", hint="Name them alike.")
    return result


def _merged(table: DataFrame, name: str, what: str) -> DataFrame:
    """A table with the values of a case in one row, from whatever sources; MmtkError where one is there twice.

    table: cases or numbers
    name: its column that names a value of a run
    what: the value in words
    """
    keys = [*RUN, *PART, name]
    repeated = table.duplicated(keys, keep=False)
    if not repeated.any():
        return table
    values = [column for column in table if column not in (*keys, "patient") and not is_attribute(str(column))]
    twice = (table[repeated].groupby(keys, sort=False)[values].count() > 1).any(axis=1)
    if twice.any():
        message = f"{what.format(**dict(zip(keys, twice.index[twice][0], strict=True)))} stands in two sources."
        raise MmtkError(message, hint="Give each system a name of its own (a column system, or its file's name).")
    return table.groupby(keys, sort=False).first().reset_index()[list(table.columns)]
