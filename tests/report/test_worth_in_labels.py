"""Worth in labels in a report: of components and of the reference, in tables, words and pictures."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_analysis import AXES, made_cell
from test_patients import DICE

from mmtk.report.analysis import Analysis, analyse
from mmtk.report.answer import sentences, summary_lines
from mmtk.report.figures import style
from mmtk.report.figures.worth import worth
from mmtk.report.tables.worth import worth_table
from mmtk.report.worth import Answer, worth_sentences
from mmtk.study.results import Cell, Study

BUDGETS = (10, 20, 40, 80)
SYSTEMS = {"UMTL": ("none", "none"), "UMTL-S": ("saliency", "none"), "UMTL-SSL": ("none", "confidence")}
SYSTEMS["MultiMix"] = ("saliency", "confidence")


def budgets_study(
    gain: float = 0.05, seeds=range(4), budgets=BUDGETS, slope: float = 0.05, patients: int = 40
) -> Study:
    """Dice grows by ``slope`` with every doubling of the masks, and by ``gain`` with saliency."""
    cells = []
    for count in budgets:
        for name, levels in SYSTEMS.items():
            labels = {"classification": 100, "segmentation": count}
            cell = made_cell(name, levels, 0.0, seeds, name == "MultiMix", labels, images=patients)
            level = 0.5 + slope * math.log2(count / 10) + gain * (levels[0] == "saliency")
            cells.append(with_dice(cell, level, len(cells)))
    return Study("study", cells, list(seeds), dict(AXES), "factorial")


def with_dice(cell: Cell, level: float, place: int) -> Cell:
    """The cell with values of Dice around a level."""
    rng = np.random.default_rng(place)
    cell.digest = f"{cell.name}-{cell.budget}"
    for domain in ("in-domain", "cross-domain"):
        table = cell.cases[domain, "segmentation"]
        table["patient"] = np.array([f"p{k}" for k in range(len(table["id"]))], object)
        values = rng.normal(0, 0.02, table["dice"].shape)
        table["dice"] = level + values
        for row, run in enumerate(cell.runs.values()):
            run.scores[domain]["segmentation"]["dice"] = float(table["dice"][row].mean())
    return cell


@functools.cache
def analysed() -> Analysis:
    """The analysis of the study that most tests look at."""
    return analyse(budgets_study())


def answer_of(analysis: Analysis, count: int, what: str = "bridge: saliency") -> Answer:
    (one,) = (
        one for one in analysis.worths if (one.what, one.count, one.domain, one.task) == (what, count, *DICE[:2])
    )
    return one


@pytest.mark.long
def test_a_component_that_adds_one_doubling_is_worth_twice_the_labels() -> None:
    for count in (10, 20):
        one = answer_of(analysed(), count)
        assert one.worth.labels == pytest.approx(2 * count, rel=0.1)
        assert one.worth.low < 2 * count < one.worth.high
        assert one.curve[count] == pytest.approx(0.5 + 0.05 * math.log2(count / 10), abs=0.01)
    assert answer_of(analysed(), 80).worth.text == "more than 80"
    assert answer_of(analyse(budgets_study(-0.1)), 10).worth.text == "fewer than 10"
    nothing = answer_of(analysed(), 40, "ssl: confidence").worth
    assert nothing.low < 40 < nothing.high


def test_without_a_factorial_the_reference_is_worth_labels_of_every_other_system() -> None:
    study = budgets_study()
    study.design = "one-at-a-time"
    one = answer_of(analyse(study), 10, "MultiMix beside UMTL-SSL")
    assert one.worth.labels == pytest.approx(20, rel=0.1)
    assert (
        one.sentence
        == f"MultiMix beside UMTL-SSL at 10 masks (Dice in-domain) is worth {one.worth.text} without it"
    )


@pytest.mark.long
def test_a_study_has_the_answers_of_its_report_as_a_table() -> None:
    for study in (budgets_study(), replace(budgets_study(), design="", axes={})):
        answers, table = analyse(study).worths, study.worth()
        assert len(table) == len(answers) > 0
        for row, one in zip(table.itertuples(), answers, strict=True):
            assert (row.component, row.task, row.domain, row.score) == (
                one.what,
                one.task,
                one.domain,
                one.info.label,
            )
            assert (row.labels, row.value, row.text) == (one.count, one.score, one.worth.text)
            assert (row.low, row.high) == (one.worth.low, one.worth.high)
            assert row.worth == one.worth.labels
    assert list(budgets_study(budgets=(10,)).worth()) == list(table)
    assert budgets_study(budgets=(10,)).worth().empty
    unknown = budgets_study(seeds=[0]).worth()
    assert unknown.worth.isna().all()
    assert set(unknown.text) == {"cannot be said"}


def test_a_study_of_one_budget_has_no_section() -> None:
    analysis = analyse(budgets_study(budgets=(10,)))
    assert analysis.worths == []
    assert not worth_table(analysis.worths).rows
    assert worth(analysis.worths, Path("none.png")) is None


def test_one_seed_says_nothing() -> None:
    analysis = analyse(budgets_study(seeds=range(1)))
    one = answer_of(analysis, 10)
    assert one.worth.text == "cannot be said"
    assert "one seed" in one.worth.note
    assert "cannot be said" in one.sentence
    lines = sentences(analysis)
    assert not any("worth" in line for line in lines[:1])
    assert worth_sentences([one]) == [
        "At these budgets it cannot be said what a component is worth in labels; the table says why."
    ]


def test_labels_that_do_not_help_say_nothing() -> None:
    one = answer_of(analyse(budgets_study(slope=-0.05)), 40)
    assert (one.worth.text, one.worth.note) == ("cannot be said", "more labels do not help the base")


def test_a_budget_without_the_systems_without_it_is_left_out() -> None:
    study = budgets_study()
    study.design, gone = "one-at-a-time", {"UMTL": 20}
    study.cells = [cell for cell in study.cells if gone.get(cell.name) != cell.labels["segmentation"]]
    counts = [
        one.count for one in analyse(study).worths if one.what == "MultiMix beside UMTL" and one.domain == DICE[0]
    ]
    assert counts == [10, 40, 80]


def test_the_answer_stands_in_the_table_the_words_and_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = analysed()
    table = worth_table(analysis.worths)
    assert [column.name for column in table.columns][:3] == ["Worth of", "Score", "At labels"]
    rows = {(row[0].text, row[1].text, row[2].text): row[4:6] for row in table.rows}
    words, number = rows["bridge: saliency", "Dice in-domain", "100-10"]
    assert words.text == answer_of(analysis, 10).worth.text
    assert number.numbers["low"] < 20 < number.numbers["high"]
    assert rows["bridge: saliency", "Dice in-domain", "100-80"][1].numbers == dict.fromkeys(("", "low", "high"))
    assert "more than 80" in table.csv()
    line = "Bridge: saliency at 10 masks (Dice in-domain) is worth"
    assert any(sentence.startswith(line) for sentence in sentences(analysis))
    assert any(sentence.startswith(line) for sentence in summary_lines(analysis))
    with monkeypatch.context() as fonts:  # the words of the figure as text
        fonts.setitem(style.STYLE, "svg.fonttype", "none")
        figure = worth(analysis.worths, tmp_path / "worth.png")
    assert "(100 class labels)" in (tmp_path / "worth.svg").read_text(encoding="utf-8")
    assert figure is not None
    assert figure.path.is_file()
    assert (tmp_path / "worth.svg").is_file()
