"""Doubts about the columns of a table that was read: labels of programs, and marks of films to leave out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath

from mmtk.components.source._words import unlabelled_numbers
from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import Columns, are_shapes, is_of_machine
from mmtk.data.plan.other_columns import AGREED, EXCLUDED
from mmtk.data.plan.revisions import revision_notes
from mmtk.data.plan.spellings import NO
from mmtk.data.plan.tables import Table
from mmtk.errors import listing
from mmtk.io.spelling import folded_word

WITHDRAWN = {
    *(
        "withdrawn",
        "withdrew",
        "revoked",
        "refused",
        "declined",
        "denied",
        "widerrufen",
        "zurückgezogen",
        "abgelehnt",
    ),
    *(
        "retiré",
        "refusé",
        "revocado",
        "retirado",
        "ritirato",
        "revocato",
        "ingetrokken",
        "отозвано",
        "отказ",
        "撤回",
    ),
}
COPIES = {
    "duplicate",
    "duplicates",
    "duplikate",
    "doublons",
    "duplicados",
    "duplicati",
    "dubletten",
    "trash",
    "bin",
}
MISSING = {"8", "9", "99", "999", "-1", "-8", "-9", "-99", "-999"}
FOLDS = {"fold", "folds", "fold id", "kfold", "k fold", "cv fold", "cv", "falte", "pli", "折"}
MOST_FOLDS = 20
MOST_WORDS = 3  # of a cell that is a mark, and no sentence
NEARLY_ALL = 0.5  # of the films: so many marks mean something else


def doubts(table: Table, columns: Columns) -> Iterator[str]:
    """Yield notes on a label that a program may have given or somebody revised, and on films to be left out."""
    if columns.label and is_of_machine(columns.label):
        yield f'"{columns.label}" may be what a program said of the films (--label COLUMN takes another)'
    if columns.label in table.columns and (note := _missing_code(columns.label, table.cells(columns.label))):
        yield note
    if not columns.label and not columns.flags:
        yield from _shape_notes(table, columns.unused)
    yield from revision_notes(table, columns.label, columns.unused)
    for name in columns.unused:
        folds = {*table.cells(name)} - {""}
        if words.plain(name) in FOLDS and 1 < len(folds) <= MOST_FOLDS:
            yield (
                f'"{name}" numbers {counted(len(folds), "fold")}: not read '
                f"(mmtk ablate --folds {len(folds)}: folds by patient, each tested once)"
            )
        marks = [cell for cell in table.cells(name) if cell and _is_left_out(name, cell)]
        if 0 < len(marks) < NEARLY_ALL * len(table.rows):
            rows, cells = counted(len(marks), "row"), listing(dict.fromkeys(marks), 2)
            cure = "take the rows and films out"
            yield f'"{name}" marks {rows} ({cells}): their films are read all the same ({cure})'


def _shape_notes(table: Table, names: Sequence[str]) -> Iterator[str]:
    """Yield notes on columns of boxes or outlines in a table without labels."""
    for name in names:
        if are_shapes(table.cells(name)):
            filled = sum(map(bool, table.cells(name)))
            yield (
                f'"{name}" holds coordinates of boxes or outlines in {counted(filled, "row")}: they are no masks '
                "and no labels. Draw them as masks (PNG, or COCO), or add a column with the class of every film"
            )


def marked_folders(films: Collection[str]) -> Iterator[str]:
    """Yield notes on films in folders that are called after what is left out: rejected, duplicates."""
    folders = Counter(PurePosixPath(film).parent for film in films)
    for folder, count in folders.items():
        if {*words.plain(folder.name).split()} & (EXCLUDED | COPIES) and count < NEARLY_ALL * len(films):
            yield f"{counted(count, 'film')} in {folder}: read all the same (move the folder away, or --images)"


def _missing_code(label: str, cells: Sequence[str]) -> str:
    """Note on a code such as 9 beside 0 and 1, which may mean that a value is missing; "" without one."""
    codes = {cell for cell in cells if cell}
    codes -= unlabelled_numbers(codes)
    missing = sorted(codes & MISSING)
    others = sorted(codes - MISSING)
    if len(missing) != 1 or not others or not all(re.fullmatch("[0-6]", code) for code in others):
        return ""
    rows = counted(cells.count(missing[0]), "row")
    return (
        f'"{label}" is {missing[0]} in {rows}, beside {listing(others)}: if that means missing, empty these cells'
    )


def _is_left_out(column: str, cell: str) -> bool:
    """Whether a cell says that its film is not to be used, or that the patient did not agree."""
    names, cell_words = {*words.plain(column).split()}, words.plain(cell).split()
    if names & EXCLUDED:
        return folded_word(cell) not in NO
    if names & AGREED and folded_word(cell) in NO:
        return True
    return (
        len(cell_words) <= MOST_WORDS
        and not words.is_negated(cell)
        and bool({*cell_words} & (EXCLUDED | WITHDRAWN))
    )
