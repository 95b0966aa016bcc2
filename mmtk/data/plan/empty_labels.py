"""Cells of a column of labels that are no label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from mmtk.components.source._words import EMPTY, unlabelled_numbers
from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.films import Labels
from mmtk.errors import listing

SUSPECTED = {
    *("v a", "va", "verdacht", "verdacht auf", "fraglich", "fragliche", "möglich", "mögliche", "vermutlich", "dd"),
    *("suspected", "suspect", "suspicion", "suspicion of", "susp", "possible", "possibly", "probable", "probably"),
    *(
        "likely",
        "questionable",
        "equivocal",
        "doubtful",
        "suspecté",
        "suspicion de",
        "douteux",
        "posible",
        "sospecha",
    ),
    *("sospetto", "sospetta", "suspeita", "verdenking", "mistanke", "misstanke", "подозрение", "podejrzenie"),
}


def is_suspected(cell: str) -> bool:
    """Whether a label only suspects its finding: "V.a. Pneumonie", "pneumonia (suspected)", "TB?", "疑似肺炎"."""
    parts = words.plain(cell).split()
    ends = {" ".join(parts[:1]), " ".join(parts[:2]), " ".join(parts[-1:])}
    return bool(ends & SUSPECTED) or cell.rstrip().endswith("?") or cell.startswith(("疑", "可疑", "怀疑"))


def empty_labels(cells: Sequence[str], column: str, labels: Labels) -> Collection[str]:
    """Words that stand for an empty cell; notes name them. "none" is a class where there is but one other."""
    unknown = {cell.casefold() for cell in cells if words.plain(cell) in words.UNKNOWN} - EMPTY
    suspected = {cell.casefold() for cell in cells if is_suspected(cell)} - EMPTY
    if len({cell.casefold() for cell in cells if cell} - EMPTY - unknown - suspected) > 1:
        unknown |= suspected  # else they are the only class beside the others
    others = {cell.casefold() for cell in cells if cell} - EMPTY - unknown
    empty = EMPTY - {"none"} if len(others) == 1 else EMPTY
    empty = empty | unlabelled_numbers(others) | unknown
    if unknown:
        labels.reasons.append(f"a film has no label where it says {listing(sorted(unknown))}")
    blank = Counter(cell for cell in cells if cell.casefold() in EMPTY | empty)
    for cell, count in sorted(blank.items()):
        use = "as no label" if cell.casefold() in empty else "as a class"
        labels.notes.append(f'"{cell}" in "{column}" counts {use} ({counted(count, "row")})')
    return empty
