"""The systems of a study at one label budget, their values per image, and the look of each in every picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtk.counts import replicates
from mmtk.report.figures import style
from mmtk.runs.finished import Run
from mmtk.study.results import Cell, Study
from mmtk.tasks import CLASSIFICATION, DOMAINS, TASKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Budget = Mapping[str, int | str]


@dataclass(frozen=True)
class Figure:
    """A picture of a study: a PNG at ``path``, an SVG of the same stem beside it, one sentence as caption.

    ``films``: it shows images, whose gray levels a dark page leaves as they are.
    """

    name: str
    title: str
    caption: str
    path: Path
    section: str
    films: bool = False


@dataclass(frozen=True)
class Look:
    """Style of a system; marker and dash tell it apart without colour."""

    colour: str
    dash: Any
    marker: str

    @property
    def size(self) -> float:
        """The size of the marker: a star needs more to look as large."""
        return 13 if self.marker == "*" else 8

    @property
    def line(self) -> dict[str, Any]:
        """Keywords of a line."""
        return {"color": self.colour, "ls": self.dash}


LOOKS = {
    "U-Net": Look(style.GREY, "-", "v"),
    "U-Net-SSL": Look("#111827", "--", "^"),
    "Enc": Look(style.SKY, "-", "s"),
    "Enc-SSL": Look(style.GREEN, "--", "D"),
    "Enc-MM": Look("#882255", "-.", "X"),
    "UMTL": Look(style.ORANGE, "-", "o"),
    "UMTL-S": Look(style.PURPLE, "--", "P"),
    "UMTL-SSL": Look(style.BLUE, "-.", "<"),
    "UMTL-SSL-S": Look("#7F7F00", (0, (6, 1, 1, 1, 1, 1)), ">"),
    "MultiMix": Look(style.VERMILION, "-", "*"),
}


def looks(study: Study) -> dict[str, Look]:
    """The look of every system by its digest: the paper's ten have their own, others take those that are free.

    When all are taken, colours come again with the next dash and marker.
    """
    names = study.systems
    free = [look for name, look in LOOKS.items() if name not in names.values()] or list(LOOKS.values())
    again = len(free) == len(LOOKS) and bool(LOOKS.keys() & names.values())  # nothing is free from the start
    other_systems = [system for system, name in names.items() if name not in LOOKS]
    looks_of_others = {
        system: _shifted(free[index % len(free)], index // len(free) + again)
        for index, system in enumerate(other_systems)
    }
    return {system: LOOKS.get(name) or looks_of_others[system] for system, name in names.items()}


def _shifted(look: Look, turn: int) -> Look:
    """The same colour with the dash and marker that are ``turn`` places on."""
    dashes, markers = style.DASHES, [look_of_paper.marker for look_of_paper in LOOKS.values()]
    dash = dashes[(dashes.index(look.dash) + turn) % len(dashes)]
    return Look(look.colour, dash, markers[(markers.index(look.marker) + turn) % len(markers)])


def systems(study: Study, budget: Budget, task: str | None = None) -> dict[str, Cell]:
    """The cells with runs at a budget, by system and in the study's order; with ``task`` where it is given."""
    cells = {system: study.cell(system, budget) for system in study.systems}
    return {system: c for system, c in cells.items() if c and c.runs and (task is None or task in c.tasks)}


def reference(study: Study, budget: Budget, task: str) -> Cell | None:
    """The study's reference at a budget; where none has the task, the last of the systems with the most tasks."""
    cells = list(systems(study, budget, task).values())
    return max(reversed(cells), key=lambda cell: (cell.reference, len(cell.tasks)), default=None)


def first_run(cell: Cell) -> Run:
    """The run of the lowest seed."""
    return cell.runs[min(cell.runs)]


def domains(cells: Iterable[Cell]) -> list[str]:
    """The test sets that cells have values per image of: the study's domains first, then those of evaluations."""
    names = dict.fromkeys(domain for cell in cells for domain, _ in cell.cases)
    return [*(domain for domain in DOMAINS if domain in names), *(name for name in names if name not in DOMAINS)]


def per_image(cell: Cell, domain: str, task: str, columns: Sequence[str]) -> list[np.ndarray]:
    """Values [images, columns] of every run of a ``cell`` that has them, by seed; only rows that are finite.

    domain: of the test set
    task: of the values
    columns: names of the values, as in ``cases.parquet``
    """
    table = cell.cases.get((domain, task), {})
    if not set(columns) <= table.keys():
        return []
    whole = [values[np.isfinite(values).all(1)] for values in np.stack([table[name] for name in columns], 2)]
    return [values for values in whole if len(values)]


