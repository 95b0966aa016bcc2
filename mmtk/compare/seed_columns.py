"""Tables with a column for every seed, run or fold of a score, as rows with a seed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mmtk.compare.columns import Sheet
from mmtk.compare.score_names import SUMMARY, is_score_name, is_spread, known_score, plain
from mmtk.errors import listing

WORDS = "seed|fold|run|rep|replicate|repetition|trial|split|cv"
LAST = re.compile(
    rf"(?:(?P<score>.+?)[\s_\-./:(\[@]*)??(?:{WORDS})[\s_\-=#.(\[]*(?P<seed>\d+)[)\]]?", re.IGNORECASE
)
FIRST = re.compile(rf"(?:{WORDS})[\s_\-=#.]*(?P<seed>\d+)[\s_\-./:]+(?P<score>.+)", re.IGNORECASE)
NUMBER = re.compile(r"(?P<score>)(?P<seed>\d+)")


def seed_columns(sheet: Sheet, roles: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Score and seed by column, of the columns that are seeds: ``seed_0``, ``Fold 1``, ``dice_run2``.

    sheet: the table
    roles: column by role (mmtk.compare.layout)

    None where the table has a column of seeds or of targets, or fewer than two columns that are seeds. Columns
    of whole numbers alone (``0``, ``1``, ``2``) are seeds beside a column of systems. A name before the seed that
    is no score is that of a system.
    """
    if "seed" in roles or "target" in roles:
        return {}
    names = [name for name in sheet.columns if name not in roles.values() and sheet.is_numeric(name)]
    names = [name for name in names if not _is_over_seeds(name)]
    unnamed = "value" if "metric" in roles else known_score(Path(sheet.where).stem) or "value"
    patterns = [LAST, FIRST]
    if "system" in roles and all(NUMBER.fullmatch(name) for name in names):
        patterns.append(NUMBER)
    seeds: dict[str, tuple[str, str]] = {}
    for name in names:
        match = next(filter(None, (pattern.fullmatch(name) for pattern in patterns)), None)
        score = (match and match["score"]) or ""
        if match and (not score or is_score_name(score, whole="system" not in roles)):
            seeds[name] = (score or unnamed, match["seed"])
    return seeds if len({seed for _, seed in seeds.values()}) > 1 else {}


def with_seed_rows(sheet: Sheet, seeds: Mapping[str, tuple[str, str]]) -> Sheet:
    """A table with a row for every seed, without means and spreads over the seeds.

    sheet: the table
    seeds: score and seed by column
    """
    from pandas import concat

    over_seeds = [name for name in sheet.columns if name not in seeds and _is_over_seeds(name)]
    others = [name for name in sheet.columns if name not in seeds and name not in over_seeds]
    parts = []
    for seed in dict.fromkeys(seed for _, seed in seeds.values()):
        scores = {column: score for column, (score, number) in seeds.items() if number == seed}
        parts.append(sheet.frame[[*others, *scores]].rename(columns=scores).assign(seed=seed))
    rows = Sheet(concat(parts, ignore_index=True), sheet.where, [*sheet.lines] * len(parts))
    left_out = [f"{listing(over_seeds)}: over the seeds, left out"] if over_seeds else []
    rows.notes += [*sheet.notes, *left_out]
    return rows


def _is_over_seeds(name: str) -> bool:
    """Whether a column is a mean or a spread over the seeds beside it."""
    return is_spread(name) or plain(name) in SUMMARY
