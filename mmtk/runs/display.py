"""Terminal output of a run: a live display, or plain lines where there is no terminal."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from mmtk.counts import counted
from mmtk.errors import listing, to_copy
from mmtk.io import status_line
from mmtk.recipe.recipe import Recipe
from mmtk.scores import Scores, info, selecting, shown
from mmtk.tasks import DOMAINS


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Steps per second, or seconds per step below one."""
        if not task.speed:
            return Text("")
        slow = task.speed < 1
        return Text(f"{1 / task.speed:.2f} s/step" if slow else f"{task.speed:.1f} steps/s", style="cyan")


class _Bar(Progress):
    """Progress bar of one task, with a text of any length below it."""

    def __init__(self, console: Console) -> None:
        self.text = ""
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=max(4, min(24, console.width - 60))),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and the text where there is one."""
        yield self.make_tasks_table(self.tasks)
        if self.text:
            yield Text(self.text, style="dim")


class Display:
    """Progress, terms, validation scores and final table; ``quiet`` leaves only warnings and errors."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.live = self.console.is_terminal and not quiet
        self._bar: _Bar | None = None
        self._task = TaskID(0)
        self._line: tuple[int, float] | None = None  # the step and the time of the last plain line
        self._first_shown = (0, 0.0)  # the first step that was shown, and when
        self._explained = False

    def note(self, text: str) -> None:
        """Print a line of information; a terminal wraps it at words, but for commands and addresses to copy."""
        self.console.print(text, markup=False, soft_wrap=not self.live or to_copy(text))

    def warn(self, text: str) -> None:
        """Print a warning, even if ``quiet``."""
        line = Text("Warning: ", style="yellow") + Text(text)
        # The display's console, where it prints at all, moves a live display out of the way.
        console = Console(stderr=True, highlight=False) if self.console.quiet else self.console
        console.print(line, soft_wrap=not console.is_terminal or to_copy(text))

    def stage(self, name: str) -> None:
        """Name the work from now on, on the bar if there is one, else on the status line."""
        if self._bar is not None:
            self._bar.update(self._task, description=name.capitalize())
        elif self.live:
            status_line.stage(name)

    def reading(self, what: str, count: int, of: int) -> None:
        """Show how many images are decoded into the store."""
        if self.live:
            self._show(f"Reading {what}", count, of)
            if count == of:
                self.close()
        elif count == of:
            self.note(f"Read {counted(of, 'image')}: {what}")

    def step(self, row: Mapping[str, Any], count: int, total: int) -> None:
        """Show a training step: rate, time left and every term."""
        terms = {k.removeprefix("train/"): v for k, v in row.items() if k.startswith("train/") and k != "train/lr"}
        text = "  ".join(f"{_short(name)} {value:.3f}" for name, value in terms.items())
        if self.live:
            self._show("Training", count, total, text)
        elif self._due(count, total):
            left = self._left(count, total)
            self.note(f"step {count}/{total}  {text}{f'  about {duration(left)} left' if left else ''}")

    def validation(self, row: Mapping[str, Any], best: bool, declared: Mapping[str, Scores]) -> None:
        """Print validation scores, as many as fit a line.

        row: a row of ``metrics.jsonl``
        best: whether its score is the best so far
        declared: the scores that the metric of each task declares; the mean of the selecting ones is the score
        """
        selected = {f"{task}/{selecting(scores)}": scores for task, scores in declared.items() if scores}
        if selected and not self._explained:
            self._explained = True
            signed = [_signed(key.partition("/")[2], scores) for key, scores in selected.items()]
            mean = signed[0] if len(signed) == 1 else f"the mean of {' and '.join(signed)}"
            self.note(f"score: {mean} on the validation images;  *: the best so far, whose weights are used")
        line = f"validation {row['step']:>6}  score {row['val/score']:.3f}{' *' if best else '  '}"
        more_keys = [f"{task}/{name}" for task, scores in declared.items() for name in shown(scores, "progress")]
        for key in dict.fromkeys((*selected, *more_keys)):
            value = row.get(f"val/{key}")
            if value is not None and len(more := f"{line}  {_short(key)} {value:.3f}") <= self._width:
                line = more
        self.note(line)

    def close(self) -> None:
        """Take the live display down."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @property
    def _width(self) -> int:
        return self.console.width if self.live else 200  # a log file has no edge

    def _due(self, count: int, total: int) -> bool:
        """Whether a plain line is due: first and last step, every tenth of the way, and every half minute."""
        now = time.monotonic()
        if self._line is None:
            self._first_shown = (count, now)
        elif count < total and 10 * count // total == 10 * self._line[0] // total and now - self._line[1] < 30:
            return False
        self._line = (count, now)
        return True

    def _left(self, count: int, total: int) -> float:
        """Seconds left, by the pace of the steps shown so far; 0 if unknown."""
        first, start = self._first_shown
        return (time.monotonic() - start) / (count - first) * (total - count) if first < count < total else 0

    def _show(self, what: str, count: int, of: int, text: str = "") -> None:
        if self._bar is None:
            self._bar = _Bar(self.console)
            self._task = self._bar.add_task(what, total=of, completed=count - 1)
            self._bar.start()
        self._bar.text = text
        self._bar.update(self._task, description=what, completed=count, total=of)

    def intervals(
        self,
        results: Mapping[str, Any],
        title: str,
        declared: Mapping[str, Scores],
        facts: Mapping[str, Any],
        recipe: Recipe,
        meaning: str,
    ) -> None:
        """Print a table per test set and task: every score with its interval.

        results: by test set, task and score
        title: name of the model
        declared: the scores by task
        facts: ``intervals`` and ``notes`` by test set and task (``mmtk.report.new_patients``)
        recipe: with the sources of the sets that are called after their domain
        meaning: sentence on what the intervals speak of
        """
        self.close()
        for domain, by_task in results.items():
            for task, row in by_task.items():
                intervals = facts["intervals"].get(domain, {}).get(task, {})
                table, notes = _interval_table(declared[task], row, intervals)
                source = recipe.source_name(task, domain) if domain in DOMAINS else ""
                where = f"{domain} ({source})" if source else domain
                table.title = f"{title} on {where}, {task}: {counted(round(row['n']), 'image')}"
                self.console.print(table)
                unnamed = facts["notes"].get(domain, {}).get(task)
                for note in [unnamed, *notes] if unnamed else notes:
                    self.note(f"{note[:1].upper()}{note[1:]}.")
        self.note(meaning)

    def results(self, results: Mapping[str, Any], recipe: Recipe, declared: Mapping[str, Scores]) -> None:
        """Print the final table: a row per task and domain, a column per score that is declared for it.

        results: by test set, task and score
        recipe: of the run
        declared: the scores by task
        """
        self.close()
        for task, scores_of_task in declared.items():
            rows = {d: r[task] for d, r in results.items() if isinstance(r, dict) and task in r}
            if not rows:
                continue
            table, lines = _final_table(scores_of_task, rows, self.console.width)
            sources = "; ".join(f"{domain}: {recipe.source_name(task, domain)}" for domain in rows)
            table.title = f"{recipe.name}: {task} ({sources})"
            self.console.print(table)
            for line in lines:
                self.note(line)


def _interval_table(
    scores: Scores, row: Mapping[str, float], intervals: Mapping[str, Mapping[str, Any]]
) -> tuple[Table, list[str]]:
    """Table of one test set, a row per score with its interval; and the notes on intervals.

    scores: declarations
    row: values by score
    intervals: by score (``mmtk.report.new_patients``)
    """
    table = Table(title_justify="left", title_style="bold")
    for heading in ("score", "value", "95 % interval", "patients"):
        table.add_column(heading, justify="left" if heading == "score" else "right", no_wrap=True)
    notes: dict[str, list[str]] = {}
    for name in _columns(scores, [row]):
        one = intervals.get(name, {"low": None, "high": None, "note": ""})
        ends = "–" if one["low"] is None else f"{one['low']:.3f} to {one['high']:.3f}"
        table.add_row(info(scores, name).heading, f"{row[name]:.3f}", ends, str(one.get("patients", "–")))
        if one["note"]:
            notes.setdefault(one["note"], []).append(info(scores, name).label)
    return table, [f"{listing(labels)}: {note}" for note, labels in notes.items()]


def _final_table(scores: Scores, rows: Mapping[str, Mapping[str, float]], width: int) -> tuple[Table, list[str]]:
    """Table of one task, and a line for every score that has no column in it.

    ``rows`` holds numbers by test set and score. Headings are wrapped at spaces until the table fits ``width``
    signs, and then its last columns stand below it.
    """
    names = _columns(scores, list(rows.values()))
    cells = {name: [f"{row[name]:.3f}" if name in row else "–" for row in rows.values()] for name in names}
    ends = {"test set": ["test set", *rows], "n": ["n", *(f"{row.get('n', 0):.0f}" for row in rows.values())]}
    headings = _fitted({name: info(scores, name).heading for name in names}, cells, width - _room(ends) - 1)
    table = Table(title_justify="left", title_style="bold")
    table.add_column("test set", no_wrap=True)
    for heading in headings.values():
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for index, test_set in enumerate(rows):
        table.add_row(test_set, *(cells[name][index] for name in headings), ends["n"][index + 1])
    lines = []
    for name in names[len(headings) :]:
        values = (f"{test_set} {cell}" for test_set, cell in zip(rows, cells[name], strict=True))
        lines.append(f"{info(scores, name).heading}: {', '.join(values)}")
    computed = {name for row in rows.values() for name in row if name.rpartition("/")[2] != "n"}
    if undeclared := computed - {*scores}:
        lines.append(f"in results.json alone, since no metric declares them in scores: {listing(undeclared)}")
    return table, lines


def _fitted(headings: Mapping[str, str], cells: Mapping[str, Sequence[str]], width: int) -> dict[str, str]:
    """Headings of as many columns as fit ``width`` signs, wrapped at spaces no more than need be."""
    remaining = dict(headings)
    while remaining:
        for length in range(max(map(len, remaining.values())), 0, -1):
            lines = {
                name: textwrap.wrap(heading, length, break_long_words=False, break_on_hyphens=False)
                for name, heading in remaining.items()
            }
            if _room({name: [*parts, *cells[name]] for name, parts in lines.items()}) <= width:
                return {name: "\n".join(parts) for name, parts in lines.items()}
        remaining.popitem()
    return {}


def _room(columns: Mapping[str, Sequence[str]]) -> int:
    """Signs of a line that columns of these texts take, each with its frame and padding."""
    return sum(3 + max(map(len, texts)) for texts in columns.values())


def _columns(scores: Scores, rows: Sequence[Mapping[str, float]]) -> list[str]:
    """Names of the scores that a table shows, as far as a row has them.

    Of scores of one label, which differ in the unit, the last that every row has is shown, else the first: eighty
    columns have no room for both.
    """
    by_label: dict[str, list[str]] = {}
    for name in shown(scores, "summary"):
        if any(name in row for row in rows):
            by_label.setdefault(scores[name].label, []).append(name)
    return [
        next((name for name in reversed(names) if all(name in row for row in rows)), names[0])
        for names in by_label.values()
    ]


def _signed(name: str, scores: Scores) -> str:
    """The name of a score, with a minus where a lower value is better."""
    return name if scores[name].better == "higher" else f"−{name}"


def duration(seconds: float) -> str:
    """Format a time span for people: ``40 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _short(name: str) -> str:
    return name.split("/")[-1]
