"""The model card of a shared folder, from the run's own files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmtk.counts import counted
from mmtk.report import analysis
from mmtk.report.patients import on_patients
from mmtk.report.places import places
from mmtk.report.tables.paper import data as data_table
from mmtk.report.tables.paper import source
from mmtk.report.tables.table import Entry, Table, headings, interval, number, value_entry
from mmtk.runs.finished import Run
from mmtk.scores import leading
from mmtk.study.results import Cell, Study
from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN


def model_card(run: Run, other_seeds: Sequence[Run] = ()) -> str:
    """Markdown: what the model is, its data and budgets, scores with spread, intended use and limits.

    ``other_seeds`` are runs of the same recipe and data with other seeds: the spread is over them and this run.
    Intervals speak of new trainings and new patients, of one run of new patients alone.
    """
    cell = _cell(run, other_seeds)
    study = Study(run.path.name, [cell], sorted(cell.runs))
    scores = [s for s in analysis.scores(study) if "tests" in s.info.shown]
    table = data_table(analysis.Analysis(study, scores, [], []))
    parts = [
        *_head(run),
        "## Data",
        "",
        table.markdown(),
        *_data(run, cell),
        "",
        "## Training",
        "",
        *_training(run),
        "",
        "## Scores",
        "",
        *_scores(run, study, scores),
        "",
        "## Intended use",
        "",
        USE,
        "",
        "## Limits",
        "",
        *_limits(run, cell, scores),
        "",
        "## Where it comes from",
        "",
        *_origin(run),
    ]
    return "\n".join(parts) + "\n"


def _cell(run: Run, other_seeds: Sequence[Run]) -> Cell:
    recipe = run.folder.recipe
    labels: dict[str, int | str] = {task: recipe.task_data(task).labels for task in recipe.tasks}
    runs = {seed_run.seed: seed_run for seed_run in (run, *other_seeds)}
    folds = recipe.data.folds if len(runs) > 1 else None
    listed = dict(sorted(runs.items()))
    return Cell(recipe.name, {}, labels, run.digest, reference=True, runs=listed, folds=folds or 0)


def _head(run: Run) -> Iterator[str]:
    recipe, targets = run.folder.recipe, run.provenance["targets"]
    side, channels = recipe.data.size, recipe.data.channels
    yield f"# {recipe.name}"
    yield ""
    if about := recipe.description:
        yield f"{about}."
        yield ""
    yield f"Run `{recipe.run_name}` of mmtk {run.provenance['mmtk']}, trained for {' and '.join(recipe.tasks)}."
    yield ""
    yield "```sh"
    yield "mmtk predict FOLDER IMAGE --out predictions"
    yield "```"
    yield ""
    planes = "one channel" if channels == 1 else f"{channels} equal channels"
    yield f"- Input: gray images of any size, stretched to {side} × {side} pixels ({planes})."
    if "classification" in targets:
        yield f"- Classes: {', '.join(targets['classification']['names'])}."
        if (threshold := run.score(IN_DOMAIN, "classification", "threshold")) is not None:
            name = targets["classification"]["names"][1]
            yield f"- Threshold on the probability of {name} that was chosen on validation: {number(threshold)}."
    if "segmentation" in targets:
        rule = "the likeliest one" if targets["segmentation"]["exclusive"] else "a probability of 0.5 or more"
        yield f"- Mask channels: {', '.join(targets['segmentation']['names'])}; a pixel belongs to {rule}."
    yield ""


def _data(run: Run, cell: Cell) -> Iterator[str]:
    yield f"Labelled for training: {', '.join(f'{labels} ({task})' for task, labels in cell.labels.items())}."
    yield "Digests of the data:"
    yield ""
    for name, digest in run.provenance["data"].items():
        task, domain = name.split("/")
        yield f"- {source(run, task, domain)} ({task}, {domain}): `{digest}`"


def _training(run: Run) -> Iterator[str]:
    recipe, selected = run.folder.recipe, run.scores["selected"]
    train = recipe.train
    yield (
        f"{counted(selected['steps'], 'step')} of {counted(train.batch, 'image')} per stream at "
        f"{recipe.data.size} px, {train.optimizer}, learning rate {train.lr}, {train.precision}, "
        f"seed {run.seed}, {run.seconds:.0f} s on {run.provenance['hardware']}. "
        f"The weights are those of step {selected['step']}, "
        f"the best on validation (score {number(selected['score'])})."
    )
    yield ""
    columns = headings("Part", "Component", "From")
    parts = [tuple(word.split("=", 1)) for word in run.provenance["components"]]
    versions = run.provenance["components"].values()
    rows = [
        [Entry(path), Entry(word), Entry(dist)]
        for (path, word), dist in zip(parts, versions, strict=True)
        if not path.startswith(("data.", "metric."))
    ]
    yield Table("components", "Components", "", columns, rows).markdown()
    yield "`recipe.toml` has every value."


def _scores(run: Run, study: Study, scores: Sequence[analysis.Score]) -> Iterator[str]:
    several = scores[0].seeds.n > 1
    columns = headings(
        "Test set", "Domain", "*Images", "Metric", "*This model", "*Mean ± SD", "*95 % interval", "*Chance"
    )
    rows = []
    for s in scores:
        over = s.interval or s.seeds
        digits = places([s.seeds.sd], s.info.digits)
        spread = f"{number(s.seeds.mean, digits)} ± {number(s.seeds.sd, digits)}" if several else "–"
        ends = "–" if over is None else interval(over.low, over.high, digits)
        first = [Entry(source(run, s.task, s.domain)), Entry(s.domain), Entry(f"{s.images:,}")]
        first.append(Entry(s.info.heading))
        run_value = value_entry(run.score(s.domain, s.task, s.metric), digits)
        rows.append([*first, run_value, Entry(spread), Entry(ends), value_entry(s.chance)])
    yield Table("scores", "Scores", "", columns, rows).markdown()
    without = [f"{s.info.label} {s.domain}" for s in scores if s.interval is None and s.seeds.low is not None]
    yield from _spread(run, study, without)
    if notes := on_patients(study):
        yield ""
        yield from (f"- {note}" for note in notes)
    yield ""
    yield (
        "Chance: what needs no look at the image: always the most frequent class for accuracy, one in the number "
        "of classes for balanced accuracy, 0.5 for AUROC."
    )


def _spread(run: Run, study: Study, without: Sequence[str]) -> Iterator[str]:
    """Meaning of the spread and the interval; ``without``: scores without values per image."""
    seeds = ", ".join(map(str, study.seeds))
    if len(study.seeds) > 1 and study.folds:
        yield (
            f"Spread: mean and standard deviation over the runs {seeds}, each of which tested another fold of the "
            "patients and trained on the others; the 95 % interval speaks of new trainings and new patients "
            "(in-domain the corrected t over folds, elsewhere two-way). The weights here are those of run "
            f"{run.seed}, whose in-domain test images are fold {run.seed % study.folds} alone."
        )
    elif len(study.seeds) > 1:
        yield (
            f"Spread: mean and standard deviation over the seeds {seeds}, each with label subsets and initial "
            "weights of its own; the 95 % interval (two-way) speaks of new trainings and new patients. "
            f"The weights here are those of seed {run.seed}."
        )
        if without:
            yield f"Without values per image, so of new trainings on these patients alone: {', '.join(without)}."
    else:
        yield (
            "Spread: 95 % intervals for new patients and this network, by leaving out each patient in turn "
            "(jackknife). They say nothing about another seed or another draw of labels: only one was at hand. A "
            "dash: values per image do not give the score, or there are too few patients."
        )


USE = (
    "Research on semi-supervised and multi-task learning: to repeat or to compare this experiment, or to start "
    'another from these weights (`init = "FOLDER"`). It is not a medical device, and nothing it predicts is a '
    "diagnosis."
)


def _limits(run: Run, cell: Cell, scores: Sequence[analysis.Score]) -> Iterator[str]:
    yield "- For research only. It was not tested in clinical use, nor on groups of patients apart."
    for task in cell.tasks:
        metric = leading(run.declared[task])
        label = run.score_info(task, metric).label
        inside, across = (run.score(domain, task, metric) for domain in (IN_DOMAIN, CROSS_DOMAIN))
        if inside is None:
            continue
        if across is None:
            yield f"- {label}: it was tested on data of one origin only; elsewhere it may be worse."
            continue
        where = f"{source(run, task, IN_DOMAIN)} to {source(run, task, CROSS_DOMAIN)}"
        yield (
            f"- From its own data to those of another origin ({where}), {label} goes "
            f"from {number(inside)} to {number(across)}."
        )
    for s in scores:
        run_value = run.score(s.domain, s.task, s.metric)
        if s.chance is not None and run_value is not None and not s.info.improves(run_value, s.chance):
            level = f"{number(run_value)} against {number(s.chance)}"
            yield f"- {s.info.label} {s.domain} is no better than chance: {level}."
    sets = {source(run, *name.split("/")) for name in run.provenance["data"]}
    if "phantom" in sets:
        yield "- It was trained or tested on synthetic images (phantom), which no patient looks like."
    if len(cell.runs) == 1:
        yield "- One seed: how much of a score is luck of the draw is not known."
    for warning in run.scores.get("warnings", []):
        yield f"- Warned while training: {warning}"


def _origin(run: Run) -> Iterator[str]:
    provenance = run.provenance
    version, started = provenance["mmtk"], provenance["started"]
    yield f"- mmtk {version}, recipe digest `{run.digest}`, seed {run.seed}, begun {started}"
    if commit := provenance["git"].get("commit"):
        yield f"- commit `{commit}`{', with changes of its own' if provenance['git'].get('dirty') else ''}"
    yield f"- {', '.join(f'{name} {version}' for name, version in provenance['libraries'].items() if version)}"
    if code := provenance["code"]:
        code_name = run.folder.code_file.name
        yield f"- components of `{Path(code['path']).name}`, kept as `{code_name}`, SHA-256 `{code['sha256']}`"
