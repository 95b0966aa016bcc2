"""Tables of other shapes than a row per film with its label: lists, films side by side, a table per class."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import film_of_cell, film_spellings, find_columns
from mmtk.data.plan.films import Labels
from mmtk.data.plan.hospital_tables import namesake, title
from mmtk.data.plan.joins import joined
from mmtk.data.plan.label_answers import with_answers_as_numbers
from mmtk.data.plan.label_sides import with_both_sides
from mmtk.data.plan.listing import parent
from mmtk.data.plan.numbered_labels import with_labels_joined
from mmtk.data.plan.occasions import row_per_occasion
from mmtk.data.plan.table_gaps import without_gaps
from mmtk.data.plan.tables import Table
from mmtk.data.plan.views import LATERAL
from mmtk.errors import listing

LIST = re.compile(r"\[\s*(?:(['\"]).*\1\s*)?\]")
PART = re.compile(r"\d+|[^\W\d_]+|[\W_]+")  # of the name of a column
LABEL = "label"  # name of the added column
NO_FINDING = "no finding"


def usual_shapes(tables: Mapping[str, Table], labels: Labels, hints: Mapping[str, str]) -> dict[str, Table]:
    """Tables with a row per film, a label in one cell, and several labels parted by |.

    tables: by name
    labels: its films, and the reasons to which changes are added
    hints: columns that the user names
    """
    ways = film_spellings(labels.films)
    shaped = joined({name: without_gaps(name, table, labels) for name, table in tables.items()}, labels)
    shaped = {name: row_per_occasion(name, table, ways, labels) for name, table in shaped.items()}
    shaped = {name: with_both_sides(name, table, [*hints.values()], labels) for name, table in shaped.items()}
    shaped = {name: _with_folder(name, table, ways, labels) for name, table in shaped.items()}
    shaped = {name: _without_lists(name, table, labels) for name, table in shaped.items()}
    shaped = {name: _one_film_per_row(name, table, ways, labels) for name, table in shaped.items()}
    if not hints.get("label"):
        shaped = {name: with_answers_as_numbers(name, table, labels) for name, table in shaped.items()}
        shaped = {name: with_labels_joined(name, table, labels) for name, table in shaped.items()}
    return _with_classes(shaped, labels)


def _with_folder(name: str, table: Table, ways: Mapping[str, str], labels: Labels) -> Table:
    """Write paths of the films of one folder in place of their names, where others have the same names.

    It is the folder of the table, or one below which films lie and which the table or its sheet is called after.
    """
    folder, where = f"{parent(name)}/", "beside it"
    if not any(path.startswith(folder) for path in labels.films) and (named := namesake(name, labels.films)):
        folder, where = f"{named}/", f"in {named}"
    beside = {path.removeprefix(folder): path for path in labels.films if path.startswith(folder)}
    if not beside or len(beside) == len(labels.films):
        return table
    ways_beside = film_spellings(beside)
    paths_by_column = [
        {cell: beside[film] for cell in {*column} if (film := film_of_cell(cell, ways_beside))}
        for column in zip(*table.rows, strict=True)
    ]
    paths = max(paths_by_column, key=len)
    if all(film_of_cell(cell, ways) == path for cell, path in paths.items()):
        return table
    labels.reasons.append(f"names in {name} are those of the films {where}")
    number = paths_by_column.index(paths)
    rows = ((*row[:number], paths.get(row[number], row[number]), *row[number + 1 :]) for row in table.rows)
    return replace(table, rows=tuple(rows))


def _without_lists(name: str, table: Table, labels: Labels) -> Table:
    """Write ``['a', 'b']``, as Python prints a list, as ``a|b``, and an empty list of findings as none of them."""
    table = _with_empty_lists(name, table, labels)

    def text(cell: str) -> str:
        entries = re.findall(r"['\"]([^'\"]+)['\"]", cell)
        return "|".join(map(str.strip, entries)) if LIST.fullmatch(cell) else cell

    rows = tuple(tuple(map(text, row)) for row in table.rows)
    if rows == table.rows:
        return table
    labels.reasons.append(f"lists in cells of {name} are read as their entries")
    return replace(table, rows=rows)


def _with_empty_lists(name: str, table: Table, labels: Labels) -> Table:
    """Write "no finding" for the empty lists of a column of findings, none of which is a word for normal."""
    listed = [column for column in dict.fromkeys(table.columns) if "[]" in table.cells(column)]
    roles = find_columns(table, labels.films, {}) if listed else None
    for column in listed:
        number, cells = table.columns.index(column), table.cells(column)
        stated = any(map(words.says_normal, re.findall(r"[^'\"\[\]|,]+", "|".join(cells))))
        none = NO_FINDING if roles and roles.label == column and not stated else ""
        if none:
            rows = counted(cells.count("[]"), "row")
            labels.reasons.append(f'"{column}" of {name} is an empty list in {rows}, which is "{none}"')
        changed = ((*row[:number], none, *row[number + 1 :]) if row[number] == "[]" else row for row in table.rows)
        table = replace(table, rows=tuple(changed))
    return table


def _one_film_per_row(name: str, table: Table, ways: Mapping[str, str], labels: Labels) -> Table:
    """A row for each film where several columns name films, and no film stands in two of them."""
    films = {column: _films(table.cells(column), ways) for column in dict.fromkeys(table.columns)}
    films = {column: matches for column, matches in films.items() if len(matches) > 1}
    for column in [column for column in films if len(films) > 1 and words.role(column) == "masks"]:
        _leave_masks(name, column, films.pop(column), labels)
    images = [image for matches in films.values() for image in matches]
    if len(films) < 2 or len({*images}) < len(images):
        return table
    lateral = [column for column in films if {*words.plain(column).split()} & LATERAL]
    for column in lateral:
        labels.lateral[f'"{column}" of {name}'] = films.pop(column)
    first, *others = films
    labels.reasons.append(f"{name} has films in {listing([first, *others])}: a row for each")
    number_of = {column: number for number, column in enumerate(table.columns)}
    beside = {column: _beside(first, column, table.columns) for column in others}
    spare = {*others, *(column for pairs in beside.values() for column in pairs.values())}
    if any(beside.values()):
        labels.reasons.append(f"in the rows of the others stand {listing(spare - {*others})}")
    rows = []
    for row in table.rows:
        for column in films:
            cells = ["" if name in spare else cell for name, cell in zip(table.columns, row, strict=True)]
            for name, source in {first: column, **beside.get(column, {})}.items():
                cells[number_of[name]] = row[number_of[source]]
            if cells[number_of[first]]:
                rows.append(tuple(cells))
    return replace(table, rows=tuple(rows))


def _beside(first: str, other: str, columns: Collection[str]) -> dict[str, str]:
    """Columns that go with a second column of films, by those that go with the first: Befund 1 → Befund 2."""
    parts, other_parts = (PART.findall(name) for name in (first, other))
    differing = {(one, two) for one, two in zip(parts, other_parts, strict=False) if one != two}
    if len(parts) != len(other_parts) or len(differing) != 1:
        return {}
    ((one, two),) = differing
    twins = {name: "".join(two if part == one else part for part in PART.findall(name)) for name in columns}
    return {name: twin for name, twin in twins.items() if twin != name != first and twin in columns}


def _leave_masks(name: str, column: str, masks: Collection[str], labels: Labels) -> None:
    """Take the images of a column of masks off the films, where they have other names than their films."""
    for path in masks:
        del labels.films[path]
    labels.left_out += sorted(masks)
    labels.reasons.append(f"{counted(len(masks), 'mask')} left out")
    labels.notes.append(
        f'"{column}" of {name} names masks that are not called like their films: they are not read. Give each the '
        "name of its film, in a folder masks"
    )


def _films(cells: Collection[str], ways: Mapping[str, str]) -> set[str]:
    """Films that the cells of a column name; none where most name no film, or two name one."""
    full = [cell for cell in cells if cell]
    matches = [film for cell in full if (film := film_of_cell(cell, ways))]
    return {*matches} if 2 * len(matches) > len(full) and len({*matches}) == len(matches) else set()


def _with_classes(tables: Mapping[str, Table], labels: Labels) -> dict[str, Table]:
    """Add the name of a table as the label, where there is a table, or a sheet, with the films of each class."""
    columns = {name: find_columns(table, labels.films, {}) for name, table in tables.items()}
    film_columns = {name: roles for name, roles in columns.items() if roles}
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in film_columns:
        alike[tables[name].columns].append(name)
    with_classes = dict(tables)
    for names in alike.values():
        classes = {name: title(name) for name in names}
        films = [film for name in names for film in {*film_columns[name].matches.values()}]
        if (
            len({*classes.values()}) < max(2, len(names))
            or len({*films}) < len(films)
            or any(roles.label or roles.flags or roles.run_lengths for roles in film_columns.values())
            or any(map(words.part, classes.values()))
            or not {words.plain(label) for label in classes.values()} & words.CLASSES
        ):
            continue
        for name, label in classes.items():
            rows = tuple((*row, label) for row in tables[name].rows)
            with_classes[name] = replace(tables[name], columns=(*tables[name].columns, LABEL), rows=rows)
        labels.reasons.append(f"the tables {listing(names)} have the films of a class each")
    return with_classes
