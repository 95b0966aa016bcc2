"""Recipes: what ships, layers, every problem at once, digests, and the way back from a run's recipe.toml."""

from __future__ import annotations

import copy
import sys
import tomllib
from dataclasses import replace

import pytest
from fake_plugin import install, refresh

from mmtk.errors import MmtkError, heading
from mmtk.recipe import toml
from mmtk.recipe.load import load_recipe, on_other_data

SHIPPED = sorted(path.stem for path in toml.recipe_folder().glob("*.toml"))
PROFILES = sorted(path.stem for path in (toml.recipe_folder() / "profiles").glob("*.toml"))
BOTH = ["classification", "segmentation"]

# SPEC 7: file, name, tasks, bridge, ssl, consistency; None where the task is absent.
SYSTEMS = [
    ("unet", "U-Net", ["segmentation"], "none", None, "none"),
    ("unet-ssl", "U-Net-SSL", ["segmentation"], "none", None, "kl"),
    ("enc", "Enc", ["classification"], None, "none", None),
    ("enc-ssl", "Enc-SSL", ["classification"], None, "confidence", None),
    ("enc-mm", "Enc-MM", ["classification"], None, "mixmatch", None),
    ("umtl", "UMTL", BOTH, "none", "none", "none"),
    ("umtl-s", "UMTL-S", BOTH, "saliency", "none", "none"),
    ("umtl-ssl", "UMTL-SSL", BOTH, "none", "confidence", "none"),
    ("umtl-ssl-s", "UMTL-SSL-S", BOTH, "saliency", "confidence", "none"),
    ("multimix", "MultiMix", BOTH, "saliency", "confidence", "kl"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(*arguments, **keywords):
    with pytest.raises(MmtkError) as caught:
        load_recipe(*arguments, **keywords)
    return str(caught.value)


def mine(here, text, **keywords):
    """The refusal of a recipe ``r.toml`` that extends the base; its own lines start at 2."""
    write(here / "r.toml", 'extends = "base"\n' + text)
    return refusal("r.toml", **keywords)


# --- what ships -----------------------------------------------------------------------------------------------


def test_what_ships_is_the_ten_systems_their_base_the_release_and_four_profiles():
    assert sorted([row[0] for row in SYSTEMS] + ["base", "release"]) == SHIPPED
    assert PROFILES == ["chest-xray", "chest-xray-small", "chest-xray-tuned", "phantom"]


@pytest.mark.parametrize(("file", "name", "tasks", "bridge", "ssl", "consistency"), SYSTEMS)
def test_the_ten_systems(file, name, tasks, bridge, ssl, consistency):
    recipe = load_recipe(file)
    assert recipe.name == name
    assert recipe.tasks == tasks
    assert recipe.get("bridge.use") == bridge
    assert recipe.get("ssl.use") == ssl
    assert recipe.get("consistency.use") == consistency
    assert recipe.profile == "phantom"


@pytest.mark.parametrize("profile", PROFILES)
def test_every_recipe_runs_on_every_profile(profile):
    digests = {load_recipe(file, profile).digest for file in SHIPPED}
    assert len(digests) == len(SHIPPED) - 1, "base is UMTL, all others differ"


def test_the_paper_s_constants():
    recipe = load_recipe("multimix", "chest-xray")
    expected = {
        "data.size": 256,
        "train.lr": 1e-4,
        "train.batch": 10,
        "train.epochs": 24,
        "train.decay": 0.1,
        "train.decay_every": 8,
        "train.optimizer": "adam",
        "ssl.threshold": 0.7,
        "ssl.weight": 0.25,
        "loss.segmentation.weight": 5.0,
        "consistency.weight": 0.01,
        "bridge.stride": 8,
        "encoder.dropout": 0.25,
        "data.classification.source.use": "chex",
        "data.classification.cross.use": "nihx",
        "data.segmentation.source.use": "jsrt",
        "data.segmentation.cross.use": "mcu",
        "data.classification.labels": 100,
        "data.segmentation.labels": 10,
    }
    assert {key: recipe[key] for key in expected} == expected


def test_profiles_share_one_budget_between_systems():
    for profile in PROFILES:
        budgets = [load_recipe(file, profile)["train"] for file in SHIPPED]
        for budget in budgets:
            budget.pop("frozen_views")  # a part of the method
        assert all(budget == budgets[0] for budget in budgets)


# --- the resolved recipe --------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", SHIPPED)
def test_a_resolved_recipe_reads_back_to_the_same(here, file):
    recipe = load_recipe(file, overrides={"seed": 3, "encoder.width": 8, "name": 'Ünï "x"\n'})
    write(here / "run" / "recipe.toml", recipe.toml())
    for again in (load_recipe("run"), load_recipe(here / "run" / "recipe.toml")):
        assert again.values == recipe.values
        assert (again.digest, again.run_name, again.profile) == (recipe.digest, recipe.run_name, "phantom")
        assert again.toml() == recipe.toml()


def test_a_resolved_recipe_takes_overrides_but_no_second_profile(here):
    """The steps of the first profile would stay in force, for the second says epochs."""
    write(here / "run" / "recipe.toml", load_recipe("multimix").toml())
    assert load_recipe("run", overrides=["ssl.threshold=0.9"])["ssl.threshold"] == 0.9
    for given in (("chest-xray", ()), (None, {"profile": "chest-xray"}), ("phantom", ())):
        with pytest.raises(
            MmtkError, match=r"is complete, with the data and the training budget of phantom"
        ) as said:
            load_recipe("run", *given)
        assert f"multimix --profile {given[0] or 'chest-xray'}" in str(said.value)


def test_other_data_take_the_place_of_all_of_a_resolved_recipe(here):
    own = load_recipe("multimix", overrides={"data.classification.source.train": 24, "train.lr": 0.5})
    write(here / "run" / "recipe.toml", own.toml())
    for profile, use in (("chest-xray", "chex"), ("phantom", "phantom")):
        other, _ = on_other_data(here / "run" / "recipe.toml", profile, {"data.size": 32})
        assert other["data.classification"] == load_recipe("multimix", profile)["data.classification"]
        assert other["data.classification.source.use"] == use
        assert (other.profile, other["data.size"], other["train"]) == (profile, 32, own["train"])
    assert on_other_data(here / "run" / "recipe.toml", None, {})[0].values == own.values


def test_a_key_that_came_later_leaves_digests_alone():
    recipe = load_recipe("multimix")
    older = replace(recipe, values=copy.deepcopy(recipe.values))
    del older.values["data"]["classification"]["normalise"]
    assert recipe.digest == older.digest != recipe.with_values({"data.classification.normalise": False}).digest
    assert recipe["data.classification.normalise"] is True  # and the recipe itself is whole


def test_a_resolved_recipe_is_complete_toml():
    values = tomllib.loads(load_recipe("enc").toml())
    assert set(values["train"]) >= {"lr", "batch", "epochs", "schedule", "precision"}
    assert values["encoder"] == {"use": "unet", "width": 16, "depth": 5, "dropout": 0.25}
    assert not {"bridge", "decoder", "consistency", "profile"} & set(values)
    assert set(values["loss"]) == set(values["metric"]) == {"classification"}
    assert "segmentation" not in values["data"]
    assert "segmentation" not in values["augment"]


def test_dotted_access():
    recipe = load_recipe("multimix")
    assert recipe["ssl.use"] == recipe["ssl"]["use"] == "confidence"
    assert recipe.get("ssl.nope", 3) == 3
    with pytest.raises(KeyError, match=r"ssl\.nope"):
        recipe["ssl.nope"]
    assert ("data.segmentation.cross", "source", recipe["data.segmentation.cross"]) in list(recipe.components())


def test_with_values_is_a_copy():
    recipe = load_recipe("multimix")
    changed = recipe.with_values({"ssl.threshold": 0.9, "new.table.key": 1})
    assert changed["ssl.threshold"] == 0.9
    assert changed["new"] == {"table": {"key": 1}}
    assert recipe["ssl.threshold"] == 0.7
    assert changed.origins["ssl.threshold"] == "resolved"


# --- the digest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"seed": 5},
        {"description": "x"},
        {"others": "keep"},
        {"tracking.enabled": False},
        {"tasks": ["segmentation", "classification"]},
        {"ssl.threshold": 0.70},
        {"loss.segmentation.weight": 5},
    ],
)
def test_what_does_not_change_a_result_does_not_change_the_digest(change):
    assert load_recipe("multimix", overrides=change).digest == load_recipe("multimix").digest


