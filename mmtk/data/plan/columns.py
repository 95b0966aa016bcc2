"""Uses of the columns of a table, by content first, then by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from unicodedata import normalize

from mmtk.components.source import _part_words
from mmtk.components.source._words import EMPTY
from mmtk.data.plan import words
from mmtk.data.plan.listing import stem
from mmtk.data.plan.other_columns import OTHER_COLUMNS, TESTS
from mmtk.data.plan.patient_words import is_study_number, patient_column, possible_patients, site_column
from mmtk.data.plan.readers import READERS, has_agreed, is_of_reader
from mmtk.data.plan.revisions import revised_column
from mmtk.data.plan.tables import Table
from mmtk.images.files import without_suffix
from mmtk.images.run_lengths import are_run_lengths
from mmtk.io.spelling import without_marks

UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")  # before a name, as Label Studio writes it
FLOAT = re.compile(r"(\d+)[.,]0+")  # a number as programs write it that know no whole ones
NUMBER, WHOLE = re.compile(r"-?\d+\.\d+"), re.compile(r"-?\d+(\.0+)?")
SEVERAL = re.compile(r"\s*[|;]\s*")
MOST_CLASSES = 20
MACHINES = {
    *("ai", "ki", "ia", "prediction", "predictions", "predicted", "pred", "predict", "model", "modell", "modèle"),
    *("algorithm", "algorithmus", "software", "network", "netz", "automatic", "automated", "automatisch"),
    *("machine", "classifier", "vorhersage", "vorhergesagt", "prédiction", "predicción", "predizione", "previsão"),
    *("прогноз", "ии", "预测", "預測", "予測", "예측", "cnn", "gpt", "llm"),
}
# Boxes or outlines in a cell: coordinates with a type before them, or in brackets.
SHAPES = re.compile(r"[\[(]*-?\d+([.]\d+)?([\s,;|()\[\]]+-?\d+([.]\d+)?){3,}[\s;|)\]]*")
BY_MACHINE = 0.1  # factor for the points of a column that says what a program found
UNSPOKEN = 0.5  # points of a column of few words, none of which is known


@dataclass(frozen=True)
class Columns:
    """Columns by use, as the file spells them.

    ``flags`` are columns of 0 and 1, one per finding; ``run_lengths`` have masks as starts and lengths of runs;
    ``possible_patients`` repeat as patients do, where no column is called so; ``possible_split`` may say the part.
    ``site`` names the hospitals, where each of them numbers its patients from 1 on.
    """

    image: str
    matches: Mapping[str, str]  # cell of the image column → image
    label: str = ""
    patient: str = ""
    split: str = ""
    spacing: str = ""
    flags: tuple[str, ...] = ()
    run_lengths: tuple[str, ...] = ()
    unused: tuple[str, ...] = field(default=())
    possible_patients: tuple[str, ...] = ()
    possible_split: str = ""
    site: str = ""

    def person(self, row: Mapping[str, str]) -> str:
        """The patient of a row, with the hospital where each numbers its own; "" where none is known."""
        patient = row[self.patient] if self.patient else ""
        return f"{row[self.site]} {patient}".strip() if self.site and patient else patient

    def persons_sentence(self) -> list[str]:
        """Why hospital and patient together are a person; none where the patient alone is."""
        if not self.site:
            return []
        both = f'"{self.site}" and "{self.patient}" together'
        return [f'each "{self.site}" numbers its patients from 1 on: a patient is {both}']

    @property
    def are_of_masks(self) -> bool:
        """Whether the table has run lengths of masks, and nothing else that is read."""
        return bool(self.run_lengths) and not (self.label or self.flags or self.patient or self.split)


def find_columns(table: Table, images: Collection[str], hints: Mapping[str, str]) -> Columns | None:
    """Find the use of every column of a table that names some of the images; None for another table.

    ``hints`` maps label, patient, split, spacing or image to a column that the user names.
    """
    image, matches = _image_column(table, images, hints.get("image", ""))
    if not image:
        return None
    candidates = [name for name in dict.fromkeys(table.columns) if name and name != image]
    named_rows = [row for row in table.rows if row[table.columns.index(image)] in matches] or list(table.rows)
    named_table = Table(table.columns, tuple(named_rows))
    cells = [(name, named_table.cells(name)) for name in candidates]
    patient = hints.get("patient") or patient_column(cells)
    candidates = [name for name in candidates if name != patient]
    site = site_column(named_table.cells(patient), cells) if patient in table.columns else ""
    split = hints.get("split") or _split_column(named_table, candidates)
    candidates = [name for name in candidates if name != split]
    spacing = hints.get("spacing") or _spacing_column(named_table, candidates)
    candidates = [name for name in candidates if name != spacing]
    flags = _flags(named_table, candidates)
    run_lengths = tuple(name for name in candidates if are_run_lengths(named_table.cells(name)))
    candidates = [name for name in candidates if name not in run_lengths]
    label = _label_column(named_table, candidates, flags)
    label = hints.get("label") or revised_column(named_table, label, candidates)
    used = {label} if label else {*flags}
    possible_split = "" if split else _possible_split(named_table, [x for x in candidates if x not in used])
    persons = {name for name in {*candidates} - used if not is_of_reader(name)}
    possible = () if patient else possible_patients([entry for entry in cells if entry[0] in persons])
    unused = tuple(name for name in candidates if name not in used)
    return Columns(
        *(image, matches, label, patient, split, spacing, flags, run_lengths, unused),
        *(tuple(possible), possible_split, site),
    )


def is_of_masks(table: Table, images: Collection[str]) -> bool:
    """Whether a table has run lengths of masks of some images, and nothing else that is read."""
    columns = find_columns(table, images, {})
    return columns is not None and columns.are_of_masks


def with_column_names(table: Table, images: Collection[str]) -> Table:
    """The table, with names "column 1" and on where its first row names a film as the others do."""
    image, _ = _image_column(table, images, "")
    if not image or words.plain(image) in words.IMAGES or not film_of_cell(image, film_spellings(images)):
        return table
    names = tuple(f"column {number}" for number in range(1, len(table.columns) + 1))
    return Table(names, (table.columns, *table.rows))


def film_spellings(images: Collection[str]) -> dict[str, str]:
    """Images by every way in which a table may name them: path, end of it, name, stem, small letters, no zeros."""
    ways: dict[str, set[str]] = {}
    for path in images:
        pure = PurePosixPath(path)
        parts = [pure.as_posix(), pure.with_suffix("").as_posix() if pure.suffix else "", pure.name, stem(path)]
        parts += ["/".join(pure.parts[k:]) for k in range(1, len(pure.parts))]
        for way in parts:
            ways.setdefault(_name(way), set()).add(path)
    clear = {way: next(iter(paths)) for way, paths in ways.items() if way and len(paths) == 1}
    numbers: dict[str, list[str]] = {}
    for path in images:
        if (name := stem(path)).isdecimal():
            numbers.setdefault(str(int(name)), []).append(path)
    folded: dict[str, set[str]] = {}
    for way, paths in ways.items():
        folded.setdefault(way.casefold(), set()).update(paths)
    letters = {way: next(iter(paths)) for way, paths in folded.items() if way and len(paths) == 1}
    short = {number: paths[0] for number, paths in numbers.items() if len(paths) == 1 and number not in ways}
    return {**letters, **short, **clear, **{_name(path): path for path in images}}


def _image_column(table: Table, images: Collection[str], hint: str) -> tuple[str, dict[str, str]]:
    """Column whose cells name images, with the image of every cell."""
    ways, best, best_images = film_spellings(images), "", dict[str, str]()
    rank = (0, False)
    for name in [hint] if hint and hint in table.columns else dict.fromkeys(table.columns):
        cells = {cell for cell in table.cells(name) if cell}
        images_by_cell = {cell: image for cell in cells if (image := film_of_cell(cell, ways))}
        if (len(images_by_cell), not _is_running(table.cells(name))) > rank:
            best, best_images = name, images_by_cell
            rank = len(best_images), not _is_running(table.cells(name))
    image_count = min(len({*best_images.values()}), len(images)) if best else 0
    enough = image_count >= max(1, 0.2 * min(len(images), len(table.rows)))
    return (best, best_images) if enough else ("", {})


def _is_running(cells: Sequence[str]) -> bool:
    """Whether cells number the rows, from 0 or 1 on: they say less of films than other numbers do."""
    return any([*cells] == [str(number) for number in range(first, first + len(cells))] for first in (0, 1))


def film_of_cell(cell: str, ways: Mapping[str, str]) -> str:
    """Image that a cell names: as it is, or by the end of a longer path."""
    cell = _name(cell.replace("\\", "/").removeprefix("./"))
    parts = cell.split("/")
    short = without_suffix(PurePosixPath(parts[-1])).name  # the table may say .dcm where PNG files lie
    if number := FLOAT.fullmatch(short):
        short = number[1]
    tails = ("/".join(parts[k:]) for k in range(len(parts)))
    spellings = [*tails, short, UPLOAD.sub("", short, count=1)]
    return next((ways[way] for way in (*spellings, *map(str.casefold, spellings)) if way in ways), "")


def _name(text: str) -> str:
    return without_marks(normalize("NFC", text))


def _split_column(table: Table, names: list[str]) -> str:
    for name in names:
        parts = [words.part(cell) for cell in {*table.cells(name)} - {""}]
        if len({*parts}) > 1 and all(parts):
            return name
    return ""


def _possible_split(table: Table, names: list[str]) -> str:
    """A column that may say the part in words that are not known: by its name, or by a part among its cells."""
    for name in names:
        cells = {*table.cells(name)} - {""}
        if 1 < len(cells) <= _part_words.MOST and (
            words.plain(name) in _part_words.COLUMNS or {"train", "test"} & {*map(words.part, cells)}
        ):
            return name
    return ""


def _spacing_column(table: Table, names: list[str]) -> str:
    for name in names:
        plain = words.plain(name)
        if "spacing" in plain or plain in words.SPACING_COLUMNS:
            cells = [cell for cell in table.cells(name) if cell]
            if cells and all(re.fullmatch(r"0?[.,]\d+|\d([.,]\d+)?", cell) for cell in cells):
                return name
    return ""


def _flags(table: Table, names: list[str]) -> tuple[str, ...]:
    """Columns of 0 and 1 (−1: uncertain), one per finding, where there are several."""
    flags = []
    for name in names:
        cells = {cell.removesuffix(".0") for cell in table.cells(name)}
        if (
            {"0", "1"} & cells
            and cells <= {"0", "1", "-1", ""}
            and not {*words.plain(name).split()} & OTHER_COLUMNS
        ):
            flags.append(name)
    return tuple(flags) if len(flags) > 1 else ()


def _label_column(table: Table, names: list[str], flags: tuple[str, ...]) -> str:
    """Column that is most like a class, by its name and its cells; "" where ``flags`` are surer."""
    others = [name for name in names if name not in flags]
    if flags:
        others = [name for name in others if not {*words.plain(name).split()} & TESTS]
    points = {name: label_points(name, table.cells(name)) for name in others}
    best = max(points, key=lambda name: points[name], default="")
    least = UNSPOKEN if flags and _one_each(table, flags) else 0
    return best if best and points[best] > least else ""


def _one_each(table: Table, flags: tuple[str, ...]) -> bool:
    """Whether exactly one of the columns is 1 in every row, as for classes."""
    rows = zip(*(table.cells(name) for name in flags), strict=True)
    return all(sum(cell.removesuffix(".0") == "1" for cell in row) == 1 for row in rows)


def label_points(name: str, cells: list[str]) -> float:
    """Points of a column as that of classes, by its name and its cells; 1 at least where a word speaks for it."""
    plain = words.plain(name)
    full = [cell for cell in cells if cell]
    single = Counter(part for cell in full for part in SEVERAL.split(cell))
    if (len(single) < 2 and plain not in words.LABEL_COLUMNS) or not full:
        return 0
    if are_shapes(cells):
        return 0
    if is_study_number(name) or len(single) > max(MOST_CLASSES, 2) or len(single) > 0.7 * len(full) > 4:
        return 0
    others = OTHER_COLUMNS | words.VIEW_COLUMNS
    if {words.plain(part) for part in single} <= words.CLASSES:
        others = others - READERS  # what the radiologist said, not who he is
    if {*plain.split()} & others or (all(map(NUMBER.fullmatch, full)) and not all(map(WHOLE.fullmatch, full))):
        return 0
    points = float(words.LABEL_COLUMNS.get(plain, 0))
    if not points:
        points = max((0.6 * words.LABEL_COLUMNS.get(word, 0) for word in plain.split()), default=0)
    if {words.plain(part) for part in single} & words.CLASSES:
        points += 3
    if points and has_agreed(name):
        points += 1
    points = points or (UNSPOKEN if not all(map(WHOLE.fullmatch, full)) else 0.1)
    return points * BY_MACHINE if is_of_machine(name) else points


def are_shapes(cells: Collection[str]) -> bool:
    """Whether all cells that are not empty hold coordinates of boxes or outlines."""
    full = [cell for cell in cells if cell and cell.casefold() not in EMPTY]
    return bool(full) and all(map(SHAPES.fullmatch, full))


def is_of_machine(name: str) -> bool:
    """Whether a column is called after what a program said of the films."""
    return bool({*words.plain(name).split()} & MACHINES)
