"""Class, patient, part and spacing of films from the tables of a folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from mmtk.components.source._personal_columns import is_personal
from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import FLOAT, Columns, is_of_masks
from mmtk.data.plan.doubts import doubts
from mmtk.data.plan.empty_labels import empty_labels
from mmtk.data.plan.film_rows import USES, joined_row, write_row
from mmtk.data.plan.film_tables import (
    FilmTable,
    cells_by_column,
    chosen_tables,
    difference,
    find_film_tables,
    has_labels,
    with_marks_read,
)
from mmtk.data.plan.films import Labels
from mmtk.data.plan.hospital_tables import shared_patients
from mmtk.data.plan.label_files import label_tables
from mmtk.data.plan.listing import Listing, stem
from mmtk.data.plan.patient_tables import FILE
from mmtk.data.plan.patient_words import is_study_column
from mmtk.data.plan.patients import header_patient
from mmtk.data.plan.reader_votes import Votes, reader_column
from mmtk.data.plan.readers import has_agreed
from mmtk.data.plan.table_parts import continues, is_of_boxes
from mmtk.data.plan.table_shapes import usual_shapes
from mmtk.data.plan.tables import Table
from mmtk.errors import MmtkError, listing, nearest


def read_labels(files: Listing, labels: Labels, hints: Mapping[str, str]) -> None:
    """Fill ``labels`` from the table that names most films, and from others with the same columns.

    ``hints``: the user's ``labels`` (a table) and columns.
    """
    label_tables = chosen_tables(files, hints.get("labels", ""), labels)
    tables: Mapping[str, Table] = usual_shapes(label_tables, labels, hints)
    film_tables = find_film_tables(files, tables, labels, hints)
    if not hints.get("labels"):
        other_film_tables = _of_label_files(files, [*filter(has_labels, film_tables.values())], labels, hints)
        tables = {**tables, **{name: item.table for name, item in other_film_tables.items()}}
        film_tables |= other_film_tables
    if (marked_tables := with_marks_read(tables, film_tables, labels)) != tables:
        tables = marked_tables
        film_tables = find_film_tables(files, tables, labels, hints)
    if not film_tables:
        if name := hints.get("labels"):
            names = listing(column for table in tables.values() for column in table.columns)
            raise MmtkError("no column names the images.", name, f"Its columns: {names}.")
        strangers = (name for name, table in tables.items() if not is_of_masks(table, labels.films))
        labels.notes += [f"the table {name} names none of the images" for name in strangers]
        return
    name = max(film_tables, key=lambda item: (*_priority(film_tables[item]), has_agreed(item), -len(item)))
    main = film_tables[name]
    _explain_form(files, name, labels)
    _explain_key(main, labels)
    _check_hints(hints, name, main.table)
    _read_others(name, tables, film_tables, labels)
    if without := sorted({*labels.films} - labels.listed):
        count = counted(len(without), "image has", "images have")
        labels.reasons.append(f"{count} no row: {listing(without, 3)}")
    if main.key and not main.columns.patient and not main.names_files:
        _take_key(files, main, labels)
    labels.possible_patients += [
        f'"{column}" has {counted(len({*main.table.cells(column)} - {""}), "value")} in '
        f"{counted(len(main.table.rows), 'row')}: if it is the patient, --patient {shlex.quote(column)} says so"
        for column in main.columns.possible_patients
    ]
    _describe(name, main.columns, labels)
    labels.notes += doubts(main.table, main.columns)


def _of_label_files(
    files: Listing, labelled: Sequence[FilmTable], labels: Labels, hints: Mapping[str, str]
) -> dict[str, FilmTable]:
    """Tables of JSON, YAML and text files: all where no other table has labels, else those that continue one."""
    named = {path for item in labelled for path in item.columns.matches.values()}
    if labelled and named == {*labels.films}:
        return {}
    label_file_tables, label_files = label_tables(files, labels.films)
    tables = usual_shapes(label_file_tables, labels, hints)
    film_tables = find_film_tables(files, tables, labels, hints)
    if labelled:
        film_tables = {
            name: item for name, item in film_tables.items() if any(continues(item, other) for other in labelled)
        }
        label_files &= {*film_tables}
    if film_tables:
        labels.files = label_files
    return film_tables


def _take_key(files: Listing, main: FilmTable, labels: Labels) -> None:
    """Take headers, else the key of a table that names no images, for the patient; never the key of a study."""
    key = main.key[0]
    index = main.table.columns.index(key)
    for row in main.table.rows:
        if path := row[-1]:
            by_table = "" if is_study_column(key) else row[index]
            labels.films[path].patient = header_patient(files, path) or by_table


def _explain_form(files: Listing, name: str, labels: Labels) -> None:
    """Say why the source cannot read the file of a table."""
    if name not in files.tables:
        labels.reasons.append(f"{name} is no CSV table")
    elif encoding := files.tables[name].encoding:
        labels.reasons.append(f"{name} is written in {encoding}")
    table = {**files.sheets, **files.tables}.get(name)
    if table and table.titles:
        labels.reasons.append(f"{name} begins with {counted(table.titles, 'line')} above the names of its columns")
    if table and table.twins:
        labels.reasons.append(f"two columns have one name; the second is called {listing(table.twins)} here")


def _explain_key(main: FilmTable, labels: Labels) -> None:
    """Say by what a table names its films, where it is not by their names."""
    if not main.key:
        return
    names = " and ".join(f'"{column}"' for column in main.key)
    are = "is" if len(main.key) == 1 else "are"
    labels.reasons.append(f"the table names no images: {names} {are} in their names or headers")
    if main.names_files and len(main.key) == 1:
        labels.notes.append(f"names in {names} stand for several images each, as {main.names_files}: give paths")


def _read_others(
    name: str, tables: Mapping[str, Table], film_tables: Mapping[str, FilmTable], labels: Labels
) -> None:
    """Read the table ``name`` of the labels, before it those of the same columns, and after it what it lacks."""
    main = film_tables[name]
    read = [name]
    for other in tables:
        item = film_tables.get(other)
        if item and other != name and continues(item, main):
            labels.reasons.append(f"the rows of {other} are put to those of {name}")
            _read(item, labels, _part(other))
            read.append(other)
        elif other != name and (item is None or has_labels(item)):
            differ = difference(item, main) if item else ""
            if item and differ and main.names_files and item.names_files:
                raise MmtkError(
                    f"{main.names_files} is the name of several films, and {other} has another label for it.",
                    name,
                    "Write paths of films, call each table after the folder of its films, or take one: --labels.",
                )
            labels.notes.append(f"the table {other} is left out: {name} has the labels{differ}")
    _read(main, labels, _part(name))
    films_of = {other: {*film_tables[other].columns.matches.values()} for other in read}
    labels.notes += shared_patients(films_of, labels)
    for other, item in film_tables.items():
        if other != name and not has_labels(item) and not continues(item, main):
            _supplement(other, item, main, labels)


def _priority(item: FilmTable) -> tuple[bool, int, bool]:
    return has_labels(item), len(item.columns.matches), not is_of_boxes(item)


def _supplement(name: str, item: FilmTable, main: FilmTable, labels: Labels) -> None:
    """Take patients, parts and spacing, where the main table has none, from another table of the same films."""
    columns = item.columns
    uses = [
        key for key in ("patient", "split", "spacing") if getattr(columns, key) and not getattr(main.columns, key)
    ]
    if not uses:
        if not any(films for key, films in labels.lateral.items() if key.endswith(f" of {name}")):
            facts = ["patients"] * bool(columns.patient) + ["parts"] * bool(columns.split)
            why = f"; its {' and '.join(facts)} are those of the table with the labels" if facts else ""
            labels.notes.append(f"the table {name} is left out: it has no labels{why}")
        return
    for cells in cells_by_column(item.table):
        if path := columns.matches.get(cells[columns.image]):
            for key in uses:
                cell = columns.person(cells) if key == "patient" else cells[getattr(columns, key)]
                setattr(labels.films[path], key, words.part(cell) if key == "split" else cell)
    described = ", ".join(f'"{getattr(columns, key)}" as {key}' for key in uses)
    labels.reasons += [f"{name} gives {described}", *columns.persons_sentence()]


def _check_hints(hints: Mapping[str, str], name: str, table: Table) -> None:
    """Refuse a column that the user names and the table lacks."""
    for key in USES:
        if (column := hints.get(key)) and column not in table.columns:
            cure = f"Its columns: {', '.join(table.columns)}."
            raise MmtkError(f"no column '{column}'.{nearest(column, table.columns)}", name, cure)
    column = hints.get("split")
    if column and (unknown := sorted({cell for cell in table.cells(column) if cell and not words.part(cell)})):
        cure = "Write train, val or test in the column, or leave --split out: the parts are then drawn."
        raise MmtkError(f"--split {column}: no word for train, val or test: {listing(unknown)}.", name, cure)


def _part(name: str) -> str:
    """Part that the name of a table speaks of, as ``valid.csv``; "" where it does not."""
    parts = [words.PARTS[word] for word in words.plain(stem(name)).split() if word in words.PARTS]
    return parts[0] if len(parts) == 1 else ""


def _read(film_table: FilmTable, labels: Labels, part_of_table: str) -> None:
    """Write the rows of a table into its films, with reasons against reading the table as it is."""
    table, columns = film_table.table, film_table.columns
    rows = [*cells_by_column(table)]
    matches = [(columns.matches[row[columns.image]], row) for row in rows if row[columns.image] in columns.matches]
    rows_of: dict[str, list[dict[str, str]]] = {}
    for path, row in matches:
        rows_of.setdefault(path, []).append(row)
    empty = empty_labels(
        [row[columns.label] for _, row in matches] if columns.label else [], columns.label, labels
    )
    votes = Votes(reader_column(table, columns, rows_of.values()), columns, empty)
    for path, image_rows in rows_of.items():
        film_row = votes.decided(joined_row(path, image_rows, columns, empty), image_rows)
        write_row(labels.films[path], film_row, columns, part_of_table, empty)
    _add_reasons(labels.reasons, columns, [row for _, row in matches])
    if columns.label or columns.flags:
        for film in labels.films.values():
            film.label = film.label or ""
    labels.reasons += _other_names(columns)
    if absent := [row for row in rows if row[columns.image] not in columns.matches]:
        keys = film_table.key or (columns.image,)
        absent_names = (" ".join(row[name] for name in keys) or "(an empty cell)" for row in absent)
        labels.reasons.append(
            f"{counted(len(absent), 'row names', 'rows name')} no image here: {listing(absent_names, 3)}"
        )
    if votes.reader:
        labels.reasons.append(votes.sentence())
    elif several := sum(len(image_rows) > 1 for image_rows in rows_of.values()):
        have = counted(several, "image has several rows", "images have several rows")
        labels.reasons.append(f"{have}: an image has the labels of all its rows")
    labels.listed |= {*rows_of}


def _other_names(columns: Columns) -> Iterator[str]:
    """Yield why the source cannot read the names of films as a table writes them."""
    if columns.image != FILE and any("/" in cell or "\\" in cell for cell in columns.matches):
        yield "the table has paths, which may begin in another folder"
    names = {
        (PurePath(cell.replace("\\", "/")).name, PurePath(path).name) for cell, path in columns.matches.items()
    }
    if any(stem(one) != stem(other) and stem(one).casefold() == stem(other).casefold() for one, other in names):
        yield "the table writes names of films in other letters, capital or small"
    if any(cell != stem(path) and cell.isdecimal() for cell, path in columns.matches.items()):
        yield "the table has lost the zeros before the numbers of films"
    if any(FLOAT.fullmatch(cell) and cell != stem(path) for cell, path in columns.matches.items()):
        yield "the table writes the numbers of films with .0"


def _add_reasons(reasons: list[str], columns: Columns, rows: Sequence[Mapping[str, str]]) -> None:
    """Add why the source cannot read parts and findings as they are."""
    if columns.split:
        parts = {words.plain(row[columns.split]).replace(" ", "") for row in rows}
        if parts - {"", "train", "val", "test"}:
            _add(reasons, "the words of the parts differ")
    if columns.flags and not columns.label:
        why = "one column per finding: a film has the class of its only finding, with several it is unlabelled"
        _add(reasons, why)


def _add(reasons: list[str], reason: str) -> None:
    if reason not in reasons:
        reasons.append(reason)


def _describe(name: str, columns: Columns, labels: Labels) -> None:
    """Add the table to keys and notes."""
    used = {key: getattr(columns, key) for key in USES}
    used = {key: column for key, column in used.items() if column}
    labels.keys["labels"] = name
    if renamed := {key: column for key, column in used.items() if column != key}:
        labels.keys["columns"] = renamed
    uses = ", ".join(f'"{column}" as {key}' for key, column in used.items())
    labels.notes.insert(0, f"{name}: {uses}")
    labels.reasons += columns.persons_sentence()
    if column := columns.possible_split:
        labels.notes.append(
            f'"{column}" may be the part of each film, in words that are not known: the parts are drawn anew '
            "(write train, val and test in it to keep them)"
        )
    if columns.unused:
        labels.notes.append(f"{name}: not labels: {', '.join(columns.unused)} (--label COLUMN takes another)")
        if personal := [column for column in columns.unused if is_personal(column)]:
            labels.notes.append(f"{name}: left out, because they may name persons: {listing(personal)}")
    if columns.flags and not columns.label:
        labels.notes.append(
            f"{name}: one column per finding ({', '.join(columns.flags[:6])}): --label COLUMN takes one"
        )
