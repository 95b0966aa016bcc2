"""Patients of films where no table names them: from file names, from DICOM headers, from folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from statistics import mean

from mmtk.components.source._splitting import one_spelling
from mmtk.counts import counted, share
from mmtk.data.plan import words
from mmtk.data.plan.films import Labels
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.patient_words import are_persons
from mmtk.errors import MmtkError
from mmtk.images.loader import read_patient
from mmtk.io.dates import is_date

# The first counts that tells several films of one person from others.
PATTERNS = (
    r"((?:NORMAL2-)?IM-\d+|person\d+_[a-z]+)",
    r"(?:^|/)((?:[Pp]atient|[Pp]at|[Ss]ubject|[Ss]ub|[Pp])[-_ ]?\d+)",
    r"(?:^|/)(\d{4,})[-_ ]\d{1,3}[.]",
    r"(?:^|/)([A-Za-z]+[-_]?\d{2,})[-_ ][A-Za-z0-9]+[.]",
    r"[-_ ]((?:[Pp]atient|[Pp]at|[Pp]ac|[Pp]aciente|[Pp]az|[Ss]ubject|[Ss]ubj|[Ss]ub)[-_ =]?[A-Za-z]?\d+)",
)
# Anything before the last number, as ``Müller_Jörg_2.png``, where that makes groups like those of persons.
NUMBERED = r"(?:^|/)([^/]+?)[-_ ]+[A-Za-z]{0,2}\d{1,3}[.]"
FOLDER = re.compile(
    r"(?:^|/)((?:patient|pat|paciente|paziente|subject|subj|sub|case|p|患者|пациент)[-_ ]?\d+)(?=$|/)",
    re.IGNORECASE,
)
GROUPS = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, {*words.CLASSES, *words.PARTS, 'covid 19'}))})(?!\w)")
SEVERAL = 1.3  # films per person, at least, where only the repetition says that a name is a person's


def find_patients(files: Listing, labels: Labels, pattern: str) -> None:
    """Fill in the patients of films that have none, in one spelling each; ``pattern`` of names is the user's."""
    if not _any_patient(labels):
        _take_names(labels, [pattern] if pattern else PATTERNS, bool(pattern))
    _take_headers(files, labels)
    if not _any_patient(labels):
        _take_folders(labels)
    if not _any_patient(labels):
        _take_names(labels, [NUMBERED])
    if not _any_patient(labels):
        _take_copies(labels)
    patients = {path: film.patient or path for path, film in labels.films.items()}
    for path, patient in one_spelling(patients).items():
        labels.films[path].patient = patient if labels.films[path].patient else ""
    if not _any_patient(labels):
        labels.notes += labels.possible_patients


def patients_line(patients: Collection[str]) -> str:
    """Sentence on the patients of films, "" for a film whose patient is not known."""
    counts = Counter(filter(None, patients))
    films = counted(len(patients), "film")
    if not counts:
        return (
            "patients: not known; films of one person may come into train and test "
            "(--patient COLUMN, or a PATTERN of file names, tells them)"
        )
    if counts.total() == len(patients):
        return f"patients: {len(counts):,} of {films}"
    coverage = f"known of {counts.total():,} of {films}"
    return f"patients: {len(counts):,}, {coverage}; each other film counts as a patient of its own"


def _any_patient(labels: Labels) -> bool:
    return any(film.patient for film in labels.films.values())


