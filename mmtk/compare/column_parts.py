"""Tables whose columns are named for a system, a seed or a case: as tables with a row for each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mmtk.compare.columns import Sheet
from mmtk.compare.score_names import SUMMARY, is_score_name, is_spread, is_statistic, known_score, plain
from mmtk.errors import listing
from mmtk.io.packed import unpacked

GAP = r"[\s_\-./:,()\[\]@|]"
SEED = re.compile(
    rf"(?:^|{GAP})(?:seed|fold|run|rep|replicate|repetition|trial|split|cv)[\s_\-=#.(\[]*(\d+)(?=$|{GAP})",
    re.IGNORECASE,
)
NUMBERED = re.compile(r"(\D*)\d+(\D*)")
STRUCTURES = re.compile(
    r"left|right|l|r|upper|middle|lower|lobes?|lungs?|heart|clavicles?|ribs?|trachea|bronch\w*|nodules?|aorta|ivc|veins?|"
    r"arter\w+|vessels?|atrium|ventricles?|myo\w*|lv|rv|la|ra|liver|spleen|kidneys?|pancreas|gallbladder|o?esophagus|"
    r"stomach|duodenum|colon|bowel|rectum|adrenals?|glands?|bladder|prostate|uterus|brain|brainstem|hippocampus|"
    r"chiasm|nerves?|cord|spine|vertebrae?|femur|tibia|bones?|cartilage|meniscus|muscles?|fat|skin|disc|cup|fovea|"
    r"nuclei|cells?|polyps?|cysts?|tumou?rs?|lesions?|edema|necrosis|organs?|background|foreground|wt|tc|et|whole|core|"
    r"enhancing|class|labels?|structures?|normal|pneumonia|both|[lrt]?\d+",
    re.IGNORECASE,
)  # parts of a name that are no system
MANY = 20  # numbered columns beyond which they are cases and no seeds
FEW = 5  # numbered columns that may be cases


@dataclass(frozen=True)
class Parts:
    """Parts of the name of a column; "" where it says none.

    system: such as ``unet`` of ``unet_dice_seed0``
    score: ``dice``
    seed: ``0``
    case: ``c07``, of a table with a row for each system
    """

    system: str = ""
    score: str = ""
    seed: str = ""
    case: str = ""


def column_parts(sheet: Sheet, roles: Mapping[str, str], alone: bool = True) -> dict[str, Parts]:
    """Parts by column, where the names of a table's columns say what its rows do not; else nothing.

    sheet: the table
    roles: column by role (mmtk.compare.layout)
    alone: whether there are no other tables, whose names could be those of systems

    Seeds: ``seed_0``, ``Fold 1``, ``dice_run2``; whole numbers alone (``0``, ``1``) beside a column of systems.
    Systems: ``unet_dice``, ``HD95 (swin)``, where every system has every score. Cases: ``c00``, ``c01``, … in a
    table of systems. ``dice_left`` and ``dice_1`` are structures, ``unet_seed0`` is a column of a wide table.
    """
    if "target" in roles:
        return {}
    names = [name for name in sheet.columns if name not in roles.values() and sheet.is_numeric(name)]
    names = [name for name in names if not _is_over_seeds(name)]
    unnamed = "value" if "metric" in roles else known_score(unpacked(Path(sheet.where)).stem) or "value"
    if "system" in roles and (numbered := _numbered(names, roles)):
        return {name: replace(part, score=unnamed) for name, part in numbered.items()}
    parts = {name: _parts(name, alone and "system" not in roles) for name in names}
    named = {name: part for name, part in parts.items() if part is not None and (part.seed or part.system)}
    systems = {part.system for part in named.values()}
    grid = {(part.system, part.score, part.seed) for part in named.values()}
    is_grid = len(named) == len(grid) == len(systems) * len({key[1:] for key in grid})
    seeds = {part.seed for part in named.values()}
    if not is_grid or len(systems) * len(seeds) < 2 or ("seed" in roles and seeds != {""}):
        return {}
    return {name: Parts(part.system, part.score or unnamed, part.seed) for name, part in named.items()}


def with_rows(sheet: Sheet, parts: Mapping[str, Parts]) -> Sheet:
    """A table with rows for the systems, seeds and cases of its columns, without means and spreads over seeds.

    sheet: the table
    parts: of the names of its columns
    """
    from pandas import concat

    over_seeds = [name for name in sheet.columns if name not in parts and _is_over_seeds(name)]
    others = [name for name in sheet.columns if name not in parts and name not in over_seeds]
    columns: dict[tuple[str, str, str], dict[str, str]] = {}
    for name, part in parts.items():
        columns.setdefault((part.system, part.seed, part.case), {})[name] = part.score
    tables = []
    for key, scores in columns.items():
        texts = {role: text for role, text in zip(("system", "seed", "case"), key, strict=True) if text}
        tables.append(sheet.frame[[*others, *scores]].rename(columns=scores).assign(**texts))
    rows = Sheet(concat(tables, ignore_index=True), sheet.where, [*sheet.lines] * len(tables))
    left_out = [f"{listing(over_seeds)}: over the seeds, left out"] if over_seeds else []
    rows.notes += [*sheet.notes, *left_out]
    return rows


def part_lines(parts: Mapping[str, Parts]) -> Iterator[tuple[str, str]]:
    """Role and line of a mapping, for every part that the names of columns say."""
    for role in ("system", "seed", "case"):
        texts = dict.fromkeys(text for part in parts.values() if (text := getattr(part, role)))
        if texts:
            columns = f"{next(iter(parts))}, …"
            yield role, f"{role}: from the names of columns ({columns}): {listing(texts, 12)}"


def _numbered(names: list[str], roles: Mapping[str, str]) -> dict[str, Parts]:
    """Columns that differ in a number alone, beside a column of systems: seeds, or many cases."""
    around = {NUMBERED.sub(r"\1|\2", name, count=1) if NUMBERED.fullmatch(name) else name for name in names}
    if len(around) != 1 or len(names) < 2 or any(is_score_name(name) or SEED.search(name) for name in names):
        return {}
    are_numbers = around == {"|"}
    if are_numbers and "seed" not in roles and len(names) <= MANY:
        return {name: Parts(seed=name) for name in names}
    if "case" in roles or "metric" in roles or len(names) < FEW:
        return {}
    return {name: Parts(case=name) for name in names}


def _parts(name: str, may_say_system: bool) -> Parts | None:
    """Parts of a name; None where it says no seed and no system, or where what is left is no score.

    name: of a column
    may_say_system: whether nothing else names the systems
    """
    match = SEED.search(name)
    seed = match[1] if match else ""
    rest = _stripped(SEED.sub(" ", name, count=1))
    if not rest or not may_say_system:
        return Parts(score=rest, seed=seed) if not rest or (seed and is_score_name(rest)) else None
    if is_score_name(rest, whole=True):
        return Parts(score=rest, seed=seed)
    system, score = _split(rest)
    words = re.split(rf"{GAP}+", system)
    if not score or any(STRUCTURES.fullmatch(word) or is_statistic(word) for word in words):
        return None
    return Parts(system, score, seed)


def _split(name: str) -> tuple[str, str]:
    """System and score of a name that begins or ends with a score; "" of another."""
    for gap in re.finditer(rf"{GAP}+", name):  # the longest score at the end, then the longest at the beginning
        if is_score_name(name[gap.end() :], whole=True):
            return _stripped(name[: gap.start()]), _stripped(name[gap.end() :])
    for gap in reversed([*re.finditer(rf"{GAP}+", name)]):
        if is_score_name(name[: gap.start()], whole=True):
            return _stripped(name[gap.end() :]), _stripped(name[: gap.start()])
    return "", ""


def _stripped(name: str) -> str:
    return re.sub(rf"^{GAP}+|{GAP}+$", "", name)


def _is_over_seeds(name: str) -> bool:
    """Whether a column is a mean or a spread over the seeds beside it."""
    return is_spread(name) or plain(name) in SUMMARY