@pytest.mark.parametrize(
    "change",
    [
        {"ssl.threshold": 0.71},
        {"train.steps": 241},
        {"data.size": 128},
        {"encoder.width": 8},
        {"data.classification.labels": "full"},
        {"bridge.use": "none"},
        {"augment.strong.n": "any"},
        {"data.segmentation.source.train": 401},
        {"train.precision": "fp32"},
    ],
)
def test_what_changes_a_result_changes_the_digest(change):
    assert load_recipe("multimix", overrides=change).digest != load_recipe("multimix").digest


def test_a_single_task_system_does_not_depend_on_the_other_task_s_budget():
    for file, other in (("enc", "segmentation"), ("unet", "classification")):
        digests = {load_recipe(file, overrides={f"data.{other}.labels": n}).digest for n in (10, 50, "full")}
        assert len(digests) == 1


def test_the_run_name():
    recipe = load_recipe("multimix", overrides={"name": "My run/№ 1!", "seed": 7})
    assert recipe.run_name == f"my-run-1-{recipe.digest}-s7"
    for name in ("", "...", "///", ".."):
        assert load_recipe("enc", overrides={"name": name}).run_name.startswith("run-")


# --- layers and profiles --------------------------------------------------------------------------------------


def test_a_recipe_whose_profile_says_something_else_is_refused_and_set_settles_it(here):
    """Silence would train on other values than the recipe's, or on the synthetic images instead of its own."""
    write(here / "r.toml", 'extends = "base"\n[train]\nlr = 0.5\nweight_decay = 0.25\n')
    with pytest.raises(MmtkError, match=r"r.toml:3: train.lr: 0.5 here, but 0.001 in the profile phantom"):
        load_recipe("r.toml")
    recipe = load_recipe("r.toml", overrides={"train.lr": 0.5})
    assert recipe["train.weight_decay"] == 0.25
    assert recipe.origins["train.weight_decay"] == "r.toml:4"
    assert recipe.origins["train.ratio"] == "default"
    changed = load_recipe("r.toml", overrides=["train.lr=0.125"])
    assert (changed["train.lr"], changed.origins["train.lr"]) == (0.125, "--set")
    assert "profiles/phantom.toml:" in changed.origins["train.batch"]

    source = '[data.segmentation.source]\nuse = "folder"\nimages = "films"\nmasks = "masks"\n'
    write(here / "own.toml", f'extends = "unet"\n{source}')
    with pytest.raises(
        MmtkError, match=r'data.segmentation.source.use: "folder" here, but "phantom" in the profile'
    ):
        load_recipe("own.toml")
    write(here / "own.toml", f'extends = "unet"\nprofile = ""\n{source}')
    assert load_recipe("own.toml")["data.segmentation.source.use"] == "folder"


