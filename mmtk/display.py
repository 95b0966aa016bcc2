"""What a run says on the terminal: one live display, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from mmtk.scores import heading

SHOWN = ("accuracy", "macro-f1", "auroc", "dice")
COLUMNS = {
    "classification": ("accuracy", "majority-accuracy", "balanced-accuracy", "macro-f1", "auroc"),
    "segmentation": (
        "dice", "jaccard", "ssim", "average-hausdorff", "average-hausdorff-mm", "hd95", "hd95-mm",
    ),
}  # fmt: skip


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Steps per second, or seconds per step below one."""
        if not task.speed:
            return Text("")
        slow = task.speed < 1
        return Text(f"{1 / task.speed:.2f} s/step" if slow else f"{task.speed:.1f} steps/s", style="cyan")


class Display:
    """Progress, terms, validation scores, the final table; ``quiet`` says only warnings and errors."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.live = self.console.is_terminal and not quiet
        self._progress: Progress | None = None
        self._task: Any = None
        self._last_line = 0.0

    def note(self, text: str) -> None:
        """One line of information."""
        self.console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """A warning, never silenced."""
        line = Text("Warning: ", style="yellow") + Text(text)
        Console(stderr=True, highlight=False).print(line, soft_wrap=True)

    def reading(self, what: str, done: int, of: int) -> None:
        """Images being decoded into the store."""
        if self.live:
            self._bar(f"Reading {what}", done, of)
            if done == of:
                self.close()
        elif done == of:
            self.note(f"Read {of} images: {what}")

    def step(self, row: Mapping[str, Any], done: int, total: int) -> None:
        """A training step: rate, time left and every term."""
        terms = {k.removeprefix("train/"): v for k, v in row.items() if k.startswith("train/") and k != "train/lr"}
        text = "  ".join(f"{_short(name)} {value:.3f}" for name, value in terms.items())
        if self.live:
            self._bar("Training", done, total, text)
        elif time.monotonic() - self._last_line > 15 or done in (1, total):
            self._last_line = time.monotonic()
            self.note(f"step {done}/{total}  {text}")

    def validation(self, row: Mapping[str, Any], best: bool) -> None:
        """Validation scores, with a star on the best so far."""
        scores = "  ".join(
            f"{name.split('/')[-1]} {value:.3f}" for name, value in row.items() if name.split("/")[-1] in SHOWN
        )
        self.note(
            f"validation at step {row['step']:>5}  score {row['val/score']:.4f}{' *' if best else '  '}  {scores}"
        )

    def close(self) -> None:
        """Take the live display down."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _bar(self, what: str, done: int, of: int, text: str = "") -> None:
        if self._progress is None:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                # The terms take what is left of the line, so that bar, rate and time are never squeezed out.
                TextColumn("[dim]{task.fields[text]}", table_column=Column(ratio=1, no_wrap=True)),
                console=self.console,
                transient=True,
                expand=True,
            )
            self._progress.start()
            self._task = self._progress.add_task(what, total=of, completed=done - 1, text=text)
        self._progress.update(self._task, description=what, completed=done, total=of, text=text)

    def results(self, results: Mapping[str, Any], title: str) -> None:
        """The final table: one row per task and domain, with the chance level beside accuracy."""
        self.close()
        for task, columns in COLUMNS.items():
            rows = {d: r[task] for d, r in results.items() if isinstance(r, dict) and task in r}
            if not rows:
                continue
            table = Table(title=f"{title}: {task}", title_justify="left", title_style="bold")
            table.add_column("test set", no_wrap=True)
            present = [c for c in columns if any(c in scores for scores in rows.values())]
            for name in [*present, "n"]:
                table.add_column(heading(name) if name != "n" else name, justify="right")
            for domain, scores in rows.items():
                cells = [f"{scores[c]:.3f}" if c in scores else "–" for c in present]
                table.add_row(domain, *cells, f"{scores.get('n', 0):.0f}")
            self.console.print(table)


def duration(seconds: float) -> str:
    """A time span as people say it: ``40 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _short(name: str) -> str:
    return name.split("/")[-1]
