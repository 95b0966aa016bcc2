"""The first screen of a report: verdicts in four words, their margins, and what a component costs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_analysis import factorial, made_cell, noisy
from test_patients import DICE, with_patients

from mmtk.errors import MmtkError
from mmtk.report.analysis import analyse
from mmtk.report.answer import MANY, _open, answer, sentences, summary_lines
from mmtk.report.claims import AT_CHANCE, GUESSING, claims, effects_after_looks
from mmtk.report.margins import parse_margins
from mmtk.report.prices import price
from mmtk.report.standings import standings
from mmtk.report.tables import study as study_tables
from mmtk.report.verdicts import verdicts
from mmtk.runs.folder import RunDir
from mmtk.stats.verdicts import verdict
from mmtk.study.results import Study
from mmtk.study.stopping import Stopping


def words(study: Study, **margins: float) -> dict[tuple[str, str], str]:
    return {(claim.what, claim.score): claim.verdict.word for claim in claims(analyse(study, margins))}


def alike(size: float) -> Study:
    """Two systems whose Dice differs by noise of this size alone, on 60 patients with 3 seeds."""
    rng = np.random.default_rng(3)
    cells = [made_cell(name, (), 0.0, range(3), reference=name == "A", images=60) for name in "AB"]
    for cell in cells:
        table = cell.cases[DICE[:2]]
        table["dice"] = table["dice"] + rng.normal(0, size, table["dice"].shape)
        for row, run in enumerate(cell.runs.values()):
            run.scores["in-domain"]["segmentation"]["dice"] = float(table["dice"][row].mean())
    return Study("study", cells, [0, 1, 2])


def test_a_component_helps_harms_or_makes_no_difference_that_matters() -> None:
    study = with_patients(factorial(), 30)
    assert words(study)["bridge: saliency", "Dice in-domain"] == "helps"
    study = with_patients(factorial(), 30)
    for cell in study.cells:
        for run in cell.runs.values():
            run.scores["in-domain"]["segmentation"]["dice"] *= -1
        cell.cases[DICE[:2]]["dice"] *= -1
    assert words(study)["bridge: saliency", "Dice in-domain"] == "harms"
    same = alike(0.005)
    assert words(same)["A − B", "Dice in-domain"] == "no difference that matters"
    assert words(same, dice=0.0001)["A − B", "Dice in-domain"] == "open"


def test_a_verdict_is_that_of_the_interval_its_margin_and_holm_s_p() -> None:
    for claim in claims(analyse(with_patients(factorial(), 30))):
        if "Dice" in claim.score:
            assert claim.margin == 0.01
            assert claim.verdict == verdict(claim.interval, 0.01, "higher", claim.adjusted)


def with_chance(study: Study, chance: float) -> Study:
    """The study, with a level of chance of Dice."""
    for run in (run for cell in study.cells for run in cell.runs.values()):
        numbers = run.declared["segmentation"]
        numbers = {**numbers, "dice": replace(numbers["dice"], chance=chance)}
        vars(run)["declared"] = {**run.declared, "segmentation": numbers}
    return study


@pytest.mark.parametrize(("chance", "guesses"), [(0.1, False), (0.999, True)])
def test_a_difference_between_systems_that_may_be_guessing_says_so(chance: float, guesses: bool) -> None:
    study = alike(0.001)
    for run in study.cells[1].runs.values():
        run.scores["in-domain"]["segmentation"]["dice"] -= 0.1
    study.cells[1].cases[DICE[:2]]["dice"] -= 0.1
    analysis = analyse(with_chance(study, chance))
    (row,) = (row for row in verdicts(analysis).rows if row[1].text == "Dice in-domain")
    assert row[2].text == "A is better"
    assert (GUESSING in row[-1].text) == guesses
    assert (f"Settled, but {GUESSING}: A − B on Dice in-domain." in sentences(analysis)) == guesses


@pytest.mark.parametrize(("chance", "guesses"), [(0.1, False), (0.999, True)])
def test_no_difference_between_systems_that_may_be_guessing_says_so(chance: float, guesses: bool) -> None:
    analysis = analyse(with_chance(alike(0.005), chance))
    (claim,) = (c for c in claims(analysis) if c.score == "Dice in-domain")
    assert claim.verdict.word == "no difference that matters"
    assert claim.is_equality_of_chance == guesses
    (row,) = (row for row in verdicts(analysis).rows if row[1].text == "Dice in-domain")
    assert (AT_CHANCE in row[-1].text) == guesses
    assert (f"No difference, but {AT_CHANCE}: A − B on Dice in-domain." in sentences(analysis)) == guesses


@pytest.mark.parametrize(("change", "better"), [(0.1, "A"), (-0.1, "B")])
def test_of_two_systems_every_text_says_which_is_better(change: float, better: str) -> None:
    study = alike(0.001)
    for run in study.cells[1].runs.values():
        run.scores["in-domain"]["segmentation"]["dice"] -= change
    study.cells[1].cases[DICE[:2]]["dice"] -= change
    analysis = analyse(study)
    words = f"{better} is better"
    (row,) = (r for r in verdicts(analysis).rows if r[1].text == "Dice in-domain")
    assert row[2].text == words
    (entry,) = (e for r in answer(analysis).rows for e in r if e.text.startswith(f"{better} is"))
    assert entry.text.startswith(f"{words}: ")
    pattern = rf"{better} is better than [AB] by 0\.\d+ \(0\.\d+ to 0\.\d+\) on Dice in-domain\."
    assert any(re.fullmatch(pattern, text) for text in sentences(analysis)), sentences(analysis)
    lines = summary_lines(analysis)
    assert any(line.startswith(f"{words} ") for line in lines)
    text = " ".join([*lines, answer(analysis).caption, verdicts(analysis).caption]).lower()
    assert "helps" not in text
    assert "harms" not in text


def test_one_seed_is_open() -> None:
    analysis = analyse(with_patients(factorial(range(1)), 30))
    assert {claim.verdict.word for claim in claims(analysis)} == {"open"}
    assert "One seed: nothing can be concluded" in " ".join(sentences(analysis))


def test_an_open_verdict_says_how_many_more_seeds_would_close_it() -> None:
    analysis = analyse(alike(0.2))
    (claim,) = (claim for claim in claims(analysis) if claim.score == "Dice in-domain")
    assert claim.verdict.word == "open"
    assert claim.more_seeds is None or claim.more_seeds > 0
    text = " ".join(sentences(analysis))
    assert "A − B on Dice in-domain" in text
    assert (f"({claim.more_seeds} more seed" if claim.more_seeds else "more patients can") in text


@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 0, 1), (0, 2, 0), (4, 3, 1), (9, 0, 0), (0, 8, 0), (0, 7, 2)])
def test_what_is_open_adds_up_and_no_difference_is_closed_by_seeds_and_not(counts: tuple[int, int, int]) -> None:
    """Differences that seeds close, that only patients close, and without an interval."""
    (claim,) = (one for one in claims(analyse(alike(0.2))) if one.score == "Dice in-domain")
    assert claim.interval is not None
    wide = replace(claim.interval, seed_variance=0.01, patient_variance=0.0)
    by_remedy = {
        "seeds": replace(claim, interval=replace(wide, est=0.06), margin=None),
        "patients": replace(claim, state="more patients"),
        "unknown": replace(claim, interval=None),
    }
    assert all(one.remedy == remedy and one.verdict.word == "open" for remedy, one in by_remedy.items())
    numbered = [
        replace(one, what=f"{remedy} {n}")
        for (remedy, one), count in zip(by_remedy.items(), counts, strict=True)
        for n in range(count)
    ]
    lines = [*_open(numbered)]
    if sum(counts) > MANY:
        assert len(lines) == 1
        assert lines[0].startswith(f"Open: all {sum(counts)} differences: ")
        assert sum(map(int, re.findall(r"(\d+) (?:that|without)", lines[0]))) == sum(counts)
    else:
        assert len(lines) == sum(map(bool, counts))
        for one in numbered:
            assert [one.what in line for line in lines].count(True) == 1
    text = " ".join(lines)
    assert [bool(count) for count in counts] == [
        f"{more}" in text for more in ("more seed", "no number of seeds closes", "without an interval")
    ]


def test_the_probability_that_the_order_is_the_other_way_round_stands_beside_every_verdict() -> None:
    analysis = analyse(noisy(factorial()))
    (claim,) = (c for c in claims(analysis) if (c.what, c.score) == ("ssl: confidence", "Dice in-domain"))
    assert claim.verdict.reversal == pytest.approx(claim.estimate.p / 2)
    table = verdicts(analysis)
    names = [column.name for column in table.columns]
    (row,) = (r for r in table.rows if (r[0].text, r[1].text) == (claim.what, claim.score))
    assert "Labels" not in names  # there is one budget
    shown = row[names.index("Other way round")]
    assert shown.numbers[""] == claim.verdict.reversal
    assert shown.text == f"{100 * claim.verdict.reversal:.2g}\N{NO-BREAK SPACE}%"
    assert "family: 6 on balanced accuracy and 6 on Dice" in answer(analysis).caption


def test_the_price_is_what_the_runs_measured(tmp_path: Path) -> None:
    study = noisy(factorial())
    for place, cell in enumerate(study.cells):
        for seed, run in cell.runs.items():
            folder = RunDir(tmp_path / f"{cell.name}-{seed}")
            folder.path.mkdir()
            layers = [{"layer": "encoder", "parameters": 1000 + 10 * place}]
            folder.layers_file.write_text(json.dumps({"size": 32, "layers": layers}))
            vars(run).update(folder=folder, seconds=4 * (1 + (place in (1, 3))) + seed, memory=1 + 0.1 * place)
    analysis = analyse(study)
    (claim,) = (c for c in claims(analysis) if (c.what, c.score) == ("bridge: saliency", "Dice in-domain"))
    found = price(claim.weights)
    assert (found.seconds, found.share) == pytest.approx((1.0, 4 / 5.5))
    assert (found.memory, found.parameters) == pytest.approx((0.1, 10))
    assert "+1.000 s (+73 %) per step, +100 MB memory, +10 parameters" in " ".join(summary_lines(analysis))
    texts = [entry.text.replace("\N{NO-BREAK SPACE}", " ") for entry in answer(analysis).rows[0]]
    assert texts[-3:] == ["+1.000 s (+73 %)", "+100 MB", "+10"]


def test_a_run_that_waited_is_no_price_of_a_component() -> None:
    study = noisy(factorial())
    for cell in study.cells:
        for seed, run in cell.runs.items():
            vars(run).update(seconds=4000 if (cell.name, seed) == ("UMTL", 2) else 4)
    (claim,) = (c for c in claims(analyse(study)) if (c.what, c.score) == ("bridge: saliency", "Dice in-domain"))
    assert price(claim.weights).seconds == pytest.approx(0.0)


def test_memory_has_no_price_where_one_run_does_not_say_it() -> None:
    study = noisy(factorial())
    for cell in study.cells:
        for seed, run in cell.runs.items():
            vars(run).update(seconds=4, memory=None if (cell.name, seed) == ("UMTL", 2) else 1.0)
    (claim,) = (c for c in claims(analyse(study)) if (c.what, c.score) == ("bridge: saliency", "Dice in-domain"))
    assert price(claim.weights).memory is None


@pytest.mark.parametrize("text", ["dice", "dice=", "=0.1", "dice=0", "dice=-0.1", "dice=nan", "dice=a"])
def test_a_margin_that_is_none_is_refused_with_a_cure(text: str) -> None:
    with pytest.raises(MmtkError, match="a margin is a number above 0") as caught:
        parse_margins([text])
    assert "--margin dice=0.01" in (caught.value.hint or "")


def test_a_margin_of_a_score_that_is_not_tested_is_refused_with_those_that_are() -> None:
    with pytest.raises(MmtkError, match="does not test dize") as caught:
        analyse(factorial(), parse_margins(["dize=0.1"]))
    assert "dice" in (caught.value.hint or "")
    assert parse_margins(["dice=0.1", "auroc=0.5"]) == {"dice": 0.1, "auroc": 0.5}


def test_runs_that_declare_no_margin_have_that_of_the_built_in_score() -> None:
    study = factorial()
    for scores in study.declared.values():
        for name, info in scores.items():
            object.__setattr__(info, "margin", None)
            assert scores[name].margin is None
    assert {c.margin for c in claims(analyse(study)) if "Dice" in c.score} == {0.01}


def test_a_study_that_adds_seeds_has_the_verdicts_of_its_looks() -> None:
    study = with_patients(factorial(), 30)
    study.stopping = Stopping(20)
    analysis = analyse(study)
    found = {one.question.name: one.outcome for one in standings(study, analysis.effects)}
    outcome = found["bridge: saliency, Dice"]
    by_key = {(claim.what, claim.score): claim for claim in claims(analysis)}
    claim = by_key["bridge: saliency", "Dice in-domain"]
    assert claim.verdict.word == outcome.verdict.word == "helps"
    assert claim.adjusted == outcome.p
    assert (claim.low, claim.high, claim.estimate.n) == (
        outcome.interval.low,
        outcome.interval.high,
        outcome.seeds,
    )
    assert "stopped early" in claim.verdict.note
    assert "Stopped early, so the change is too large on average: bridge: saliency on Dice in-domain" in " ".join(
        sentences(analysis)
    )
    assert "hold the levels of their looks" in answer(analysis).caption
    assert by_key["bridge: saliency", "Dice cross-domain"].estimate.n == 4
    plain, after = (
        next(one for one in some if (one.metric, one.domain) == ("dice", "in-domain"))
        for some in (analysis.effects, effects_after_looks(analysis))
    )
    assert (after.effects[0], after.adjusted[0]) == (claim.estimate, claim.adjusted)
    assert after.effects[0].low < plain.effects[0].low < plain.effects[0].high < after.effects[0].high
    table = study_tables.effects(study, effects_after_looks(analysis))
    assert [claim.low, claim.high] in [[*row[5].numbers.values()] for row in table.rows]
    assert study_tables.LOOKS in table.caption


def test_a_study_that_adds_seeds_keeps_the_margins_that_it_began_with() -> None:
    study = with_patients(factorial(), 30)
    study.stopping = Stopping(20, {"dice": 0.05})
    assert {c.margin for c in claims(analyse(study)) if "Dice" in c.score} == {0.05}
    assert analyse(study, {"dice": 0.05}).margins == {"dice": 0.05}
    with pytest.raises(MmtkError, match=r"down before its first run: dice=0\.05"):
        analyse(study, {"dice": 0.1})