def test_a_profile_does_not_rename_the_recipe():
    recipe = load_recipe("multimix", "chest-xray-small")
    assert recipe.name == "MultiMix"
    assert recipe["description"].startswith("The whole method")
    assert recipe.origins["description"].endswith("multimix.toml:3")


def test_the_option_beats_the_key_and_the_key_beats_nothing(here):
    write(here / "r.toml", 'extends = "base"\nprofile = "chest-xray-tuned"\n')
    assert load_recipe("r.toml").profile == "chest-xray-tuned"
    assert load_recipe("r.toml", "phantom").profile == "phantom"
    assert load_recipe("r.toml", overrides=["profile=chest-xray"])["data.classification.source.use"] == "chex"
    assert load_recipe("r.toml", "phantom", ["profile=chest-xray"]).profile == "phantom"


def test_profiles_of_one_s_own(here):
    write(here / "lab" / "profiles" / "tiny.toml", 'extends = "phantom.toml"\n[train]\nsteps = 3\n')
    write(here / "lab" / "beside.toml", 'extends = "profiles/tiny.toml"\n[train]\nsteps = 4\n')
    write(here / "here.toml", 'extends = "lab/profiles/tiny.toml"\n[train]\nsteps = 5\n')
    write(here / "lab" / "r.toml", 'extends = "umtl"\nprofile = "tiny"\n')
    write(here / "lab" / "s.toml", 'extends = "umtl"\nprofile = "beside.toml"\n')
    assert load_recipe("lab/r.toml")["train.steps"] == 3
    assert load_recipe("lab/s.toml")["train.steps"] == 4
    assert load_recipe("lab/r.toml", "here.toml")["train.steps"] == 5
    assert load_recipe("lab/r.toml", "phantom")["train.steps"] == load_recipe("umtl", "phantom")["train.steps"]


def test_a_recipe_without_a_profile_but_with_data_runs(here):
    text = 'extends = "enc"\nprofile = ""\n[data.classification.source]\nuse = "phantom"\ndomain = "chex"\n'
    recipe = load_recipe(write(here / "r.toml", text))
    assert recipe.profile == ""
    assert recipe["train.epochs"] == 24
    assert recipe["data.size"] == 64


