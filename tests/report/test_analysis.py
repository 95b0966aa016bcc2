"""Analysis of studies whose numbers are made up, against SciPy and numbers worked out by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats as oracle

from mmtk import builtin_scores
from mmtk.errors import MmtkError
from mmtk.report.analysis import analyse
from mmtk.report.headlines import at
from mmtk.runs.finished import Run
from mmtk.runs.folder import RunDir
from mmtk.scores import shown
from mmtk.study.results import Cell, Study
from mmtk.tasks import DOMAINS, budget

BOTH = {"classification": 100, "segmentation": 10}
TESTED = {
    task: shown(builtin_scores.of_task(task, ("normal", "pneumonia"), True), "tests")
    for task in ("classification", "segmentation")
}
AXES = {"bridge": ["none", "saliency"], "ssl": ["none", "confidence"]}


def made_run(
    seed: int, labels: dict, gain: float = 0.0, digest: str = "d", source: str = "phantom", images: int = 30
) -> Run:
    """A run whose Dice and accuracy rest on made-up images; ``gain`` is added to every Dice."""
    rng = np.random.default_rng(seed)
    scores: dict = {"selected": {"steps": 4, "step": 2}}
    cases: dict = {}
    for domain in DOMAINS:
        target, right = rng.permutation(np.arange(images) % 3 == 0).astype(int), rng.random(images) < 0.7
        dice = rng.normal(0.6, 0.05, images) + gain
        ids = np.array([f"image-{k:02}" for k in range(images)], dtype=object)
        found = {
            "classification": {
                "accuracy": float(right.mean()),
                "balanced-accuracy": 0.5 + gain + 0.01 * rng.random(),
                "macro-f1": 0.5,
                "f1-normal": 0.4,
                "f1-pneumonia": 0.6,
                "auroc": 0.6 + gain,
                "majority-accuracy": 2 / 3,
                "n": images,
                "threshold": 0.5,
                "count-normal-as-normal": 3,
            },
            "segmentation": {
                "dice": float(dice.mean()),
                "average-hausdorff": 3 - gain - 0.1 * rng.random(),
                "n": images,
                "empty-predictions": 0,
            },
        }
        scores[domain] = {task: found[task] for task in labels}
        if "classification" in labels:
            columns = {"id": ids, "target": target, "predicted": np.where(right, target, 1 - target)}
            cases[domain, "classification"] = columns
        if "segmentation" in labels:
            cases[domain, "segmentation"] = {"id": ids, "dice": dice}
    places = [f"data.{task}.{place}=source/{source}" for task in labels for place in ("source", "cross")]
    names = {"classification": ["normal", "pneumonia"], "segmentation": ["lung"]}
    provenance = {
        "components": dict.fromkeys(places, "mmtk"),
        "data": {},
        "targets": {task: {"names": names[task]} for task in labels},
    }
    run = Run(RunDir(Path("runs") / f"{digest}-s{seed}"), digest, seed, scores, provenance)
    vars(run)["made"] = cases
    return run


def made_cell(
    name: str, levels: tuple[str, ...], gain: float, seeds=range(4), reference=False, labels=None, **more
):
    labels = labels or BOTH
    runs = {seed: made_run(seed, labels, gain, name, **more) for seed in seeds}
    cell = Cell(name, dict(zip(AXES, levels, strict=False)), labels, name, reference, runs=runs)
    made = [vars(run)["made"] for _, run in sorted(runs.items())]
    cases = {
        part: {
            c: (v if c == "id" else np.array([each[part][c] for each in made], float)) for c, v in table.items()
        }
        for part, table in made[0].items()
    }
    vars(cell).update(cases=cases, curves={})
    return cell


def factorial(seeds=range(4), **more) -> Study:
    """Saliency adds 0.2 to Dice, confidence nothing; the reference is the whole."""
    cells = [
        made_cell("UMTL", ("none", "none"), 0.0, seeds, **more),
        made_cell("UMTL-S", ("saliency", "none"), 0.2, seeds, **more),
        made_cell("UMTL-SSL", ("none", "confidence"), 0.0, seeds, **more),
        made_cell("MultiMix", ("saliency", "confidence"), 0.2, seeds, reference=True, **more),
    ]
    return Study("study", cells, list(seeds), dict(AXES), "factorial")


def noisy(study: Study) -> Study:
    """Every score a little different, so that effects vary over seeds."""
    rng = np.random.default_rng(5)
    for cell, domain in itertools.product(study.cells, DOMAINS):
        for run in cell.runs.values():
            for found in run.scores[domain].values():
                for metric in sorted(set(found) & {m for metrics in TESTED.values() for m in metrics}):
                    found[metric] += rng.normal(0, 0.01)
    return study


def test_scores_are_means_over_seeds_with_their_chance_levels():
    study = factorial()
    analysis = analyse(study)
    cell = study.cells[1]
    values = list(cell.values("in-domain", "segmentation", "dice").values())
    score = analysis.score(cell, "in-domain", "segmentation", "dice")
    assert (score.seeds.mean, score.seeds.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    low, high = oracle.t.interval(0.95, 3, np.mean(values), oracle.sem(values))
    assert (score.seeds.low, score.seeds.high) == pytest.approx((low, high))
    assert score.interval.low <= score.seeds.low < score.interval.est < score.seeds.high <= score.interval.high
    assert score.interval.est == pytest.approx(score.seeds.mean)
    assert (score.interval.seeds, score.interval.patients) == (4, 30)
    assert score.images == 30

    chances = {s.metric: s.chance for s in analysis.scores if s.cell is cell and s.domain == "in-domain"}
    assert chances == {
        "accuracy": 2 / 3,
        "balanced-accuracy": 0.5,
        "auroc": 0.5,
        "macro-f1": None,
        "f1-normal": None,
        "f1-pneumonia": None,
        "dice": None,
        "average-hausdorff": None,
    }
    per_image = {s.metric for s in analysis.scores if s.interval is not None}
    assert per_image == {"accuracy", "dice"}


def test_values_per_image_are_in_one_order_for_all_seeds(tmp_path):
    runs: dict[int, Run] = {}
    written = {}
    for seed in (0, 1):
        ids = [f"image-{k:02}" for k in np.random.default_rng(seed).permutation(30)]
        dice = np.random.default_rng(seed).random(30)
        written[seed] = dict(zip(ids, dice, strict=True))
        other = pa.table(
            {
                "domain": ["in-domain"] * 2,
                "task": ["classification"] * 2,
                "id": ["b", "a"],
                "target": [0, 1],
                "predicted": [1, 1],
            }
        )
        own = pa.table({"domain": ["cross-domain"] * 30, "task": ["segmentation"] * 30, "id": ids, "dice": dice})
        folder = RunDir(tmp_path / str(seed))
        folder.path.mkdir()
        pq.write_table(pa.concat_tables([other, own], promote_options="permissive"), folder.cases_file)
        runs[seed] = Run(folder, "digest", seed, {}, {})
    cell = Cell("UMTL", {}, BOTH, "digest", runs=runs)
    values = cell.cases["cross-domain", "segmentation"]["dice"]
    for row, seed in zip(values, (0, 1), strict=True):
        assert list(row) == [written[seed][name] for name in sorted(written[seed])]
    assert {*cell.cases} == {("in-domain", "classification"), ("cross-domain", "segmentation")}

    pq.write_table(other, runs[1].folder.cases_file)
    with pytest.raises(MmtkError, match="has other test images than"):
        _ = replace(cell).cases


def test_the_reference_is_tested_against_every_system_that_has_the_task():
    study = noisy(factorial())
    study.cells += [
        made_cell("Enc", (), 0.0, labels={"classification": 100}),
        made_cell("U-Net", (), 0.1, labels={"segmentation": 10}),
        made_cell("UMTL", (), 0.0, labels={"classification": 1000, "segmentation": 10}),
    ]
    found = analyse(study).comparisons
    first = study.cells[3]
    against = {task: {one.other.name for one in found if one.task == task} for task in TESTED}
    assert against["classification"] == {"UMTL", "UMTL-S", "UMTL-SSL", "Enc"}
    assert against["segmentation"] == {"UMTL", "UMTL-S", "UMTL-SSL", "U-Net"}
    # The last UMTL has another budget.
    assert len(found) == 2 * (4 * len(TESTED["classification"]) + 4 * len(TESTED["segmentation"]))

    one = next(c for c in found if (c.other.name, c.domain, c.metric) == ("UMTL-SSL", "cross-domain", "dice"))
    a, b = (list(cell.values("cross-domain", "segmentation", "dice").values()) for cell in (first, study.cells[2]))
    assert one.tests["student"].p == pytest.approx(oracle.ttest_ind(a, b).pvalue)
    assert one.tests["paired"].p == pytest.approx(oracle.ttest_rel(a, b).pvalue)
    assert one.tests["paired"].difference == pytest.approx(np.mean(a) - np.mean(b))
    assert {one.metric: list(one.tests) for one in found}["auroc"] == ["paired", "student"]


def test_holm_runs_over_systems_and_domains_of_one_metric_and_kind():
    found = [one for one in analyse(noisy(factorial())).comparisons if one.metric == "dice"]
    assert len(found) == 6
    for kind in ("student", "paired"):
        tests = sorted((one.tests[kind] for one in found), key=lambda test: test.p)
        expected = np.maximum.accumulate([min(1.0, (6 - k) * test.p) for k, test in enumerate(tests)])
        assert [test.adjusted for test in tests] == pytest.approx(list(expected))


def test_only_shared_seeds_are_paired():
    study = factorial(range(3))
    study.cells[0] = made_cell("UMTL", ("none", "none"), 0.0, seeds=(1, 2, 7))
    study.cells[1] = made_cell("UMTL-S", ("saliency", "none"), 0.2, seeds=(8, 9))
    found = {one.other.name: one.tests for one in analyse(study).comparisons if one.metric == "dice"}
    assert (found["UMTL"]["student"].n, found["UMTL"]["paired"].n) == (6, 2)
    assert set(found["UMTL-S"]) == {"student"}


def test_effects_and_shares_of_a_factorial():
    study = noisy(factorial())
    found = analyse(study).effects
    assert {(one.metric, one.domain) for one in found} == {
        (metric, domain) for metrics in TESTED.values() for metric in metrics for domain in DOMAINS
    }
    dice = next(one for one in found if (one.metric, one.domain) == ("dice", "in-domain"))
    none, s, c, both = (
        np.array(list(cell.values("in-domain", "segmentation", "dice").values())) for cell in study.cells
    )
    by_hand = {
        ("bridge: saliency",): (s + both - none - c) / 2,
        ("ssl: confidence",): (c + both - none - s) / 2,
        ("bridge: saliency", "ssl: confidence"): (both - s - c + none) / 2,
    }
    assert {effect.factors: effect.value for effect in dice.effects} == pytest.approx(
        {factors: values.mean() for factors, values in by_hand.items()}
    )
    for effect in dice.effects:
        assert effect.p == pytest.approx(oracle.ttest_1samp(by_hand[effect.factors], 0).pvalue)
    assert (dice.start, dice.full) == pytest.approx((none.mean(), both.mean()))
    assert sum(share.value for share in dice.shares) == pytest.approx(dice.full - dice.start)
    assert dice.effects[0].value == pytest.approx(0.2, abs=0.03)

    others = [one for one in found if one.metric == "dice"]
    pairs = sorted(((e.p, p) for one in others for e, p in zip(one.effects, one.adjusted, strict=True)))
    expected = np.maximum.accumulate([min(1.0, (len(pairs) - k) * p) for k, (p, _) in enumerate(pairs)])
    assert [adjusted for _, adjusted in pairs] == pytest.approx(list(expected))


def test_a_missing_cell_gives_a_sentence_and_no_number():
    study = factorial()
    study.cells[2].runs.clear()
    analysis = analyse(study)
    assert all(not one.effects and not one.shares and "ssl: confidence" in one.missing for one in analysis.effects)
    assert len([note for note in analysis.notes if "combinations" in note]) == 2  # one for each domain
    assert analysis.comparisons


def test_a_reference_with_more_parts_does_not_stand_in_for_a_missing_cell():
    study = factorial()
    study.cells[3].name, study.cells[3].reference = "UMTL-SSL-S", False
    study.cells[3].runs.clear()
    study.cells.append(made_cell("MultiMix", ("saliency", "confidence"), 0.5, reference=True))
    study.cells[-1].beside = True
    assert all(one.missing for one in analyse(study).effects)


def test_one_seed_gives_no_p_and_says_so():
    analysis = analyse(factorial(range(1)))
    assert any("nothing can be concluded" in note for note in analysis.notes)
    assert {one.tests[kind].p for one in analysis.comparisons for kind in ("student", "paired")} == {None}
    assert {effect.p for one in analysis.effects for effect in one.effects} == {None}
    assert {adjusted for one in analysis.effects for adjusted in one.adjusted} == {None}
    assert {score.seeds.low for score in analysis.scores} == {None}


def test_levels_of_a_longer_axis_are_compared_with_the_first():
    levels = list(itertools.product(("none", "saliency"), ("none", "confidence", "mixmatch")))
    gains = {"none": 0.0, "saliency": 0.1, "confidence": 0.02, "mixmatch": -0.05}
    cells = [made_cell(f"{a} {b}", (a, b), gains[a] + gains[b]) for a, b in levels]
    axes = {"bridge": ["none", "saliency"], "ssl": ["none", "confidence", "mixmatch"]}
    study = Study("study", cells, [0, 1, 2, 3], axes, "factorial")
    analysis = analyse(study)
    dice = next(one for one in analysis.effects if (one.metric, one.domain) == ("dice", "cross-domain"))
    assert {effect.factors: effect.value for effect in dice.effects} == pytest.approx(
        {("bridge: saliency",): 0.1, ("ssl: confidence",): 0.02, ("ssl: mixmatch",): -0.05}
    )
    assert not dice.shares
    assert any("more than two levels" in note for note in analysis.notes)
    assert any("reference" in note for note in analysis.notes)

    study.cells[5] = replace(study.cells[5], runs={})
    dice = next(one for one in analyse(study).effects if (one.metric, one.domain) == ("dice", "cross-domain"))
    assert {effect.factors for effect in dice.effects} == {("ssl: confidence",)}
    assert "saliency, mixmatch" in dice.missing


def test_a_baseline_without_a_key_stands_for_all_levels_of_its_axis_and_not_for_its_effect():
    axes = {"ssl": ["none", "confidence", "mixmatch"], "ssl.weight": ["0.25", "1"]}
    gains = {("none", "–"): 0.0, ("confidence", "0.25"): 0.1, ("confidence", "1"): 0.2}
    gains |= {("mixmatch", "0.25"): 0.0, ("mixmatch", "1"): 0.4}
    cells = [
        replace(made_cell(" ".join(levels), (), gain), levels=dict(zip(axes, levels, strict=True)))
        for levels, gain in gains.items()
    ]
    for kept, expected in ((cells, (0.15, 0.2, 0.25)), (cells[:3], (0.15, 0.1))):
        left = {key: [v for v in levels if v in {c.levels[key] for c in kept}] for key, levels in axes.items()}
        analysis = analyse(Study("study", kept, [0, 1, 2, 3], left, "factorial"))
        dice = next(one for one in analysis.effects if (one.metric, one.domain) == ("dice", "in-domain"))
        assert [effect.value for effect in dice.effects] == pytest.approx(expected)
        assert not dice.missing
        assert any("stands for all levels of that axis" in note for note in analysis.notes)


def test_a_cell_that_stands_for_several_and_lacks_a_seed_takes_it_from_their_effects():
    axes = {"ssl": ["none", "confidence"], "ssl.weight": ["0.25", "1"]}
    gains = {("none", "–"): 0.0, ("confidence", "0.25"): 0.1, ("confidence", "1"): 0.2}
    cells = [
        replace(
            made_cell(" ".join(levels), (), gain, seeds=(0, 1, 3) if levels[0] == "none" else range(4)),
            levels=dict(zip(axes, levels, strict=True)),
        )
        for levels, gain in gains.items()
    ]
    study = noisy(Study("study", cells, [0, 1, 2, 3], axes, "factorial"))
    analysis = analyse(study)
    dice = next(one for one in analysis.effects if (one.metric, one.domain) == ("dice", "in-domain"))
    none, low, high = (cell.values("in-domain", "segmentation", "dice") for cell in cells)
    by_hand = {
        "ssl: confidence": [(low[seed] + high[seed]) / 2 - none[seed] for seed in (0, 1, 3)],
        "ssl.weight: 0.25 → 1": [high[seed] - low[seed] for seed in range(4)],
    }
    assert {effect.factors[0]: effect.n for effect in dice.effects} == {
        "ssl: confidence": 3,
        "ssl.weight: 0.25 → 1": 4,
    }
    for effect in dice.effects:
        test = oracle.ttest_1samp(by_hand[effect.factors[0]], 0)
        assert (effect.value, effect.p) == pytest.approx((np.mean(by_hand[effect.factors[0]]), test.pvalue))
    seeds = {score.cell.name: score.seeds.n for score in analysis.scores}
    assert seeds == {"none –": 3, "confidence 0.25": 4, "confidence 1": 4}
    assert [note for note in analysis.notes if "of 4 seeds" in note] == [
        f"Effects of ssl: confidence ({budget(BOTH)} labels) are over 3 of 4 seeds, those of which all systems in "
        "them have a run."
    ]
    shared = [replace(cell, runs={seed: cell.runs[seed] for seed in (0, 1, 3)}) for cell in study.cells]
    notes = [note for note in analyse(replace(study, cells=shared)).notes if "of 4 seeds" in note]
    assert notes == [
        f"All effects ({budget(BOTH)} labels) are over 3 of 4 seeds, those of which all systems in them have a "
        "run."
    ]


def test_other_designs_have_tests_and_no_effects():
    study = factorial()
    study.design = "leave-one-out"
    analysis = analyse(study)
    assert not analysis.effects
    assert analysis.comparisons


def test_runs_on_other_test_images_are_refused():
    study = factorial()
    vars(study.cells[0].runs[0])["tested"] = {"segmentation/in-domain": "other"}
    vars(study.cells[1].runs[0])["tested"] = {"segmentation/in-domain": "one"}
    with pytest.raises(MmtkError, match="cannot be compared"):
        analyse(study)


def test_budgets():
    study = factorial()
    enc = made_cell("Enc", (), 0.0, labels={"classification": 100})
    study.cells.append(enc)
    assert enc in at(study, BOTH)
    assert enc not in at(study, {"classification": 1000, "segmentation": 10})
    assert [budget(cell.labels) for cell in (study.cells[0], enc)] == ["100-10", "100 class labels"]
