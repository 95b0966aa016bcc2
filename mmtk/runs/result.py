"""Result of a finished run in Python: scores, values per image, curves and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtk.io.files import read_lines
from mmtk.recipe.recipe import Recipe
from mmtk.runs import finished
from mmtk.runs.folder import RunDir
from mmtk.runs.score_names import current, current_name, read_declarations
from mmtk.scores import info

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class Result:
    """A finished run: its folder and its scores, ``scores[domain][task][metric]``."""

    path: Path
    scores: Mapping[str, Any]

    @property
    def recipe(self) -> Recipe:
        """The recipe that ran."""
        return RunDir(self.path).recipe

    @property
    def figures(self) -> dict[str, Path]:
        """The pictures of the run by name, such as ``roc`` and ``overview-in-domain``."""
        return {path.stem: path for path in sorted(RunDir(self.path).figures.glob("*.png"))}

    def cases(self) -> DataFrame:
        """Values per test image: domain, task, id, attributes, then every score; empty where a task has it not."""
        import pyarrow.parquet as pq

        table: DataFrame = pq.read_table(RunDir(self.path).cases_file).to_pandas()
        return table.rename(columns=current_name)

    def history(self) -> DataFrame:
        """Training and validation values by step: ``train/…`` and ``val/…``.

        A resumed run may have logged a step twice: its last value counts.
        """
        from pandas import DataFrame

        rows = [current(row) for row in read_lines(RunDir(self.path).metrics_file)]
        return DataFrame(rows).groupby("step").last() if rows else DataFrame()

    def frame(self) -> DataFrame:
        """The scores as a table: domain, task, metric, value."""
        from pandas import DataFrame

        return DataFrame(self._rows(), columns=["domain", "task", "metric", "value"])

    def _rows(self) -> list[tuple[str, str, str, float]]:
        return [
            (domain, task, metric, value)
            for domain, tasks in self.scores.items()
            if isinstance(tasks, dict)
            for task, metrics in tasks.items()
            if isinstance(metrics, dict)
            for metric, value in metrics.items()
            if value is not None
        ]

    def __repr__(self) -> str:
        sets = {f"{domain} {task}" for domain, task, _, _ in self._rows()}
        return f"Result({str(self.path)!r}: scores of {', '.join(sorted(sets)) or 'no test set'})"

    def _repr_html_(self) -> str:
        folder = RunDir(self.path)
        declared = read_declarations(folder, folder.provenance if folder.provenance_file.is_file() else {})
        scores = {(task, metric, domain): f"{value:.4g}" for domain, task, metric, value in self._rows()}
        domains = list(dict.fromkeys(domain for _, _, domain in scores))
        metrics = dict.fromkeys((task, metric) for task, metric, _ in scores)
        rows = [
            (
                task,
                info(declared.get(task, {}), metric).heading,
                *(scores.get((task, metric, domain), "–") for domain in domains),
            )
            for task, metric in metrics
        ]
        return html_table(str(self.path), ("task", "metric", *domains), rows)


def html_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A plain table for a notebook."""
    from html import escape

    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    head = f"<caption>{escape(caption)}</caption><thead>{line(heads, 'th')}</thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>"


def read_run(path: str | Path) -> Result:
    """The result of a finished run, read from its folder; MmtkError where it is unfinished or was changed."""
    run = finished.read_run(Path(path))
    return Result(run.path, run.scores)