def test_no_data_names_the_missing_tables_and_the_cure(here):
    text = refusal(write(here / "r.toml", 'extends = "umtl"\nprofile = ""\n'))
    assert "r.toml has 2 problems:" in text
    assert "data.classification.source: missing, and classification needs it." in text
    assert "data.segmentation.source: missing, and segmentation needs it." in text
    assert "--profile phantom" in text


def test_overrides_as_mapping_and_list_agree():
    one = load_recipe("multimix", overrides={"ssl.threshold": 0.9, "data.segmentation.labels": "full"})
    two = load_recipe("multimix", overrides=["ssl.threshold=0.9", "data.segmentation.labels=full"])
    assert one.values == two.values


def test_the_keys_of_another_component_do_not_stay():
    recipe = load_recipe("multimix", overrides=["ssl.use=mixmatch", "encoder.use=unet", "encoder.width=8"])
    assert recipe["ssl"]["use"] == "mixmatch"
    assert "threshold" not in recipe["ssl"]
    assert recipe["ssl.weight"] == 75.0
    assert recipe["encoder"] == {"use": "unet", "width": 8, "depth": 5, "dropout": 0.25}


def test_a_component_by_its_full_name(here):
    assert load_recipe("multimix", overrides=["ssl.use=mmtk/none"])["ssl"] == {"use": "mmtk/none"}
    assert load_recipe("unet", overrides=["ssl.use=mmtk/none"]).tasks == ["segmentation"]


# --- mistakes -------------------------------------------------------------------------------------------------


def test_all_problems_come_at_once_with_file_and_line(here):
    text = mine(
        here,
        'nam = "x"\n[ssl]\nuse = "confidence"\ntreshold = 0.5\nweight = "a"\n'
        '[los.x]\ny = 1\n[loss.segmentaton]\nuse = "dice"\n[encoder]\nuse = "unett"\n[tracking]\nenabled = 3\n',
    )
    lines = text.splitlines()
    assert lines[0] == "r.toml has 7 problems:"
    for expected in (
        "r.toml:2: nam: unknown key. Did you mean 'name'?",
        "r.toml:5: ssl.treshold: unknown key. Did you mean 'threshold'? Keys here: threshold, weight.",
        'r.toml:6: ssl.weight: should be a number, got "a".',
        "r.toml:7: los: unknown key. Did you mean 'loss'?",
        "r.toml:9: loss.segmentaton: unknown table. Did you mean 'segmentation'? Known: classification, ",
        "r.toml:12: encoder.use: No encoder component is called 'unett'. Did you mean 'unet'?",
        "r.toml:14: tracking.enabled: should be true or false, got 3.",
    ):
        assert any(line.startswith(expected) for line in lines), expected


