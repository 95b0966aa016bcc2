"""Questions of a study that adds seeds, and where they stand, on studies whose numbers are made up."""

from __future__ import annotations

from test_analysis import factorial
from test_patients import with_patients

from mmtk.report.effects import factorial_effects
from mmtk.report.standings import Standing, standings
from mmtk.stats.looks import looks, settle
from mmtk.study.results import Study
from mmtk.study.stopping import FEWEST_FOR_LOOKS, FIRST, MAX_SEEDS, Stopping
from mmtk.workflows.rounds import line, short_of_seeds

SALIENCY, CONFIDENCE = "bridge: saliency, Dice", "ssl: confidence, Dice"
DICE = ("in-domain", "segmentation", "dice")


def asked(study: Study, rule: Stopping) -> dict[str, Standing]:
    study.stopping = rule
    return {one.question.name: one for one in standings(study, factorial_effects(study))}


def test_a_study_with_a_number_of_seeds_asks_nothing() -> None:
    assert standings(factorial(), []) == []


def test_the_questions_are_the_components_on_the_leading_scores_in_domain() -> None:
    names = asked(with_patients(factorial(), 12), Stopping(10))
    assert set(names) == {
        SALIENCY,
        CONFIDENCE,
        "bridge: saliency, balanced accuracy",
        "ssl: confidence, balanced accuracy",
    }
    weights = {cell.name: weight for weight, cell in names[SALIENCY].question.weights}
    assert weights == {"UMTL": -0.5, "UMTL-S": 0.5, "UMTL-SSL": -0.5, "MultiMix": 0.5}


def test_without_a_factorial_the_reference_is_compared_with_every_system() -> None:
    study = with_patients(factorial(), 12)
    study.design = "one-at-a-time"
    names = asked(study, Stopping(10))
    assert set(names) == {
        f"MultiMix − {other}, {score}"
        for other in ("UMTL", "UMTL-S", "UMTL-SSL")
        for score in ("Dice", "balanced accuracy")
    }


def test_a_question_stands_as_the_levels_of_its_looks_say() -> None:
    study = with_patients(factorial(range(6)), 12)
    names = asked(study, Stopping(10, {"dice": 0.03}))
    histories = {
        name: [
            study.jackknives.contrast(one.question.weights, *DICE[:2], one.question.metric, range(count))
            for count in range(3, 7)
        ]
        for name, one in names.items()
        if one.question.task == "segmentation"
    }
    others = {name: one.question.info.margin for name, one in names.items()}
    assert others[SALIENCY] == 0.01
    expected = settle(histories, dict.fromkeys(histories, 0.03), looks(10))
    assert expected[SALIENCY].state == "settled"
    for name, outcome in expected.items():
        found = names[name].outcome
        assert found is not None
        assert (found.verdict.word, found.state) == (outcome.verdict.word, outcome.state)


def test_a_seed_is_asked_for_where_a_question_is_open_and_its_cells_lack_it() -> None:
    study = with_patients(factorial(range(3)), 12)
    rule = Stopping(10)
    by_name = asked(study, rule)
    open_names = {name for name, one in by_name.items() if one.outcome and one.outcome.state == "more seeds"}
    assert open_names
    assert set(short_of_seeds(by_name.values(), rule)) == {cell.digest for cell in study.cells}
    ahead = rule.one_more([study.cells[0].digest])
    assert set(short_of_seeds(by_name.values(), ahead)) == {cell.digest for cell in study.cells[1:]}
    full = Stopping(10, seeds={cell.digest: 10 for cell in study.cells})
    assert short_of_seeds(by_name.values(), full) == []


def test_a_settled_question_asks_for_no_seed_and_says_when() -> None:
    study = with_patients(factorial(range(6)), 12)
    one = asked(study, Stopping(10))[SALIENCY]
    assert short_of_seeds([one], Stopping(10)) == []
    assert line(one) == f"{SALIENCY}: helps, settled at 3 seeds"


def test_a_score_without_values_per_image_adds_no_seeds() -> None:
    study = with_patients(factorial(range(3)), 12)
    for cell in study.cells:
        del cell.cases["in-domain", "segmentation"]
    one = asked(study, Stopping(10))[SALIENCY]
    assert one.outcome is None
    assert line(one) == f"{SALIENCY}: no values per image, so it adds no seeds"
    assert short_of_seeds([one], Stopping(10)) == []


def test_the_rule_has_the_looks_that_the_levels_have() -> None:
    assert min(looks(MAX_SEEDS).levels) == FIRST
    assert [min(looks(count).levels) for count in (FEWEST_FOR_LOOKS - 1, FEWEST_FOR_LOOKS)] == [9, FIRST]
