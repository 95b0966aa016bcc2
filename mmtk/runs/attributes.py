"""Columns of ``cases.parquet`` that describe an image instead of scoring it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Attributes = Mapping[str, str | float]  # of one image, by column

METADATA = "metadata:"  # before the name of what a source knows of an image
IMAGE = "image:"  # before the name of what pixels and file show
KEYS = ("id", "patient")  # columns that say whose values a row holds


def is_attribute(column: str) -> bool:
    """Whether a column describes images."""
    return column.startswith((METADATA, IMAGE))


def is_score(column: str) -> bool:
    """Whether a column holds values of a metric."""
    return column not in KEYS and not is_attribute(column)


def attribute_columns(sets: Sequence[Iterable[Attributes]]) -> list[dict[str, list[str | float | None]]]:
    """Columns of every test set, of one type in all of them; None where an image has no value.

    An attribute is of numbers where all its values are; else numbers become text.
    """
    rows_of_sets = [[*rows] for rows in sets]
    values = [(name, value) for rows in rows_of_sets for row in rows for name, value in row.items()]
    texts = {name for name, value in values if isinstance(value, str)}
    columns = []
    for rows in rows_of_sets:
        names = dict.fromkeys(name for row in rows for name in row)
        columns.append(
            {name: [(_text if name in texts else _number)(row.get(name)) for row in rows] for name in names}
        )
    return columns


def _text(value: str | float | None) -> str | None:
    return value if value is None or isinstance(value, str) else f"{value:g}"


def _number(value: str | float | None) -> float | None:
    return None if value is None else float(value)