def test_a_part_that_does_not_fit_is_told_beside_a_misspelt_one(here):
    write(here / "r.toml", 'extends = "multimix"\n[encoder]\nuse = "unett"\nchannels = 7\n[bridge]\nstride = 3\n')
    text = refusal("r.toml")
    assert "r.toml has 2 problems:" in text
    assert "encoder.use: No encoder component is called 'unett'. Did you mean 'unet'?" in text
    assert "r.toml:6: bridge: joins at stride 3, but encoder 'unet' has strides 1, 2, 4, 8, 16." in text
    assert "channels" not in text  # it may be a key of the encoder that was meant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data = 3", "r.toml:2: data: a value here, but a table in"),
        ("[[data]]\nsize = 3", "r.toml:2: data: a value here, but a table in"),
        ("[data]\nclassification = 3", "r.toml:3: data.classification: a value here"),
        ("[data.classification]\nsource = 3", "r.toml:3: data.classification.source: a value here"),
        ('[data.classification]\nsource = "chex"', '  Write data.classification.source.use = "chex".'),
        ("[data.size]\nx = 1", "but a table in r.toml:2."),
        ("[data]\nsizes = 3", "r.toml:3: data.sizes: unknown key. Did you mean 'size'?"),
        ("[data.clasification]\nlabels = 3", "r.toml:2: data.clasification: unknown key. Did you mean"),
        ("[data.classification.sourc]\nuse = 'x'", "data.classification.sourc: unknown key. Did you"),
        ('ssl = "none"', "r.toml:2: ssl: a value here, but a table in"),
        ('ssl = "none"', '  Write ssl.use = "none".'),
        ("ssl = ['none']", "r.toml:2: ssl: a value here"),
        ("[ssl]\nuse = 3", 'r.toml:3: ssl: needs use = "NAME" of a component of kind ssl.'),
        ("[ssl]\nuse = 'saliency'", "r.toml:3: ssl.use: No ssl component is called 'saliency'. 'sal"),
        ("metric = 5", "r.toml:2: metric: a value here"),
        ("[metric]\nsegmentation = 5", "r.toml:3: metric.segmentation: a value here"),
        ("[metric.extra]\nthreshold = 5", 'r.toml:2: metric.extra: needs use = "NAME" of a component of'),
        ("[loss]\nclassification = 5", "r.toml:3: loss.classification: a value here"),
        ("augment = []", "r.toml:2: augment: a value here"),
        ("[augment]\nnew = 3", 'r.toml:3: augment.new: needs use = "NAME" of a component of kind augment.'),
        ("[augment.strong]\npool = ['foo']", "r.toml:3: augment.strong.pool: should be 'autocontrast', "),
        ("tasks = []", "r.toml:2: tasks: should have at least 1 item, got []."),
        ("tasks = 3", "r.toml:2: tasks: should be a list, got 3."),
        ("tasks = 'segmentation'", 'r.toml:2: tasks: should be a list, got "segmentation".'),
        ("tasks = ['segmentaton']", "r.toml:2: tasks: should be 'classification' or 'segmentation', got"),
        ("tasks = ['segmentation', 'segmentation']", "r.toml:2: tasks: should be named once each, got"),
        ("[tasks]\nx = 1", "tasks: a value here, but a table in r.toml:2."),
        ("profile = 3", "r.toml:2: profile: should be a name, got 3."),
        ("profile = []", "r.toml:2: profile: should be a name, got []."),
        ("profile = 'phantm'", "r.toml:2: No profile 'phantm': no such file, and none of that name ships"),
        ("name = 3", "r.toml:2: name: should be text, got 3."),
        ("seed = -1", "r.toml:2: seed: should be greater than or equal to 0, got -1."),
        ("seed = 1.0", "r.toml:2: seed: should be an integer, got 1.0."),
        ("init = 3", "r.toml:2: init: should be text, got 3."),
        ("others = 'none'", "r.toml:2: others: should be 'off' or 'keep', got \"none\"."),
        ("encoder = { use = 'unet', width = 0 }", "r.toml:2: encoder.width: should be greater than"),
        ("train.weight_decay = nan", "r.toml:2: train.weight_decay: should be a finite number, got NaN."),
        ("train.ratio = 1e3", "r.toml:2: train.ratio: should be an integer, got 1000.0."),
        ("evaluate.cases = -1", "r.toml:2: evaluate.cases: should be greater than or equal to 0, got -1."),
        ("tracking.experiment = ''", 'r.toml:2: tracking.experiment: should have at least 1 character, got "".'),
        ("origin = 3", None),
        ("'data.size' = 3", 'r.toml:2: "data.size" is not a key'),
        ("[encoder]\nwidth = 99999999999999999999", "encoder/unet cannot be made with these keys"),
    ],
)
def test_a_wrong_type_or_name_at_any_level_is_a_message(here, text, expected):
    if expected is None:  # what the host writes itself is written anew
        write(here / "r.toml", 'extends = "base"\n' + text)
        assert load_recipe("r.toml", "phantom")["origin"] == {"recipe": "r", "profile": "phantom"}
        return
    assert expected in mine(here, text)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("data=3", "--set: data: a value here, but a table in"),
        ("ssl=none", 'Write ssl.use = "none".'),
        ("ssl.treshold=3", "--set: ssl.treshold: unknown key. Keys here: none."),
        ("ssl.use=nope", "--set: ssl.use: No ssl component is called 'nope'."),
        ("data.size=64.0", "--set: data.size: should be an integer, got 64.0."),
        (
            "data.classification.labels=0",
            "--set: data.classification.labels: should be greater than or equal to 1 or",
        ),
        ("data.classification.labels=ful", "should be an integer or 'full', got \"ful\"."),
        ("train.lr=", '--set: train.lr: should be a number, got "".'),
        ("train.lr=0", "--set: train.lr: should be greater than 0, got 0."),
        ("extends=enc", "--set: extends: unknown key."),
        ("profile=3", "--set: profile: should be a name, got 3."),
        ("profile=phantm", "No profile 'phantm'"),
        ("train.lr", "no '='"),
        ("name=\udcff", "name"),
    ],
)
def test_a_wrong_override_is_a_message(assignment, expected):
    assert expected in refusal("base", overrides=[assignment])


