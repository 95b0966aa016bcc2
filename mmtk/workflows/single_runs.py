"""Runs of one system scored each by itself, where an evaluation averages them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmtk.data.dataset import TestSet
from mmtk.io.files import read_facts
from mmtk.model import evaluate as scoring
from mmtk.model.predictor import Predictor
from mmtk.recipe.recipe import Recipe
from mmtk.report.new_patients import intervals_of, mean_results
from mmtk.runs.finished import read_run
from mmtk.runs.folder import RunDir
from mmtk.tasks import IN_DOMAIN


def score_single_runs(
    members: Sequence[RunDir], predictor: Predictor, recipe: Recipe, tests: Sequence[TestSet]
) -> dict[str, Any]:
    """Mean scores of single runs with their two-way intervals; nothing unless they are seeds of one system.

    members: the runs
    predictor: of all of them, in their order
    recipe: of the evaluation
    tests: the sets that are scored

    ``seeds``, ``results`` with the means, and ``intervals`` and ``notes`` of ``intervals_of``.
    """
    if len(members) < 2 or not all(member.finished for member in members):
        return {}
    runs = [read_run(member.path) for member in members]
    seeds = [run.seed for run in runs]
    if len({run.digest for run in runs}) > 1 or len({*seeds}) < len(seeds):
        return {}
    in_order = sorted(zip(runs, predictor.net.members, strict=True), key=lambda pair: pair[0].seed)
    results, files = [], []
    with TemporaryDirectory(prefix="mmtk-evaluate-") as spare:
        for run, net in in_order:
            own_validation = validation_sets([run.folder], tests)
            validation = scoring.calibration_metrics(net, recipe, own_validation, predictor.device)
            scores = scoring.evaluate(net, recipe, list(tests), validation, predictor.device)
            results.append(scores.results)
            files.append(Path(spare) / f"{run.seed}.parquet")
            scoring.write_cases(files[-1], scores)
        intervals = intervals_of([run for run, _ in in_order], files, results, scores.declared)
    return {"seeds": sorted(seeds), "results": mean_results(results), **intervals}


def validation_sets(members: Sequence[RunDir], tests: Sequence[TestSet]) -> list[TestSet]:
    """Validation parts of the tasks whose own data are scored, where all runs have the same one."""
    splits = [read_facts(run.splits_file) if run.splits_file.is_file() else {} for run in members]
    sets = []
    for test in tests:
        parts = [split.get(test.task, {}).get("val") for split in splits]
        if test.domain == IN_DOMAIN and parts[0] and all(part == parts[0] for part in parts):
            rows = [int(row) for row in test.store.rows(parts[0])]
            sets.append(TestSet(test.task, "validation", test.store, rows))
    return sets
