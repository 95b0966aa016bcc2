from __future__ import annotations

import csv
import filecmp
import io
import json
import math
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image
from scipy import stats as scipy_stats
from sklearn import metrics
from tiny import tiny

from mmtk import load_recipe
from mmtk.io.files import read_lines
from mmtk.report.analysis import analyse
from mmtk.report.figures import (
    classes,
    distributions,
    examples,
    roc_curves,
    saliency,
    study_classes,
    style,
    training,
)
from mmtk.report.figures import scores as score_figures
from mmtk.report.figures.effects import amounts, effects, steps, waterfall
from mmtk.report.figures.study import AT_BUDGET, OF_STUDY, SECTIONS, by_section, drawings
from mmtk.report.figures.systems import LOOKS, Figure, folded, labelled, looks, reference, seeds, systems, titled
from mmtk.report.tables import study as study_tables
from mmtk.report.tables.paper import results
from mmtk.runs.arrays import read_curves
from mmtk.runs.finished import Run
from mmtk.runs.folder import RunDir
from mmtk.stats import Effect, summary
from mmtk.study.cells import PlannedCell
from mmtk.study.folder import StudyDir
from mmtk.study.plan import Plan
from mmtk.study.results import Cell, Study, from_runs, tell_apart
from mmtk.tasks import DOMAINS
from mmtk.workflows import run as run_workflow

LONG = "UMTL-S + kl (ssl.threshold=0.7)"


# One worker runs them all, so that the study they draw is trained once.
pytestmark = pytest.mark.xdist_group("figures")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    out = tmp_path_factory.mktemp("runs")
    places = []
    for name in ("unet", "enc", "umtl"):
        for seed in (0, 1):
            places.append(out / f"{name}-{seed}")
            run_workflow.run(tiny(name, seed=seed, train__steps=2), places[-1], pictures=False)
    return from_runs(places)