def test_an_empty_recipe_says_what_is_missing(here):
    assert refusal(write(here / "r.toml", "")) == f"{here}/r.toml: tasks: missing. It has no default."
    text = refusal(write(here / "r.toml", "tasks = ['segmentation']\nprofile = 'phantom'"))
    for table in ("encoder", "decoder", "bridge", "consistency", "loss.segmentation", "metric.segmentation"):
        assert f"{here}/r.toml: {table}: missing, and " in text
    assert 'extends = "base.toml"' in text


def test_strategies_of_an_absent_task_are_refused_all_at_once(here):
    text = mine(here, 'tasks = ["segmentation"]\n[ssl]\nuse = "confidence"\n')
    assert text.splitlines() == [
        'r.toml:4: ssl.use = "confidence" needs the task classification, but tasks = ["segmentation"].',
        '  Add "classification" to tasks, or set ssl.use = "none".',
    ]
    text = refusal("multimix", overrides=["tasks=['classification']"])
    assert "multimix.toml has 2 problems:" in text
    assert 'consistency.use = "kl" needs the task segmentation' in text
    assert 'bridge.use = "saliency" needs the task segmentation' in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nope.toml", "No recipe 'nope.toml': no such file"),
        ("multimx", "Did you mean 'multimix'?"),
        (".", ". is a folder, not a recipe."),
        ("\0", "No recipe"),
        ("x" * 5000, "No recipe"),
    ],
)
def test_what_is_no_recipe(here, name, expected):
    assert expected in refusal(name)


# --- plugins --------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path where plugins can be installed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("MMTK_PLUGINS", raising=False)
    yield tmp_path
    for name in ("badmod", "entropymod"):
        sys.modules.pop(name, None)
    monkeypatch.undo()
    refresh()


ENTROPY = '''
from typing import Annotated
from mmtk.api import SSL, Field, Term

class Entropy(SSL):
    """Add the mean entropy of the predictions on unlabelled images."""
    views = {"weak": 1}

    def __init__(self, supervised, *, weight: Annotated[float, Field(ge=0)] = 0.1):
        super().__init__()
        self.supervised, self.weight = supervised, weight

    def terms(self, classify, labelled, unlabelled, now):
        p = classify(unlabelled["weak"][0]).softmax(1)
        entropy = -(p * p.clamp_min(1e-8).log()).sum(1).mean()
        return {**self.supervised(classify, labelled), "entropy": Term(entropy, self.weight)}
'''


def test_broken_plugins_disturb_only_the_recipe_that_names_them(site):
    clean = load_recipe("multimix").values
    points = {"ssl/bad": "badmod:Bad", "encoder/unet": "badmod:Bad", "metric/bad": "badmod:Bad"}
    install(site, "mmtk-bad", points, modules={"badmod": "import nope_nope"})
    assert load_recipe("multimix", overrides={"encoder.use": "mmtk/unet"})["ssl"] == clean["ssl"]
    text = refusal("enc", overrides={"ssl.use": "bad", "encoder.use": "mmtk/unet"})
    assert text.startswith(
        "--set: ssl.use: ssl/bad comes from mmtk-bad 1.0 (badmod:Bad) and could not be imported:"
    )
    assert "No module named 'nope_nope'" in text
    assert "encoder/unet is provided by mmtk" in refusal("enc")


def test_a_plugin_s_component_has_its_keys_in_the_recipe(site, monkeypatch):
    monkeypatch.setenv("MMTK_PLUGINS", "mmtk-entropy")
    install(site, "mmtk-entropy", {"ssl/entropy": "entropymod:Entropy"}, modules={"entropymod": ENTROPY})
    recipe = load_recipe("enc", overrides={"ssl.use": "entropy", "ssl.weight": 1})
    assert recipe["ssl"] == {"use": "entropy", "weight": 1.0}
    assert "should be greater" in refusal("enc", overrides={"ssl.use": "entropy", "ssl.weight": -1})


def test_problems_of_a_profile_are_not_the_recipes():
    problems = [MmtkError("a", "p.toml:3"), MmtkError("b", "p.toml:5")]
    assert heading("r.toml", problems) == "p.toml has 2 problems:"
    assert heading("r.toml", [*problems, MmtkError("c", "r.toml:1")]) == "r.toml has 3 problems:"
