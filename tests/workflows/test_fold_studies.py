"""A study of folds through the real command, at toy size: its plan, its runs, its report, its tables in Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from moments import mmtk, sets
from scipy.stats import t

from mmtk.errors import MmtkError
from mmtk.export.card import model_card
from mmtk.export.shared import other_seeds
from mmtk.report.analysis import analyse
from mmtk.report.claims import claims
from mmtk.report.foresight import power_lines, spreads_of
from mmtk.report.intervals import FOLDS, TWO_WAY
from mmtk.runs.finished import read_run
from mmtk.study.folder import StudyDir, read_study
from mmtk.study.results import Study
from mmtk.workflows.ablate import StudyRequest, prepare

COUNT, REPEATS = 3, 2
CHANGES = sets("classification", "train.lr", encoder__depth=3, tracking__enabled=False)
OPTIONS = ["--components", "train.lr=0.00001+0.001", "--folds", str(COUNT), "--repeats", str(REPEATS)]
OPTIONS += ["--launcher", "inline"]  # one process for twelve runs of a second


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    done = mmtk("ablate", "unet", *OPTIONS, "--out", "study", *CHANGES, cwd=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    (folder / "output.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def study(made: Path) -> Study:
    return read_study(made / "study")


@pytest.mark.long
def test_every_image_is_tested_once_in_a_repeat_by_every_system(study: Study) -> None:
    assert (study.folds, study.unit, study.seeds) == (COUNT, "fold", list(range(COUNT * REPEATS)))
    assert not study.gaps
    table = study.cases()
    assert list(table.columns[3:6]) == ["seed", "fold", "repeat"]
    here = table[table["domain"] == "in-domain"]
    for _, rows in here.groupby(["system", "repeat"]):
        assert rows["id"].is_unique
        assert rows["id"].nunique() == here["id"].nunique() == 42
        of_patient = rows.groupby("patient")["fold"].nunique()
        assert of_patient.max() == 1
    by_seed = here.groupby(["seed", "system"])["id"].agg(lambda ids: tuple(sorted(ids)))
    assert by_seed.groupby("seed").nunique().max() == 1
    cross = table[table["domain"] == "cross-domain"]
    assert cross.groupby(["system", "seed"])["id"].nunique().nunique() == 1
    frame = study.frame()
    assert set(zip(frame["seed"], frame["fold"], frame["repeat"], strict=True)) == {
        (seed, seed % COUNT, seed // COUNT) for seed in range(6)
    }


@pytest.mark.long
def test_the_corrected_t_stands_alone_in_domain_and_the_two_way_interval_elsewhere(study: Study) -> None:
    analysis = analyse(study)
    kinds = {one.domain: list(one.tests) for one in analysis.comparisons if one.metric == "dice"}
    assert kinds == {"in-domain": [FOLDS], "cross-domain": [TWO_WAY, "paired", "student"]}
    (one,) = (one for one in claims(analysis) if one.score == "Dice in-domain")
    gaps = [
        sum(weight * cell.values("in-domain", "segmentation", "dice")[seed] for weight, cell in one.weights)
        for seed in range(6)
    ]
    half = t.ppf(0.975, 5) * np.sqrt((1 / 6 + 1 / 2) * np.var(gaps, ddof=1))
    assert one.interval is not None
    assert one.value == pytest.approx(np.mean(gaps))
    assert one.interval.half(0.95) == pytest.approx(half)
    for score in analysis.scores:
        assert (score.seeds.low is None) == (score.domain == "in-domain")
        assert score.interval is not None
        assert (score.interval.overlap > 0) == (score.domain == "in-domain")
        assert score.images == (42 if score.domain == "in-domain" else 10)
    for effects in analysis.effects:
        for training in effects.trainings:
            assert (training.p is None) == (effects.domain == "in-domain")


@pytest.mark.long
def test_the_plan_and_the_report_say_folds(made: Path) -> None:
    plan = mmtk("ablate", "study", "--dry-run", cwd=made)
    assert plan.returncode == 0, plan.stderr
    assert "2 cells × 3 folds × 2 repeats = 12 runs, 0 to do" in plan.stdout
    assert "What 3 folds × 2 repeats can find" in plan.stdout
    assert "by the spread of its own runs" in " ".join(plan.stdout.split())
    for text in ((made / "output.txt").read_text(), (made / "study/report/report.md").read_text()):
        assert "2 systems at one label budget (4 masks) with 3 folds × 2 repeats each: 12 runs." in text
        assert "two-way" not in text.partition("## Methods")[0] or "corrected t" in text
    page = (made / "study/report/index.html").read_text()
    assert "Nadeau and Bengio 2003" in page
    assert "Every image is tested once in a repeat of 3 folds" in page
    status = mmtk("status", "study", cwd=made)
    assert "12 done" in status.stdout


@pytest.mark.long
def test_a_study_of_folds_goes_on(made: Path) -> None:
    assert StudyDir(made / "study").runs()[-1].title.endswith("fold 2 of repeat 1")
    lost = StudyDir(made / "study").runs()[-1].folder
    content = lost.results_file.read_bytes()
    lost.done_file.unlink()
    again = mmtk("ablate", "study", cwd=made)
    assert again.returncode == 0, again.stderr
    assert json.loads(lost.results_file.read_bytes()) == json.loads(content)


@pytest.mark.long
def test_a_model_card_tells_of_the_other_folds(made: Path) -> None:
    run = read_run(StudyDir(made / "study").runs()[0].folder.path)
    text = model_card(run, other_seeds(run))
    assert "over the runs 0, 1, 2, 3, 4, 5, each of which tested another fold of the patients" in text
    assert "whose in-domain test images are fold 0 alone" in text


@pytest.mark.long
def test_what_its_spread_says_of_other_plans(study: Study) -> None:
    spreads = spreads_of(study)
    assert power_lines(10, spreads, "here", 5)[0].startswith("What 5 folds × 2 repeats can find, 80%")
    (line,) = power_lines(10, spreads, "here")
    assert line == "What 10 seeds can find is not known: the spread is that of folds (here)."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, "--folds 1: patients are divided into two folds or more"),
        ({"folds": 5, "seeds": 3}, "--folds takes the place of --seeds"),
        ({"folds": 5, "repeats": 0}, "--repeats 0: folds are repeated once or more"),
        ({"repeats": 2}, "--repeats is for folds"),
        ({"folds": 5, "until": "settled"}, "the levels of its looks do not hold for folds"),
        ({"until": "settled", "overrides": ["data.folds=5"]}, "the levels of its looks do not hold for folds"),
        ({"components": "data.folds=3+5"}, "tested on the same folds, and here they differ"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    request = StudyRequest("unet", **{"components": "train.lr=0.001+0.01", "profile": "phantom", **changes})
    with pytest.raises(MmtkError, match=message) as caught:
        prepare(request, {}, None, "cpu")
    assert caught.value.hint


def test_too_many_folds_are_refused_before_anything_runs(tmp_path: Path) -> None:
    options = ["--components", "train.lr=0.001+0.01", "--folds", "50", "--out", "study"]
    failed = mmtk("ablate", "unet", *options, *CHANGES, cwd=tmp_path)
    assert failed.returncode == 2
    assert "50 folds need labelled images from 50 patients or more" in failed.stderr
    assert not (tmp_path / "study").exists()
