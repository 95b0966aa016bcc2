"""Audit of published tables."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path

import numpy as np
import pytest

import mmtk
from mmtk.compare.audit import NO_CASES, NO_SPREAD, OF_ALL_CASES, sentence
from mmtk.errors import MmtkError
from mmtk.report.tables import paper
from mmtk.stats.outperformance import (
    accuracy_of_f1,
    false_mean_claim,
    false_share_claim,
    smallest_mean_claim,
    smallest_share_claim,
)

PUBLISHED = Path(paper.__file__).with_name("published.csv")


@pytest.mark.parametrize("both_right", [0.7, 0.6])
def test_the_chance_of_a_false_claim_is_that_of_draws_of_the_dirichlet(both_right: float) -> None:
    n, p, q = 80, 0.78, 0.72
    x = n * (p - both_right), n * (q - both_right)
    draws = np.random.default_rng(0).dirichlet([x[0] + 1, x[1] + 1, n - sum(x) + 2], 400_000)
    assert false_share_claim(p, q, n, both_right) == pytest.approx((draws[:, 0] <= draws[:, 1]).mean(), abs=0.003)


def test_the_chance_of_a_false_claim_is_that_of_the_model_without_its_formula() -> None:
    """Flat prior over four shares (both right, A alone, B alone, none) and the reported counts, by rejection."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1, 1, 1, 1], 400_000)
    counts = rng.multinomial(8, shares)
    posterior = shares[(counts == (4, 2, 1, 1)).all(1)]
    assert len(posterior) > 2_000
    share = (posterior[:, 1] <= posterior[:, 2]).mean()
    assert false_share_claim(6 / 8, 5 / 8, 8, 4 / 8) == pytest.approx(share, abs=0.03)


def test_the_chance_of_a_false_mean_is_that_of_the_model_without_its_formula() -> None:
    """Normal differences over cases with the prior 1/σ²: σ² from its posterior, then the mean."""
    rng = np.random.default_rng(0)
    cases, difference, spreads, correlation = 12, 0.02, (0.05, 0.04), 0.6
    a, b = spreads
    variance = np.array([1, -1]) @ [[a * a, correlation * a * b], [correlation * a * b, b * b]] @ [1, -1]
    sigma = np.sqrt(variance * (cases - 1) / rng.chisquare(cases - 1, 200_000))
    means = rng.normal(difference, sigma / np.sqrt(cases))
    assert false_mean_claim(difference, spreads, cases, correlation) == pytest.approx(
        (means <= 0).mean(), abs=0.003
    )


def test_means_follow_students_t_and_congruence_helps() -> None:
    from scipy.stats import t

    spread = math.sqrt(0.1**2 + 0.12**2 - 2 * 0.5 * 0.1 * 0.12)
    expected = t.cdf(-math.sqrt(50) * 0.02 / spread, 49)
    assert false_mean_claim(0.02, (0.1, 0.12), 50, 0.5) == pytest.approx(expected, rel=1e-12)
    assert false_mean_claim(0.02, (0.1, 0.12), 50, 0.9) < expected < false_mean_claim(0.02, (0.1, 0.12), 50, 0.0)
    smallest = smallest_mean_claim((0.1, 0.12), 50, 0.5)
    assert false_mean_claim(smallest, (0.1, 0.12), 50, 0.5) == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize("congruent", [True, False])
def test_the_smallest_difference_is_just_supported(congruent: bool) -> None:
    smallest = smallest_share_claim(0.8, 200, congruent)
    both = 0.8 if congruent else 0.8 * (0.8 + smallest)
    assert false_share_claim(0.8 + smallest, 0.8, 200, both) == pytest.approx(0.05, abs=1e-4)
    assert math.isnan(smallest_share_claim(0.9, 5, congruent))


def test_accuracy_follows_from_both_f1() -> None:
    tp, fn, fp, tn = 300, 40, 70, 214
    f1 = 2 * tp / (2 * tp + fn + fp), 2 * tn / (2 * tn + fn + fp)
    assert accuracy_of_f1(*f1) == pytest.approx((tp + tn) / (tp + fn + fp + tn), abs=1e-12)
    assert accuracy_of_f1(1.0, 1.0) == 1


def test_contradictions_of_the_paper_s_table_are_named() -> None:
    audit = mmtk.audit(PUBLISHED, {"accuracy": 624})
    text = "\n".join(audit.contradictions)
    start = "UMTL (100, 50, in-domain): f1_normal 0.683 and f1_pneumonia 0.853"
    assert f"{start} give an accuracy of 0.799" in text
    rows = list(csv.DictReader(PUBLISHED.open(encoding="utf-8")))
    wrong = [
        row
        for row in rows
        if row["accuracy"]
        and abs(accuracy_of_f1(float(row["f1_normal"]), float(row["f1_pneumonia"])) - float(row["accuracy"]))
        > 0.03
    ]
    assert len(audit.contradictions) == len(wrong)
    claims = {(c.better, c.worse, c.where): c for c in audit.claims}
    one = claims["MultiMix", "UMTL", "accuracy (100, 10, in-domain)"]
    assert one.difference == pytest.approx(0.093)
    assert one.independent is not None
    assert one.independent < 0.001
    dice = [c for c in audit.claims if c.where.startswith("dice")]
    assert dice
    assert {c.note for c in dice} == {NO_CASES}


