"""Words for what masks show, in the names of folders, files, columns and channels. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import normalize

LUNG = "lung"
UNNAMED = "mask"  # channel of masks of which nothing says what they show
_NAMES = {
    LUNG: "lung lungs lunge lungen lungenfeld poumon poumons pulmonaire pulmón pulmon pulmones polmone polmoni "
    "pulmão pulmões longen płuco płuca лёгкие легкие лёгкое лёгких 肺 肺部 肺野 폐",
    "heart": "heart herz cœur coeur corazón corazon cuore coração hart serce сердце 心脏 心臓 심장",
    "clavicle": "clavicle clavicles schlüsselbein clavicule clavícula clavicola ключица 锁骨 鎖骨",
    "rib": "rib ribs rippe rippen côte côtes costilla costillas costola coste ребро рёбра 肋骨",
    "lesion": "lesion lesions läsion läsionen lésion lésions lesión lesiones lesione lesioni очаг 病灶 病変",
    "infection": "infection infections infektion infektionen infección infezione infecção инфекция 感染",
    "nodule": "nodule nodules rundherd knoten nódulo nodulo 结节 結節",
    "pneumothorax": "pneumothorax neumotórax pneumotorace пневмоторакс 气胸 気胸",
    "opacity": "opacity opacities verschattung opacité opacidad opacità",
    "trachea": "trachea luftröhre trachée tráquea трахея 气管 気管",
    "spine": "spine wirbelsäule rachis позвоночник 脊柱",
}
ORGANS = {word: name for name, words in _NAMES.items() for word in words.split()}
_STEMS = {word: name for word, name in ORGANS.items() if len(word) > 3 and word.isascii()}


def organ(text: str) -> str:
    """Name of the first organ that a text speaks of, alone or before another word (``lungmask``); "" for none."""
    spaced = re.sub(r"(?<=[a-zäöü])(?=[A-Z])", " ", normalize("NFC", text))
    for word in re.split(r"[\W_]+", spaced.casefold()):
        if name := ORGANS.get(word) or next((_STEMS[stem] for stem in _STEMS if word.startswith(stem)), ""):
            return name
    return ""


def first_organ(texts: Iterable[str]) -> str:
    """Name of the organ that the first of several texts speaks of; the unnamed ``mask`` where none does."""
    return next(filter(None, map(organ, texts)), UNNAMED)
