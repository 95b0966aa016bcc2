"""A finished run scored on other data: test sets of a profile, or folders as they are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmtk import api
from mmtk.counts import counted, share
from mmtk.data import leaks, locations, store
from mmtk.data.dataset import TestSet
from mmtk.data.folder_sets import LabelledSource
from mmtk.data.label_matching import check_names, relabel
from mmtk.data.training_overlap import trained_on
from mmtk.errors import MmtkError, Problems, listing
from mmtk.io.files import read_json, write_json
from mmtk.io.outputs import OutputFolder, refuse_inside
from mmtk.model import evaluate as scoring
from mmtk.model.examples import write_ranked, write_samples
from mmtk.model.predictor import Predictor, load
from mmtk.recipe.load import on_other_data
from mmtk.recipe.recipe import Recipe
from mmtk.report.matching import write_matched
from mmtk.report.new_patients import intervals_of
from mmtk.report.run import draw_run
from mmtk.runs.display import Display
from mmtk.runs.finished import read_run
from mmtk.runs.folder import RunDir
from mmtk.runs.result import Result
from mmtk.tasks import IN_DOMAIN, file_name
from mmtk.workflows.evaluation_folder import Origin, free_evaluation, refuse_other_evaluation
from mmtk.workflows.members import Runs, run_folders
from mmtk.workflows.run import data_root
from mmtk.workflows.scored_sets import LabelledSet, refuse_mixture, sets_in_folders, sets_in_recipe
from mmtk.workflows.single_runs import score_single_runs, validation_sets

Progress = Callable[[str, int, int], None]
VALUES = ("evaluation.json", "results.json", "cases.parquet", "matched.json")
WRITTEN = (*VALUES, "samples.npz", "ranked.npz", "figures/")
NEW_TRAININGS = "Intervals: single runs of this system, newly trained, on new patients (two-way)."
NEW_PATIENTS = "Intervals: this network on new patients, each left out in turn; nothing is said of new trainings."
AS_TRAINED = ("data.size", "data.channels", "data.classification.normalise")


def evaluate(
    run_dir: Runs,
    profile: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    folders: str | Path | Sequence[str | Path] = (),
    columns: Mapping[str, str] | None = None,
    data: str | Path | None = None,
    match: Mapping[str, str] | None = None,
    device: str = "auto",
    cell: str | None = None,
    pictures: bool = True,
    quiet: bool = True,
) -> Result:
    """Score a run's best weights on folders of films, or on the sets of another profile or source.

    run_dir: a finished run directory, scored on ``device``; of several, or of the ``cell`` of a study, the
        probabilities are averaged
    profile: another profile, whose sets are read in the folder ``data`` and changed by ``overrides``
    out: the folder of the results (default ``RUNDIR/evaluations/NAME``)
    pictures: draw the scored sets
    quiet: print nothing

    Of ``folders`` all films are scored that have a label for a task of the run; files that cannot be read are left
    out and listed in ``evaluation.json``; ``columns`` says where ``masks``
    and ``labels`` (a table) are and which column is the ``label``, where that is not found. Of a profile's
    sources, so are those without a split of their own; of others the test part. ``overrides`` may hold
    ``tasks``, to score one of two; ``match`` says which label is which of the run's (see ``matching``). Images
    are brought to the run's own size. A set is named by its source, and in-domain where it is the data of the
    training. Where the data of the training are among the sets, what the metrics choose on the validation part
    (the decision threshold) is chosen there, by the ensemble of all runs; elsewhere the threshold stays 0.5.
    """
    display, out = Display(quiet), Path(out) if out is not None else None
    members = [RunDir(path) for path in run_folders(run_dir, cell)]
    folder, films = members[0], _paths(folders)
    if out is not None:
        OutputFolder(out, "evaluate").check(WRITTEN)
    elif len(members) > 1:
        raise MmtkError("an ensemble has no folder of its own.", hint="Say where its results go: --out DIR.")
    origin = Origin.of(members, films, profile)
    if out is not None:
        refuse_other_evaluation(out, origin)
    predictor = load([member.path for member in members], device)
    recipe, tasks = _recipe(folder, predictor, profile, dict(overrides or {}))
    digests = _own_data(members)
    match = match or {}
    check_names(match, predictor.targets.values())
    unscored: list[str] = []
    with TemporaryDirectory(prefix="mmtk-evaluate-") as spare:
        if films:
            refuse_mixture(profile, overrides)
            sets, unscored = sets_in_folders(films, columns or {}, predictor, tasks, match, Path(spare), display)
        else:
            sets = sets_in_recipe(recipe, tasks, data_root(data, folder), digests)
        if out is not None:
            refuse_inside(out, [*films, *locations.data_paths(recipe, data_root(data, folder))])
        opened = [_open(item, recipe, predictor, match, display.reading, leave=bool(films)) for item in sets]
    tests, unreadable = [test for test, _ in opened], [error for _, errors in opened for error in errors]
    for error in unreadable:
        display.warn(f"Left out: {error}")
    overlaps, unlooked = _overlaps(members, tests, display)
    out_folder = out or free_evaluation(
        folder.path / "evaluations" / (Path(profile).stem if profile else _title(tests)), origin
    )
    output = OutputFolder(out_folder, "evaluate", set_aside=out is None)
    matched_lines: list[str] = []
    with output.staged(WRITTEN) as stage:
        validation = scoring.calibration_metrics(
            predictor.net, recipe, validation_sets(members, tests), predictor.device
        )
        scores = scoring.evaluate(predictor.net, recipe, tests, validation, predictor.device)
        scoring.add_disagreement(scores, predictor.net, recipe, tests, predictor.device)
        write_json(stage / "results.json", scores.results)
        _write_cases(RunDir(stage), recipe, predictor, tests, scores)
        cases = [stage / "cases.parquet"]
        intervals = intervals_of([read_run(folder.path)], cases, [scores.results], scores.declared)
        singles = score_single_runs(members, predictor, recipe, tests)
        facts = {
            "run": str(folder.path.absolute()),
            "runs": [str(member.path.absolute()) for member in members],
            "origin": asdict(origin),
            "sets": [_described(test) for test in tests],
            "trained_on": [item.report() for item in overlaps],
            "not_compared": unlooked,
            "not_scored": unscored,
            "unreadable": [{"image": error.id, "reason": str(error)} for error in unreadable],
            **intervals,
            **({"single_runs": singles} if singles else {}),
        }
        write_json(stage / "evaluation.json", facts)
        write_matched(stage / "cases.parquet", recipe.data.match, matched_lines.append)
        if pictures:
            labels = {task: asdict(labels) for task, labels in predictor.targets.items()}
            draw_run(RunDir(stage), predictor.recipe, labels)
    if singles:
        means = f"{recipe.name}, mean of {counted(len(members), 'seed')},"
        display.intervals(singles["results"], means, scores.declared, singles, recipe, NEW_TRAININGS)
    name = f"{recipe.name}, {counted(len(members), 'run')} averaged," if len(members) > 1 else recipe.name
    display.intervals(scores.results, name, scores.declared, intervals, recipe, NEW_PATIENTS)
    for line in matched_lines:
        display.note(line)
    return Result(out_folder, scores.results)


def _write_cases(
    folder: RunDir, recipe: Recipe, predictor: Predictor, tests: list[TestSet], scores: scoring.Scores
) -> None:
    """Write the values per image and the examples of an evaluation."""
    net, device = predictor.net, predictor.device
    scoring.add_builtin_metrics(scores, net, recipe, tests, device)
    scoring.write_cases(folder.cases_file, scores)
    write_samples(folder.samples_file, recipe, net, tests, device)
    write_ranked(folder.ranked_file, recipe, net, tests, folder.cases_file, device)


def _paths(folders: str | Path | Sequence[str | Path]) -> list[Path]:
    """One folder or several as paths."""
    return [Path(path) for path in ([folders] if isinstance(folders, str | Path) else folders)]


def _own_data(members: Sequence[RunDir]) -> Mapping[str, str]:
    """Digests of the data that all runs were trained on, by task and domain; none of folds that differ."""
    known = [run.provenance["data"] if run.provenance_file.is_file() else {} for run in members]
    shared = {name: digest for name, digest in known[0].items() if all(one.get(name) == digest for one in known)}
    tested = {json.dumps(read_json(run.splits_file)) for run in members if run.recipe.data.folds}
    if len(tested) > 1:
        return {name: digest for name, digest in shared.items() if not name.endswith(f"/{IN_DOMAIN}")}
    return shared


def _overlaps(
    members: Sequence[RunDir], tests: list[TestSet], display: Display
) -> tuple[list[leaks.Overlap], str]:
    """Films of the sets that a run was trained on, and why they are not known; each is printed."""
    looks = [trained_on(member, member.recipe, tests, display.reading) for member in members]
    overlaps = [overlap for found, _ in looks for overlap in found]
    unlooked = next((reason for _, reason in looks if reason), "")
    _warn(display, overlaps, unlooked)
    return overlaps, unlooked


def _warn(display: Display, overlaps: Sequence[leaks.Overlap], unlooked: str) -> None:
    """Print which sets the run was trained on, a line for each, and which could not be compared."""
    by_set: dict[str, list[leaks.Overlap]] = defaultdict(list)
    for overlap in overlaps:
        by_set[overlap.scored.role.use].append(overlap)
    for overlaps_of_set in by_set.values():
        display.warn(known_films(overlaps_of_set))
    if unlooked:
        display.warn(f"Not known: {unlooked}.")


def _recipe(
    folder: RunDir, predictor: Predictor, profile: str | None, changes: dict[str, Any]
) -> tuple[Recipe, list[str]]:
    """The run's recipe with other data, and the tasks to score: all that the profile has data for."""
    trained = predictor.recipe.tasks
    task_names = changes.pop("tasks", None)
    if absent := sorted({*(task_names or ())} - {*trained}):
        raise MmtkError(f"tasks: the run has no {listing(absent)}; it was trained for {listing(trained)}.")
    as_trained = {key: value for key in AS_TRAINED if (value := predictor.recipe.get(key)) is not None}
    recipe, given_tasks = on_other_data(folder.recipe_file, profile, {**as_trained, **changes})
    tasks = [task for task in trained if task in (task_names or given_tasks)]
    if not tasks:
        raise MmtkError(f"has no data for {listing(trained)}.", profile, "Give a source for a task of the run.")
    return recipe, tasks


