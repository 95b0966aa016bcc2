"""Tuning of a study: the same trials for every system, and options and tables that do not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mmtk.errors import MmtkError
from mmtk.recipe.load import load_recipe
from mmtk.registry import catalog, local_file
from mmtk.search import Choice, Range, Trial
from mmtk.study.folder import StudyDir
from mmtk.study.plan import Plan, plan_components, plan_suite
from mmtk.study.stopping import Stopping
from mmtk.study.tuning import RANDOM, Tuning, begin, best_trial
from mmtk.workflows.ablate import StudyRequest, prepare

RATE = "train.lr = { low = 1e-5, high = 1e-2, log = true }\n"
WEIGHT = "ssl.weight = { low = 0.1, high = 1, log = true }\n"
SEARCH = '''
from mmtk.api import Search

class Halving(Search):
    """Half the best rate so far."""

    sequential = True

    def propose(self, space, history, draw):
        best = max(history, key=lambda trial: trial.value or 0.0)
        return {key: values.at(0.5) if key not in best.settings else max(best.settings[key] / 2, values.low)
                for key, values in space.items()}
'''
BEYOND = '''
from mmtk.api import Search

class Beyond(Search):
    """A rate beyond the range."""

    sequential = False

    def propose(self, space, history, draw):
        return dict.fromkeys(space, 7.0)
'''


def _plan(tmp_path: Path, tune: str, components: str = "ssl=none+confidence", recipe: str = "enc") -> Plan:
    path = tmp_path / "tuned.toml"
    path.write_text(f'extends = "{recipe}"\nname = "Tuned"\n[tune]\n{tune}')
    return plan_components(str(path), components, seeds=(0, 1))


def _tuned(plan: Plan, trials: int = 4, search: str = "random") -> Plan:
    return replace(plan, tuning=begin(plan.cells, trials, {"use": search}, [1000], plan.axes))


def _rule(plan: Plan) -> Tuning:
    assert plan.tuning is not None
    return plan.tuning


def test_every_system_has_the_same_trials_and_those_of_one_number_share_their_settings(tmp_path: Path) -> None:
    plan = _tuned(_plan(tmp_path, RATE + WEIGHT))
    with_ssl, without = (_rule(plan).settings_of(cell.recipe.digest) for cell in plan.cells)
    assert len(without) == len(with_ssl) == 4
    assert without[0] == with_ssl[0] == {}
    assert [set(settings) for settings in without[1:]] == [{"train.lr"}] * 3
    assert [set(settings) for settings in with_ssl[1:]] == [{"train.lr", "ssl.weight"}] * 3
    rates = [settings["train.lr"] for settings in with_ssl[1:]]
    assert rates == [settings["train.lr"] for settings in without[1:]]
    assert len(set(rates)) == 3
    assert all(1e-5 <= rate <= 1e-2 for rate in rates)
    # More trials begin with the same ones.
    more = _tuned(_plan(tmp_path, RATE + WEIGHT), 6)
    assert _rule(more).settings_of(plan.cells[1].recipe.digest)[:4] == without


def test_trials_are_runs_of_the_study_that_score_no_test_set(tmp_path: Path) -> None:
    plan = _tuned(_plan(tmp_path, RATE), 3)
    trials = [(cell, seed) for cell, seed in plan.runs if cell.folder]
    assert len(trials) == 6
    assert {seed for _, seed in trials} == {1000}
    assert not any(cell.recipe.evaluate.test for cell, _ in trials)
    assert all(cell.recipe.evaluate.test for cell, _ in plan.runs if not cell.folder)
    assert len({cell.folder for cell, _ in trials}) == 6
    assert not {cell.recipe.digest for cell, _ in trials} & {cell.recipe.digest for cell in plan.cells}
    assert len(plan.later) == 4  # two systems with their best settings, two seeds


def test_the_best_settings_run_beside_the_systems_own(tmp_path: Path) -> None:
    plan = _tuned(_plan(tmp_path, RATE), 3)
    first, second = (cell.recipe.digest for cell in plan.cells)
    rule = _rule(plan).advanced(plan.cells, {first: [0.5, 0.5, 0.4], second: [0.5, None, 0.6]})
    plan = replace(plan, tuning=rule)
    assert rule.best == {first: 0, second: 2}
    assert plan.tuned[0].recipe.digest == first  # its own settings: the same runs
    best = rule.settings_of(second)[2]["train.lr"]
    assert plan.tuned[1].recipe["train.lr"] == best
    assert [(cell.recipe["train.lr"], seed) for cell, seed in plan.runs if cell.name.endswith("tuned")] == [
        (best, 0),
        (best, 1),
    ]
    assert plan.later == []


def test_a_tuned_study_adds_seeds_to_both_sides_of_tuning(tmp_path: Path) -> None:
    """Trials come first; later rounds ask for seeds of tuned systems, and those before tuning get as many."""
    plan = replace(_tuned(_plan(tmp_path, RATE), 3), stopping=Stopping(12), seeds=list(range(12)))
    first, second = (cell.recipe.digest for cell in plan.cells)
    assert len([cell for cell, _ in plan.runs if not cell.folder]) == 6  # the first look of what is not tuned
    assert len(plan.later) == 6
    assert plan.most_runs == 6 + 2 * 2 * 12
    rule = _rule(plan).advanced(plan.cells, {first: [0.5, 0.5, 0.4], second: [0.5, None, 0.6]})
    plan = replace(plan, tuning=rule)
    assert plan.stopping is not None
    assert plan.most_runs == 6 + 3 * 12
    tuned = plan.tuned[1].recipe.digest
    plan = replace(plan, stopping=plan.stopping.one_more([tuned]))
    seeds = {digest: [seed for cell, seed in plan.runs if cell.recipe.digest == digest] for digest in plan.counts}
    assert seeds == {first: [0, 1, 2], second: [0, 1, 2, 3], tuned: [0, 1, 2, 3]}
    assert plan.most_runs == 6 + 3 * 12


def test_the_best_trial_is_the_first_of_equal_ones_and_none_that_diverged() -> None:
    assert best_trial([0.3, 0.7, 0.7]) == 1
    assert best_trial([None, -0.7, -0.2]) == 2
    assert best_trial([None, None]) == 0


def test_equal_settings_are_trained_once(tmp_path: Path) -> None:
    plan = _tuned(_plan(tmp_path, "train.lr = [1e-4, 1e-3]\n"), 6)
    rule, cell = _rule(plan), plan.cells[0]
    assert len(rule.numbered(cell)) == 6
    assert len({trial.folder for trial in rule.numbered(cell)}) == 2
    assert rule.numbered(cell)[0].folder.endswith("trial-00")


def test_a_system_with_nothing_to_tune_has_its_own_settings(tmp_path: Path) -> None:
    plan = _tuned(_plan(tmp_path, WEIGHT), 3)
    assert {len(space) for space in _rule(plan).spaces.values()} == {0, 1}
    (idle,) = [cell for cell in plan.cells if not _rule(plan).spaces[cell.recipe.digest]]
    assert _rule(plan).settings_of(idle.recipe.digest) == [{}, {}, {}]


def test_a_key_that_no_system_of_the_study_has_is_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text(f'extends = "enc"\nname = "Tuned"\n[tune]\n{RATE}ssl.alpha = [0.5, 0.75]\n')
    plan = prepare(StudyRequest(str(path), "ssl=none+confidence", tune=2), {}, None, "cpu").plan
    assert "No system of this study has ssl.alpha, so it is not tuned" in plan.remarks
    assert {tuple(space) for space in _rule(plan).spaces.values()} == {("train.lr",)}


def test_a_sequential_search_sees_the_values_of_one_trial_after_the_other(tmp_path: Path) -> None:
    before = catalog.code()
    code = tmp_path / "searches.py"
    code.write_text(SEARCH)
    local_file.use(code)
    try:
        plan = _tuned(_plan(tmp_path, RATE), 3, "code/Halving")
        rule = _rule(plan)
        digests = [cell.recipe.digest for cell in plan.cells]
        assert rule.count == 1
        assert len(plan.later) == 2 * 2 + 2 * 2
        own = plan.cells[0].recipe["train.lr"]
        rule = rule.advanced(plan.cells, {digest: [0.5] for digest in digests})
        assert rule.settings_of(digests[0]) == [{}, {"train.lr": own / 2}]
        values: dict[str, Sequence[float]] = {digests[0]: [0.5, 0.6], digests[1]: [0.5, 0.4]}
        later = rule.advanced(plan.cells, values)
        assert later.settings_of(digests[0])[2] == {"train.lr": own / 4}
        assert later.settings_of(digests[1])[2] == {"train.lr": own / 2}
        assert not later.best
        assert rule.advanced(plan.cells, values) == later
    finally:
        catalog.offer(before)


def test_a_study_keeps_the_rule_and_its_state(tmp_path: Path) -> None:
    plan = _tuned(_plan(tmp_path, RATE + "train.batch = { low = 4, high = 8 }\ntrain.clip = [0.5, 1.0]\n"))
    study = StudyDir(tmp_path / "study")
    with study.locked():
        study.write(plan, {"data": ""})
    assert study.plan().tuning == plan.tuning
    assert study.plan().digest == plan.digest
    assert [cell.recipe.digest for cell, _ in study.plan().runs] == [cell.recipe.digest for cell, _ in plan.runs]
    rule = _rule(plan)
    assert isinstance(rule.settings_of(plan.cells[0].recipe.digest)[1]["train.batch"], int)
    folders = {str(run.folder.path.parent) for run in study.runs() if run.cell.folder}
    assert len(folders) == 8
    assert all(folder.startswith(str(study.path / "tuning")) for folder in folders)
    best = dict.fromkeys(rule.spaces, 1)
    after = study.tune(replace(rule, best=best))
    assert len(after.tuned) == 2
    untuned = _plan(tmp_path, RATE)
    assert untuned.digest != plan.digest


def test_the_table_changes_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text(f'extends = "enc-ssl"\nname = "Enc-SSL"\n[tune]\n{RATE}{WEIGHT}')
    assert load_recipe(path).digest == load_recipe("enc-ssl").digest
    assert load_recipe("enc", overrides={"evaluate.test": False}).digest != load_recipe("enc").digest


def test_a_suite_names_keys_for_all_of_its_systems(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text('systems = ["enc", "enc-ssl"]\n[tune]\n' + RATE + WEIGHT)
    plan = plan_suite(str(path))
    rule = begin(plan.cells, 2, RANDOM, [1000], ())
    assert [sorted(space) for space in rule.spaces.values()] == [["train.lr"], ["ssl.weight", "train.lr"]]
    path.write_text('systems = ["enc", "enc-ssl"]\n[tune]\nssl.wieght = [0.1, 1.0]\n')
    with pytest.raises(MmtkError, match=r"tune\.ssl\.wieght: unknown key\. Did you mean 'weight'\?") as caught:
        plan_suite(str(path))
    assert f"{path}:3" in str(caught.value)


WRONG = {
    "train.lr = { low = 0.1, high = 0.01 }": "low should be below high, got low = 0.1 and high = 0.01",
    "train.lr = { low = 0, high = 1, log = true }": "a range with log needs low above 0, got 0",
    "train.lr = { low = 0.1 }": "a range needs high, a number, got nothing",
    'train.lr = { low = "a", high = 1 }': 'a range needs low, a number, got "a"',
    "train.lr = { low = 0.1, high = inf }": "a range needs high, a number",
    "train.lr = { low = 0.1, high = 1, step = 2 }": "step: no key of a range",
    "train.lr = { low = -1.0, high = 1 }": "should be greater than 0, got -1.0",
    "train.lr = []": "the list is empty",
    "train.lr = [0.1]": "one value only",
    "train.lr = [0.1, 0.1]": "0.1 is named twice",
    "train.lr = 0.1": "should be a list of values or a range, got 0.1",
    "train.lr = [0.1, true]": "train.lr: should be a number, got true",
    "train.batch = { low = 1.5, high = 4 }": "should be an integer, got 1.5",
    'train.schedule = ["step", "stepp"]': 'got "stepp"',
    "train.schedule = { low = 1, high = 2 }": "takes no range. List the values to try",
    "train.rate = [0.1, 0.2]": "unknown key",
    "ssl.wieght = [0.1, 0.2]": "unknown key. Did you mean 'weight'?",
    'ssl.use = ["none", "mixmatch"]': "another component is another system",
    "data.size = [32, 64]": "cannot be tuned: trials are compared on the same images and scores",
    "evaluate.batch = [1, 2]": "cannot be tuned",
    "seed = [0, 1]": "cannot be tuned: it does not set how a system is trained",
    "sll.weight = [0.1, 0.2]": "no such key. Did you mean 'ssl'?",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_with_the_table_is_said_with_its_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(f'extends = "enc-ssl"\n[tune]\n{line}\n')
    with pytest.raises(MmtkError) as caught:
        load_recipe(path)
    text = str(caught.value)
    assert WRONG[line] in text
    assert f"tune.{line.partition(' = ')[0]}: " in text
    assert f"{path}:3" in text


def test_all_problems_of_the_table_are_said_together(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('extends = "enc"\n[tune]\n' + "".join(f"{line}\n" for line in [*WRONG][9:13:3]) + "seed = 3\n")
    with pytest.raises(MmtkError) as caught:
        load_recipe(path)
    assert str(caught.value).count("tune.") == 3


@pytest.mark.parametrize(
    ("tune", "components", "message"),
    [
        (RATE, "train.lr=0.01+0.001", "tune.train.lr: the study compares its levels"),
        ("ssl.threshold = [0.5, 0.9]\n", "train.lr=0.01+0.001", "no system of this study has ssl.threshold"),
        ("augment.weak.use = [1, 2]\n", "ssl=none+confidence", "another component is another system"),
    ],
)
def test_a_table_that_does_not_fit_the_study_is_refused(
    tune: str, components: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(MmtkError, match=message.replace(".", r"\.")):
        _tuned(_plan(tmp_path, tune, components))


def test_systems_that_tuning_may_make_the_same_are_refused(tmp_path: Path) -> None:
    (tmp_path / "fast.toml").write_text('extends = "enc"\nname = "Fast"\ntrain.weight_decay = 0.01\n')
    (tmp_path / "suite.toml").write_text('systems = ["enc", "fast.toml"]\n[tune]\ntrain.weight_decay = [0, 0.1]\n')
    plan = plan_suite(str(tmp_path / "suite.toml"), overrides={})
    with pytest.raises(MmtkError, match=r"differ only in what is tuned: train\.weight_decay"):
        begin(plan.cells, 2, RANDOM, [1000], ())


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (StudyRequest("enc", "ssl=none+confidence", tune=4), "no recipe of this study says what to tune"),
        (StudyRequest("enc", "ssl=none+confidence", tune=0), "--tune 0: one trial or more"),
        (StudyRequest("enc", "ssl=none+confidence", tune=4, folds=3), "chosen by test images"),
        (
            StudyRequest("enc", "ssl=none+confidence", search={"use": "random"}),
            "--search is for studies that tune",
        ),
        (StudyRequest("enc", "ssl=none+confidence", tune_seeds=2), "--tune-seeds is for studies that tune"),
    ],
)
def test_options_that_do_not_fit_are_refused(request_: StudyRequest, message: str) -> None:
    with pytest.raises(MmtkError, match=message):
        prepare(request_, {}, None, "cpu")


def test_a_search_that_is_unknown_or_leaves_the_space_is_named(tmp_path: Path) -> None:
    plan = _plan(tmp_path, RATE)
    with pytest.raises(MmtkError, match=r"No search component is called 'rondom'\. Did you mean 'random'"):
        _tuned(plan, 3, "rondom")
    with pytest.raises(MmtkError, match=r"search\.depth: unknown key"):
        begin(plan.cells, 3, {"use": "random", "depth": 2}, [1000], ())
    before = catalog.code()
    code = tmp_path / "searches.py"
    code.write_text(BEYOND)
    local_file.use(code)
    try:
        with pytest.raises(MmtkError, match=r"search/code/Beyond proposes train\.lr = 7\.0, outside the space"):
            _tuned(plan, 3, "code/Beyond")
    finally:
        catalog.offer(before)


def test_shares_of_lists_and_ranges_are_even() -> None:
    shares = [(k + 0.5) / 1000 for k in range(1000)]
    whole = Range(1, 4, integer=True)
    assert {value: [whole.at(s) for s in shares].count(value) for value in (1, 2, 3, 4)} == dict.fromkeys(
        (1, 2, 3, 4), 250
    )
    assert [Choice(("a", "b")).at(s) for s in shares].count("a") == 500
    rates = [Range(1e-4, 1e-2, log=True).at(s) for s in shares]
    assert sum(rate < 1e-3 for rate in rates) == 500
    assert 1 in Range(1, 4, integer=True)
    assert 1.5 not in Range(1, 4, integer=True)
    assert True not in Choice((1, 2))
    assert Trial({}, None).value is None


def test_study_json_names_the_trials_before_the_first_run(tmp_path: Path) -> None:
    plan = _tuned(_plan(tmp_path, RATE), 3)
    study = StudyDir(tmp_path / "study")
    with study.locked():
        study.write(plan, {})
    table = json.loads(study.file.read_text())["tuning"]
    assert table["trials"] == 3
    assert table["seeds"] == [1000]
    assert table["search"] == {"use": "random"}
    assert {len(settings) for settings in table["settings"].values()} == {2}
    assert table["best"] == {}
