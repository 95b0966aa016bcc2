"""Scores by formula are those of the metrics; without a patient they are those of the other images."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from patients import by_hand, classes, clusters
from sklearn import metrics as oracle

from mmtk import builtin_scores, stats
from mmtk.api import ScoreInfo
from mmtk.components.metric.classification import Classification
from mmtk.errors import MmtkError
from mmtk.registry import catalog, local_file
from mmtk.scores import from_json, to_json
from mmtk.stats.designs import factorial_weights, shapley_weights
from mmtk.stats.jackknife import confirmed, formula_of

TWO = sorted({*builtin_scores.FORMULAS, "f1:class 0", "f1:class 1"})
MORE = sorted({*builtin_scores.FORMULAS, "f1:class 0", "f1:class 2"} - {"sensitivity", "specificity"})


def columns_of(metric: Classification) -> dict[str, np.ndarray]:
    return {name: np.array([values], float) for name, values in metric.per_image().items() if name != "id"}


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_formulas_are_the_scores_of_the_metric(count, seed):
    """AUROC, average precision and calibration error of torchmetrics are in 32 bits."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(90, count, generator=generator) * (1 if seed % 2 else 0.5)
    logits = logits.round(decimals=0) if seed > 1 else logits  # with ties
    target = torch.randint(0, count - (seed == 3 and count > 2), (90,), generator=generator)  # one class is absent
    metric = Classification([f"class {k}" for k in range(count)])
    metric.update(logits, target, [f"{i:03}" for i in range(90)])
    expected, columns = metric.compute(), columns_of(metric)
    seen = 0
    for name, info in metric.scores.items():
        formula = formula_of(name, info, columns)
        if formula and name in expected:
            exact = name not in ("auroc", "average-precision", "calibration-error")
            found = stats.jackknife(formula, columns, np.arange(90) // 2).score
            assert found == pytest.approx([expected[name]], abs=1e-12 if exact else 2e-6), name
            seen += 1
    assert seen >= 6 + count - (seed == 3)


def test_ranking_scores_are_those_of_scikit_learn_in_64_bits():
    rng = np.random.default_rng(1)
    patients = clusters(rng, 40)
    columns = classes(rng, patients)
    for formula, function in (
        ("auroc", oracle.roc_auc_score),
        ("average-precision", oracle.average_precision_score),
    ):
        expected = [function(t, p) for t, p in zip(columns["target"], columns["p-class 1"], strict=True)]
        assert stats.jackknife(formula, columns, patients).score == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("formula", ["auroc", "average-precision"])
def test_all_seeds_at_once_are_each_seed_alone_to_the_last_bit(formula):
    """With ties, and with classes that differ by seed where runs were tested on other images."""
    rng = np.random.default_rng(2)
    patients = clusters(rng, 20)
    columns = {name: values.round(1) for name, values in classes(rng, patients, count=3).items()}
    target = columns["target"]
    for lost in (None, 2):
        target[-1, target[-1] == lost] = 0
        together = stats.jackknife(formula, columns, patients)
        for seed in range(len(target)):
            alone = stats.jackknife(formula, {k: v[seed : seed + 1] for k, v in columns.items()}, patients)
            assert alone.score[0] == together.score[seed]
            np.testing.assert_array_equal(alone.without[0], together.without[seed])


@pytest.mark.parametrize(("count", "formulas"), [(2, TWO), (3, MORE)])
def test_without_a_patient_is_the_score_of_the_other_images(count, formulas):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        patients = clusters(rng, 25)
        columns = classes(rng, patients, count=count)
        for formula in formulas:
            found = stats.jackknife(formula, columns, patients)
            assert found.without == pytest.approx(by_hand(formula, columns, patients), abs=1e-12), formula
            assert not found.note


def test_a_mean_counts_images_and_names_of_patients_may_be_anything():
    values, names = np.array([[1.0, 2.0, 6.0], [0.0, 1.0, 5.0]]), np.array(["b", "a", "b"])
    found = stats.jackknife("mean:dice", {"dice": values}, names)
    assert found.score == pytest.approx([3, 2])
    assert found.without.tolist() == [[3.5, 2.0], [2.5, 1.0]]  # without a, without b
    assert (found.patients, found.errors) == (2, None)


def placements(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kernel = (positive[:, None] > negative) + (positive[:, None] == negative) / 2
    return kernel.mean(1), kernel.mean(0)


def test_auroc_with_one_image_per_patient_has_the_variance_of_delong():
    """DeLong, DeLong, Clarke-Pearson 1988: S10/m + S01/n of the placements; the jackknife differs by O(1/n²)."""
    rng = np.random.default_rng(2)
    columns = classes(rng, np.arange(600), seeds=2)
    a, b = ({name: values[[j]] for name, values in columns.items()} for j in (0, 1))
    gap = stats.difference(*(stats.jackknife("auroc", one, np.arange(600)) for one in (a, b)))
    found = stats.two_way(gap)
    positive = columns["target"][0] == 1
    parts = [placements(one["p-class 1"][0][positive], one["p-class 1"][0][~positive]) for one in (a, b)]
    delong = sum(np.var(x - y, ddof=1) / len(x) for x, y in zip(*parts, strict=True))
    assert found.patient_variance == pytest.approx(delong, rel=0.01)
    assert (found.seeds, found.df) == (1, 599)


def test_another_authors_formula_is_called_without_each_patient(monkeypatch):
    module = ModuleType("strange_scores")
    module.spread = lambda columns: columns["dice"].max() - columns["dice"].min()
    module.number, module.broken = 3, lambda columns: columns["absent"]
    monkeypatch.setitem(sys.modules, "strange_scores", module)
    columns = {"dice": np.array([[0.1, 0.5, 0.9]])}
    found = stats.jackknife("strange_scores:spread", columns, np.arange(3))
    assert found.score == pytest.approx([0.8])
    assert found.without[0] == pytest.approx([0.4, 0.8, 0.4])
    for formula, why in {
        "strange_scores:absent": "cannot be imported",
        "no_such_module:score": "cannot be imported",
        "strange_scores:number": "is no function",
        "strange_scores:broken": "fails",
        "f1:unheard-of": "no class 'unheard-of'",
        "mean:unheard-of": "no value 'unheard-of' per image",
        "surprise": "'surprise' is unknown",
        "": "has no formula",
    }.items():
        found = stats.jackknife(formula, columns, np.arange(3))
        assert why in found.note, formula
        assert np.isnan(found.score).all()
        assert np.isnan(found.without).all()
        assert stats.two_way(found).low is None


def test_the_formula_of_a_local_file_is_found_while_it_is_loaded(tmp_path):
    code = '''
from mmtk.api import Metric, ScoreInfo

def agreement(columns):
    return (columns["target"] == columns["predicted"]).mean()

class Agreement(Metric):
    """Share of right classes."""
    task = "classification"
    scores = {"agreement": ScoreInfo("agreement", formula=f"{__name__}:agreement")}
    def update(self, logits, target, ids): ...
    def merge(self, other): ...
    def compute(self): ...
'''
    (tmp_path / "agreement.py").write_text(code)
    before = catalog.code()
    local_file.use(tmp_path / "agreement.py")
    declared = catalog.load(catalog.find("metric", "code/Agreement")).scores["agreement"]
    catalog.offer(before)
    of = np.arange(40) // 2
    columns = classes(np.random.default_rng(6), of)
    found, same = (stats.jackknife(formula, columns, of) for formula in (declared.formula, "accuracy"))
    assert found.without == pytest.approx(same.without, abs=1e-12)


def test_a_formula_is_declared_or_the_mean_of_its_column_or_that_of_the_built_in_score():
    assert formula_of("dice", ScoreInfo("Dice"), ["dice"]) == "mean:dice"
    assert formula_of("auroc", ScoreInfo("AUROC"), ["target"]) == "auroc"
    assert formula_of("f1-normal", ScoreInfo("F1"), ["target"]) == "f1:normal"
    assert formula_of("auroc", ScoreInfo("AUROC", formula="a.b:c"), ["auroc"]) == "a.b:c"
    assert formula_of("threshold", ScoreInfo("threshold"), ["target"]) == ""
    # Beside another metric: the score has its table, its column only where both have the name.
    assert formula_of("area/dice", ScoreInfo("Dice"), ["dice", "area/dice"]) == "mean:area/dice"
    assert formula_of("area/error", ScoreInfo("error"), ["dice", "error"]) == "mean:error"
    assert formula_of("standard/auroc", ScoreInfo("AUROC"), ["target"]) == "auroc"
    declared = builtin_scores.classification(("normal", "pneumonia"))
    assert {name: formula_of(name, ScoreInfo(""), ()) for name in declared} == {
        name: info.formula for name, info in declared.items()
    }
    assert from_json(to_json(declared)) == declared


def test_a_score_that_its_formula_does_not_give_has_no_interval():
    """A metric may call the worst image by the name of the column."""
    found = stats.jackknife("mean:dice", {"dice": np.array([[0.2, 0.4], [0.6, 0.8]])}, np.arange(2))
    assert confirmed(found, [0.3, 0.7 + 1e-7]) is found
    refused = confirmed(found, [0.2, 0.6])
    assert "has to declare a formula" in refused.note
    assert refused.score.tolist() == [0.2, 0.6]


def test_contrasts_are_the_effects_of_designs():
    rng = np.random.default_rng(3)
    factors, seeds = ["a", "b", "c"], 4
    for weights, effects in (
        (factorial_weights(factors), stats.factorial),
        (shapley_weights(factors), stats.shapley),
    ):
        cells = {
            cell: stats.jackknife("mean:x", {"x": rng.normal(size=(seeds, 60))}, np.arange(60) // 3)
            for cell in weights.cells
        }
        expected = effects({cell: dict(enumerate(one.score.tolist())) for cell, one in cells.items()}, factors)
        for row, effect in zip(weights.table, expected, strict=True):
            found = stats.two_way(stats.combine(row, [cells[cell] for cell in weights.cells]))
            assert found.est == pytest.approx(effect.value)
            assert found.low <= effect.low + 1e-12
            assert found.high >= effect.high - 1e-12
        assert weights.effects == [effect.factors for effect in expected]


def test_scores_of_other_seeds_or_patients_do_not_combine():
    one, two = (stats.jackknife("mean:x", {"x": np.ones((2, n))}, np.arange(n)) for n in (12, 13))
    with pytest.raises(MmtkError, match="same seeds and patients"):
        stats.difference(one, two)


@pytest.mark.parametrize("formula", ["balanced-accuracy", "macro-f1", "auroc", "average-precision", "f1:class 1"])
def test_a_class_of_one_patient_leaves_the_score_undefined_without_it(formula):
    rng = np.random.default_rng(4)
    of = clusters(rng, 30)
    columns = classes(rng, of, count=3)
    columns["target"][:] = np.where(of == 7, 1, 2 * (np.arange(len(of)) % 2))
    found = stats.jackknife(formula, columns, of)
    assert np.isfinite(found.score).all()
    assert np.isnan(found.without[:, 7]).all()
    assert found.note == "all images of class 'class 1' come from one patient"
