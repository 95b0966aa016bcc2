"""Answers for each finding in a column, yes and no, positive and negative or + and −, as 1 and 0."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from mmtk.data.plan import words
from mmtk.data.plan.films import Labels
from mmtk.data.plan.other_columns import OTHER_COLUMNS, TESTS
from mmtk.data.plan.readers import AGREED, READERS
from mmtk.data.plan.spellings import NO, YES
from mmtk.data.plan.tables import Table
from mmtk.errors import listing
from mmtk.io.spelling import folded_word

PLUS, MINUS = {"+", "(+)"}, {"-", "−", "–"}
OTHERS = {"available", "annotated", "reported", "duplicate", "therapy", "therapie", "treatment", "antibiotics"}
NO_FINDINGS = OTHER_COLUMNS | READERS | TESTS | AGREED | OTHERS | words.MASKS | words.VIEW_COLUMNS
NO_FINDINGS |= {*words.LABEL_COLUMNS}


def with_answers_as_numbers(name: str, table: Table, labels: Labels) -> Table:
    """Write 1 and 0 for the answers of two and more columns of findings, and −1 for one that is not known.

    name: of the table
    table: with a row per film
    labels: whose reasons are filled
    """
    answers = {column: _answers(column, table.cells(column)) for column in dict.fromkeys(table.columns)}
    columns = [column for column, words_of_column in answers.items() if words_of_column]
    answered = [column for column in columns if answers[column] & (YES | PLUS) and answers[column] & (NO | MINUS)]
    if len({re.sub(r"[\d_ ]+", "", column) for column in answered}) < max(2, len(answered)):
        return table  # of one finding, or of several readers
    labels.reasons.append(f"answers in {listing(columns)} of {name} are read as 1 and 0")
    positions = {table.columns.index(column) for column in columns}
    rows = (
        tuple(_number(cell) if position in positions else cell for position, cell in enumerate(row))
        for row in table.rows
    )
    return replace(table, rows=tuple(rows))


def _answers(column: str, cells: Collection[str]) -> set[str]:
    """Answers of a column of a finding; none of one with other cells, or called after a reader or another fact."""
    if {*re.sub(r"\d+", "", words.plain(column)).split()} & NO_FINDINGS:
        return set()
    answers = {folded_word(cell) for cell in cells if cell and words.plain(cell) not in words.UNKNOWN}
    if answers <= PLUS | MINUS:
        return answers if answers & PLUS and answers & MINUS else set()
    if max(map(len, answers)) == 1 and not (answers & YES and answers & NO):
        return set()  # a letter alone may stand for anything
    return answers if answers <= (YES | NO) - {"0", "1"} else set()


def _number(cell: str) -> str:
    word = folded_word(cell)
    return "1" if word in YES | PLUS else "0" if word in NO | MINUS else "-1" if cell else ""
