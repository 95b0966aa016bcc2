"""Letters that are printed on films of the phantom."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mmtk.components.source._phantom_chest import Array

GLYPHS = {
    "R": "11110 10001 11110 10010 10001",
    "L": "10000 10000 10000 10000 11111",
    "P": "11110 10001 11110 10000 10000",
    "A": "01110 10001 11111 10001 10001",
    "E": "11111 10000 11110 10000 11111",
    "C": "01111 10000 10000 10000 01111",
    "T": "11111 00100 00100 00100 00100",
}


@lru_cache(maxsize=16)
def bitmap(word: str) -> Array:
    """Dots of a word, bool [5, 6 × letters − 1]: a letter is five dots high and wide, with one between two."""
    letters = [GLYPHS[letter].split() for letter in word]
    return np.array([list("0".join(line)) for line in zip(*letters, strict=True)]) == "1"


def text(word: str, columns: Array, rows: Array) -> Array:
    """Mask [size, size] of a printed word with letters one unit high and wide, at ``columns`` and ``rows``."""
    dots = bitmap(word)
    i, j = np.floor(rows.ravel() * 5).astype(int), np.floor(columns.ravel() * 6).astype(int)
    ink = np.zeros((len(i), len(j)), bool)
    (top, bottom), (left, right) = i.searchsorted((0, dots.shape[0])), j.searchsorted((0, dots.shape[1]))
    ink[top:bottom, left:right] = dots[i[top:bottom, None], j[left:right]]
    return ink
