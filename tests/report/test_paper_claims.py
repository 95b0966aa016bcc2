"""The paper's effects beside ours, on studies whose numbers are made up."""

from __future__ import annotations

import csv
import io
import re

import pytest
from scipy import stats as oracle
from test_analysis import factorial, made_cell, noisy

from mmtk.report.analysis import analyse
from mmtk.report.summary import summary
from mmtk.report.tables import claims
from mmtk.study.results import Study


def rows(study: Study) -> dict[tuple[str, str, str], dict[str, str]]:
    """The table's rows by difference, domain and metric."""
    found = csv.DictReader(io.StringIO(claims.table(analyse(study)).csv()))
    return {(row["Difference of"], row["Test set"], row["Metric"]): row for row in found}


def test_a_difference_is_tested_within_seeds_and_adjusted_over_the_table():
    study = noisy(factorial(source="jsrt"))
    found = rows(study)
    dice = [row for (_, _, metric), row in found.items() if metric == "Dice"]
    # UMTL-S, MultiMix and MultiMix against UMTL-S on Dice; the made-up cross-domain set is not the paper's.
    assert {key[0] for key in found if key[2] == "Dice"} == {
        "UMTL-S − UMTL",
        "MultiMix − UMTL",
        "MultiMix − UMTL-S",
    }
    assert len(dice) == 3
    first, second = (study.cells[i].values("in-domain", "segmentation", "dice") for i in (1, 0))
    t, p = oracle.ttest_rel([first[s] for s in sorted(first)], [second[s] for s in sorted(first)])
    row = found["UMTL-S − UMTL", "in-domain", "Dice"]
    assert t > 0
    assert float(row["p"]) == pytest.approx(p)
    assert float(row["p (Holm)"]) == pytest.approx(
        max((3 - rank) * q for rank, q in enumerate(sorted(float(r["p"]) for r in dice)) if q <= p)
    )
    assert row["Verdict"] == "shows"
    assert found["MultiMix − UMTL-S", "in-domain", "Dice"]["Verdict"] == "does not show"


def test_the_published_difference_stands_beside_ours_only_on_the_papers_sets():
    cells = [
        made_cell("UMTL", (), 0.0, source="jsrt"),
        made_cell("UMTL-S", (), 0.2, source="jsrt"),
        made_cell("UMTL-SSL", (), 0.0, source="jsrt"),
        made_cell("UMTL-SSL-S", (), 0.2, source="jsrt"),
    ]
    found = rows(noisy(Study("study", cells, [0, 1, 2, 3])))
    assert float(found["UMTL-S − UMTL", "in-domain", "Dice"]["Paper"]) == pytest.approx(0.922 - 0.626)
    assert set(found) == {("UMTL-S − UMTL", "in-domain", "Dice")}
    assert rows(noisy(factorial())) == {}
    assert claims.sentence(analyse(noisy(factorial()))) == ""


def test_an_opposite_effect_is_called_so():
    cells = [made_cell("UMTL", (), 0.2, source="jsrt"), made_cell("UMTL-S", (), 0.0, source="jsrt")]
    study = noisy(Study("study", cells, [0, 1, 2, 3]))
    found = rows(study)
    assert found["UMTL-S − UMTL", "in-domain", "Dice"]["Verdict"] == "shows the opposite"
    said = claims.sentence(analyse(study))
    start = "The one difference that the paper takes to be a gain shows the opposite here at p < 0.05 after Holm's"
    assert said.startswith(start)
    assert re.search(r"adjustment \(UMTL-S − UMTL −0\.(19|20)\d on Dice in-domain \(100-10\)\)", said)


def test_one_seed_has_no_verdict_and_no_sentence():
    analysis = analyse(factorial(range(1), source="jsrt"))
    assert {one.verdict for one in claims.claimed(analysis)} == {"one seed: no test"}
    assert claims.sentence(analysis) == ""
    assert "the paper" not in " ".join(summary(analysis))


def test_systems_with_one_task_count_once_whatever_the_budgets_of_the_other():
    only = {"classification": 100}
    cells = [made_cell(name, (), 0.0, labels=only, source="chex") for name in ("Enc", "Enc-SSL")]
    for masks in (10, 50):
        labels = {"classification": 100, "segmentation": masks}
        cells.append(made_cell("UMTL", (), 0.0, labels=labels, source="chex"))
        cells[-1].digest = f"UMTL-{masks}"
    analysis = analyse(noisy(Study("study", cells, [0, 1, 2, 3])))
    pairs = [(one.systems[0].digest, one.systems[1].digest, one.domain) for one in claims.claimed(analysis)]
    assert len(pairs) == len(set(pairs))
    assert pairs.count(("Enc-SSL", "Enc", "in-domain")) == 1
    assert {first for first, second, _ in pairs if second == "Enc"} == {"Enc-SSL", "UMTL-10", "UMTL-50"}


def test_the_summary_says_how_many_of_the_papers_effects_show():
    said = " ".join(summary(analyse(noisy(factorial(source="jsrt")))))
    assert "differences that the paper takes to be gains show here" in said