def _open(
    labelled_set: LabelledSet,
    recipe: Recipe,
    predictor: Predictor,
    match: Mapping[str, str],
    progress: Progress,
    *,
    leave: bool,
) -> tuple[TestSet, list[store.UnreadableError]]:
    """Read a set; files that cannot be read are left out where ``leave``, and returned beside it."""
    source = relabel(labelled_set.source, predictor.targets[labelled_set.task], match, labelled_set.name)

    def read(images: api.Source) -> store.ImageStore:
        return store.open_store(
            images,
            recipe.data.size,
            recipe.data.channels,
            progress=lambda count, of: progress(f"{labelled_set.name} ({labelled_set.task})", count, of),
        )

    bad: list[store.UnreadableError] = []
    try:
        store_of_set = read(source)
    except Problems as problems:
        bad = [error for error in problems.problems if isinstance(error, store.UnreadableError)]
        if not leave or len(bad) == len(source.items("all")):
            raise
        source = LabelledSource(source, [error.id for error in bad])
        store_of_set = read(source)
    rows = store_of_set.rows([item.id for item in source.items(labelled_set.split) if item.target is not None])
    if not len(rows):
        part = "" if labelled_set.split == "all" else f" in its {labelled_set.split} part"
        raise MmtkError(
            f"no image with a label for {labelled_set.task}{part}: there is nothing to score.", labelled_set.name
        )
    return TestSet(labelled_set.task, labelled_set.name, store_of_set, [int(row) for row in rows]), bad


