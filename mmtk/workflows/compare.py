"""Comparison of systems that other programs trained: the report of a study, from their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtk.compare.check import checked
from mmtk.compare.readers.sources import read_frame, read_sources
from mmtk.compare.records import CASE, Records
from mmtk.compare.request import FILE, Request, read_request, write_request
from mmtk.compare.study import study_of
from mmtk.errors import MmtkError
from mmtk.io import status_line
from mmtk.io.outputs import OutputFolder, refuse_inside, refuse_other
from mmtk.io.spelling import command
from mmtk.report.analysis import Analysis, analyse
from mmtk.report.claims import claims
from mmtk.report.page import write_report
from mmtk.study.results import Study
from mmtk.workflows.report import Report

if TYPE_CHECKING:
    from pandas import DataFrame


VERDICTS = ["difference", "score", "verdict", "meaning", "change", "low", "high", "p"]
VERDICTS += ["reversed", "margin", "seeds", "note"]


@dataclass(repr=False)
class Comparison:
    """Systems that other programs trained, as a study.

    study: cells, scores and values per case
    request: sources and mapping
    mapping: how the sources were read, in words
    records: the values as they were read
    file: the ``compare.toml`` that was read; None without one
    """

    study: Study
    request: Request
    mapping: Sequence[str]
    records: Records
    file: Path | None = None
    _analysis: Analysis | None = field(default=None, init=False)

    @property
    def analysis(self) -> Analysis:
        """Scores and tests, computed once."""
        if self._analysis is None:
            self._analysis = analyse(self.study, self.request.margins)
        return self._analysis

    def frame(self) -> DataFrame:
        """Every score of every run as a tidy table: system, seed, domain, task, metric, value."""
        return self.study.frame().drop(columns=["digest", "budget"])

    def cases(self) -> DataFrame:
        """Values per case of every run as a tidy table."""
        return self.records.cases[[*CASE, *(name for name in self.records.cases if name not in CASE)]]

    def verdicts(self) -> DataFrame:
        """The verdict on every difference to the first system, with what it rests on."""
        from pandas import DataFrame

        rows = [
            {
                "difference": claim.what,
                "score": claim.score,
                "verdict": claim.verdict.word,
                "meaning": claim.text,
                "change": claim.value,
                "low": claim.low,
                "high": claim.high,
                "p": claim.adjusted,
                "reversed": claim.verdict.reversal,
                "margin": claim.margin,
                "seeds": claim.estimate.n,
                "note": claim.note,
            }
            for claim in claims(self.analysis)
        ]
        return DataFrame(rows, columns=VERDICTS)

    def report(self, out: str | Path | None = None) -> Report:
        """Write tables, pictures and the page, with the ``compare.toml`` that makes them again.

        ``out``: the folder (default that of the ``compare.toml``, else ``report``)
        """
        folder = Path(out or (self.file.parent if self.file else "report"))
        if self.request.sources and (folder / "index.html").exists() and not (folder / FILE).exists():
            message = "holds the report of a study or of runs, which this one would replace."
            raise MmtkError(message, str(folder), "Name another folder: --out FOLDER.")
        if self.request.sources and (folder / FILE).is_file():
            earlier = read_request(folder / FILE).for_folder(folder).sources
            refuse_other(folder, "the comparison", earlier, self.request.for_folder(folder).sources)
        if self.request.reference:
            refuse_inside(folder, map(Path, [self.request.reference, *self.request.sources]))
        page = write_report(self.analysis, folder)
        if self.request.sources and not (self.file and self.file.resolve() == (folder / FILE).resolve()):
            output = OutputFolder(folder, "compare")
            with output.alone([FILE]), output.file(FILE) as path:
                path.write_text(write_request(self.request.for_folder(folder)), encoding="utf-8")
        return Report(page, self.analysis)

    def __repr__(self) -> str:
        return f"Comparison({self.study!r})"


def reference_line(records: Records, system: str) -> str:
    """The system that is compared with every other, and how to name another; "" for one system alone."""
    names = list(dict.fromkeys([*records.cases["system"], *records.numbers["system"]]))
    if len(names) < 2:
        return ""
    first = system or names[0]
    return f"reference: {first}, from which every other is subtracted (--system NAME names another)"


def _texts(sources: Any) -> list[str]:
    """Sources as a user may name them, as texts; MmtkError for what is neither a path nor an address."""
    several = [sources] if isinstance(sources, str | Path) or not isinstance(sources, list | tuple) else sources
    others = [type(one).__name__ for one in several if not isinstance(one, str | Path)]
    if others:
        problem = f"mmtk.compare takes paths, addresses and a data frame, no {others[0]}."
        raise MmtkError(problem, hint="Make a table of values in memory a data frame: pandas.DataFrame(…).")
    return [str(one) for one in several]


def compare(
    sources: str | Path | Sequence[str | Path] | DataFrame,
    out: str | Path | None = None,
    *,
    margins: Mapping[str, float] | None = None,
    **mapping: Any,
) -> Comparison:
    """Compare systems by values that any program has written.

    sources: tables, folders, tracking addresses, a ``compare.toml``, or a data frame
    out: folder of the report, which is written at once (default: none, see ``Comparison.report``)
    margins: the largest differences that do not matter, by score
    mapping: how the sources are read, as the fields of ``mmtk.compare.request.Request``: ``columns``, ``by``,
        ``seed``, ``reference``, ``metrics``, ``lower``, ``system``
    """
    status_line.stage("reading the values")
    file = None
    is_frame = hasattr(sources, "columns")
    texts = [] if is_frame else _texts(sources)
    if len(texts) == 1 and Path(texts[0]).suffix == ".toml":
        if mapping or margins:
            raise MmtkError("its mapping is complete; change it in the file.", texts[0])
        file = Path(texts[0])
        request = read_request(file)
    else:
        try:
            request = Request(sources=texts, margins=margins or {}, **mapping)
        except TypeError as error:
            raise MmtkError(f"mmtk.compare: {error}.") from error
    part, lines, origin = read_frame(sources, request) if is_frame else read_sources(request)
    records = checked(part, request.lower)
    if reference := reference_line(records, request.system):
        lines, origin = [*lines, reference], {**origin, "Reference": reference.removeprefix("reference: ")}
    again = command("compare", FILE) if request.sources else ""
    title = ", ".join(Path(source).name for source in request.sources[:3]) or "Comparison"
    more = f" and {len(request.sources) - 3} more" if len(request.sources) > 3 else ""
    comparison = Comparison(
        study_of(records, title + more, request.system, origin, again), request, lines, records, file
    )
    if out is not None:
        comparison.report(out)
    return comparison
