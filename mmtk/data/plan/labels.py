"""The class, patient, part and spacing of every film: from a table, from folders or from file names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mmtk.counts import counted, share
from mmtk.data.plan import words
from mmtk.data.plan.columns import SEVERAL, Columns, find_columns
from mmtk.data.plan.keyed import by_key
from mmtk.data.plan.listing import Listing, Table, parent, stem
from mmtk.errors import MmtkError, nearest
from mmtk.errors import listing as named

NLM = re.compile(r"(?:CHNCXR|MCUCXR)_\d+_([01])$")
# The first that tells several films of one person apart from others is taken.
PATIENTS = (
    r"((?:NORMAL2-)?IM-\d+|person\d+_[a-z]+)",
    r"(?:^|/)((?:[Pp]atient|[Pp]at|[Ss]ubject|[Ss]ub|[Pp])[-_ ]?\d+)",
    r"(?:^|/)(\d{4,})[-_ ]\d{1,3}[.]",
    r"(?:^|/)([A-Za-z]+[-_]?\d{2,})[-_ ][A-Za-z0-9]+[.]",
)


@dataclass
class Film:
    """Facts of one film; ``label`` is None where nothing speaks of a class, "" where it has none."""

    label: str | None = None
    patient: str = ""
    split: str = ""
    spacing: str = ""


@dataclass
class Labels:
    """Films by path with what is known of them, the keys that say so, and what they cannot say (``reasons``)."""

    films: dict[str, Film]
    keys: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)  # films that have a row

    @property
    def counts(self) -> Counter[str]:
        """Films of each class."""
        return Counter(film.label for film in self.films.values() if film.label)


def find_labels(
    files: Listing, films: Sequence[str], unlabelled: Sequence[str], said: Mapping[str, str]
) -> Labels:
    """Look for classes in tables, then in folders, then in names; ``said`` has ``labels`` and column names."""
    found = Labels({path: Film() for path in films})
    if said.get("labels") != "folders":
        _from_table(files, found, said)
    if not found.counts and said.get("labels") in (None, "", "folders"):
        _from_folders(found, asked=said.get("labels") == "folders")
    if not found.counts:
        _from_names(found)
    if not any(film.patient for film in found.films.values()):
        _patients(found, said.get("patient", ""))
    return found


# --- a table ---------------------------------------------------------------------------------------------------


def _from_table(files: Listing, found: Labels, said: Mapping[str, str]) -> None:
    tables = files.tables
    if asked := said.get("labels"):
        if asked not in tables:
            raise MmtkError(f"no table '{asked}'.{nearest(asked, tables)}", str(files.root), _known(tables))
        tables = {asked: tables[asked]}
    read = {name: columns for name, table in tables.items() if (columns := find_columns(table, found.films, said))}
    keys: dict[str, str] = {}
    for name, table in tables.items() if not read else ():
        if (keyed := by_key(table, files, found.films)) and (columns := find_columns(keyed[0], found.films, said)):
            tables, keys[name], read[name] = {**tables, name: keyed[0]}, keyed[1], columns
    if not read:
        if asked:
            raise MmtkError("no column names the images.", asked, f"Its columns: {named(tables[asked].columns)}.")
        found.notes += [f"the table {name} names none of the images" for name in tables]
        return
    name = max(read, key=lambda each: (bool(read[each].label), len(read[each].matches), -len(each)))
    columns, table = read[name], tables[name]
    if name in keys:
        found.reasons.append(f'the table names no images: "{keys[name]}" is in their names or headers')
    for key in ("image", "label", "patient", "split", "spacing"):
        if (column := said.get(key)) and column not in table.columns:
            cure = f"Its columns: {', '.join(table.columns)}."
            raise MmtkError(f"no column '{column}'.{nearest(column, table.columns)}", name, cure)
    for other in tables:
        if other == name:
            continue
        if other in read and tables[other].columns == table.columns and not _shared_images(read[other], columns):
            found.reasons.append(f"the rows of {other} are put to those of {name}")
            _read(tables[other], read[other], found, _part(other))
        else:
            found.notes.append(f"the table {other} is left out: {name} has the labels")
    _read(table, columns, found, _part(name))
    if without := len(found.films) - len(found.listed):
        found.reasons.append(f"{without} images have no row")
    if name in keys and not columns.patient:
        place = table.columns.index(keys[name])
        for row in table.rows:
            found.films[row[-1]].patient = row[place]
    _describe(name, columns, table, found)


def _shared_images(one: Columns, other: Columns) -> bool:
    return bool({*one.matches.values()} & {*other.matches.values()})


def _part(name: str) -> str:
    """The part that the name of a table speaks of, as ``valid.csv``; "" where it does not."""
    parts = [words.PARTS[word] for word in words.plain(stem(name)).split() if word in words.PARTS]
    return parts[0] if len(parts) == 1 else ""


def _known(tables: Collection[str]) -> str:
    return f"Tables here: {named(tables)}." if tables else "There is no table here."


def _read(table: Table, columns: Columns, found: Labels, part_of_table: str = "") -> None:
    place = {name: number for number, name in enumerate(table.columns)}
    twice = 0
    seen: set[str] = set()
    for row in table.rows:
        path = columns.matches.get(row[place[columns.image]])
        if path is None:
            continue
        twice += path in seen
        seen.add(path)
        film = found.films[path]
        if columns.label:
            label = row[place[columns.label]]
            film.label = "" if label.casefold() in words.EMPTY else label
        elif columns.flags:
            film.label = _flagged({name: row[place[name]].removesuffix(".0") for name in columns.flags})
        film.split = part_of_table or film.split
        film.patient = row[place[columns.patient]] if columns.patient else ""
        film.spacing = row[place[columns.spacing]] if columns.spacing else ""
        if columns.split:
            part = words.plain(row[place[columns.split]]).replace(" ", "")
            film.split = words.PARTS.get(part, "")
            if (
                part
                and part not in ("train", "val", "test")
                and "the words of the parts differ" not in found.reasons
            ):
                found.reasons.append("the words of the parts differ")
    if columns.flags and not columns.label:
        why = "one column per finding: a film has the class of its only finding, with several it is unlabelled"
        found.reasons += [why] if why not in found.reasons else []
    if columns.label or columns.flags:
        for film in found.films.values():
            film.label = film.label or ""
    if any("/" in cell or "\\" in cell for cell in columns.matches):
        found.reasons.append("the table has paths, which may begin in another folder")
    absent = sum(row[place[columns.image]] not in columns.matches for row in table.rows)
    if absent:
        found.reasons.append(f"{counted(absent, 'row names', 'rows name')} no image here")
    if twice:
        found.reasons.append(f"{twice} rows name an image again (the last one counts)")
    found.listed |= seen


def _flagged(cells: Mapping[str, str]) -> str:
    """The findings of a row with a column of 0 and 1 for each; "" where none is certain."""
    positive = [name for name, cell in cells.items() if cell == "1"]
    if positive:
        return "|".join(positive)
    stated = all(cell == "0" for cell in cells.values())
    return "no finding" if stated and not any(words.same_class(name) == "normal" for name in cells) else ""


def _describe(name: str, columns: Columns, table: Table, found: Labels) -> None:
    used = {key: getattr(columns, key) for key in ("image", "label", "patient", "split", "spacing")}
    used = {key: column for key, column in used.items() if column}
    found.keys["labels"] = name
    if renamed := {key: column for key, column in used.items() if column != key}:
        found.keys["columns"] = renamed
    taken = ", ".join(f'"{column}" as {key}' for key, column in used.items())
    found.notes.insert(0, f"{name}: {taken}")
    if columns.unused:
        found.notes.append(f"{name}: not used: {', '.join(columns.unused)} (--label COLUMN takes another)")
    if columns.flags and not columns.label:
        found.notes.append(
            f"{name}: one column per finding ({', '.join(columns.flags[:6])}): take one by --label COLUMN"
        )


def leave_several(found: Labels) -> None:
    """Take films with several findings for unlabelled ones: a film of one class is what mmtk learns from."""
    films = [film for film in found.films.values() if film.label and len(SEVERAL.split(film.label)) > 1]
    for film in films:
        film.label = ""
    if films:
        found.reasons.append(f"{counted(len(films), 'image')} with several findings: unlabelled")


# --- folders and names -----------------------------------------------------------------------------------------


def _from_folders(found: Labels, asked: bool) -> None:
    """A folder per class, with or without a folder per part above (or below) it."""
    top = _shared(found.films)
    parts_of = {path: PurePosixPath(parent(path)).parts[top:] for path in found.films}
    splits = {
        path: next((words.PARTS[w] for p in parts if (w := words.plain(p)) in words.PARTS), "")
        for path, parts in parts_of.items()
    }
    for path, part in splits.items():
        if not found.films[path].split:
            found.films[path].split = part if all(splits.values()) else ""
    names = {
        path: [p for p in parts if words.plain(p) not in words.PARTS and words.role(p) != "images"]
        for path, parts in parts_of.items()
    }
    first = {path: parts[0] for path, parts in names.items() if parts}
    loose = [path for path in found.films if path not in first]
    expected = len(found.films) - sum(bool(splits[path]) for path in loose)
    if not first or not (asked or _classes(Counter(first.values()), expected)):
        return
    for path, film in found.films.items():
        film.label = first.get(path, "")
    found.keys["labels"] = "folders"
    found.notes.insert(0, f"the folders {named({*first.values()})} as classes")
    if loose:
        found.reasons.append(f"{counted(len(loose), 'film')} in no folder of a class: unlabelled")
    if all(splits.values()) and len({*splits.values()}) > 1:
        found.notes.append(f"the folders {named({*splits.values()})} as parts")


def _shared(paths: Collection[str]) -> int:
    from mmtk.data.plan.roles import common

    return len(PurePosixPath(common(paths)).parts)


def _classes(counts: Counter[str], films: int) -> bool:
    """Whether folders look like classes: few, named by words, with several images each, and all images in one."""
    if not 2 <= len(counts) <= 20 or sum(counts.values()) < films:
        return False
    if {words.plain(name) for name in counts} & words.CLASSES:
        return True
    numbers = all(name.isdigit() and int(name) < len(counts) for name in counts)
    spoken = all(re.search(r"[A-Za-z]{2}", name) and not re.search(r"\d{3}", name) for name in counts)
    numbered = sum(bool(re.search(r"\d", name)) for name in counts) > len(counts) / 2
    return min(counts.values()) >= 3 and (numbers or (spoken and not numbered))


def _from_names(found: Labels) -> None:
    """The class that the names of the two sets of the National Library of Medicine end in."""
    ends = {path: match[1] for path in found.films if (match := NLM.fullmatch(stem(path)))}
    if len(ends) == len(found.films) and ends:
        for path, end in ends.items():
            found.films[path].label = "tuberculosis" if end == "1" else "normal"
        found.reasons.append("the class is the last digit of the file name: 0 normal, 1 tuberculosis")


# --- patients --------------------------------------------------------------------------------------------------


def _patients(found: Labels, pattern: str) -> None:
    """A pattern of the file names that groups them; one that is not asked for must fit every name."""
    for attempt in [pattern] if pattern else PATIENTS:
        names = _persons(found.films, attempt)
        persons = len({*names.values()})
        if pattern and not names:
            raise MmtkError(f"--patient {pattern}: no such column, and no group of it matches a file name.")
        if len(names) == len(found.films) and (pattern or 2 < persons < len(names)):
            for path, film in found.films.items():
                film.patient = names[path]
            found.keys["patient_pattern"] = attempt
            found.notes.append(
                f"patients by the file names: {persons} of {counted(len(names), 'image')} ({attempt})"
            )
            return
    if pattern:
        raise MmtkError(f"--patient {pattern}: fits {share(len(names), len(found.films), 'file name')} only.")


def _persons(films: Collection[str], pattern: str) -> dict[str, str]:
    """Image → patient, by the one group of a regular expression."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise MmtkError(f"--patient {pattern}: no column and no regular expression: {error}.") from error
    matches = {path: expression.search(PurePosixPath(path).name) for path in films}
    return {path: match[1] for path, match in matches.items() if match and expression.groups == 1 and match[1]}
