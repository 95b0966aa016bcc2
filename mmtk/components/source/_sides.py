"""Left and right among the names of organs."""

from __future__ import annotations

import re
from collections.abc import Sequence

RIGHT_OF = {
    "left": "right",
    "l": "r",
    "links": "rechts",
    "linke": "rechte",
    "linker": "rechter",
    "li": "re",
    "gauche": "droite",
    "izquierdo": "derecho",
    "izquierda": "derecha",
    "esquerdo": "direito",
    "sinistro": "destro",
    "sx": "dx",
    "izq": "der",
    "esq": "dir",
    "левое": "правое",
    "левый": "правый",
    "左": "右",
}
OTHER = RIGHT_OF | {right: left for left, right in RIGHT_OF.items()}
_SIDE = re.compile(rf"(?<![^\W_])(?i:{'|'.join(sorted(OTHER, key=len, reverse=True))})(?![a-z])")


def mirrored(path: str) -> str:
    """Exchange left and right in a path: ``Left Lung/7_L.png`` becomes ``Right Lung/7_R.png``."""

    def other(match: re.Match[str]) -> str:
        side = OTHER[match[0].casefold()]
        return side.upper() if match[0].isupper() else side.capitalize() if match[0][0].isupper() else side

    return _SIDE.sub(other, path)


def sides(names: Sequence[str]) -> list[list[str]]:
    """Pairs of names, left and right, that a horizontal flip exchanges."""
    named = {tuple(_words(name)): name for name in names}
    pairs = []
    for words, name in named.items():
        other = tuple(RIGHT_OF.get(word, word) for word in words)
        if other != words and other in named:
            pairs.append([name, named[other]])
    return pairs


def _words(name: str) -> list[str]:
    """Words of a name in lower case: ``leftMask`` and ``left_mask`` are ``left mask``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", re.sub(r"(?i)(left|right)(?=[a-z])|([左右])", r" \1\2 ", spaced).casefold())
