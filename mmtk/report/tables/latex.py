"""A table as LaTeX that fits its page: long cells wrap, wide tables lie across, long ones run over pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_GREEK = "alpha beta gamma delta epsilon theta kappa lambda mu pi rho sigma tau varphi chi omega Pi Sigma Delta"
TIED = re.compile(r"(?<=\d) (?=[±×%]|to )|(?<=[±×]) (?=\d)|(?<=\d to) (?=[−\d])")  # spaces within numbers
TIE = "\N{NO-BREAK SPACE}"
_SIGNS = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "|": r"\textbar{}",
        TIE: "~",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "−": "$-$",
        "–": "{--}",
        "×": r"$\times$",
        "→": r"$\rightarrow$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "≈": r"$\approx$",
        "∞": r"$\infty$",
        "<": "$<$",
        ">": "$>$",
        "†": r"$^{\dagger}$",
        "…": r"\dots{}",
    }
    | {letter: rf"$\{name}$" for letter, name in zip("αβγδεθκλμπρστφχωΠΣΔ", _GREEK.split(), strict=True)}
    | {sign: "\\" + sign for sign in "&%$#_{}"}
)
GAP = 2  # characters between two columns


class Page(NamedTuple):
    """A way to set a table: size of its type, characters of a line, lines of a page, whether it lies across."""

    size: str
    line: int
    lines: int
    across: bool = False


PAGES = (
    Page(r"\small", 82, 42),
    Page(r"\footnotesize", 92, 46),
    Page(r"\footnotesize", 138, 26, across=True),
    Page(r"\scriptsize", 172, 30, across=True),
)
CAPTION_LINE = {False: 85, True: 130}  # characters of a line of the caption, by ``across``
WRAPPED = 1.4  # text in lines of a page, above which the next page is tried


class Column(NamedTuple):
    """A heading and whether numbers stand below it."""

    heading: str
    numeric: bool


@dataclass(frozen=True)
class LatexTable:
    """A booktabs table, which LaTeX numbers itself.

    name: of its label; caption: its text; columns: headings; rows: texts of the cells, and whether they are bold.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[tuple[str, bool]]]

    def text(self) -> str:
        """The table as a float, or over several pages where it is longer than one."""
        page, widths = self._layout()
        length = self._length(page, widths)
        columns = self._preamble(widths)
        head = [r"\toprule", " & ".join(latex(c.heading) for c in self.columns) + r" \\", r"\midrule"]
        rows = [
            " & ".join(rf"\textbf{{{_cell(t)}}}" if bold else _cell(t) for t, bold in row) + r" \\"
            for row in self.rows
        ]
        caption = rf"\caption{{{latex(self.caption)}}}\label{{tab:{self.name}}}"
        body = [rf"\setlength{{\tabcolsep}}{{3pt}}{page.size}"]
        if length > page.lines:
            again = r"\caption[]{(continued)}\\"
            body += [r"\setlength{\LTcapwidth}{\linewidth}", rf"\begin{{longtable}}{{{columns}}}", caption + r"\\"]
            body += [*head, r"\endfirsthead", again, *head, r"\endhead", r"\bottomrule", r"\endfoot", *rows]
            body += [r"\end{longtable}"]
            body = [r"\begingroup", *body, r"\endgroup"]
        else:
            body = [r"\begin{table}", r"\centering", caption, *body, rf"\begin{{tabular}}{{{columns}}}"]
            body += [*head, *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        if page.across:
            body = [r"\begin{landscape}", *body, r"\end{landscape}"]
        needs = ["array", "booktabs", *["longtable"] * (length > page.lines), *["pdflscape"] * page.across]
        return "\n".join([rf"% needs \usepackage{{{','.join(needs)}}}", *body]) + "\n"

    def _layout(self) -> tuple[Page, list[int] | None]:
        """The first page that the table fits, and the characters of its columns; None where no cell wraps."""
        cells = [[column.heading, *(row[k][0] for row in self.rows)] for k, column in enumerate(self.columns)]
        full = [max(map(len, texts)) for texts in cells]
        least = [
            1 + max(len(word) for text in texts for word in TIED.sub(TIE, text).split(" ")) for texts in cells
        ]
        gaps = GAP * len(full)
        for page in PAGES:
            if sum(full) + gaps <= page.line:
                return page, None
            if page is not PAGES[0] and sum(least) + gaps <= page.line and sum(full) + gaps <= WRAPPED * page.line:
                break
        return page, _shared(page.line - gaps, full, least)

    def _length(self, page: Page, widths: Sequence[int] | None) -> int:
        """Lines of the whole table with its caption, as estimated."""
        caption = len(self.caption) // CAPTION_LINE[page.across] + 3
        rows = [[c.heading for c in self.columns], *([text for text, _ in row] for row in self.rows)]
        if widths is None:
            return caption + len(rows)
        return caption + sum(max(-(-len(t) // w) for t, w in zip(row, widths, strict=True)) for row in rows)

    def _preamble(self, widths: Sequence[int] | None) -> str:
        if widths is None:
            return "".join("r" if column.numeric else "l" for column in self.columns)
        total = sum(widths)
        room = rf"\dimexpr\linewidth-{2 * len(widths)}\tabcolsep\relax"
        ragged = (r"\raggedleft" if column.numeric else r"\raggedright" for column in self.columns)
        return "".join(
            rf">{{{side}\arraybackslash}}p{{{width / total - 0.0001:.4f}{room}}}"
            for side, width in zip(ragged, widths, strict=True)
        )


def _shared(line: int, full: Sequence[int], least: Sequence[int]) -> list[int]:
    """Characters of the columns of a line: the longest word at least, and more in the order of need."""
    most = max(1, line // len(full) * 2)  # a table of a hundred columns has no room for any
    widths = [min(word, most) for word in least]
    spare = max(line - sum(widths), 0)
    needs = [max(length - width, 0) for length, width in zip(full, widths, strict=True)]
    total = sum(needs) or 1
    return [width + spare * need // total for width, need in zip(widths, needs, strict=True)]


def _cell(text: str) -> str:
    """Text of a cell, which does not break within a number."""
    return latex(TIED.sub(TIE, text))


def latex(text: str) -> str:
    """Text in which every character that LaTeX takes for a command is escaped."""
    return text.translate(_SIGNS)
