"""Parts from texts that list films, such as ``train.txt`` and ``test_list.txt``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import film_of_cell, film_spellings
from mmtk.data.plan.films import Labels
from mmtk.data.plan.listing import Listing, parent, read_lines
from mmtk.errors import listing

if TYPE_CHECKING:
    from mmtk.api import Split

OTHER_WORDS = {"list", "lists", "set", "split", "ids", "id", "files", "images", "names", "index"}
MOST = 50  # texts of one folder that are opened


def take_parts(files: Listing, labels: Labels) -> None:
    """Take the parts of films from texts named by a part, a film in every line; where two texts name films.

    ``train_val_list`` counts as train, of which val is taken later.
    """
    part_of_text = _parts(files.texts)
    if len({*part_of_text.values()}) < 2 or any(film.split for film in labels.films.values()):
        return
    ways = film_spellings(labels.films)
    used: Counter[str] = Counter()
    parts: dict[str, set[Split]] = defaultdict(set)
    for path, part in [*part_of_text.items()][:MOST]:
        for line in read_lines(files.root / path):
            if film := film_of_cell(line, ways):
                parts[film].add(part)
                used[path] += 1
    if len({part_of_text[path] for path in used}) < 2:
        return
    if 2 * sum(len(several) > 1 for several in parts.values()) > len(parts):
        labels.notes.append(
            f"the lists {listing(used, 3)} put films into several parts, as folds do: they are not read, "
            "and the parts are drawn anew (mmtk ablate --folds 5 tests every film once)"
        )
        return
    for film, several in parts.items():
        labels.films[film].split = max(several, key=("train", "val", "test").index)
    labels.reasons.append(f"the parts are those of the lists {listing(used)}")
    if twice := [film for film, several in parts.items() if len(several) > 1]:
        count = counted(len(twice), "film stands", "films stand")
        labels.reasons.append(f"{count} in lists of several parts: for the last of train, val and test")


def _parts(texts: Sequence[str]) -> dict[str, Split]:
    """Parts that the names of texts say, alone or with words that the texts of other parts have, too."""
    part_of: dict[tuple[str, frozenset[str]], dict[str, Split]] = defaultdict(dict)
    for path in texts:
        name_words = {*words.plain(PurePosixPath(path).stem).split()} - OTHER_WORDS
        spoken = [word for word in words.plain(PurePosixPath(path).stem).split() if word in words.PARTS]
        if spoken:
            part_of[parent(path), frozenset(name_words - {*spoken})][path] = words.PARTS[spoken[0]]
    return {
        path: part
        for (_, others), group in part_of.items()
        for path, part in group.items()
        if not others or len({*group.values()}) > 1
    }
