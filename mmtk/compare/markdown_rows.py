"""Rows of a Markdown table, such as ``| UNet | **0.91** |``, as plain cells."""

from __future__ import annotations

import re

from mmtk.counts import counted
from mmtk.errors import MmtkError

RULE = re.compile(r"\s*\|?(?:\s*:?-+:?\s*\|)+\s*(?::?-+:?\s*)?")
CURE = "Write each to a file of its own."


def is_markdown(text: str) -> bool:
    """Whether a text holds a Markdown table: a line of dashes below a line of names."""
    return any(RULE.fullmatch(line) for line in text.splitlines())


def markdown_table(text: str, where: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Names of the columns of the one table in a text, its rows, and the line of every row.

    text: of a file
    where: the file, for messages
    """
    lines = text.splitlines()
    rules = [number for number, line in enumerate(lines) if RULE.fullmatch(line)]
    if len(rules) > 1:
        raise MmtkError(f"holds {counted(len(rules), 'table')}.", where, CURE)
    names = _cells(lines[rules[0] - 1]) if rules[0] else []
    rows, numbers = [], []
    for number, line in enumerate(lines[rules[0] + 1 :], rules[0] + 2):
        if "|" not in line:
            break
        rows.append((_cells(line) + [""] * len(names))[: len(names)])
        numbers.append(number)
    if not any(names) or not rows:
        raise MmtkError("has no rows.", where, "A table has a line of names, and a row for each number or case.")
    return names, rows, numbers


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return [cell.strip().replace(r"\|", "|") for cell in cells]