def _take_names(labels: Labels, patterns: Sequence[str], required: bool = False) -> None:
    """Group films by the first pattern that fits every name and makes groups; ``required``: it is the user's."""
    for attempt in patterns:
        names = _persons(labels.films, attempt)
        persons = len({*names.values()})
        if required and not names:
            raise MmtkError(
                f"--patient {attempt}: is no column, and as a pattern finds no patient in a file name."
            )
        clear = attempt != NUMBERED or _repeat_as_persons(names.values())
        if len(names) == len(labels.films) and (required or (2 < persons < len(names) and clear)):
            for path, film in labels.films.items():
                film.patient = names[path]
            labels.keys["patient_pattern"] = attempt
            labels.notes.append(
                f"patients by the file names: {persons} patients of {counted(len(names), 'image')} ({attempt})"
            )
            return
        if required:
            some = share(len(names), len(labels.films), "file name")
            hint = "Write a pattern that fits every name, with one group for the patient."
            raise MmtkError(f"--patient {attempt}: finds a patient in {some} only.", hint=hint)


def _repeat_as_persons(names: Collection[str]) -> bool:
    """Whether names, none of them a date or a word for images, are on a few films each."""
    return (
        are_persons(names)
        and mean(Counter(names).values()) >= SEVERAL
        and not any(is_date(name) or words.role(name) or _is_group(name) for name in {*names})
    )


def _is_group(name: str) -> bool:
    """Whether a name says nothing but a class and a part: ``covid-19_train``, ``normal_test``."""
    spoken = words.plain(name)
    while (shorter := GROUPS.sub(" ", spoken).strip()) != spoken:
        spoken = shorter
    return not spoken


def _take_headers(files: Listing, labels: Labels) -> None:
    """Take the patients of DICOM headers where tables and names give none, as the source does."""
    for path, film in labels.films.items():
        film.patient = film.patient or header_patient(files, path)


def header_patient(files: Listing, path: str) -> str:
    """The patient in the header of a DICOM film; "" where there is none."""
    try:
        return read_patient(files.root / path)
    except MmtkError:  # the source names unreadable files
        return ""


def _take_folders(labels: Labels) -> None:
    """Take the patients from a folder of each: ``Patient 07/visit 2``, or ten folders of a few films each."""
    matches = {path: match[1] for path in labels.films if (match := FOLDER.search(parent(path)))}
    if len(matches) < len(labels.films) or not 2 < len({*matches.values()}) < len(matches):
        matches = _folders_like_persons(labels.films)
    for path, name in matches.items():
        labels.films[path].patient = name
    if matches:
        labels.reasons.append("the patient is a folder of the path")


def _folders_like_persons(films: Collection[str]) -> dict[str, str]:
    """The uppermost folder of every film whose names are on a few films each; empty where there is none."""
    folders = {path: PurePosixPath(parent(path)).parts for path in films}
    for level in range(min(map(len, folders.values()), default=0)):
        names = {path: parts[level] for path, parts in folders.items()}
        if _repeat_as_persons([*names.values()]):
            return names
    return {}


def _take_copies(labels: Labels) -> None:
    """Take films called like another one with a word behind, ``7_flip`` beside ``7``, for its patient's."""
    once = len({stem(path) for path in labels.films}) == len(labels.films)
    names = {path: stem(path) if once else f"{parent(path)}/{stem(path)}" for path in labels.films}
    known_names = {*names.values()}
    original = {path: _original(name, known_names) for path, name in names.items()}
    if copies := sorted(path for path, name in original.items() if name):
        for path, film in labels.films.items():
            film.patient = original[path] or names[path]
        count = counted(len(copies), "film is", "films are")
        labels.reasons.append(
            f"{count} called like another one with a word behind it, as {copies[0]}: of its patient"
        )


def _original(name: str, names: Collection[str]) -> str:
    """The shortest name that another one begins with, before a sign; "" for none."""
    return next((name[:k] for k in range(1, len(name)) if not name[k].isalnum() and name[:k] in names), "")


def _persons(films: Collection[str], pattern: str) -> dict[str, str]:
    """Patients by image, from the one group of a regular expression."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise MmtkError(f"--patient {pattern}: is neither a column nor a regular expression: {error}.") from error
    matches = {path: expression.search(PurePosixPath(path).name) for path in films}
    return {path: match[1] for path, match in matches.items() if match and expression.groups == 1 and match[1]}
