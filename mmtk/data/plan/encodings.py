"""Text of tables whose encoding nothing states: the one in which they name the files, or speak in known words."""

from __future__ import annotations

import re
from collections.abc import Collection

from mmtk.data.plan import words
from mmtk.data.plan.patient_words import patient_rank
from mmtk.io.spelling import without_marks

ENCODINGS = (
    *("gb18030", "big5", "shift_jis", "euc_kr", "cp1251", "cp1250", "cp1253", "cp1254"),
    *("mac_roman", "cp850"),
)


def decode(raw: bytes, names: Collection[str] = ()) -> tuple[str, str]:
    """Decode a table; return its text, and the encoding where training reads another: UTF-8, else Windows-1252.

    names: of the files in the folder, without suffix

    Marks of writing direction, as Excel writes them into Arabic and Hebrew, are left out of the text.
    """
    text, encoding = _decode(raw, names)
    plain = without_marks(text)
    return plain, encoding if plain == text else f"{encoding or 'UTF-8'} with marks of writing direction"


def _decode(raw: bytes, names: Collection[str]) -> tuple[str, str]:
    """Decode a table, as ``decode`` does, with all its signs.

    Bytes tell Chinese from Western letters badly: the encoding is taken that gives most names of files and known
    words as cells, and Western letters where none gives more.
    """
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace"), ""
    if b"\0" in raw[:200]:
        little = raw[1:2] == b"\0"
        return raw.decode("utf-16-le" if little else "utf-16-be", errors="replace"), "UTF-16 without a mark"
    try:
        return raw.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        pass
    try:
        text, encoding = raw.decode("cp1252"), ""
    except UnicodeDecodeError:
        text, encoding = raw.decode("latin-1"), "latin-1"
    best = _familiar_cells(text, names)
    for candidate in ENCODINGS:
        try:
            other = raw.decode(candidate)
        except UnicodeDecodeError:
            continue
        if (count := _familiar_cells(other, names)) > best:
            best, text, encoding = count, other, candidate
    return text, encoding


def _familiar_cells(text: str, names: Collection[str]) -> int:
    """Number of different cells beyond ASCII that are names of files or known words."""
    cells = {cell.strip(' "') for cell in re.split(r"[,;\t|\r\n]", text) if not cell.isascii()}
    return sum(_is_word(cell) or cell.rpartition(".")[0] in names or cell in names for cell in cells)


def _is_word(cell: str) -> bool:
    word = words.plain(cell)
    vocabularies = (words.NORMAL, words.CLASSES, words.LABEL_COLUMNS, words.PARTS)
    return any(word in vocabulary for vocabulary in vocabularies) or patient_rank(cell) > 0
