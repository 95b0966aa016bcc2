"""Spellings of one class in a column: in other letters, as a number with .0, as yes and 1, as words for normal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from mmtk.data.plan import words
from mmtk.data.plan.columns import SEVERAL
from mmtk.data.plan.films import Labels
from mmtk.io.spelling import folded_word

NO = {
    *("0", "no", "n", "false", "f", "neg", "negative", "absent", "not present", "not detected"),
    *("undetected", "not seen", "nein", "negativ", "nicht vorhanden", "nicht nachgewiesen", "falsch"),
    *("non", "négatif", "négative", "non détecté", "faux", "nee", "negatief", "afwezig", "nej", "nei"),
    *("ne", "nie", "negatywny", "hayır", "negatif", "não", "negativo", "negativa", "ausente"),
    *("no detectado", "não detectado", "falso", "assente", "non rilevato", "нет", "отрицательный"),
    *("отрицательно", "отсутствует", "否", "无", "無", "阴性", "陰性", "なし", "음성", "아니오"),
}
YES = {
    *("1", "yes", "y", "true", "t", "pos", "positive", "present", "detected", "seen", "ja", "positiv"),
    *("vorhanden", "nachgewiesen", "wahr", "oui", "positif", "présent", "présente", "détecté", "vrai"),
    *("positief", "aanwezig", "tak", "ano", "áno", "pozytywny", "evet", "pozitif", "si", "sí", "sì"),
    *("sim", "positivo", "positiva", "presente", "detectado", "verdadero", "verdadeiro", "vero"),
    *("rilevato", "да", "есть", "положительный", "положительно", "присутствует", "是", "有", "阳性"),
    *("陽性", "あり", "양성", "예"),
}


def unify(labels: Labels) -> None:
    """Give the films of one class one spelling, the most frequent; a reason names the others."""
    cells = Counter(
        part for film in labels.films.values() if film.label for part in SEVERAL.split(film.label) if part
    )
    spelling_of = one_spelling(cells)
    if labels.keys.get("labels") != "folders":
        normal = Counter({spelling_of[cell]: 0 for cell in cells if words.says_normal(cell)})
        normal.update({spelling_of[cell]: cells[cell] for cell in cells if spelling_of[cell] in normal})
        spelling_of |= {cell: _most_frequent(normal, normal) for cell in cells if spelling_of[cell] in normal}
    if all(re.fullmatch(r"\d+(\.0+)?", spelling) for spelling in spelling_of.values()):
        spelling_of = {cell: spelling.partition(".")[0] for cell, spelling in spelling_of.items()}
    changed = {cell: spelling for cell, spelling in spelling_of.items() if cell != spelling}
    if not changed:
        return
    for film in labels.films.values():
        if film.label:
            parts = (spelling_of.get(part, part) for part in SEVERAL.split(film.label))
            film.label = "|".join(dict.fromkeys(part for part in parts if part))
    texts = ", ".join(f"{cell} as {spelling}" for cell, spelling in sorted(changed.items()))
    labels.reasons.append(f"spellings of one class are put together: {texts}")


def one_spelling(cells: Counter[str]) -> dict[str, str]:
    """Spelling of the class that each cell means; ``cells`` counts their rows."""
    groups: dict[str, list[str]] = {}
    for cell in cells:
        groups.setdefault(_key(cell), []).append(cell)
    if len(groups) > 2 and {*groups} <= NO | YES:
        groups = {word: [c for key in {*groups} & words for c in groups[key]] for word, words in _ANSWERS.items()}
    return {cell: _most_frequent(group, cells) for group in groups.values() for cell in group}


_ANSWERS = {"no": NO, "yes": YES}


def _key(cell: str) -> str:
    """Spelling that ignores case, spaces and a .0 behind whole numbers."""
    folded = folded_word(cell)
    return match[1] if (match := re.fullmatch(r"(-?\d+)[.,]0+", folded)) else folded


def _most_frequent(group: Collection[str], cells: Counter[str]) -> str:
    return min(group, key=lambda cell: (-cells[cell], len(cell), cell))