def test_a_table_without_a_number_of_cases_says_where_to_name_it(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("system,accuracy\nA,0.90\nB,0.88\n")
    refused = sentence(mmtk.audit(file))
    assert refused == "No claim can be judged: no number of cases (name it: a column n, or --cases NUMBER)."
    assert sentence(mmtk.audit(file, cases={"accuracy": 624})).startswith("1 claim can be judged: ")


@pytest.mark.parametrize(
    "score", ["auroc", "AUC", "F1", "f1_pneumonia", "macro F1", "MCC", "balanced accuracy", "ECE"]
)
def test_a_score_of_all_cases_together_is_not_judged_by_a_spread(tmp_path: Path, score: str) -> None:
    file = tmp_path / "table.csv"
    file.write_text(f"system,metric,mean,n,sd\nA,{score},0.9,624,0.05\nB,{score},0.8,624,0.05\n")
    (claim,) = mmtk.audit(file).claims
    assert (claim.alike, claim.note) == (None, OF_ALL_CASES)


def test_cases_of_a_score_that_is_not_there_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("system,accuracy,dice\nA,0.85,0.9\nB,0.83,0.8\n")
    with pytest.raises(
        MmtkError, match=r"--cases acuracy: the table has no such score\. Did you mean 'accuracy'"
    ) as caught:
        mmtk.audit(file, {"acuracy": 624})
    assert caught.value.hint == "It has accuracy, dice."


def test_a_long_table_with_spreads(tmp_path: Path, monkeypatch, capsys) -> None:
    from mmtk.cli.main import main

    text = "system,metric,mean,n,sd\nA,DSC,0.90,40,0.08\nB,DSC,0.88,40,0.09\nA,HD95,4.0,40,\nB,HD95,3.0,40,\n"
    file = tmp_path / "table.csv"
    file.write_text(text)
    dice, hd95 = mmtk.audit(file).claims
    assert (dice.better, hd95.better, hd95.note) == ("A", "B", NO_SPREAD)
    assert dice.alike is not None
    assert dice.independent == pytest.approx(false_mean_claim(0.02, (0.08, 0.09), 40, 0.0))
    monkeypatch.setattr("sys.argv", ["mmtk", "audit", str(file)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert "A > B by 0.020, dice" in capsys.readouterr().out


def test_tables_that_cannot_be_audited_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    for text, message in (
        ("x,dice\n1,2\n", "no column names the systems"),
        ("system,age\nA,2\n", "means of a score"),
        ("", "is empty"),
        ("system,dice\n", "has no rows"),
    ):
        file.write_text(text)
        with pytest.raises(MmtkError, match=message) as error:
            mmtk.audit(file)
        assert error.value.hint
    for path, message in ((Path(os.devnull), "is empty"), (tmp_path, "is a folder")):
        with pytest.raises(MmtkError, match=message):
            mmtk.audit(path)
    assert next(csv.reader(io.StringIO(PUBLISHED.read_text())))[0] == "system"


def test_claims_about_shares_are_false_as_often_as_the_audit_says() -> None:
    """Truths of the flat prior, test sets of 40 cases drawn from them, and claims by the chance given to them."""
    rng = np.random.default_rng(1)
    shares = rng.dirichlet([1, 1, 1, 1], 4_000)
    both, first, second, _ = rng.multinomial(40, shares).T
    is_first = first > second
    higher, lower = np.where(is_first, first, second), np.where(is_first, second, first)
    chances = np.array(
        [
            false_share_claim((b + h) / 40, (b + w) / 40, 40, b / 40)
            for b, h, w in zip(both, higher, lower, strict=True)
        ]
    )
    is_false = np.where(is_first, shares[:, 1] <= shares[:, 2], shares[:, 2] <= shares[:, 1])
    for low, high in ((0, 0.05), (0.05, 0.2), (0.2, 0.5)):
        part = (chances > low) & (chances <= high) & (higher > lower)
        assert part.sum() > 400
        assert is_false[part].mean() == pytest.approx(chances[part].mean(), abs=0.03)


def test_means_without_a_true_difference_are_claimed_as_often_as_the_level() -> None:
    rng = np.random.default_rng(2)
    values = rng.multivariate_normal([0.8, 0.8], [[0.01, 0.006], [0.006, 0.01]], (4_000, 15))
    spreads, means = values.std(axis=1, ddof=1), values.mean(axis=1)
    centered = values - means[:, None]
    correlation = centered.prod(axis=2).sum(axis=1) / 14 / spreads.prod(axis=1)
    chances = [
        false_mean_claim(a - b, (s, t), 15, r)
        for (a, b), (s, t), r in zip(means, spreads, correlation, strict=True)
    ]
    assert (np.array(chances) <= 0.05).mean() == pytest.approx(0.05, abs=0.012)
    assert (np.array(chances) <= 0.5).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("alone", [(5, 0), (9, 2), (30, 18)])
def test_the_chance_of_whole_counts_is_that_of_a_binomial(alone: tuple[int, int]) -> None:
    """Of cases that one system alone gets right, with one more for each: so many heads of a fair coin."""
    from scipy.stats import binom

    a, b = alone
    exact = binom.sf(a, a + b + 1, 0.5)
    assert false_share_claim((50 + a) / 100, (50 + b) / 100, 100, 0.5) == pytest.approx(exact, rel=1e-9)


def test_sizes_of_test_sets_that_the_paper_s_simulations_ask_for_lie_between_both_ends() -> None:
    """As told of its webinar: 0.01 of accuracy needs 8 times 500 images, 0.01 of Dice 10 times 62."""
    higher, lower, images = 0.86, 0.85, 8 * 500
    shares = [false_share_claim(higher, lower, images, both) for both in (lower, higher * lower)]
    means = [false_mean_claim(0.01, (0.2, 0.2), 10 * 62, correlation) for correlation in (0.9, 0.0)]
    for alike, independent in (shares, means):
        assert alike < 0.05 < independent
