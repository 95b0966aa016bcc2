r"""Rows of a LaTeX table, such as ``UNet & \textbf{0.91} $\pm$ 0.02 & 3.1 \\``, as plain cells."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmtk.counts import counted
from mmtk.errors import MmtkError

ROW = re.compile(
    r"(?<!\\)&.*\\\\[ \t]*(?:\[[^\]\n]*\])?[ \t]*(?:\\[a-z]+.*|%.*)?$", re.MULTILINE
)  # no path of Windows
END = re.compile(r"\\\\(?:\[[^\]]*\])?")
RULES = re.compile(
    r"\\(?:toprule|midrule|bottomrule|hline|addlinespace|(?:cmidrule|cline)(?:\([^)]*\))?\{[^}]*\})(?:\[[^\]]*\])?"
)
COMMENT = re.compile(r"(?<!\\)%.*")
SPAN = re.compile(r"\s*\\multicolumn\s*\{(\d+)\}\s*\{[^}]*\}\s*\{(.*)\}\s*", re.DOTALL)
TALL = re.compile(r"\\multirow\s*(?:\[[^\]]*\])?\s*\{(\d+)\}\s*(?:\[[^\]]*\])?\s*\{[^}]*\}\s*\{(.*)\}", re.DOTALL)
UNPRINTED = re.compile(
    r"\\(?:cite[a-z]*|ref|footnote|footnotemark|tnote|label|[hv]space|(?:text|cell|row)?color)\*?\s*(?:\[[^\]]*\])?\{[^{}]*\}"
)
SIGNS = {r"\%": "%", r"\_": "_", r"\&": "&", r"\#": "#", "~": " ", r"\,": "", r"\;": " ", r"\!": ""}
NUMBER = re.compile(r"[-+]?\d*[.,]?\d+\s*%?(?:\s*[±(].*)?")
CURE = "Put a row of names above them: Method & Dice & HD95 \\\\"


@dataclass(frozen=True)
class LatexTable:
    """Cells of a LaTeX table: names of the columns, rows of as many cells, and the line of every row."""

    columns: list[str]
    rows: list[list[str]]
    lines: list[int]


def is_latex(text: str) -> bool:
    """Whether a text holds rows of a LaTeX table."""
    return bool(ROW.search(text))


def latex_table(text: str, where: str) -> LatexTable:
    """The one table of a text; rows without a number name columns, or head those below them.

    text: of a file
    where: the file, for messages
    """
    if (tables := len(re.findall(r"\\begin\{(?:tabular|longtable)", text))) > 1:
        raise MmtkError(f"holds {counted(tables, 'table')}.", where, "Write each to a file of its own.")
    lines = _lines(text)
    first = next((place for place, (_, cells) in enumerate(lines) if _has_number(cells)), None)
    width = max((len(cells) for _, cells in lines), default=0)
    heads = [_wide(cells, width) for _, cells in lines[:first] if not _is_group(cells)]
    if first is None or not heads:
        message = "holds no row of numbers." if first is None else "has no names above its numbers."
        raise MmtkError(message, where, CURE)
    names = [" ".join(dict.fromkeys(filter(None, column))) for column in zip(*heads, strict=True)]
    names[0] = names[0] or "Method"
    groups = any(_is_group(cells) for _, cells in lines)
    rows, numbers, group = [], [], ""
    for number, cells in lines:
        if _is_group(cells):
            group = next(filter(None, cells))
        elif _has_number(cells):
            rows.append([*_wide(cells, width), *[group] * groups])
            numbers.append(number)
    return LatexTable([*names, *["Group"] * groups], rows, numbers)


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """Line and cells of every row, cells of several rows or columns in each of them."""
    body = re.sub(r"(?s)^.*\\begin\{(?:tabular|longtable)[^\n]*", lambda match: "\n" * match[0].count("\n"), text)
    body = re.sub(r"(?s)\\end\{(?:tabular|longtable).*", "", COMMENT.sub("", body))
    rows = []
    below: dict[int, tuple[int, str]] = {}
    for match in re.finditer(rf"(?s)(.*?)(?:{END.pattern}|\Z)", body):
        content = RULES.sub("", match[1]).strip()
        if not content:
            continue
        cells = [cell for raw in re.split(r"(?<!\\)&", content) for cell in _spans(raw)]
        for place, cell in enumerate(cells):
            if tall := TALL.search(cell):
                below[place], cells[place] = (int(tall[1]), tall[2]), tall[2]
            count, covering = below.get(place, (0, ""))
            if count > 0:
                below[place] = count - 1, covering
                cells[place] = cells[place] if cells[place].strip() else covering
        rows.append((body.count("\n", 0, match.end(1)) + 1, [_plain(cell) for cell in cells]))
    return rows


def _spans(cell: str) -> list[str]:
    """A cell of several columns as one for each."""
    match = SPAN.fullmatch(cell)
    return [match[2]] * int(match[1]) if match else [cell]


def _plain(cell: str) -> str:
    """The text of a cell without commands."""
    cell = re.sub(r"[_^]\s*\{?\s*\\pm", r"\\pm", UNPRINTED.sub("", cell)).replace(r"\pm", "±")
    for sign, plain in SIGNS.items():
        cell = cell.replace(sign, plain)
    cell = re.sub(r"\\[a-zA-Z]+\*?|[${}]|\\(?=\s|$)", "", cell)
    return " ".join(re.sub("[↑↓†‡*]", "", cell).split())


def _has_number(cells: list[str]) -> bool:
    return any(NUMBER.fullmatch(cell) for cell in cells[1:])


def _is_group(cells: list[str]) -> bool:
    """Whether a row is one text over the rows below it."""
    return len(cells) > 1 and len({*filter(None, cells)}) == 1 and not _has_number(cells)


def _wide(cells: list[str], width: int) -> list[str]:
    return [*cells, *[""] * (width - len(cells))]
