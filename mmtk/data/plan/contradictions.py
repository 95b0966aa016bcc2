"""Films whose folder says another class, or another part, than their table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.films import Labels
from mmtk.data.plan.listing import parent
from mmtk.errors import listing


def fill_from_folders(labels: Labels) -> None:
    """Take folders as classes of films without a row, where no film with a row lies in one of a class.

    So a table has the answers of a test part, and folders those of the training part.
    """
    names = {words.same_class(label): label for label in labels.counts}
    class_of = {
        path: _first(path, lambda folder: names.get(words.same_class(folder), "")) for path in labels.films
    }
    filled = [path for path, label in class_of.items() if label and path not in labels.listed]
    if filled and len(filled) == sum(map(bool, class_of.values())) and labels.listed:
        for path in filled:
            labels.films[path].label = class_of[path]
        count = counted(len(filled), "film")
        labels.reasons.append(f"{count} without a row: their folders, which have the names of classes, are these")


def contradictions(labels: Labels) -> Iterator[str]:
    """Yield notes on films in a folder of another class, or part, than their table gives them."""
    classes = {path: words.same_class(film.label) for path, film in labels.films.items() if film.label}
    names = {*classes.values()}

    def class_of_folder(folder: str) -> str:
        name = words.same_class(folder)
        return name if name in names else ""

    yield from _differences("class", classes, class_of_folder)
    parts = {path: film.split for path, film in labels.films.items() if film.split}
    yield from _differences("part", parts, words.part)


def _differences(kind: str, table: Mapping[str, str], folder_word: Callable[[str], str]) -> Iterator[str]:
    """Yield a note where folders of most films say a word of this kind, and some another one than the table."""
    words_above = {path: word for path in table if (word := _first(path, folder_word))}
    different = sorted(path for path, word in words_above.items() if word != table[path])
    if different and 2 * len(different) < len(words_above):
        examples = listing((f"{path} ({table[path]})" for path in different), 3)
        count = counted(len(different), "film lies", "films lie")
        yield f"{count} in a folder of another {kind} than the table gives: {examples}. The table counts"


def _first(path: str, folder_word: Callable[[str], str]) -> str:
    """First word that the folders of a path say; "" for none."""
    return next(filter(None, map(folder_word, PurePosixPath(parent(path)).parts)), "")
