"""Legends of codes: what 1, 2, … mean, in the name of their column, in a table, or in a text beside the films."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import permutations

from mmtk.data.plan import words
from mmtk.data.plan.columns import SEVERAL
from mmtk.data.plan.films import Labels
from mmtk.data.plan.listing import Listing, read_lines, stem
from mmtk.data.plan.spellings import NO, YES
from mmtk.data.plan.tables import Table
from mmtk.io.spelling import folded_word

CODE = re.compile(r"-?\d{1,3}|[^\W\d_]{1,2}")
PAIR = re.compile(r"(?<!\w)(-?\w{1,3})\s*[=:]\s*([^\W\d_][^=:;,|/]*?)\s*(?=[,;|/)\]]|$)")
LEGENDS = {
    *(
        "legend",
        "legends",
        "legende",
        "legenda",
        "leyenda",
        "légende",
        "codebook",
        "code",
        "codes",
        "coding",
        "key",
    ),
    *(
        "keys",
        "dictionary",
        "schlüssel",
        "codierung",
        "kodierung",
        "meaning",
        "bedeutung",
        "signification",
        "lookup",
    ),
    *("mapping", "classes", "klassen", "labels", "description", "beschreibung", "significado", "significato"),
    *("图例", "说明", "含义", "編碼", "凡例", "легенда", "коды", "код"),
}
MOST_CODES, MOST_TEXTS = 20, 20
Meanings = tuple[Mapping[str, str], str]  # meaning by code, and where it stands


def explain_codes(files: Listing, labels: Labels) -> None:
    """Put meanings in the place of codes where a legend explains all of them; a code for "unknown" is no label."""
    columns = labels.keys.get("columns")
    column = str(columns.get("label", "")) if isinstance(columns, dict) else ""
    if _explain_normal(column, labels):
        return
    codes = {part for label in labels.counts for part in SEVERAL.split(label)}
    if not 1 < len(codes) <= MOST_CODES or not all(map(CODE.fullmatch, codes)):
        return
    legends = _legends(files, column, codes)
    complete = (
        one for one in legends if codes <= {*one[0]} and len({one[0][code] for code in codes}) == len(codes)
    )
    meanings, where = next(complete, ({}, ""))
    if not meanings:
        return
    for film in labels.films.values():
        parts = (meanings[part] for part in SEVERAL.split(film.label)) if film.label else ()
        if film.label:
            film.label = "|".join(text for text in parts if words.plain(text) not in words.UNKNOWN)
    texts = ", ".join(f"{code} {meanings[code]}" for code in sorted(codes))
    labels.reasons.append(f"the codes are replaced by what {where} says of them: {texts}")
    labels.files = {*labels.files, where}
    labels.notes[:] = [note for note in labels.notes if not note.startswith(f"the table {where} ")]


def _explain_normal(column: str, labels: Labels) -> bool:
    """Put classes in the place of answers to a column such as "no_finding", whose 1 is normal; whether it did."""
    name = re.sub(r"^is ", "", words.plain(column))
    answers = {label: folded_word(label).removesuffix(".0") for label in labels.counts}
    yes, no = ({label for label, answer in answers.items() if answer in kind} for kind in (YES, NO))
    if words.same_class(name) != "normal" or not (yes and no) or len(yes | no) < len(answers):
        return False
    for film in labels.films.values():
        if film.label:
            film.label = name if film.label in yes else "finding"
    texts = f"{min(yes)} {name}, {min(no)} finding"
    labels.reasons.append(f'"{column}" says which films have no finding: {texts}')
    return True


def _legends(files: Listing, column: str, codes: Collection[str]) -> Iterator[Meanings]:
    """Yield what may be legends: the surest first."""
    yield dict(PAIR.findall(column)), f'the name of "{column}"'
    for name, table in {**files.sheets, **files.tables}.items():
        for one, other in permutations(dict.fromkeys(table.columns), 2):
            meanings = _meanings(table, one, other, column)
            names = {*words.plain(f"{name} {one} {other}").split()}
            is_legend = bool(names & LEGENDS) or words.plain(one) == words.plain(column)
            if meanings and (is_legend or any(words.says_normal(meanings.get(code, "")) for code in codes)):
                yield meanings, name
    for path in files.jsons[:MOST_TEXTS]:
        if isinstance(content := files.json(path), dict):
            texts = {str(code): str(text) for code, text in content.items()}
            yield from ((texts, path), ({text: code for code, text in texts.items()}, path))
    films = {stem(path) for path in files.images}
    for text in [path for path in files.texts if stem(path) not in films][:MOST_TEXTS]:
        yield dict(pair for line in read_lines(files.root / text) for pair in PAIR.findall(line)), text


def _meanings(table: Table, code: str, text: str, column: str) -> dict[str, str]:
    """Meaning by code, of the rows about the column where the table has those of several; none of other tables."""
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    about = [row for row in rows if column in row.values()]
    pairs = [(row[code], row[text]) for row in about or rows if row[code] and row[text]]
    meanings = dict(pairs)
    are_texts = all(re.search(r"[^\W\d_]{2}", meaning) for meaning in meanings.values())
    return meanings if len(meanings) == len(pairs) and are_texts else {}