@pytest.fixture(scope="module")
def drawn(study: Study, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    return {figure.name: figure for figure in draw_study(study, tmp_path_factory.mktemp("figures"))}


def draw_study(study: Study, out: Path) -> list[Figure]:
    return by_section(job() for job in drawings(study, out))


def fake(name: str, labels: dict[str, int | str], accuracies: dict[int, float]) -> Cell:
    """A cell whose runs have an accuracy and nothing else."""

    def scores(value: float) -> dict[str, object]:
        return {"in-domain": {"classification": {"accuracy": value, "majority-accuracy": 0.6, "n": 20}}}

    runs = {seed: Run(RunDir(Path("none")), "", seed, scores(value), {}) for seed, value in accuracies.items()}
    return Cell(name, {}, labels, "", runs=runs)


def whole(figure: Figure | None) -> bool:
    """Whether a picture is there as PNG and as SVG, and is not one colour."""
    assert figure is not None
    pixels = np.asarray(Image.open(figure.path).convert("L"))
    root = ElementTree.parse(figure.path.with_suffix(".svg")).getroot()
    return pixels.std() > 1 and root.tag.endswith("svg") and len(list(root.iter())) > 20


def part(study: Study, *names: str, seeds: tuple[int, ...] = (0, 1)) -> Study:
    """The study with some of its systems and seeds."""
    cells = [
        replace(cell, runs={seed: run for seed, run in cell.runs.items() if seed in seeds})
        for cell in study.cells
        if cell.name in names
    ]
    return Study("part", cells, list(seeds))


# --- the pictures ---------------------------------------------------------------------------------------------


def test_every_picture_of_a_study_is_written_in_both_formats(drawn: dict[str, Figure]) -> None:
    # With one label budget there is no curve against it.
    assert set(drawn) == {*OF_STUDY, *AT_BUDGET} - {"budgets"}
    for figure in drawn.values():
        assert whole(figure)
        assert figure.path.stem == figure.name


def test_captions_are_sentences_that_count_seeds_and_images(drawn: dict[str, Figure]) -> None:
    for figure in drawn.values():
        assert figure.caption.endswith(".")
        assert figure.title
        assert figure.section in SECTIONS
    for name in ("scores", "roc", "dice-distribution", "bland-altman"):
        assert "2 seeds" in drawn[name].caption
        assert "n = 10 in-domain and n = 10 cross-domain images" in drawn[name].caption
    for name in ("boundaries", "masks", "saliency-classification"):
        assert "seed 0" in drawn[name].caption
    assert "majority class" in drawn["scores"].caption
    assert "chance" in drawn["roc"].caption


def test_pictures_come_by_section(drawn: dict[str, Figure]) -> None:
    places = [SECTIONS.index(figure.section) for figure in drawn.values()]
    assert places == sorted(places)


def test_a_dark_page_turns_no_picture_with_films(drawn: dict[str, Figure]) -> None:
    films = {name for name, figure in drawn.items() if figure.films}
    assert films == {name for name in drawn if name.startswith(("boundaries", "masks", "saliency"))} != set()


def test_a_study_of_one_task_and_one_seed_draws_what_it_can(study: Study, tmp_path: Path) -> None:
    found = {figure.name: figure for figure in draw_study(part(study, "U-Net", seeds=(0,)), tmp_path)}
    assert {"scores", "dice-distribution", "bland-altman", "boundaries", "masks", "validation"} <= set(found)
    assert not {"roc", "calibration", "saliency-classification", "saliency-segmentation", "budgets"} & set(found)
    assert "one seed" in found["scores"].caption
    assert "interval" not in found["scores"].caption
    assert "band" not in found["validation"].caption
    assert {path.stem for path in tmp_path.iterdir()} == set(found)


def test_the_score_of_one_task_is_not_drawn_twice(study: Study, drawn: dict[str, Figure], tmp_path: Path) -> None:
    def titles(figure: Figure | None) -> list[str]:
        assert figure is not None
        return re.findall(r"<!-- (validation .*?) -->", figure.path.with_suffix(".svg").read_text())

    alone = training.validation(part(study, "U-Net"), tmp_path / "validation.png")
    assert titles(alone) == ["validation Dice (selects)"]
    both = ["validation score (selects)", "validation Dice", "validation macro-F1"]
    assert titles(drawn["validation"]) == both


def test_an_encoder_alone_has_nothing_to_show_of_masks(study: Study, tmp_path: Path) -> None:
    enc = part(study, "Enc", seeds=(1,))
    for draw in (saliency.saliency_segmentation, examples.masks, examples.boundaries):
        assert draw(enc, enc.budgets[0], tmp_path / "b.png") is None


def test_runs_without_samples_cases_and_data_leave_those_pictures_out(study: Study, tmp_path: Path) -> None:
    cell = part(study, "UMTL", seeds=(0,)).cells[0]
    bare = tmp_path / "bare"
    shutil.copytree(cell.runs[0].path, bare)
    for name in ("samples.npz", "cases.parquet", "data.json"):
        (bare / name).unlink()
    cell.runs[0] = replace(cell.runs[0], folder=RunDir(bare))
    study = Study("bare", [cell], [0])
    assert distributions.intensities(study, tmp_path / "a.png") is None
    for name in set(AT_BUDGET) - {"scores", "losses"}:
        assert AT_BUDGET[name](study, study.budgets[0], tmp_path / "b.png") is None
    assert not list(tmp_path.glob("*.png"))


def test_a_study_without_runs_has_no_pictures(tmp_path: Path) -> None:
    empty = Study("empty", [fake("UMTL", {"classification": 10}, {})], [])
    assert draw_study(empty, tmp_path) == []
    assert draw_study(Study("nothing", [], []), tmp_path) == []
    assert not list(tmp_path.iterdir())


# --- systems and their looks ----------------------------------------------------------------------------------


def test_the_papers_systems_have_one_look_each_and_others_take_free_ones() -> None:
    assert len({(look.colour, look.marker) for look in LOOKS.values()}) == len(LOOKS) == 10
    assert len({look.colour for look in LOOKS.values()}) == 10
    names = ["MultiMix", LONG, "UMTL", "mine"]
    found = looks(Study("x", [fake(name, {}, {}) for name in names], []))
    assert found["MultiMix"] is LOOKS["MultiMix"]
    assert len({look.colour for look in found.values()}) == 4


@pytest.mark.parametrize("own", [["Enc", "Enc-SSL", "Enc-MM"], ["MultiMix"], [], list(LOOKS)], ids=len)
def test_more_systems_than_looks_are_still_told_apart(own: list[str]) -> None:
    """In lines by colour and dash, in points by colour and marker."""
    others = [f"system {k}" for k in range(20)]
    found = looks(Study("x", [fake(name, {}, {}) for name in own + others], []))
    assert len(found) == len(own) + 20
    assert len({(look.colour, str(look.dash)) for look in found.values()}) == len(found)
    assert len({(look.colour, look.marker) for look in found.values()}) == len(found)


@pytest.mark.parametrize("width", [8, 14, 24, 60])
def test_long_names_are_broken_but_never_cut(width: int) -> None:
    lines = folded(LONG, width).split("\n")
    assert "".join(lines).replace(" ", "") == LONG.replace(" ", "")
    assert all(lines)
    assert all(len(line) <= max(width, len("(ssl.") + 6) for line in lines)


def test_systems_at_a_budget_and_the_reference() -> None:
    both = {"classification": 10, "segmentation": 5}
    cells = [
        fake("U-Net", {"segmentation": 5}, {0: 0.5}),
        fake("MultiMix", both, {0: 0.5, 1: 0.6}),
        fake("Enc", {"classification": 10}, {0: 0.5}),
        fake("UMTL", {"classification": 99, "segmentation": 5}, {0: 0.5}),
        fake("UMTL-S", both, {}),
    ]
    study = Study("x", cells, [0, 1])
    assert list(systems(study, both)) == ["U-Net", "MultiMix", "Enc"]
    assert list(systems(study, both, "classification")) == ["MultiMix", "Enc"]
    assert reference(study, both, "segmentation") is cells[1]
    cells[2].reference = True
    assert reference(study, both, "classification") is cells[2]
    assert reference(study, both, "segmentation") is cells[1]
    assert seeds(cells[:2]) == "1 to 2 seeds"
    assert seeds(cells[:1]) == "one seed"
    assert labelled({"classification": "full", "segmentation": 5}) == "all class labels and 5 masks"


@pytest.fixture(scope="module")
def twins(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """An old study, read from its files: two systems of one name, and a third."""
    here = tmp_path_factory.mktemp("twins")
    names = {"UMTL": "Twins", "U-Net": "Twins", "Enc": "Enc"}
    (here / "runs").mkdir()
    cells = []
    for cell in study.cells:
        for seed, run in cell.runs.items():
            (here / "runs" / f"old-{run.digest}-s{seed}").symlink_to(run.path, target_is_directory=True)
        recipe = load_recipe(cell.runs[0].path)
        cells.append(PlannedCell(names[recipe.name], {"ssl": "gentle"}, recipe, recipe.name == "UMTL"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        folder = StudyDir(here / "studies/old")
        folder.path.mkdir(parents=True)
        folder.write(Plan("Old", cells, [0, 1], {"ssl": ["none", "gentle"]}, "factorial"), {})
        found = folder.collect()
        found.read()
    return found


@pytest.mark.long
def test_two_systems_of_one_name_are_told_apart_everywhere(twins: Study, tmp_path: Path) -> None:
    names = list(twins.systems.values())
    assert len(set(names)) == len(twins.cells) == 3
    first, second = (name for name in names if name != "Enc")
    for name, system in ((name, system) for system, name in twins.systems.items() if name != "Enc"):
        assert re.fullmatch(rf"Twins {system[:4]}[0-9a-f]*", name)
    assert len(looks(twins)) == 3
    shown = {figure.name: figure for figure in draw_study(twins, tmp_path)}
    for name in ("scores", "dice-distribution", "bland-altman", "boundaries", "validation", "losses"):
        text = shown[name].path.with_suffix(".svg").read_text()
        assert all(f"<!-- {each} -->" in text for each in (first, second)), name
    analysis = analyse(twins)
    for table in (
        results(analysis, "in-domain"),
        study_tables.scores(analysis),
        study_tables.runs(analysis, tmp_path),
    ):
        rows = list(csv.DictReader(io.StringIO(table.csv())))
        assert {row["System"] for row in rows} == set(names)
    assert {one.other.system for one in analysis.comparisons if one.task == "segmentation"} == {
        cell.system for cell in twins.cells if "segmentation" in cell.tasks and not cell.reference
    }


def test_a_system_has_one_name_at_all_budgets_and_another_systems_is_not_changed() -> None:
    cells = [
        replace(fake("Same", {"classification": n}, {}), system=s) for n in (5, 9) for s in ("ab12ff", "ab12ee")
    ]
    tell_apart([*cells, other := fake("Other", {}, {})])
    assert [cell.name for cell in cells] == ["Same ab12f", "Same ab12e"] * 2
    assert other.name == "Other"


# --- the numbers behind the pictures --------------------------------------------------------------------------


def test_scores_against_budgets_average_per_seed_over_the_other_task() -> None:
    def cell(labels: int | str, masks: int, values: dict[int, float]) -> Cell:
        return fake("UMTL", {"classification": labels, "segmentation": masks}, values)

    cells = [
        cell("full", 5, {0: 0.9}),
        cell("full", 9, {0: 0.7}),
        cell(10, 5, {0: 0.5, 1: 0.6, 2: 0.1}),
        cell(10, 9, {0: 0.7, 1: 0.8}),
        cell(20, 5, {0: 0.4}),
    ]
    study = Study("x", cells, [0, 1, 2])
    assert score_figures.levels(study, "classification") == [10, 20, "full"]
    accuracy, _ = score_figures.first_metrics(study)
    found = score_figures.by_budget(study, "UMTL", accuracy, "in-domain")
    # 20 labels lack a budget of the other task, seed 2 lacks one run: neither is averaged over.
    assert found == {10: pytest.approx([0.6, 0.7]), "full": pytest.approx([0.8])}
    assert score_figures.by_budget(study, "UMTL", accuracy, "cross-domain") == {}


def test_scores_against_budgets_are_drawn_with_two_budgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [
        fake(name, {"classification": labels}, {0: 0.5 + 0.01 * labels, 1: 0.6})
        for name in ("Enc", LONG)
        for labels in (5, 9)
    ]
    monkeypatch.setitem(style.STYLE, "svg.fonttype", "none")  # the words of the figure as text
    figure = score_figures.budgets(Study("x", cells, [0, 1]), tmp_path / "budgets.png")
    assert whole(figure)
    assert "chance or majority" in (tmp_path / "budgets.svg").read_text(encoding="utf-8")
    assert figure is not None
    assert "majority class" in figure.caption
    assert "2 seeds" in figure.caption


def test_baselines() -> None:
    cell = fake("Enc", {"classification": 5}, {0: 0.5})
    metrics = score_figures.figure_metrics(Study("x", [cell], [0]))
    levels = {metric.key: metric.baseline(cell, "in-domain") for metric in metrics}
    assert levels == {"accuracy": 0.6, "auroc": 0.5, "dice": None}


def test_the_interval_of_the_dots_is_students() -> None:
    values = [0.71, 0.75, 0.70, 0.78, 0.74]
    found = summary(values)
    low, high = scipy_stats.t.interval(0.95, 4, np.mean(values), scipy_stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_roc_curves_agree_with_scikit_learn_ties_included() -> None:
    random = np.random.default_rng(0)
    for digits in (1, 8):
        target = random.integers(0, 2, 80)
        score = np.round(random.random(80) * 0.7 + 0.3 * target, digits)
        points = roc_curves.roc_points(target, score)
        known = metrics.roc_curve(target, score, drop_intermediate=False)
        assert points is not None
        np.testing.assert_allclose(points[0], known[0], atol=1e-12)
        np.testing.assert_allclose(points[1], known[1], atol=1e-12)
    assert roc_curves.roc_points(np.ones(5), random.random(5)) is None


def test_the_mean_roc_is_the_mean_of_the_curves_at_each_false_positive_rate() -> None:
    random = np.random.default_rng(1)
    runs = [np.column_stack([np.arange(60) % 2, 1 - p, p]) for p in random.random((3, 60))]
    found = roc_curves.mean_roc(runs, np.arange(60), points=101)
    assert found is not None
    assert found.rates.shape == (3, 101)
    for run, rates, area in zip(runs, found.rates, found.areas, strict=True):
        assert area == pytest.approx(metrics.roc_auc_score(run[:, 0], run[:, 2]))
        false, true, _ = metrics.roc_curve(run[:, 0], run[:, 2], drop_intermediate=False)
        # Thirty negatives: between two multiples of 1/30 the curve is flat.
        inside = np.abs(found.grid * 30 - np.round(found.grid * 30)) > 1e-6
        steps_of = np.array([true[false <= place + 1e-12].max() for place in found.grid])
        np.testing.assert_allclose(rates[inside], steps_of[inside])
    assert roc_curves.mean_roc([], np.array([])) is None


def test_areas_of_a_real_study_are_those_of_its_results(study: Study) -> None:
    for cell in systems(study, study.budgets[0], "classification").values():
        for domain in DOMAINS:
            found = roc_curves.mean_roc(study_classes.answers(cell, domain), np.arange(10))
            known = cell.values(domain, "classification", "auroc")
            assert found is not None
            np.testing.assert_allclose(found.areas, list(known.values()), atol=1e-6)


def test_calibration_and_operating_points_of_a_real_study_are_those_of_its_results(study: Study) -> None:
    for cell in systems(study, study.budgets[0], "classification").values():
        for domain in DOMAINS:
            runs = study_classes.answers(cell, domain)
            errors = [classes.reliability(*study_classes.confidences(run)).error for run in runs]
            known = cell.values(domain, "classification", "calibration-error")
            np.testing.assert_allclose(errors, list(known.values()), atol=1e-6)
            point = study_classes.operating_point(cell, domain)
            assert point is not None
            rates = []
            for run, (_, result) in zip(runs, sorted(cell.runs.items()), strict=True):
                called = run[:, 2] >= result.scores[domain]["classification"]["threshold"]
                rates.append([called[run[:, 0] == label].mean() for label in (0, 1)])
            np.testing.assert_allclose(point, np.mean(rates, axis=0), atol=1e-6)


def test_one_run_has_a_band_over_its_patients() -> None:
    random = np.random.default_rng(2)
    score = random.random(60)
    run = np.column_stack([np.arange(60) % 2, 1 - score, score])
    found = roc_curves.mean_roc([run], np.arange(60), points=11)
    assert found is not None
    assert found.ends is not None
    assert (found.ends[0] <= found.ends[1]).all()
    widths = found.ends[1] - found.ends[0]
    assert widths.max() > 0.1
    # Four copies of every image: as images they look like more, as patients they are as many as before.
    for patients, ratio in ((np.arange(240), 0.5), (np.tile(np.arange(60), 4), 1.0)):
        copies = roc_curves.mean_roc([np.tile(run, (4, 1))], patients, points=11)
        assert copies is not None
        assert copies.ends is not None
        assert (copies.ends[1] - copies.ends[0]).mean() == pytest.approx(ratio * widths.mean(), rel=0.15)


def test_limits_of_agreement() -> None:
    known, predicted = np.array([100.0, 120, 90, 150]), np.array([110.0, 115, 95, 170])
    difference = np.array([10.0, -5, 5, 20])
    found = distributions.agreement(known, predicted)
    assert found is not None
    assert found.bias == pytest.approx(7.5)
    assert found.high - found.bias == pytest.approx(1.96 * np.std(difference, ddof=1))
    assert found.bias - found.low == pytest.approx(found.high - found.bias)
    assert distributions.agreement(known[:1], predicted[:1]) is None


@pytest.mark.parametrize("most", [1, style.MOST_MARKS])
def test_agreement_is_drawn_for_the_reference_at_every_budget(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Points of all panels together, more than an SVG draws one by one, are films in it."""
    monkeypatch.setattr(style, "MOST_MARKS", most)
    cell = part(study, "UMTL").cells[0]
    twice = [replace(cell, labels={"classification": 8, "segmentation": masks}) for masks in (4, 9)]
    two = Study("two budgets", twice, [0, 1])
    figure = distributions.bland_altman(two, two.budgets[0], tmp_path / "agreement.png")
    assert whole(figure)
    assert figure is not None
    assert figure.title.startswith("UMTL: ")
    assert "by label budget" in figure.title
    assert ("<image" in figure.path.with_suffix(".svg").read_text()) == (most == 1)


def test_learning_curves_keep_the_steps_that_all_seeds_share_and_the_last_row_of_a_step(
    study: Study, tmp_path: Path
) -> None:
    cell = part(study, "UMTL").cells[0]
    found = cell.curves["val/score"]
    assert found[0].tolist() == [2.0]
    assert found[1].shape == (2, 1)
    known = [
        [row["val/score"] for row in read_lines(cell.runs[seed].folder.metrics_file) if "val/score" in row]
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(found[1], known)

    rows = [
        [{"step": 1, "x": 5}, {"step": 2, "x": 1}, {"step": 1, "x": 3}],
        [{"step": 1, "x": 4}, {"step": 3, "x": 1}, {"step": 2, "x": math.nan}],
        [{"step": 1, "y": 2}],
    ]
    files = [tmp_path / f"{seed}.jsonl" for seed in range(3)]
    for file, own in zip(files, rows, strict=True):
        file.write_text("".join(json.dumps(row) + "\n" for row in own))
    again = read_curves(files)
    assert again["x"][0].tolist() == [1.0]
    assert again["x"][1].tolist() == [[3.0], [4.0]]
    assert again["y"][1].tolist() == [[2.0]]
    assert "no/such" not in again
    assert read_curves([tmp_path / "absent"]) == {}


def test_the_dice_below_an_image_is_that_of_its_case(study: Study) -> None:
    cell = part(study, "UMTL").cells[0]
    kept = examples.samples(cell.runs[0], "cross-domain", "segmentation")
    scores = examples.dice_of(cell, "cross-domain")
    for i, known, predicted in zip(kept["ids"], kept["reference"], kept["predicted"], strict=True):
        overlap = 2 * (known & predicted).sum() / (known.sum() + predicted.sum())
        assert scores[str(i)] == pytest.approx(overlap, abs=1e-5)


def test_overlap_colours_hits_misses_and_additions() -> None:
    known, predicted = np.array([[[1, 1, 0, 0]]], bool), np.array([[[1, 0, 1, 0]]], bool)
    picture = examples.overlap(np.zeros((1, 4), np.uint8), known, predicted)
    assert picture.shape == (1, 4, 3)
    assert len({tuple(pixel) for pixel in picture[0].round(3).tolist()}) == 4
    assert not picture[0, 3].any()


# --- effects --------------------------------------------------------------------------------------------------

SHARES = [
    Effect(("bridge",), 0.031, 0.01, 0.052, 0.01, 5),
    Effect(("ssl",), -0.012, -0.03, 0.006, 0.2, 5),
    Effect(("consistency",), 0.004, None, None, None, 5),
]


def test_the_bars_of_a_waterfall_sum_to_the_gain(tmp_path: Path) -> None:
    ends = steps(0.7, SHARES)
    np.testing.assert_allclose(ends, [0.7, 0.731, 0.719, 0.723])
    figure = waterfall(0.7, SHARES, tmp_path / "waterfall.png", "From UMTL to MultiMix", "accuracy")
    assert whole(figure)
    assert figure is not None
    assert "from 0.700 to 0.723; 5 seeds" in figure.caption
    assert waterfall(0.7, [], tmp_path / "none.png", "", "") is None


def test_the_forest_of_effects(tmp_path: Path) -> None:
    both = [*SHARES, Effect(("bridge", "ssl"), 0.01, -0.02, 0.04, 0.5, 5)]
    figure = effects(both, tmp_path / "effects.png", "Effects on accuracy", "accuracy")
    assert whole(figure)
    assert figure is not None
    assert figure.section == "effects"
    assert "95 % interval" in figure.caption
    assert figure.caption.startswith("Effects of the components and of their interactions on accuracy;")
    alone = [Effect(("bridge",), 0.031, None, None, None, 1)]
    single = effects(alone, tmp_path / "single.png", "Effects", "accuracy")
    assert single is not None
    assert single.caption == "Effects of the components on accuracy; one seed, no interval."
    assert effects([], tmp_path / "none.png", "", "") is None


def test_a_title_has_one_capital_at_its_beginning_with_and_without_a_system() -> None:
    one, two = (Cell(name, {}, {}, "") for name in ("UMTL", "UNet"))
    for title, whole_title in (("calibration", "Calibration"), ("ROC curves", "ROC curves")):
        assert titled({"a": one}, title) == f"UMTL: {title}"
        assert titled({"a": one, "b": two}, title) == whole_title


def test_long_names_of_effects_do_not_lie_on_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factors = ("encoder: imagenet → unet", "bridge: saliency", "ssl: confidence", "consistency: kl")
    long = [Effect(factors[:n], 0.01, -0.02, 0.04, 0.5, 5) for n in (1, 2, 3, 4, 4, 3)]
    boxes = []
    save = MatplotlibFigure.savefig

    def recorded(self: MatplotlibFigure, *arguments: Any, **keys: Any) -> None:
        self.canvas.draw()
        boxes.append([text.get_window_extent() for text in self.axes[0].get_yticklabels()])
        save(self, *arguments, **keys)

    monkeypatch.setattr(MatplotlibFigure, "savefig", recorded)
    effects(long, tmp_path / "effects.png", "Effects on accuracy", "accuracy")
    for above, below in pairwise(boxes[0]):  # the first row is on top
        assert above.y0 > below.y1
    assert max(box.height for box in boxes[0]) > 2.5 * min(box.height for box in boxes[0])


def test_the_same_picture_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        effects(SHARES, tmp_path / name / "effects.png", "Effects", "accuracy")
    for kind in ("png", "svg"):
        assert filecmp.cmp(tmp_path / f"a/effects.{kind}", tmp_path / f"b/effects.{kind}", shallow=False)


def test_small_effects_are_told_with_a_fourth_digit() -> None:
    small = Effect(("a",), -0.0004, -0.002, 0.0012, 0.4, 3)
    large = Effect(("b",), 0.0004, -0.02, 0.0208, 0.9, 3)
    assert amounts([small]) == ["−0.0004 [−0.0020, +0.0012]"]
    assert amounts([small, large]) == ["0.000 [−0.002, +0.001]", "0.000 [−0.020, +0.021]"]
    assert amounts([Effect(("a",), 0.25, None, None, None, 1)]) == ["+0.250"]


def test_a_waterfall_of_small_shares_tells_its_ends_as_finely(tmp_path: Path) -> None:
    small = [Effect(("a",), -0.0004, -0.002, 0.0012, 0.4, 3)]
    figure = waterfall(0.9385, small, tmp_path / "waterfall.png", "", "Dice")
    assert figure is not None
    assert "from 0.9385 to 0.9381;" in figure.caption
