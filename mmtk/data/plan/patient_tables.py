"""Tables that name patients or studies instead of images, as a PACS exports them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from mmtk.data.plan import words
from mmtk.data.plan.listing import Listing
from mmtk.data.plan.patient_words import NUMBERS, patient_rank
from mmtk.data.plan.tables import Table
from mmtk.data.plan.visits import by_place, narrowed

FILE = "(file)"  # the added column of images
LEAST_COVERED = 0.3  # share of the images that a column of patients or studies names
TAGS = {"PatientID", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyID"}
DAY = "StudyDate"


def rows_per_film(table: Table, listing: Listing, films: Collection[str]) -> tuple[Table, tuple[str, ...]] | None:
    """Expand a table to a row per image, with the column ``(file)``; also its columns that name the images.

    Cells are matched to names of files and folders, then to DICOM headers: by the column of most images, as a
    patient or a study, and within it by columns of visits or films. A row without an image keeps an empty cell.
    None where too few match.
    """
    headers = {path: header for path in films if (header := _header(listing.root / path))}
    for images_of in (_of_names(films), _of_headers(headers)):
        keys = {column: _images(table, column, images_of) for column in dict.fromkeys(table.columns)}
        covered = {column: len(set().union(*images.values())) for column, images in keys.items()}
        # A study before its patient, of whom several rows speak: a film has the finding of its own row.
        best = max(keys, key=lambda column: covered[column] * (1 if _unique(table, column) else 0.5))
        if covered[best] >= LEAST_COVERED * len(films):
            named = [keys[best].get(cell, set()) for cell in table.cells(best)]
            images, others = narrowed(table, named, [best], headers)
            return _expanded(table, images), (best, *others)
    # Patients 1, 2, …: any number in a path.
    images, columns = narrowed(table, [{*films}] * len(table.rows), [], {})
    if any(map(patient_rank, columns)):
        return _expanded(table, images), tuple(sorted(columns, key=patient_rank, reverse=True))
    return _by_number(table, films)


def _by_number(table: Table, films: Collection[str]) -> tuple[Table, tuple[str, ...]] | None:
    """Expand a table by a column such as "ID" whose numbers are at one place of the names, each of one film."""
    for column in dict.fromkeys(table.columns):
        names = {*words.plain(column).split()}
        if not names or names - NUMBERS or not all(map(str.isdecimal, table.cells(column))):
            continue
        for images in by_place(table.cells(column), [{*films}] * len(table.rows), {}):
            if all(len(row) == 1 for row in images) and len(images) == len(films):
                return _expanded(table, images), (column,)
    return None


def _expanded(table: Table, images: Sequence[Collection[str]]) -> Table:
    """A row for every image of each row; a row without images once, with an empty cell."""
    rows = ((*row, path) for row, paths in zip(table.rows, images, strict=True) for path in sorted(paths) or [""])
    return Table((*table.columns, FILE), tuple(rows))


def _images(table: Table, column: str, images_of: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Images by cell of a column; none where two cells share an image."""
    cells = {cell for cell in table.cells(column) if len(cell) > 2}
    images = {cell: images_of[cell] for cell in cells if cell in images_of}
    clear = sum(map(len, images.values())) == len(set().union(*images.values()))
    return images if clear else {}


def _unique(table: Table, column: str) -> bool:
    cells = [cell for cell in table.cells(column) if cell]
    return len({*cells}) == len(cells)


def _of_names(films: Collection[str]) -> dict[str, set[str]]:
    images: dict[str, set[str]] = defaultdict(set)
    for path in films:
        for word in {*_words(path)}:
            images[word].add(path)
    return images


def _words(path: str) -> Iterator[str]:
    """Yield the names in a path, with and without suffix, their words, and numbers behind letters."""
    for part in path.split("/"):
        pieces = [part, part.rpartition(".")[0], *re.split(r"[-_ .()]+", part)]
        yield from pieces
        yield from (match[1] for piece in pieces if (match := re.fullmatch(r"[A-Za-z]+(\d{3,})", piece)))


def _of_headers(headers: Mapping[str, Mapping[str, str]]) -> dict[str, set[str]]:
    images: dict[str, set[str]] = defaultdict(set)
    for path, header in headers.items():
        for tag in TAGS & header.keys():
            images[header[tag]].add(path)
    return images


def _header(path: Path) -> dict[str, str]:
    """Texts of a DICOM header by keyword: numbers of patient, study and film, and the day of the study."""
    from mmtk.images.files import is_dicom

    if not is_dicom(path):
        return {}
    try:
        from pydicom import dcmread

        tags = [*sorted(TAGS), DAY]
        header = dcmread(path, stop_before_pixels=True, force=True, specific_tags=[*tags])
        return {tag: text for tag in tags if (text := str(header.get(tag) or "").strip())}
    except Exception:  # broken files, or no pydicom: whoever reads the film says so
        return {}
