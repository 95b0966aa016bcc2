"""Columns of labels that were revised: the corrected column beside the first one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.readers import AGREED
from mmtk.data.plan.tables import Table

REVISED = AGREED | {
    *("revised", "revision", "reviewed", "updated", "verified", "adjudicated", "adjudication", "fixed"),
    *("überarbeitet", "revidiert", "geprüft", "corrigé", "révisé", "corregido", "revisado", "corrigido"),
    *("corretto", "rivisto", "gecorrigeerd", "исправлено", "修正", "訂正"),
}
NEARLY_ALL = 0.95  # of the labelled rows: with fewer, a revision alone would lose labels


def revised_column(table: Table, label: str, names: Sequence[str]) -> str:
    """Column of the revised labels of nearly all rows; ``label`` where there is none.

    label: column of the labels, "" for none
    names: columns that may hold labels
    """
    cells = table.cells(label) if label else []
    labelled = sum(map(bool, cells))
    for name in names if label else ():
        if is_revision(name, label) and _are_of_one_kind(cells, table.cells(name)):
            filled = sum(bool(old and new) for old, new in zip(cells, table.cells(name), strict=True))
            if filled >= NEARLY_ALL * labelled:
                return name
    return label


def revision_notes(table: Table, label: str, names: Sequence[str]) -> Iterator[str]:
    """Yield notes on revised labels that were taken, and on those that are there for some rows alone.

    label: column of the labels
    names: other columns
    """
    for name in names if label in table.columns else ():
        pairs = [*zip(table.cells(label), table.cells(name), strict=True)]
        if not _are_of_one_kind([one for one, _ in pairs], [other for _, other in pairs]):
            continue
        differing = sum(bool(one and other and one != other) for one, other in pairs)
        if is_revision(label, name):
            rows = counted(differing, "row")
            yield f'"{label}" is taken as a revision of "{name}", which differs in {rows} (--label takes another)'
        elif is_revision(name, label):
            rows = counted(sum(bool(other) for _, other in pairs), "row")
            yield f'"{name}" revises {rows} of "{label}", {differing} to another class: put them into one column'


def is_revision(name: str, label: str) -> bool:
    """Whether a column is called as the labels are, or as nothing else, with a word for a revision."""
    name_words, label_words = words.plain(name).split(), {*words.plain(label).split()}
    revised = [word for word in name_words if word.rstrip("0123456789") in REVISED]
    rest = {*name_words} - {*revised}
    called_alike = rest <= label_words if rest else bool(label_words & {*words.LABEL_COLUMNS})
    return bool(revised) and called_alike and not label_words & REVISED


def _are_of_one_kind(cells: Sequence[str], others: Sequence[str]) -> bool:
    """Whether the cells of a second column are mostly classes of the first."""
    classes, other_classes = ({words.plain(cell) for cell in one if cell} for one in (cells, others))
    return bool(other_classes) and 2 * len(classes & other_classes) >= len(other_classes)
