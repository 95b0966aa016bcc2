"""The stopping rule of a study that adds seeds: its plan, its rounds, and options that do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmtk.errors import MmtkError
from mmtk.io.files import read_json
from mmtk.study.folder import StudyDir
from mmtk.study.plan import Plan, plan_components
from mmtk.study.stopping import Stopping
from mmtk.workflows.ablate import StudyRequest, prepare


def _plan(rule: Stopping) -> Plan:
    return replace(plan_components("multimix", "ssl", seeds=range(rule.max_seeds)), stopping=rule)


def test_the_first_round_has_three_seeds_and_each_later_one_another() -> None:
    plan = _plan(Stopping(12))
    assert [seed for _, seed in plan.runs] == [0] * 3 + [1] * 3 + [2] * 3
    open_cells = [plan.cells[0].recipe.digest, plan.cells[2].recipe.digest]
    plan = replace(plan, stopping=plan.stopping and plan.stopping.one_more(open_cells))
    assert [(cell.name, seed) for cell, seed in plan.runs[9:]] == [
        (plan.cells[0].name, 3),
        (plan.cells[2].name, 3),
    ]


def test_no_cell_gets_more_seeds_than_the_rule_has() -> None:
    rule = Stopping(10)
    for _ in range(20):
        rule = rule.one_more(["a"])
    assert rule.seeds_of("a") == 10


def test_few_seeds_at_most_are_one_round() -> None:
    assert {seed for _, seed in _plan(Stopping(7)).runs} == set(range(7))


def test_the_rule_belongs_to_the_study_and_its_rounds_do_not() -> None:
    plan = _plan(Stopping(12))
    digests = {plan.digest, replace(plan, stopping=None).digest, replace(plan, stopping=Stopping(20)).digest}
    digests.add(replace(plan, stopping=Stopping(12, {"dice": 0.02})).digest)
    assert len(digests) == 4
    rule = Stopping(12).one_more(cell.recipe.digest for cell in plan.cells)
    assert replace(plan, stopping=rule).digest == plan.digest


def test_a_study_remembers_what_its_rounds_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study, plan = StudyDir(tmp_path / "study"), _plan(Stopping(12, {"dice": 0.02}))
    assert plan.stopping is not None
    with study.locked():
        study.write(plan, {})
        more = study.ask(plan.stopping.one_more([plan.cells[1].recipe.digest]))
        study.write(plan, {})  # as a study that goes on does
    assert len(more.runs) == len(plan.runs) + 1
    assert StudyDir(tmp_path / "study").plan().runs == more.runs
    assert len(study.runs()) == len(more.runs)
    assert read_json(study.file)["stopping"] == {
        "max_seeds": 12,
        "margins": {"dice": 0.02},
        "seeds": {plan.cells[1].recipe.digest: 4},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": "bored"}, "--until bored: no such rule"),
        ({"until": "settled", "seeds": 3}, "--until settled adds seeds as they are needed"),
        ({"until": "settled", "max_seeds": 2}, "a verdict needs 3 seeds or more; --max-seeds is 2"),
        ({"max_seeds": 12}, "--max-seeds is for studies that add seeds"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(MmtkError, match=message):
        prepare(StudyRequest(None, "ssl", **options), {}, None, "cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("margin", [0.0, -0.1, float("nan"), float("inf")])
def test_a_margin_is_above_zero(margin: float) -> None:
    with pytest.raises(MmtkError, match="the margin of dice should be a number above 0"):
        Stopping(margins={"dice": margin})


@pytest.mark.parametrize("until", [None, "settled"])
def test_a_margin_of_a_score_that_no_run_tests_is_refused_before_anything_runs(until: str | None) -> None:
    request = StudyRequest(components="saliency", until=until, margins={"dize": 0.1})
    with pytest.raises(MmtkError, match="does not test dize") as caught:
        prepare(request, {}, None, "cpu")
    assert "dice" in (caught.value.hint or "")
    margins = {"dice": 0.1, "auroc": 0.05}
    assert prepare(replace(request, margins=margins), {}, None, "cpu").plan.cells


def test_a_study_that_adds_seeds_refuses_other_margins_before_it_goes_on(tmp_path: Path) -> None:
    request = StudyRequest(components="saliency", until="settled", margins={"dice": 0.1}, out=tmp_path / "s")
    session = prepare(request, {}, None, "cpu")
    with session.locked():
        pass
    with pytest.raises(MmtkError, match=r"written down before its first run: dice=0\.1"):
        prepare(StudyRequest(str(tmp_path / "s"), margins={"dice": 0.2}), {}, None, "cpu")
