"""Films whose folder says another class, or another part, than their table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.films import Labels
from mmtk.data.plan.listing import parent
from mmtk.errors import listing


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
    words_above = {
        path: word for path in table if (word := next(filter(None, map(folder_word, _folders(path))), ""))
    }
    different = sorted(path for path, word in words_above.items() if word != table[path])
    if different and 2 * len(different) < len(words_above):
        examples = listing((f"{path} ({table[path]})" for path in different), 3)
        count = counted(len(different), "film lies", "films lie")
        yield f"{count} in a folder of another {kind} than the table gives: {examples}. The table counts"


def _folders(path: str) -> tuple[str, ...]:
    return PurePosixPath(parent(path)).parts
