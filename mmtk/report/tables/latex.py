"""A table as LaTeX that fits its page: long cells wrap, wide tables lie across, long ones run over pages."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon varphi chi "
    "psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_GREEK_LETTERS = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"
_LATIN = {*map(chr, range(0xA0, 0x180)), *"ȘșȚț‐‑–—‘’“”†‡•…€™\u2009"}  # what LaTeX's own fonts have
_T1 = {*"«»ÐÞðþĄąĐđĘęĮįŊŋŲų‚„‹›"}  # not in the encoding OT1, LaTeX's default
_LATIN -= {*_T1, *"ĦħĸĿŀŉŦŧſ"}
TIED = re.compile(r"(?<=\d) (?=[±×%]|to )|(?<=[±×]) (?=\d)|(?<=\d to) (?=[−\d])")  # spaces within numbers
LOOSE = re.compile(
    r"(?<=\d) (?=[×%])|(?<=[±×]) (?=\d)|(?<=\d to) (?=[−\d])"
)  # where lines are too short for these
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
        "≠": r"$\neq$",
        "∼": r"$\sim$",
        "≡": r"$\equiv$",
        "⋅": r"$\cdot$",
        "∗": r"$\ast$",
        "√": r"$\surd$",
        "∑": r"$\sum$",
        "∂": r"$\partial$",
        "∈": r"$\in$",
        "↔": r"$\leftrightarrow$",
        "⇒": r"$\Rightarrow$",
        "′": "$'$",
        "″": "$''$",
        "∞": r"$\infty$",
        "<": "$<$",
        ">": "$>$",
        "†": r"$^{\dagger}$",
        "…": r"\dots{}",
    }
    | {letter: rf"$\{name}$" for letter, name in zip(_GREEK_LETTERS, _GREEK.split(), strict=True)}
    | {chr(0x2080 + digit): f"$_{digit}$" for digit in range(10)}
    | {sign: "\\" + sign for sign in "&%$#_{}"}
)
GAP = 2  # characters between two columns


class Page(NamedTuple):
    """A way to set a table: size of its type, letters of a line, lines of a page, whether it lies across."""

    size: str
    line: int
    lines: int
    across: bool = False


PAGES = (
    Page(r"\small", 82, 42),
    Page(r"\footnotesize", 92, 46),
    Page(r"\footnotesize", 138, 26, across=True),
    Page(r"\scriptsize", 150, 30, across=True),
)
WIDE = {
    "m": 1.7,
    "w": 1.5,
    "%": 1.7,
    "±": 1.6,
    "−": 1.6,
    "×": 1.6,
    " ": 0.75,
    "–": 1.1,
}  # in letters of mean width
WIDE |= dict.fromkeys("ijlt.,;:'|()[]", 0.65) | dict.fromkeys("0123456789", 1.12)
CAPITAL, BOLD = 1.5, 1.15
CAPTION_LINE = {False: 85, True: 130}  # characters of a line of the caption, by ``across``
WRAPPED = 1.4  # text in lines of a page, above which the next page is tried


class Layout(NamedTuple):
    """A page, the letters of its columns (None where no cell wraps), and the spaces at which no line breaks."""

    page: Page
    widths: Sequence[float] | None
    ties: re.Pattern[str]


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
        page, widths, ties = self._layout()
        length = self._length(page, widths)
        columns = self._preamble(widths)
        head = [r"\toprule", " & ".join(latex(c.heading) for c in self.columns) + r" \\", r"\midrule"]
        rows = [_row(row, ties) for row in self.rows]
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
        return "\n".join([rf"% needs \usepackage{{{','.join(needs)}}}{_font(body)}", *body]) + "\n"

    def _layout(self) -> Layout:
        """The first page that the table fits with whole numbers; else the first where ± may begin a line."""
        heads = [(column.heading, False) for column in self.columns]
        cells = [[head, *(row[k] for row in self.rows)] for k, head in enumerate(heads)]
        full = [max(_width(*cell) for cell in column) for column in cells]
        gaps = GAP * len(full)
        for ties in (TIED, LOOSE):
            least = [
                1 + max(_width(word, bold) for text, bold in column for word in ties.sub(TIE, text).split(" "))
                for column in cells
            ]
            for page in PAGES:
                if sum(full) + gaps <= page.line:
                    return Layout(page, None, ties)
                most = math.inf if page is PAGES[-1] else WRAPPED * page.line
                if page is not PAGES[0] and sum(least) + gaps <= page.line and sum(full) + gaps <= most:
                    return Layout(page, _shared(page.line - gaps, full, least), ties)
        return Layout(page, _shared(page.line - gaps, full, least), ties)

    def _length(self, page: Page, widths: Sequence[float] | None) -> int:
        """Lines of the whole table with its caption, as estimated."""
        caption = len(self.caption) // CAPTION_LINE[page.across] + 3
        rows = [[(c.heading, False) for c in self.columns], *self.rows]
        if widths is None:
            return caption + len(rows)
        return caption + sum(
            max(math.ceil(_width(*cell) / width) for cell, width in zip(row, widths, strict=True)) for row in rows
        )

    def _preamble(self, widths: Sequence[float] | None) -> str:
        if widths is None:
            return "".join("r" if column.numeric else "l" for column in self.columns)
        total = sum(widths)
        room = rf"\dimexpr\linewidth-{2 * len(widths)}\tabcolsep\relax"
        ragged = (r"\raggedleft" if column.numeric else r"\raggedright" for column in self.columns)
        return "".join(
            rf">{{{side}\arraybackslash}}p{{{width / total - 0.0001:.4f}{room}}}"
            for side, width in zip(ragged, widths, strict=True)
        )


def _shared(line: float, full: Sequence[float], least: Sequence[float]) -> list[float]:
    """Letters of the columns of a line: the longest word at least, and more in the order of need."""
    most = max(1, line / len(full) * 2)  # a table of a hundred columns has no room for any
    widths = [min(word, most) for word in least]
    spare = max(line - sum(widths), 0)
    needs = [max(length - width, 0) for length, width in zip(full, widths, strict=True)]
    total = sum(needs) or 1
    return [width + spare * need / total for width, need in zip(widths, needs, strict=True)]


def _width(text: str, bold: bool) -> float:
    """Width of a text, in letters of mean width."""
    signs = sum(WIDE.get(sign, CAPITAL if sign.isupper() else 1) for sign in text.replace(TIE, " "))
    return signs * BOLD if bold else signs


def _row(row: Sequence[tuple[str, bool]], ties: re.Pattern[str]) -> str:
    """A row, whose first sign LaTeX does not take for an option of the rule or the line above it."""
    texts = [(latex(ties.sub(TIE, text)), bold) for text, bold in row]
    line = " & ".join(rf"\textbf{{{text}}}" if bold else text for text, bold in texts) + r" \\"
    return "{}" + line if line.startswith(("[", "*")) else line


def _font(body: Sequence[str]) -> str:
    """Needs of the letters of a table besides packages: an encoding, or another LaTeX with a font of them."""
    signs = {sign for sign in "".join(body) if not sign.isascii()}
    if others := signs - _LATIN - _T1:
        return f", lualatex and a font with {''.join(sorted(others))}"
    return r" and \usepackage[T1]{fontenc}" if signs & _T1 else ""


def latex(text: str) -> str:
    """Text in which every character that LaTeX takes for a command is escaped."""
    return text.translate(_SIGNS)
