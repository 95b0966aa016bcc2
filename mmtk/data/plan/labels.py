"""Class, patient, part and spacing of every film: from tables, from folders or from file names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from mmtk.components.source._chex_names import PATIENT
from mmtk.components.source._part_words import part_of_folder
from mmtk.counts import counted
from mmtk.data.plan import part_lists, table_labels, words
from mmtk.data.plan.contradictions import contradictions, fill_from_folders
from mmtk.data.plan.doubts import marked_folders
from mmtk.data.plan.films import Film, Labels
from mmtk.data.plan.legends import explain_codes
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.part_folders import part_of_images
from mmtk.data.plan.patient_findings import take_patient_findings
from mmtk.data.plan.patients import find_patients
from mmtk.data.plan.spellings import unify
from mmtk.data.plan.versions import are_versions
from mmtk.data.plan.views import leave_other_views
from mmtk.errors import listing

# Folders into which somebody divided films, whatever they show: a year, a month or a day, a fold, a batch.
DIVISION = re.compile(
    r"(19|20)\d\d([-_. ]?(0[1-9]|1[0-2])([-_. ]?\d\d)?)?"
    r"|(k-?fold|fold|batch|chunk|shard|falte|charge|lot|pli|lote)[-_. ]?\d{1,3}",
    re.IGNORECASE,
)
NLM = re.compile(r"(?:CHNCXR|MCUCXR)_\d+_([01])$")
NEARLY_ALL = 0.9  # of the films: others, such as a logo beside the folders, have no class
NO_CLASSES = {"im", "patient", "pat", "person", "subject", "case", "study", "series", *words.IMAGES}


def find_labels(files: Listing, films: Sequence[str], hints: Mapping[str, str]) -> Labels:
    """Look for classes in tables, then in folders, then in names; ``hints`` has ``labels`` and column names."""
    labels = Labels({path: Film() for path in films})
    if hints.get("labels") != "folders":
        table_labels.read_labels(files, labels, hints)
    if not labels.counts and not hints.get("labels"):
        take_patient_findings(labels)
    if not labels.counts and hints.get("labels") in (None, "", "folders"):
        _from_folders(files, labels, required=hints.get("labels") == "folders")
    if not labels.counts:
        _from_names(labels)
    explain_codes(files, labels)
    part_lists.take_parts(files, labels)
    fill_from_folders(labels)
    labels.notes += [*contradictions(labels), *marked_folders(labels.films)]
    _take_parts_of_paths(labels)
    unify(labels)
    find_patients(files, labels, hints.get("patient", ""))
    leave_other_views(files, labels)
    return labels


def _take_parts_of_paths(labels: Labels) -> None:
    """Take folders, else words of file names, as parts where all films have one, and nothing else says them."""
    if any(film.split for film in labels.films.values()):
        return
    folders = {path: next(filter(_part, PurePosixPath(parent(path)).parts), "") for path in labels.films}
    names = {path: re.findall(r"[^\W\d_]{3,}", stem(path)) or [""] for path in labels.films}
    places = {
        "the folders": folders,
        "the first words of the file names,": {path: spoken[0] for path, spoken in names.items()},
        "the last words of the file names,": {path: spoken[-1] for path, spoken in names.items()},
    }
    for where, word_of in places.items():
        part_of = {path: _part(word) for path, word in word_of.items()}
        if all(part_of.values()) and len({*part_of.values()}) > 1:
            for path, film in labels.films.items():
                film.split = part_of[path]
            labels.reasons.append(f"the parts are those of {where} {listing({*word_of.values()})}")
            return


def _from_folders(files: Listing, labels: Labels, required: bool) -> None:
    """Take a folder per class, with or without a folder per part above (or below) it."""
    top = _shared(labels.films)
    if required and top and all(len(PurePosixPath(parent(path)).parts) == top for path in labels.films):
        top -= 1  # films of one class alone share its folder, too
    parts_of = {path: PurePosixPath(parent(path)).parts[top:] for path in labels.films}
    splits = _parts_by_folders(parts_of)
    for path, part in splits.items():
        if not labels.films[path].split:
            labels.films[path].split = part if all(splits.values()) else ""
    names = {path: [part for part in parts if _may_be_class(part)] for path, parts in parts_of.items()}
    first = _class_folders(names)
    loose = [path for path in labels.films if path not in first]
    expected = len(labels.films) - sum(bool(splits[path]) for path in loose)
    if not first or not (required or _classes(Counter(first.values()), expected)):
        return
    if not required and are_versions(files, first):
        folders = listing({*first.values()})
        labels.notes.append(f"{folders}: no classes, but versions of the same films (--images FOLDER takes one)")
        return
    unknown = _unknown(first.values(), labels)
    for path, film in labels.films.items():
        film.label = first.get(path, "") if first.get(path) not in unknown else ""
    labels.keys["labels"] = "folders"
    if not all(_read_by_source(parts_of[path], bool(splits[path]), label) for path, label in first.items()):
        labels.reasons.append("the folders of classes do not lie side by side, or not below train, val and test")
    labels.notes.insert(0, f"the folders {listing({*first.values()} - unknown)} as classes")
    if loose:
        labels.reasons.append(f"{counted(len(loose), 'film')} in no folder of a class: unlabelled")
    if all(splits.values()) and len({*splits.values()}) > 1:
        labels.notes.append(f"the folders {listing({*splits.values()})} as parts")


def _unknown(folders: Collection[str], labels: Labels) -> set[str]:
    """Folders whose films nobody could tell apart, "3. Unsure" beside two classes or more; with a reason."""
    unknown = {name for name in folders if words.without_number(name) in words.UNKNOWN}
    if not unknown or len({*folders} - unknown) < 2:
        return set()
    labels.reasons.append(f"films in {listing(unknown)} have no label")
    return unknown


def _class_folders(names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The uppermost folder of every film; the next one where that divides films of the same classes."""
    inner: dict[str, set[str]] = defaultdict(set)
    for parts in names.values():
        if parts:
            inner[parts[0]] |= {*parts[1:2]}
    classes = words.CLASSES | {*map(words.without_number, inner)}
    divisions = {
        folder
        for folder, below in inner.items()
        if words.without_number(folder) not in words.CLASSES
        and len(classes & {*map(words.without_number, below)}) > 1
    }
    return {path: parts[len(parts) > 1 and parts[0] in divisions] for path, parts in names.items() if parts}


