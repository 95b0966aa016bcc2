"""Class, patient, part and spacing of every film: from tables, from folders or from file names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from mmtk.components.source._splitting import one_spelling
from mmtk.components.source._words import SPLIT_FOLDERS
from mmtk.counts import counted, share
from mmtk.data.plan import part_lists, table_labels, words
from mmtk.data.plan.films import Film, Labels
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.spellings import unify
from mmtk.data.plan.views import leave_lateral
from mmtk.errors import MmtkError, listing
from mmtk.images.loader import read_patient

NLM = re.compile(r"(?:CHNCXR|MCUCXR)_\d+_([01])$")
# The first counts that tells several films of one person from others.
PATIENTS = (
    r"((?:NORMAL2-)?IM-\d+|person\d+_[a-z]+)",
    r"(?:^|/)((?:[Pp]atient|[Pp]at|[Ss]ubject|[Ss]ub|[Pp])[-_ ]?\d+)",
    r"(?:^|/)(\d{4,})[-_ ]\d{1,3}[.]",
    r"(?:^|/)([A-Za-z]+[-_]?\d{2,})[-_ ][A-Za-z0-9]+[.]",
    r"[-_ ]((?:[Pp]atient|[Pp]at|[Pp]ac|[Pp]aciente|[Pp]az|[Ss]ubject|[Ss]ubj|[Ss]ub)[-_ ]?\d+)",
)
PATIENT_FOLDER = re.compile(
    r"(?:^|/)((?:patient|pat|paciente|paziente|subject|subj|sub|case|p|患者|пациент)[-_ ]?\d+)(?=$|/)",
    re.IGNORECASE,
)


def find_labels(files: Listing, films: Sequence[str], hints: Mapping[str, str]) -> Labels:
    """Look for classes in tables, then in folders, then in names; ``hints`` has ``labels`` and column names."""
    labels = Labels({path: Film() for path in films})
    if hints.get("labels") != "folders":
        table_labels.read_labels(files, labels, hints)
    if not labels.counts and hints.get("labels") in (None, "", "folders"):
        _from_folders(labels, required=hints.get("labels") == "folders")
    if not labels.counts:
        _from_names(labels)
    part_lists.take_parts(files, labels)
    unify(labels)
    if not any(film.patient for film in labels.films.values()):
        _patients(labels, hints.get("patient", ""))
    _header_patients(files, labels)
    if not any(film.patient for film in labels.films.values()):
        _folder_patients(labels)
    patients = {path: film.patient or path for path, film in labels.films.items()}
    for path, patient in one_spelling(patients).items():
        labels.films[path].patient = patient if labels.films[path].patient else ""
    leave_lateral(files, labels)
    return labels


# --- folders and names -----------------------------------------------------------------------------------------


def _from_folders(labels: Labels, required: bool) -> None:
    """Take a folder per class, with or without a folder per part above (or below) it."""
    top = _shared(labels.films)
    if required and top and all(len(PurePosixPath(parent(path)).parts) == top for path in labels.films):
        top -= 1  # films of one class alone share its folder, too
    parts_of = {path: PurePosixPath(parent(path)).parts[top:] for path in labels.films}
    splits = {path: next(filter(None, map(words.part, parts)), "") for path, parts in parts_of.items()}
    for path, part in splits.items():
        if not labels.films[path].split:
            labels.films[path].split = part if all(splits.values()) else ""
    names = {
        path: [p for p in parts if not words.part(p) and words.role(p) != "images"]
        for path, parts in parts_of.items()
    }
    first = {path: parts[0] for path, parts in names.items() if parts}
    loose = [path for path in labels.films if path not in first]
    expected = len(labels.films) - sum(bool(splits[path]) for path in loose)
    if not first or not (required or _classes(Counter(first.values()), expected)):
        return
    for path, film in labels.films.items():
        film.label = first.get(path, "")
    labels.keys["labels"] = "folders"
    if not all(_read_by_source(parts_of[path], bool(splits[path]), label) for path, label in first.items()):
        labels.reasons.append("the folders of classes do not lie side by side, or not below train, val and test")
    labels.notes.insert(0, f"the folders {listing({*first.values()})} as classes")
    if loose:
        labels.reasons.append(f"{counted(len(loose), 'film')} in no folder of a class: unlabelled")
    if all(splits.values()) and len({*splits.values()}) > 1:
        labels.notes.append(f"the folders {listing({*splits.values()})} as parts")


def _read_by_source(folders: Sequence[str], in_part: bool, label: str) -> bool:
    """Whether the source takes the class and the part from the folders of a film as they are."""
    if in_part:
        return folders[0].casefold() in SPLIT_FOLDERS and folders[1:2] == (label,)
    return folders[:1] == (label,)


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


def _from_names(labels: Labels) -> None:
    """Take the class from names: the last digit in the sets of the National Library of Medicine, else a word."""
    ends = {path: match[1] for path in labels.films if (match := NLM.fullmatch(stem(path)))}
    if len(ends) == len(labels.films) and ends:
        for path, end in ends.items():
            labels.films[path].label = "tuberculosis" if end == "1" else "normal"
        labels.reasons.append("the class is the last digit of the file name: 0 normal, 1 tuberculosis")
        return
    words_of = {path: re.findall(r"[^\W\d_]{2,}", stem(path)) for path in labels.films}
    for position, where in ((0, "first"), (-1, "last")):
        class_of = {path: name_words[position] for path, name_words in words_of.items() if name_words}
        counts = Counter(class_of.values())
        if len(class_of) == len(labels.films) and _classes(counts, len(class_of)) and _names_normal(counts):
            for path, word in class_of.items():
                labels.films[path].label = word
            labels.reasons.append(f"the class is the {where} word of the file name")
            return


def _names_normal(labels: Collection[str]) -> bool:
    """Whether one of the labels is a word for films without a finding."""
    return any(words.same_class(label) == "normal" for label in labels)


# --- patients --------------------------------------------------------------------------------------------------


def _patients(labels: Labels, pattern: str) -> None:
    """Group films by a ``pattern`` of their names; of mmtk's own patterns, by one that fits every name."""
    for attempt in [pattern] if pattern else PATIENTS:
        names = _persons(labels.films, attempt)
        persons = len({*names.values()})
        if pattern and not names:
            raise MmtkError(
                f"--patient {pattern}: is no column, and as a pattern finds no patient in a file name."
            )
        if len(names) == len(labels.films) and (pattern or 2 < persons < len(names)):
            for path, film in labels.films.items():
                film.patient = names[path]
            labels.keys["patient_pattern"] = attempt
            labels.notes.append(
                f"patients by the file names: {persons} patients of {counted(len(names), 'image')} ({attempt})"
            )
            return
    if pattern:
        message = (
            f"--patient {pattern}: finds a patient in {share(len(names), len(labels.films), 'file name')} only."
        )
        raise MmtkError(message, hint="Write a pattern that fits every name, with one group for the patient.")


def _folder_patients(labels: Labels) -> None:
    """Take the patients from a folder of each, such as ``Patient 07/visit 2``, where every film lies in one."""
    matches = {path: PATIENT_FOLDER.search(parent(path)) for path in labels.films}
    if all(matches.values()) and 2 < len({match[1] for match in matches.values() if match}) < len(matches):
        for path, match in matches.items():
            labels.films[path].patient = match[1] if match else ""
        labels.reasons.append("the patient is a folder of the path")


def _header_patients(files: Listing, labels: Labels) -> None:
    """Take the patients of DICOM headers where tables and names give none, as the source does."""
    for path, film in labels.films.items():
        if not film.patient:
            try:
                film.patient = read_patient(files.root / path)
            except MmtkError:  # the source names unreadable files
                continue


def _persons(films: Collection[str], pattern: str) -> dict[str, str]:
    """Patients by image, from the one group of a regular expression."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise MmtkError(f"--patient {pattern}: is neither a column nor a regular expression: {error}.") from error
    matches = {path: expression.search(PurePosixPath(path).name) for path in films}
    return {path: match[1] for path, match in matches.items() if match and expression.groups == 1 and match[1]}
