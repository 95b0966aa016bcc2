"""Parts from texts that list films, such as ``train.txt`` and ``test_list.txt``."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mmtk.data.plan import words
from mmtk.data.plan.columns import film_of_cell, film_spellings
from mmtk.data.plan.films import Labels
from mmtk.data.plan.listing import Listing, read_lines
from mmtk.errors import listing

if TYPE_CHECKING:
    from mmtk.api import Split

OTHER_WORDS = {"list", "lists", "set", "split", "ids", "id", "files", "images", "names", "index"}
MOST = 50  # texts of one folder that are opened


def take_parts(files: Listing, labels: Labels) -> None:
    """Take the parts of films from texts named by a part, a film in every line; where two texts name films.

    ``train_val_list`` counts as train, of which val is taken later.
    """
    part_of_text = {path: part for path in files.texts if (part := _part(PurePosixPath(path).stem))}
    if len({*part_of_text.values()}) < 2 or any(film.split for film in labels.films.values()):
        return
    ways = film_spellings(labels.films)
    used: Counter[str] = Counter()
    for path, part in [*part_of_text.items()][:MOST]:
        for line in read_lines(files.root / path):
            if film := film_of_cell(line, ways):
                labels.films[film].split = part
                used[path] += 1
    if len({part_of_text[path] for path in used}) > 1:
        labels.reasons.append(f"the parts are those of the lists {listing(used)}")


def _part(name: str) -> Split | None:
    """The part that the name of a text says; None for another text."""
    name_words = [word for word in words.plain(name).split() if word not in OTHER_WORDS]
    parts = [words.PARTS[word] for word in name_words if word in words.PARTS]
    return parts[0] if parts and len(parts) == len(name_words) else None