def known_films(overlaps: Sequence[leaks.Overlap]) -> str:
    """Sentence on the films of a set that are known from training, with every task that learned from them."""
    by_task: dict[str, leaks.Overlap] = {}
    for overlap in sorted(overlaps, key=lambda one: one.images):
        by_task[overlap.train.role.task] = overlap
    largest = max(by_task.values(), key=lambda one: one.images)
    counts = {task: by_task[task].images for task in sorted(by_task)}
    tasks = " and ".join(task if len({*counts.values()}) == 1 else f"{task} {n}" for task, n in counts.items())
    films = share(largest.images, len(largest.scored.rows), "film", "was", "were")
    shared = f"{largest.scored.role.use}: {films} trained on ({tasks}), so its scores are too good"
    return f"{shared}: {'; '.join(line.removesuffix('.') for line in largest.lines(5))}."


def _described(test: TestSet) -> dict[str, Any]:
    return {
        "name": test.domain,
        "task": test.task,
        "digest": test.store.digest,
        "images": len(test.store.ids),
        "scored": len(test.rows),
    }


def _title(tests: Sequence[TestSet]) -> str:
    names = dict.fromkeys(file_name(test.domain) for test in tests)
    return "own" if {*names} <= {"in-domain", "cross-domain"} else "-".join(names)[:80].rstrip("-.")
