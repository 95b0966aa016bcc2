"""Report of a study or of finished runs: statistics, tables, pictures and the page, from files alone."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mmtk.compare.request import FILE
from mmtk.errors import MmtkError, RunFailed
from mmtk.io.outputs import check_folder, refuse_other
from mmtk.report.analysis import Analysis, analyse
from mmtk.report.answer import summary_lines
from mmtk.report.page import write_report
from mmtk.report.run import redraw
from mmtk.runs.finished import Run, read_run
from mmtk.study.ensembles import ensembles_of
from mmtk.study.folder import StudyDir
from mmtk.study.results import Study, from_runs
from mmtk.study.status import absence


@dataclass(frozen=True, repr=False)
class Report:
    """A report: its page ``index.html``, the analysis that it shows, and the pictures of a single run.

    ``without_pictures``: why a single run's own pictures were not drawn.
    """

    page: Path
    analysis: Analysis
    pictures: Sequence[Path] = ()
    without_pictures: str = ""

    @property
    def summary(self) -> str:
        """The answer of the study in a few lines."""
        return "\n".join(summary_lines(self.analysis))

    def __repr__(self) -> str:
        return f"Report({str(self.page)!r})\n{self.summary}"

    def _repr_html_(self) -> str:
        page = escape(str(self.page))
        return f'<pre>{escape(self.summary)}</pre><a href="{page}" target="_blank">{page}</a>'


def report(
    study: str | Path | Sequence[str | Path] | Study,
    out: str | Path | None = None,
    *,
    set_aside: bool = False,
    margins: Mapping[str, float] | None = None,
    match: Sequence[str] = (),
) -> Report:
    """Write the report of a study, or of finished runs of which the first is the reference.

    Of a single run its own pictures are drawn into its folder, too, where that may be written.

    study: a study directory, run directories, or what ``read_study`` gave
    out: the folder to write (default ``STUDY/report``, of one run ``RUN/report``, else ``report``); a report of
        other runs there is not replaced
    set_aside: move files of others in ``out`` out of the way instead of refusing; so in a default folder
    margins: the largest differences that do not matter, by score (default: as the metrics declare them)
    match: attributes such as view, by which test images are matched, too (default: ``data.match`` of the recipe)
    """
    paths = [Path(study)] if isinstance(study, str | Path) else study
    pictures: list[Path] = []
    without_pictures, cure = "", "See mmtk status STUDY."
    if isinstance(paths, Study):
        results, folder = paths, Path("report")
    elif len(paths) == 1 and (Path(paths[0]) / "study.json").is_file():
        study_dir = StudyDir(Path(paths[0]))
        results, folder, set_aside = study_dir.collect(), study_dir.report, set_aside or out is None
        results.ensembles = ensembles_of(study_dir.path, results)
        cure = absence(study_dir, study_dir.runs()) or cure
    else:
        results, folder = from_runs([Path(path) for path in paths]), Path("report")
        if len(paths) == 1:
            pictures, without_pictures = _own_pictures(read_run(Path(paths[0])))
            if not without_pictures:
                folder, set_aside = Path(paths[0]) / "report", set_aside or out is None
    if not any(cell.runs for cell in results.cells):
        raise RunFailed("no run has finished, so there is nothing to report.", hint=cure)
    folder = Path(out or folder)
    if (folder / FILE).exists():
        message = "holds the report of a comparison, which this one would replace."
        raise MmtkError(message, str(folder), "Name another folder: --out FOLDER.")
    runs = [os.path.realpath(run.path) for cell in results.cells for run in cell.runs.values()]
    refuse_other(folder, "the report", _reported_runs(folder), runs)
    analysis = analyse(results, margins, match)
    page = write_report(analysis, folder, set_aside=set_aside)
    return Report(page, analysis, pictures, without_pictures)


def _reported_runs(folder: Path) -> list[str]:
    """Folders of the runs that a report shows; none where there is no report."""
    try:
        with open(folder / "tables" / "runs.csv", encoding="utf-8-sig", newline="") as file:
            return [os.path.realpath(folder / row.get("Folder", "")) for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error):
        return []


def _own_pictures(run: Run) -> tuple[list[Path], str]:
    """Pictures of a run in its own folder, or the reason why none can be written there."""
    try:
        check_folder(run.folder.figures)
    except MmtkError as error:
        return [], f"{error.where}: {error.message}"
    return redraw(run), ""
