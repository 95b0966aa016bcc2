"""A tuned study from plan to report, at toy size: what trials write, what is chosen by, and how it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import SEGMENTATION, SOURCES, TINY

import mmtk
from mmtk.api import Job, JobResult, Launcher
from mmtk.components.launcher.inline import Inline
from mmtk.errors import MmtkError
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.study.folder import PlannedRun, StudyDir
from mmtk.study.trials import read_trials, read_values
from mmtk.tasks import DOMAINS
from mmtk.workflows.ablate import StudyRequest, prepare
from mmtk.workflows.study_session import StudySession

pytestmark = pytest.mark.long

# A rate with which hardly anything is learned, so that tuning has something to find.
RECIPE = """
extends = "unet"
name = "Slow"

[tune]
train.lr = { low = 3e-3, high = 3e-2, log = true }
consistency.weight = [0.01, 0.1]
"""
OVERRIDES = {
    **TINY,
    **SEGMENTATION,
    **{key: value for key, value in SOURCES.items() if "segmentation" in key},
    "encoder.depth": 3,
    "train.lr": 1e-5,
    "train.steps": 12,
    "train.validate_every": 6,
    "data.segmentation.source.val": 24,
}
TRIALS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two systems, three trials of each and two seeds, with its report."""
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "slow.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        mmtk.ablate(
            "slow.toml",
            "consistency=none+kl",
            seeds=2,
            tune=TRIALS,
            profile="phantom",
            overrides=OVERRIDES,
            launcher="inline",
            device="cpu",
            out="study",
        )
    return folder


