"""A study as one page: the summary in words, effects, tables, pictures and methods, in HTML and in Markdown."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io import status_line
from mmtk.io.files import read_json, write_text
from mmtk.io.outputs import OutputFolder
from mmtk.io.parallel import on_all_cores
from mmtk.report import ensembles, tuning
from mmtk.report.analysis import Analysis
from mmtk.report.answer import answer, sentences
from mmtk.report.claims import effects_after_looks
from mmtk.report.headlines import kind_of, worded
from mmtk.report.methods import methods
from mmtk.report.saliency import sentences as map_sentences
from mmtk.report.summary import chance, summary
from mmtk.report.tables import claims, paper, saliency, strata
from mmtk.report.tables import study as study_tables
from mmtk.report.tables.matching import matched_scores
from mmtk.report.tables.table import Table, long_csv, without_empty_columns
from mmtk.report.tables.worth import worth_table
from mmtk.report.verdicts import verdicts
from mmtk.runs.display import duration
from mmtk.runs.finished import SHARED_DATA
from mmtk.study.results import Study

if TYPE_CHECKING:
    from mmtk.report.figures.systems import Figure

# Longer tables are folded away until they are asked for.
LONG = 40
SCREEN = 8  # rows of the answer that a first screen has room for; more of them scroll
OF_RUNS = ("data", "encoder", "decoder", "scores", "runs")
FOLDED = (*OF_RUNS, "trials", "strata", "strata-effects", "saliency")


def _tables(analysis: Analysis, out: Path, layers: Sequence[Table], missing: Sequence[str]) -> list[Table]:
    """Tables of a report, in the order of their files; those without rows among them.

    analysis: of the study
    out: folder of the report, from which runs are seen
    layers: tables of the architecture
    missing: sentences on what is absent
    """
    return [
        answer(analysis),
        verdicts(analysis),
        study_tables.effects(analysis.study, effects_after_looks(analysis)),
        study_tables.shapley(analysis),
        worth_table(analysis.worths),
        claims.table(analysis),
        study_tables.tests(analysis),
        *(paper.results(analysis, domain) for domain in analysis.study.domains),
        paper.data(analysis),
        *layers,
        study_tables.scores(analysis),
        *([] if analysis.study.origin else [study_tables.runs(analysis, out)]),
        study_tables.gaps(missing),
        ensembles.ensemble_table(analysis),
        *tuning.tables(analysis),
        strata.scores(analysis.strata.scores),
        strata.within(analysis.strata.within),
        strata.effects(analysis.strata.effects),
        strata.readings(analysis.readings.readings),
        strata.guesses(analysis.readings.guesses),
        matched_scores(analysis.matches.rows),
        saliency.claims(analysis.maps.claims),
        saliency.scores(analysis.maps.scores),
    ]


def shared_data(study: Study) -> list[str]:
    """Overlaps of training with scored images that were allowed, once for all runs."""
    runs = [run for cell in study.cells for run in cell.runs.values()]
    notes = [note for run in runs for note in run.scores.get("warnings", [])]
    return sorted({note for note in notes if note.startswith(SHARED_DATA)})


def facts(study: Study) -> dict[str, str]:
    """Versions, hardware, command and times, each with all values that the runs have."""
    if study.origin:
        return {name: text for name, text in {**study.origin, "Command": study.command}.items() if text}
    runs = [run for cell in study.cells for run in cell.runs.values()]
    values_by_name: dict[str, list[str]] = {}
    for run in runs:
        provenance = run.provenance
        versions = {"mmtk": provenance["mmtk"], "Python": provenance["python"], **provenance["libraries"]}
        versions |= dict(origin.split() for origin in provenance["components"].values())
        run_facts = {
            "Profile": provenance["profile"],
            "Hardware": f"{provenance['hardware']} ({provenance['device']})",
            "Commit": provenance["git"].get("commit", ""),
            "Start": provenance.get("start", {}).get("sentence", ""),
            "Versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        }
        for name, text in run_facts.items():
            values_by_name.setdefault(name, []).append(text)
    listed = {name: "; ".join(sorted({text for text in texts if text})) for name, texts in values_by_name.items()}
    seconds = [run.seconds for run in runs]
    times = f"{duration(sum(seconds))} in all, {duration(max(seconds))} at most"
    listed["Training"] = f"{counted(len(runs), 'run')}, {times}"
    listed["Command"] = study.command
    return {name: text for name, text in listed.items() if text}


# --- writing ---------------------------------------------------------------------------------------------------


def write_report(analysis: Analysis, out: Path, *, set_aside: bool = False) -> Path:
    """Write ``index.html`` (all in one file), ``report.md``, ``tables/`` and ``figures/``; returns the page.

    The same study gives the same bytes. Files of an earlier report are replaced or removed. Others are refused
    or, with ``set_aside``, moved out of the way.
    """
    status_line.stage("drawing the report")
    folder = OutputFolder(out, "report", set_aside=set_aside)
    if set_aside:
        folder.put_aside(_of_older_report(out))
    with folder.staged(("index.html", "report.md", "tables/", "figures/")) as stage:
        _write(analysis, out, stage)
    return out / "index.html"


def _of_older_report(out: Path) -> list[str]:
    """Names of the files of a report of mmtk 0.1, which kept no hashes to find changed ones by."""
    listed = out / "files.json"
    names = read_json(listed) if listed.is_file() else []
    report_names = [
        name for name in names if re.fullmatch(r"(tables|figures)/[^/]+\.(csv|tex|png|svg)", str(name))
    ]
    return [*report_names, "index.html", "report.md", "files.json"] if report_names else []


def _write(analysis: Analysis, out: Path, stage: Path) -> None:
    """Write everything into ``stage``, a folder that becomes ``out``."""
    from mmtk.report.figures.map_scores import map_scores
    from mmtk.report.figures.study import by_section, drawings
    from mmtk.report.figures.worth import worth

    study = analysis.study
    for folder in ("tables", "figures"):
        (stage / folder).mkdir()
    layers, absent = _architecture(analysis)
    notes = [*analysis.notes, *analysis.strata.notes, *analysis.readings.notes]
    missing = [*study.gaps, *notes, *shared_data(study), *absent]
    jobs = drawings(study, stage / "figures", effects_after_looks(analysis))
    jobs.append(partial(worth, analysis.worths, stage / "figures/worth.png"))
    jobs.append(partial(map_scores, analysis.maps, stage / "figures/map-scores.png"))
    pictures = on_all_cores(jobs)
    figures = [replace(picture, caption=worded(picture.caption, study)) for picture in by_section(pictures)]
    tables = _tables(analysis, out, layers, missing)
    tables_by_name = {table.name: in_words(table, study) for table in tables if table.rows}
    for name, table in tables_by_name.items():
        write_text(stage / "tables" / f"{name}.csv", table.csv())
        write_text(stage / "tables" / f"{name}.tex", table.latex())
    write_text(stage / "tables" / "runs-long.csv", long_csv(study.cells))
    parts = _parts(tables_by_name, figures)
    write_text(stage / "report.md", _markdown(analysis, missing, parts, stage))
    write_text(stage / "index.html", _html(analysis, missing, parts))


def in_words(table: Table, study: Study) -> Table:
    """A table with the words for folds, where the study has them; that of the runs has both.

    Of runs of other programs without the columns that nothing is known of.
    """
    if study.origin:
        table = without_empty_columns(table)
    if not study.folds or table.name == "runs":
        return table
    columns = [
        replace(column, name=worded(column.name, study), meaning=worded(column.meaning, study))
        for column in table.columns
    ]
    return replace(table, caption=worded(table.caption, study), columns=columns)


def _architecture(analysis: Analysis) -> tuple[list[Table], list[str]]:
    """The tables of the architecture; where there are none, why."""
    if analysis.study.origin:
        return [], []
    try:
        return paper.architecture(analysis), []
    except MmtkError as error:
        return [], [f"No architecture tables: {error.where}: {error.message}"]


class Part(NamedTuple):
    """A section of the page: its tables, and its figures, which the page shows first."""

    title: str
    tables: list[Table]
    figures: list[Figure]


def _parts(tables: dict[str, Table], figures: Sequence[Figure]) -> list[Part]:
    """The sections of ``tables`` by name and ``figures``, in their order."""

    def some(*names: str) -> list[Table]:
        return [tables[name] for name in names if name in tables]

    def of_section(section: str) -> list[Figure]:
        return [figure for figure in figures if figure.section == section]

    in_parts = ("effects", "worth", "saliency maps", "data")
    sections = dict.fromkeys(figure.section for figure in figures if figure.section not in in_parts)
    parts: list[Part] = [
        Part("Verdicts", some("verdicts"), []),
        Part("Tuning", some("tuning-verdicts", "tuning", "trials"), []),
        Part("Effects of the components", some("effects", "shapley"), of_section("effects")),
        Part("Worth in labels", some("worth"), of_section("worth")),
        Part("Results", some(*(name for name in tables if name.startswith("results-"))), []),
        Part("Ensembles", some("ensembles"), []),
        Part("Where it holds", some("matched", "within", "strata", "strata-effects"), []),
        Part("What it may be reading", some("readings", "guesses"), []),
        Part("Saliency maps", some("saliency-claims", "saliency"), of_section("saliency maps")),
        Part("The paper's effects", some("claims"), []),
        Part("Tests", some("tests"), []),
        *(Part(name[:1].upper() + name[1:], [], of_section(name)) for name in sections),
        Part(
            "Data, architecture and runs" if "runs" in tables else "All scores", some(*OF_RUNS), of_section("data")
        ),
    ]
    return [part for part in parts if part.tables or part.figures]


def _markdown(analysis: Analysis, missing: Sequence[str], parts: Sequence[Part], out: Path) -> str:
    first = answer(analysis)
    lines = [f"# {analysis.study.title}", "", *([first.markdown(), first.caption, ""] if first.rows else [])]
    lines += [*(f"- {line}" for line in _lede(analysis)), "", summary(analysis)[0], ""]
    if missing:
        lines += ["## Gaps", "", *(f"- {sentence}" for sentence in missing), ""]
    for title, part_tables, figures in parts:
        lines += [f"## {title}", ""]
        for figure in figures:
            path = figure.path.relative_to(out).as_posix()
            lines += [f"![{figure.title}]({path})", "", f"**{figure.title}.** {figure.caption}", ""]
        for table in part_tables:
            lines += [f"### {table.title}", "", table.caption, "", table.markdown()]
    lines += [
        "## Methods",
        "",
        " ".join(summary(analysis)),
        "",
        *(f"- {line}" for line in methods(analysis.study)),
    ]
    lines += [f"- {name}: {text}" for name, text in facts(analysis.study).items()]
    return "\n".join(lines) + "\n"


def _lede(analysis: Analysis) -> list[str]:
    """The sentences below the answer."""
    answers = [*ensembles.sentences(analysis), *tuning.sentences(analysis)]
    return [
        *sentences(analysis),
        *answers,
        *chance(analysis),
        *strata.warnings(analysis.readings),
        *map_sentences(analysis.maps),
    ]


def _html(analysis: Analysis, missing: Sequence[str], parts: Sequence[Part]) -> str:
    """The page of an analysis with ``missing`` runs and ``parts``, its styles, script and pictures inside."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    templates.filters["base64"] = lambda path: base64.b64encode(path.read_bytes()).decode()
    return templates.get_template("page.html.jinja").render(
        kind=kind_of(analysis.study),
        title=analysis.study.title,
        answer=answer(analysis),
        screen=SCREEN,
        lede=_lede(analysis),
        summary=summary(analysis),
        missing=missing,
        parts=parts,
        folded_tables=FOLDED,
        long=LONG,
        counted=counted,
        methods=methods(analysis.study),
        facts=facts(analysis.study),
    )
