"""Tables that belong together or repeat each other: a table for each part, and boxes beside labels of images."""

from __future__ import annotations

from collections import defaultdict

from mmtk.data.plan import words
from mmtk.data.plan.columns import Columns
from mmtk.data.plan.film_tables import FilmTable, has_labels

# Columns of the sides or corners of boxes, in the spelling of ``plain`` without spaces.
SIDES = {
    *("x", "y", "x1", "y1", "x2", "y2", "xmin", "ymin", "xmax", "ymax", "minx", "miny", "maxx", "maxy"),
    *("left", "top", "right", "bottom", "bboxx", "bboxy", "bbox", "box", "boundingbox"),
}


def continues(one: FilmTable, other: FilmTable) -> bool:
    """Whether two tables are parts of one: without a film in common, and with the same columns or findings."""
    shared = {*one.columns.matches.values()} & {*other.columns.matches.values()}
    alike = one.table.columns == other.table.columns or (has_labels(one) and _share_findings(one, other))
    return alike and not shared


def _share_findings(one: FilmTable, other: FilmTable) -> bool:
    """Whether two tables have labels in a column of one name, or of the same classes, or mostly the same flags."""
    columns, others = one.columns, other.columns
    if columns.label or others.label:
        if words.plain(columns.label) == words.plain(others.label):
            return True
        classes, other_classes = (_classes(item) for item in (one, other))
        return bool(classes) and 2 * len(classes & other_classes) > max(len(classes), len(other_classes))
    findings, other_findings = ({*map(words.plain, item.columns.flags)} for item in (one, other))
    return 2 * len(findings & other_findings) > max(len(findings), len(other_findings))


def _classes(item: FilmTable) -> set[str]:
    """Classes of a table, without numbers, which mean something else in every table."""
    column = item.columns.label
    cells = {*map(words.plain, item.table.cells(column))} if column in item.table.columns else set()
    return {cell for cell in cells if cell and not cell[0].isdigit()}


def is_of_boxes(item: FilmTable) -> bool:
    """Whether a table has boxes in its rows, with several findings for one film."""
    columns = item.columns
    sides = [name for name in columns.unused if words.plain(name).replace(" ", "") in SIDES]
    return bool(sides) and columns.label in item.table.columns and _differs(item, columns)


def _differs(item: FilmTable, columns: Columns) -> bool:
    """Whether the rows of one film have several labels."""
    labels: dict[str, set[str]] = defaultdict(set)
    for film, label in zip(item.table.cells(columns.image), item.table.cells(columns.label), strict=True):
        labels[film].add(label)
    return any(len(cells) > 1 for cells in labels.values())