@pytest.fixture
def study(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StudyDir:
    monkeypatch.chdir(folder)
    return StudyDir(Path("study"))


def trials(study: StudyDir) -> list[PlannedRun]:
    return [run for run in study.runs() if run.cell.folder]


def test_every_system_spends_the_same_steps(study: StudyDir) -> None:
    systems = read_trials(study.plan(), study.runs())
    assert len(systems) == 2
    assert {len(system.trials) for system in systems} == {TRIALS}
    assert {system.steps for system in systems} == {TRIALS * 12}
    rates = [[trial.settings["train.lr"] for trial in system.trials] for system in systems]
    assert rates[0] == rates[1]
    assert rates[0][0] == 1e-5


def test_a_trial_has_no_test_score(study: StudyDir) -> None:
    assert len(trials(study)) == 2 * TRIALS
    for run in trials(study):
        assert run.folder.finished
        results = json.loads(run.folder.results_file.read_text())
        assert {key: results[key] for key in DOMAINS} == {domain: {} for domain in DOMAINS}
        assert set(results["selected"]) == {"step", "score", "steps"}
        for file in (run.folder.cases_file, run.folder.samples_file, run.folder.ranked_file):
            assert not file.exists()
        assert not run.folder.best.exists()
        with pytest.raises(MmtkError, match="scored no test set"):
            mmtk.read_run(run.folder.path)


def test_trials_are_validated_on_validation_images(study: StudyDir) -> None:
    """The score of a trial is that of its log, which holds scores of the 24 validation images alone."""
    for run in trials(study):
        rows = [json.loads(line) for line in run.folder.metrics_file.read_text().splitlines()]
        scores = [row["val/score"] for row in rows if "val/score" in row]
        assert json.loads(run.folder.results_file.read_text())["selected"]["score"] == max(scores)
        counts = {value for row in rows for key, value in row.items() if key == "val/segmentation/n"}
        assert counts == {24}
        assert not any(key.startswith(("test", *DOMAINS)) for row in rows for key in row)


def test_the_best_validation_score_is_chosen_and_nothing_else(study: StudyDir) -> None:
    plan = study.plan()
    assert plan.tuning is not None
    values = read_values(plan, study.runs())
    for cell, tuned in zip(plan.cells, plan.tuned, strict=True):
        of_cell = [value for value in values[cell.recipe.digest] if value is not None]
        best = plan.tuning.best[cell.recipe.digest]
        assert of_cell[best] == max(of_cell)
        assert tuned.recipe["train.lr"] == plan.tuning.numbered(cell)[best].recipe["train.lr"]
    assert any(plan.tuning.best.values())  # else this study tests nothing
    # The runs of the study, which have test scores, play no part.
    assert read_values(plan, [run for run in study.runs() if run.cell.folder]) == values


def test_own_and_best_settings_run_with_the_seeds_of_the_study(study: StudyDir) -> None:
    results = study.collect()
    assert results.before is not None
    assert [cell.name for cell in results.cells] == [cell.name for cell in results.before.cells]
    assert all(sorted(cell.runs) == [0, 1] for cell in (*results.cells, *results.before.cells))
    assert results.gaps == []
    assert all(run.seed == 1000 for run in trials(study))


def test_the_report_shows_verdicts_before_and_after_and_every_trial(study: StudyDir) -> None:
    report = mmtk.report(study.path, study.path / "again")
    text = (study.path / "again" / "report.md").read_text(encoding="utf-8")
    page = report.page.read_text(encoding="utf-8")
    for words in ("Verdicts before and after tuning", "Settings that tuning chose", "All trials"):
        assert words in text
        assert words in page
    assert "Every system was tuned with 3 trials, chosen by validation alone (72 steps in all)" in text
    assert "Every system was tuned with 3 trials" in report.summary
    assert "\nTuned Slow" in report.summary
    assert "consistency: kl on Dice in-domain, before → after tuning: " in report.summary
    rows = (study.path / "again" / "tables" / "trials.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 2 * TRIALS


def _bytes(run: PlannedRun) -> bytes:
    return run.folder.metrics_file.read_bytes()


def test_a_study_that_was_stopped_goes_on_to_the_same_settings_and_bytes(study: StudyDir, tmp_path: Path) -> None:
    plan = study.plan()
    before = {run.folder.path: _bytes(run) for run in study.runs()}
    shutil.copytree(study.path.parent, tmp_path / "copy")
    copy = StudyDir(tmp_path / "copy" / "study")
    # As it was when the second trial of the last system had not begun: no best settings, no runs with them.
    about = json.loads(copy.file.read_text())
    about["tuning"]["best"] = {}
    copy.file.write_text(json.dumps(about))
    tuned = {run.folder.path.name for run in study.runs() if run.cell.untuned and not run.cell.folder}
    assert tuned
    for name in tuned:
        shutil.rmtree(tmp_path / "copy" / "runs" / name)
    shutil.rmtree(tmp_path / "copy" / trials(study)[-1].folder.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "copy")
        mmtk.ablate("study", launcher="inline", device="cpu")
        again = StudyDir(Path("study"))
        assert again.plan().tuning == plan.tuning
        assert {run.folder.path: _bytes(run) for run in again.runs()} == before


def test_a_trial_that_diverged_is_done_and_never_the_best(study: StudyDir, tmp_path: Path) -> None:
    recipe = trials(study)[0].recipe.with_values({"train.lr": 1e30, "train.alarm": False})
    result = mmtk.run(recipe, tmp_path / "run", device="cpu", pictures=False)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["selected"]["score"] is None
    assert any("not finite" in warning or "NaN" in warning for warning in results["warnings"])
    assert RunDir(result.path).finished


class Queue(Launcher):
    """A queue whose jobs run, really, when ``work`` is called."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        yield from Inline().run(jobs)

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        self.jobs += jobs
        return [job.dir.name for job in jobs]

    def queue(self, jobs: Sequence[str]) -> dict[str, str]:
        waiting = {job.dir.name for job in self.jobs}
        return {name: "waiting" for name in jobs if name in waiting}

    def work(self) -> None:
        jobs, self.jobs = self.jobs, []
        assert {result.code for result in Inline().run(jobs)} == {0}


def _detached(folder: Path, **options: object) -> tuple[StudySession, Queue]:
    """A study of two systems, two trials of each, in a queue."""
    (folder / "slow.toml").write_text(RECIPE)
    overrides = OVERRIDES | {"train.steps": 6, "data.segmentation.source.test": 24}  # patients for an interval
    axes = "consistency=none+kl"
    request = StudyRequest("slow.toml", axes, tune=2, profile="phantom", overrides=overrides, **options)
    session, queue = prepare(request, {}, None, "cpu"), Queue()
    return replace(session, launcher=queue, study=StudyDir(Path("study"))), queue


def _submit(session: StudySession) -> tuple[int, int]:
    """Numbers of the jobs that are queued now, and of those that wait already."""
    with session.locked():
        session = replace(session, plan=session.study.plan())
        return tuple(map(len, session.submit(Display(quiet=True))))


def test_rounds_of_a_detached_study_tune_first_and_add_seeds_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call queues one round: trials with the first seeds, tuned systems, then seeds where it is open."""
    monkeypatch.chdir(tmp_path)
    session, queue = _detached(tmp_path, until="settled", max_seeds=10, margins={"dice": 1e-6})
    assert _submit(session) == (2 * 2 + 2 * 3, 0)  # trials, and three seeds with the systems' own settings
    assert _submit(session) == (0, 10)
    queue.work()
    best = _submit(session)
    plan = session.study.plan()
    assert plan.tuning is not None
    changed = sum(number > 0 for number in plan.tuning.best.values())
    assert changed
    assert best == (3 * changed, 0)  # tuned systems: not one more seed is asked for before they have run
    queue.work()
    assert _submit(session) == (2 + changed, 0)  # the fourth seed, before and after tuning
    queue.work()
    study = session.study.collect()
    assert study.before is not None
    assert all(len(cell.runs) == 4 for cell in (*study.cells, *study.before.cells))
    assert study.gaps == []
    report = mmtk.report(session.study.path)
    assert "Seeds were added until the in-domain verdicts" in (report.page.parent / "report.md").read_text("utf-8")