def _parts_by_folders(folders: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Part of every film by its folders; beside parts, a folder of labelled films is for training."""
    part_of = {path: next(filter(None, map(_part, names)), "") for path, names in folders.items()}
    if any(part_of.values()):
        for path, names in folders.items():
            part_of[path] = part_of[path] or ("train" if {*map(words.plain, names)} & words.LABELLED else "")
    return part_of


def _may_be_class(folder: str) -> bool:
    """Whether a folder says no part, no role and no division of films."""
    spoken = _part(folder) or words.role(folder) == "images" or words.plain(folder) in words.LABELLED
    return not spoken and not DIVISION.fullmatch(folder)


def _part(folder: str) -> str:
    """Part that a folder is called by, alone or beside a word for images; "" for another."""
    return words.part(folder) or part_of_images(folder)


def _read_by_source(folders: Sequence[str], in_part: bool, label: str) -> bool:
    """Whether the source takes the class and the part from the folders of a film as they are."""
    if in_part:
        return part_of_folder(folders[0]) is not None and folders[1:2] == (label,)
    return folders[:1] == (label,)


def _shared(paths: Collection[str]) -> int:
    from mmtk.data.plan.roles import common

    return len(PurePosixPath(common(paths)).parts)


def _classes(counts: Counter[str], films: int) -> bool:
    """Whether folders look like classes: few, named by words, with several images each, and nearly all in one."""
    if not 2 <= len(counts) <= 20 or sum(counts.values()) < NEARLY_ALL * films:
        return False
    if {words.without_number(name) for name in counts} & words.CLASSES:
        return True
    counts = Counter({words.without_number(name): count for name, count in counts.items()})
    numbers = all(name.isdigit() and int(name) < len(counts) for name in counts)
    spoken = all(re.search(r"[A-Za-z]{2}", name) and not re.search(r"\d{3}", name) for name in counts)
    numbered = sum(bool(re.search(r"\d", name)) for name in counts) > len(counts) / 2
    return min(counts.values()) >= 3 and (numbers or (spoken and not numbered))


def _from_names(labels: Labels) -> None:
    """Take the class from names: as two public sets have it there, else a word."""
    for label_of, reason in (
        (_label_of_nlm, "the class is the last digit of the file name: 0 normal, 1 tuberculosis"),
        (
            _label_of_chex,
            "the class is in the file name: IM-1 normal, person1_bacteria and person1_virus pneumonia",
        ),
    ):
        label_by_film = {path: label_of(stem(path)) for path in labels.films}
        if all(label_by_film.values()) and len({*label_by_film.values()}) > 1:
            for path, label in label_by_film.items():
                labels.films[path].label = label
            labels.reasons.append(reason)
            return
    words_of = {path: re.findall(r"[^\W\d_]{2,}", stem(path)) for path in labels.films}
    fewest = min(map(len, words_of.values()), default=0)
    places = {0: "the first word", -1: "the last word"} if fewest else {}
    places |= {number: f"word {number + 1}" for number in range(1, fewest)}
    places |= {-number: f"word {number} from the end" for number in range(2, fewest)}
    for position, where in places.items():
        class_of = {path: name_words[position] for path, name_words in words_of.items()}
        counts = Counter(class_of.values())
        spoken = not {word.casefold() for word in counts} & NO_CLASSES
        if spoken and _classes(counts, len(class_of)) and _names_normal(counts):
            for path, word in class_of.items():
                labels.films[path].label = word
            labels.reasons.append(f"the class is {where} of the file name")
            return


def _label_of_nlm(name: str) -> str:
    """Class in a name of the sets of the National Library of Medicine; "" in others."""
    match = NLM.fullmatch(name)
    return ("normal", "tuberculosis")[int(match[1])] if match else ""


def _label_of_chex(name: str) -> str:
    """Class in a name of chest_xray, whose films of one kind are called after persons; "" in others."""
    if not PATIENT.match(name):
        return ""
    return "pneumonia" if name.casefold().startswith("person") else "normal"


def _names_normal(labels: Collection[str]) -> bool:
    """Whether one of the labels is a word for films without a finding."""
    return any(words.same_class(label) == "normal" for label in labels)
