"""Table of what components are worth in labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmtk.report.tables.table import Entry, Table, headings, number, value_entry
from mmtk.report.worth import Answer
from mmtk.stats.worth import Worth
from mmtk.tasks import budget


def worth_table(worths: Sequence[Answer]) -> Table:
    """Answers in rows."""
    rows = [
        [
            Entry(one.what),
            Entry(one.where),
            Entry(budget(one.labels)),
            value_entry(one.score),
            Entry(one.worth.text),
            _number(one.worth),
            Entry(f"{one.worth.smallest:,.0f} to {one.worth.largest:,.0f}"),
            Entry(one.worth.note),
        ]
        for one in worths
    ]
    caption = (
        "The labels that the systems without a component need for the score of those with it, in brackets the "
        "95 % interval for new trainings and new patients. Read from the learning curve of the systems without "
        "it, which is taken to be straight between two budgets on a logarithmic scale; beyond the budgets nothing "
        "is known of it. The interval holds the numbers of labels at which the scores cannot be told apart."
    )
    names = ("Worth of", "Score", "At labels", "*Score with it", "Worth in labels", "*Estimate", "Budgets", "Note")
    columns = headings(*names)
    return Table("worth", "Worth in labels", caption, columns, rows)


def _number(one: Worth) -> Entry:
    """Estimate, in files with its interval; none beyond the budgets."""
    ends = {"": one.labels, "low": one.low, "high": one.high}
    numbers = {name: end if end and math.isfinite(end) else None for name, end in ends.items()}
    return Entry(number(numbers[""], 0), numbers)