def samples(run: Run, domain: str, task: str) -> dict[str, np.ndarray]:
    """The arrays of the sample images of a test set by WHAT (mmtk.model.examples); none where nothing was kept."""
    arrays = run.samples if run.folder.samples_file.is_file() else {}
    start = f"{domain}/{task}/"
    return {key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)}


def class_names(run: Run, task: str = CLASSIFICATION.name) -> list[str]:
    """The names of a task's classes or structures."""
    return list(run.provenance["targets"][task]["names"])


def titled(cells: Mapping[str, Cell], title: str) -> str:
    """``title``, behind the name of the system where there is only one; else it begins with a capital."""
    names = [cell.name for cell in cells.values()]
    return f"{names[0]}: {title}" if len(names) == 1 else title[:1].upper() + title[1:]


# --- words ----------------------------------------------------------------------------------------------------


def seeds(cells: Iterable[Cell]) -> str:
    """Number of seeds, or folds, of the cells, in words."""
    listed = list(cells)
    counts = {len(cell.runs) for cell in listed}
    if len(counts) == 1 and listed[0].folds:
        return replicates(counts.pop(), listed[0].folds)
    return seed_counts(counts)


def seed_counts(counts: Iterable[int]) -> str:
    """Numbers of seeds in words: one seed, 5 seeds, 3 to 5 seeds."""
    distinct = sorted(set(counts))
    if distinct == [1]:
        return "one seed"
    return f"{distinct[0]} seeds" if len(distinct) == 1 else f"{distinct[0]} to {distinct[-1]} seeds"


def seed_shown(cells: Iterable[Cell]) -> str:
    """Seed or fold of the pictures of single runs, in words."""
    listed = list(cells)
    lowest, unit = {min(cell.runs) for cell in listed}, listed[0].unit
    return f"{unit} {lowest.pop()}" if len(lowest) == 1 else f"the lowest {unit} of each system"


def images(counts: Mapping[str, int]) -> str:
    """Number of images of each domain, in words."""
    return " and ".join(f"n = {count:,} {domain}" for domain, count in counts.items()) + " images"


def label_words(task: str) -> str:
    """Unit of a task's label budget, in words."""
    return TASKS[task].annotations if task in TASKS else task


def labelled(budget: Budget) -> str:
    """A label budget in words: 100 class labels and 10 masks."""
    return " and ".join(f"{'all' if n == 'full' else n} {label_words(task)}" for task, n in budget.items())


def in_brackets(budget: Budget) -> str:
    """A label budget in words behind a title; "" where runs have none."""
    return f" ({labelled(budget)})" if budget else ""


def signed(value: float, places: int = 3) -> str:
    """A difference with its sign, which zero has not."""
    text = f"{value:+,.{places}f}"
    return text.replace("-", "−") if text.strip("+-0.") else text[1:]


def folded(name: str, width: int = 24) -> str:
    """A long name on several lines, broken after blanks, dots and equals signs, none of it cut."""
    lines = [""]
    for part in re.split(r"(?<=[ .=/])", name):
        if lines[-1] and len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip() for line in lines)


# --- shared parts of a picture --------------------------------------------------------------------------------


def legend(fig: Canvas, handles: Sequence[Any], width: float) -> None:
    """One legend under all panels, in as many columns as fit ``width`` inches."""
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = max(1, min(len(handles), int(width / (0.65 + 0.068 * longest))))
    fig.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=3.2)


def handles(study: Study, present_systems: Iterable[str], *, marked: bool = False) -> list[Any]:
    """Legend entries of ``present_systems``: their line, with their marker where the panels show it."""
    from matplotlib.lines import Line2D

    styles, wanted_systems = looks(study), set(present_systems)
    return [
        Line2D(
            [],
            [],
            **styles[system].line,
            marker=styles[system].marker if marked else None,
            ms=0.75 * styles[system].size,
            label=name,
        )
        for system, name in study.systems.items()
        if system in wanted_systems
    ]


def mark(label: str, **look: Any) -> Any:
    """A legend entry in gray for a mark that every system has in its colour.

    label: the words; look: of the line and marker, as matplotlib's Line2D takes it
    """
    from matplotlib.lines import Line2D

    return Line2D([], [], **{"color": style.GREY, "ls": "", "label": label} | look)


def band(cells: Iterable[Cell], label: str) -> list[Any]:
    """A legend entry for the band over seeds, where a cell has several."""
    from matplotlib.patches import Patch

    return [Patch(color=style.GREY, alpha=0.25, lw=0, label=label)] * any(len(cell.runs) > 1 for cell in cells)
