"""The paper's five tables: the data, the results in both domains, and the architecture."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mmtk.counts import counted
from mmtk.report.analysis import Analysis, Score
from mmtk.report.headlines import ALPHA
from mmtk.report.places import places
from mmtk.report.tables.table import DAGGER, Column, Entry, Table, count_entry, headings, number, value_entry
from mmtk.runs.finished import Run
from mmtk.scores import info, shown
from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN, TASKS, budget, file_name

# The paper's data sets; its numbers stand beside ours only where a run was tested on the same set.
PAPER_SETS = {
    "classification/in-domain": "chex",
    "classification/cross-domain": "nihx",
    "segmentation/in-domain": "jsrt",
    "segmentation/cross-domain": "mcu",
}
PAPER_METRICS = {
    "accuracy": "accuracy",
    "f1-normal": "f1_normal",
    "f1-pneumonia": "f1_pneumonia",
    "dice": "dice",
    "average-hausdorff": "hausdorff",
    "ssim": "ssim",
}
PAPER_TABLES = {IN_DOMAIN: "2", CROSS_DOMAIN: "3"}
SEGMENTATION = {
    "dice": ("DS", "Dice score of the masks"),
    "jaccard": ("JS", "Jaccard score of the masks"),
    "ssim": ("SSIM", "structural similarity of the masks"),
    "average-hausdorff": ("AHD", "average Hausdorff distance in pixels, lower is better"),
    "average-hausdorff-mm": ("AHD mm", "average Hausdorff distance in millimetres, lower is better"),
    "precision": ("P", "precision of the pixels"),
    "recall": ("R", "recall of the pixels"),
}

# --- tables 1 to 5 of the paper ---------------------------------------------------------------------------------


def source(run: Run, task: str, domain: str) -> str:
    """The word of the data source that a run was tested on."""
    prefix = f"data.{task}.{'cross' if domain == CROSS_DOMAIN else 'source'}="
    return next((c.rpartition("/")[2] for c in run.provenance["components"] if c.startswith(prefix)), "")


def data(analysis: Analysis) -> Table:
    """Table 1: images per set, part and class, of one seed."""
    rows: dict[tuple[str, ...], list[Entry]] = {}
    for cell in (cell for cell in analysis.study.cells if cell.runs):
        run = cell.runs[min(cell.runs)]
        for name, facts in run.data.items():
            task, domain = name.split("/")
            for part, count in facts["parts"].items():
                label = f"{part} ({cell.labels[task]} labels)" if part in ("labelled", "unlabelled") else part
                classes = facts.get("classes", {}).get(part, {})
                counted = ", ".join(f"{number:,} {name}" for name, number in classes.items()) or "–"
                first = [Entry(text) for text in (source(run, task, domain), task, domain, label)]
                rows.setdefault((name, label), [*first, count_entry(count), Entry(counted)])
    caption = "Images of every set by part and class. Labelled images are drawn anew with every seed."
    if analysis.study.folds:
        caption += " The parts are those of one fold; another one tests other patients."
    columns = headings("Set", "Task", "Domain", "Part", "*Images", "Classes")
    return Table("data", "Data", caption, columns, list(rows.values()))


@cache
def published() -> dict[tuple[str, str, str, str], dict[str, float]]:
    """The paper's scores by system, class labels, masks and domain.

    Means of five runs at 256×256 pixels without a spread, from the README of the code that the authors released
    (github.com/ayaanzhaque/MultiMix, commit af552e4); facts, copied into ``published.csv`` beside this module.
    """
    with open(Path(__file__).with_name("published.csv"), encoding="utf-8", newline="") as file:
        return {
            (row["system"], row["classification_labels"], row["segmentation_labels"], row["domain"]): {
                name: float(row[column]) for name, column in PAPER_METRICS.items() if row[column]
            }
            for row in csv.DictReader(file)
        }


def published_score(score: Score) -> float | None:
    """Published value of a score; None without one, or for another test set."""
    run = next(iter(score.cell.runs.values()))
    if source(run, score.task, score.domain) != PAPER_SETS.get(f"{score.task}/{score.domain}"):
        return None
    classes, masks = (str(score.cell.labels.get(task, "")) for task in TASKS)
    return published().get((score.cell.name, classes, masks, score.domain), {}).get(score.metric)


def _score_columns(analysis: Analysis) -> Iterator[tuple[str, str, Column]]:
    """Task, metric and heading of the paper's columns, as far as a cell has them.

    A task whose metric gives none of them has a column for every score that is tested.
    """
    columns = [] if analysis.study.origin else list(_paper_columns(analysis))
    yield from columns
    for task in (task for task in analysis.study.tasks if all(task != other for other, _, _ in columns)):
        for name in shown(scores := analysis.study.declared.get(task, {}), "tests"):
            yield task, name, Column(scores[name].heading, "", True)


def _paper_columns(analysis: Analysis) -> Iterator[tuple[str, str, Column]]:
    present_scores = list(dict.fromkeys((score.task, score.metric) for score in analysis.scores))
    declared = analysis.study.declared
    if ("classification", "accuracy") in present_scores:
        yield "classification", "accuracy", Column("accuracy", "", True, "Acc")
        yield (
            "classification",
            "majority",
            Column("always the majority", "accuracy of always guessing the majority class", True, "Maj"),
        )
        names = [metric[3:] for task, metric in present_scores if metric.startswith("f1-")]
        short = len({name[:1] for name in names}) == len(names)
        for name in names:
            letter = f"F1-{name[:1].upper() if short else name}"
            label = info(declared["classification"], f"f1-{name}").label
            yield "classification", f"f1-{name}", Column(label, "", True, letter)
    for metric, (letters, meaning) in SEGMENTATION.items():
        if ("segmentation", metric) in present_scores:
            heading = info(declared["segmentation"], metric).heading
            yield "segmentation", metric, Column(heading, meaning, True, letters)


def _on_images(analysis: Analysis, domain: str) -> str:
    """Numbers of test images of a domain, after "over seeds"; "" where no values per image are at hand."""
    sizes = {s.task: s.images for s in analysis.scores if s.domain == domain}
    sizes_text = " and ".join(f"{n:,} {task} images" for task, n in sizes.items() if n)
    return f" on {sizes_text}" if sizes_text else ""


def results(analysis: Analysis, domain: str) -> Table:
    """Table 2 or 3: every system at every budget in one domain, as the paper lays it out."""
    study = analysis.study
    score_columns = list(_score_columns(analysis))
    adjusted: dict[tuple[int, str], list[float]] = {}
    for one in (one for one in analysis.comparisons if one.domain == domain):
        p = one.lead.adjusted
        adjusted.setdefault((id(one.other), one.metric), []).append(1.0 if p is None else p)
    rows = []
    for cell in (cell for cell in study.cells if cell.runs):
        row = [Entry(cell.name), Entry(budget(cell.labels)), count_entry(len(cell.runs))]
        for task, metric, _ in score_columns:
            score = analysis.score(cell, domain, task, "accuracy" if metric == "majority" else metric)
            if score is None:
                row.append(Entry("–", {"": None}))
            elif metric == "majority":
                row.append(value_entry(score.chance))
            else:
                mark = DAGGER if max(adjusted.get((id(cell), metric), [1.0])) < ALPHA else ""
                row.append(_score_entry(analysis, score, mark))
        rows.append(row)
    on_images = _on_images(analysis, domain)
    caption = f"Mean ± sd over seeds{on_images}. Bold: best, and above chance."
    if not study.origin:
        caption = (
            f"Mean ± sd over seeds{on_images}, laid out as Table {PAPER_TABLES[domain]} of the "
            "paper. Labels: classes-masks. Bold: best at its labels, and above chance."
        )
    if any("published" in entry.numbers for row in rows for entry in row):
        caption += " In brackets what the paper published: five runs, other code, 256 pixels; not measured here."
    if any(one.lead.p is not None for one in analysis.comparisons):
        first = analysis.comparisons[0].reference.name
        caption += (
            f" {DAGGER} {first} differs: p < {ALPHA} after Holm's adjustment over all systems and test sets."
            if study.origin
            else f" {DAGGER} {first} differs (at each of its budgets): two-way "
            f"test, p < {ALPHA} after Holm's adjustment over all systems, budgets and both domains; tested "
            "are accuracy, Dice and average Hausdorff distance (px)."
        )
    columns = [*headings("System", "Labels", "*Seeds"), *(column for _, _, column in score_columns)]
    return Table(f"results-{file_name(domain)}", f"{domain.capitalize()} results", caption, columns, rows)


def _score_entry(analysis: Analysis, score: Score, mark: str) -> Entry:
    key = (score.domain, score.task, score.metric)
    column = [other for other in analysis.scores if (other.domain, other.task, other.metric) == key]
    digits = places([other.seeds.sd for other in column], score.info.digits)
    seeds, paper = score.seeds, published_score(score)
    same_labels = score.cell.labels.get(score.task)
    rivals = [other.seeds.mean for other in column if other.cell.labels.get(score.task) == same_labels]
    best = (min if score.info.better == "lower" else max)(rivals)
    text = number(seeds.mean, digits) + (f" ± {number(seeds.sd, digits)}" if seeds.sd is not None else "")
    numbers: dict[str, float | None] = {"": seeds.mean, "sd": seeds.sd}
    best_here = (
        len(rivals) > 1
        and seeds.mean == best
        and (score.chance is None or score.info.improves(best, score.chance))
    )
    note = ""
    if paper is not None:
        numbers["published"], note = paper, f"paper {number(paper, score.info.digits)}"
    return Entry(text, numbers, best=best_here, mark=mark, note=note)


def architecture(analysis: Analysis) -> list[Table]:
    """Tables 4 and 5: the layers of the network in the order they run; MmtkError where a run wrote none."""
    cells = sorted((c for c in analysis.study.cells if c.runs), key=lambda c: (len(c.labels), c.reference))
    if not cells:
        return []
    layers, size = cells[-1].runs[min(cells[-1].runs)].layers
    return [
        _layers(title, name, rows, f"{cells[-1].name} on {size}×{size} pixels")
        for name, title, parts in (
            ("encoder", "Encoder and class head", ("encoder", "head")),
            ("decoder", "Decoder and bridge", ("bridge", "decoder")),
        )
        if (rows := [layer for layer in layers if layer["layer"].split(".")[0] in parts])
    ]


def _layers(title: str, name: str, layers: Sequence[Mapping[str, Any]], network: str) -> Table:
    """The table of one part of a ``network``; ``layers`` as in ``layers.json``."""
    rows = [
        [
            Entry(layer["layer"]),
            Entry(layer["kind"]),
            Entry(" × ".join(map(str, layer["output"]))),
            count_entry(layer["parameters"]),
        ]
        for layer in layers
    ]
    total = sum(layer["parameters"] for layer in layers)
    caption = f"The layers of {network}, in the order they run; {counted(total, 'parameter')}."
    return Table(name, title, caption, headings("Layer", "Kind", "Output", "*Parameters"), rows)
