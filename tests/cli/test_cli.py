"""The mmtk command: what users see, its exit codes, and that mistakes are messages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from commands import caller
from fake_plugin import install, refresh
from tiny import SOURCES, TINY

from mmtk import __version__
from mmtk.errors import MmtkError, Problems
from mmtk.recipe import toml

SHIPPED = sorted(toml.recipe_folder().glob("*.toml"))
PROFILES = sorted((toml.recipe_folder() / "profiles").glob("*.toml"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, no plugins, no data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMTK_PLUGINS", "")
    monkeypatch.delenv("MMTK_DATA", raising=False)
    return tmp_path


@pytest.fixture
def mmtk(here, monkeypatch, capsys):
    """Run the command in this process → exit code, output, errors."""
    return caller(monkeypatch, capsys)


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmtk", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


# --- the real process; none of these needs torch --------------------------------------------------------------


def test_help_lists_every_command(here):
    done = process("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for command in ("run", "check", "show", "diff", "schema", "list", "predict", "data", "plugins", "doctor"):
        assert re.search(rf"^  {command} +\S", done.stdout, re.MULTILINE), command


def test_version(here):
    done = process("--version")
    assert (done.returncode, done.stdout) == (0, f"mmtk {__version__}\n")


def test_list_names_every_shipped_recipe_and_profile_with_its_line(here):
    done = process("list", HOME="/nowhere")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    words = " ".join(done.stdout.split())
    for path in [*SHIPPED, *PROFILES]:
        recipe = tomllib.loads(path.read_text())
        assert " ".join(filter(None, (path.stem, recipe.get("name"), recipe["description"]))) in words


def test_plugins_lists_what_is_installed_without_importing_it(here, tmp_path):
    site = tmp_path / "site"
    points = {"ssl/broken": "nothing:X", "ssl/confidence": "nothing:X"}
    install(site, "mmtk-x", points)
    install(site, "mmtk-y", {"ssl/old": "nothing:X"}, requires=["mmtk>=99"])
    install(site, "mmtk-z", {"ssl/unseen": "nothing:X"})
    done = process("plugins", PYTHONPATH=str(site), MMTK_PLUGINS="mmtk-x,mmtk-y", COLUMNS="160")
    refresh()
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["kind", "name", "from", "state", "what", "it", "does"]
    states = slice(head.index("state"), head.index("what it does"))
    rows = {tuple(line.split()[:3]): line[states].strip() for line in lines}
    assert done.returncode == 0
    assert rows["ssl", "broken", "mmtk-x"] == ""
    assert rows["ssl", "confidence", "mmtk-x"] == rows["ssl", "confidence", "mmtk"] == "clash"
    assert rows["ssl", "old", "mmtk-y"] == "excluded"
    assert rows["ssl", "unseen", "mmtk-z"] == "hidden"
    assert rows["bridge", "saliency", "mmtk"] == ""
    assert f"excluded: mmtk-y 1.0 asks for mmtk>=99, and this is mmtk {__version__}" in lines
    assert "hidden: MMTK_PLUGINS does not name mmtk-z; add it there, or unset the variable" in lines
    clashes = [line for line in lines if line.startswith("clash: several bring ssl/confidence")]
    assert [line.split()[-1] for line in clashes] == ['"mmtk/confidence"', '"mmtk-x/confidence"']


def test_a_mistake_is_a_message_with_exit_code_2_and_debug_shows_the_traceback(here):
    done = process("run", "multimx")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "mmtk: No recipe 'multimx': no such file, and none of that name ships with mmtk."
    )
    assert "Did you mean 'multimix'?" in done.stderr
    assert "Traceback" not in done.stderr
    debug = process("run", "multimx", "--debug")
    assert debug.returncode != 0
    assert "Traceback" in debug.stderr
    assert "Did you mean 'multimix'?" in debug.stderr


def test_a_run_folder_that_is_missing_is_refused_before_torch_is_loaded(here):
    commands = [
        *(["predict", "NOPE", "x", "--out", "p"], ["evaluate", "NOPE", "x"], ["evaluate", "NOPE"]),
        *(
            ["export", "NOPE"],
            ["export", "NOPE", "--format", "safetensors"],
            ["saliency", "NOPE"],
            ["track", "NOPE"],
        ),
        *(["report", "NOPE"], ["status", "NOPE"], ["compare", "NOPE"], ["audit", "NOPE"]),
        ["data", "inspect", "NOPE"],
    ]
    script = f"""
import sys
from mmtk.cli.main import main
for command in {commands}:
    sys.argv = ["mmtk", *command]
    try:
        main()
    except SystemExit as end:
        print(end.code, "torch" in sys.modules or "scipy.optimize" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["2 False"] * len(commands)
    messages = [line for line in done.stderr.splitlines() if line.startswith("mmtk: ")]
    assert len(messages) == len(commands)
    assert all("NOPE: no such" in line or "No recipe 'NOPE': no such" in line for line in messages)


def test_a_terminal_without_unicode_gets_no_traceback(here):
    (here / "r.toml").write_text('extends = "nöpe.toml"\n', encoding="utf-8")
    done = process("check", "r.toml", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 2
    assert r"No recipe 'n\xf6pe.toml'" in done.stderr


# --- the same command within this process ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "."], ". is a folder, not a recipe.\n  A run directory would have a recipe.toml."),
        (["run", "nowhere.toml"], "No recipe 'nowhere.toml': no such file"),
        (["check", "torn.toml"], "torn.toml: is not valid TOML: Expected ']'"),
        (["check", "torn.toml"], "line 2"),
        (["show", "multimix", "--set", "lr"], "--set lr: no '='. Write it like ssl.threshold=0.9."),
        (["show", "multimix", "--set", "ssl.use=mixmach"], "Did you mean 'mixmatch'?"),
        (["check", "multimix", "--profile", "fantom"], "No profile 'fantom'"),
        (["diff", "multimix", "umtll"], "Did you mean 'umtl'?"),
        (["plugins", "show", "ssl"], "'ssl' is not KIND/NAME."),
        (["plugins", "show", "ssl/saliency"], "'saliency' is a bridge, not an ssl."),
        (["chekc", "multimix"], "No such command 'chekc'"),
        (["check"], "mmtk: RECIPE is missing.\n  Usage: mmtk check [OPTIONS] RECIPE\n  Help: mmtk check -h\n"),
        (
            ["check", "multimix", "--sett", "x=1"],
            "mmtk: no option --sett. Did you mean '--set'?\n  Usage: mmtk check",
        ),
        (["run", "multimix", "--seed", "x"], 'mmtk: --seed: should be a whole number, got "x".\n'),
        (["run", "multimix", "--seed", "-1"], 'mmtk: --seed: should be 0 or more, got "-1".\n'),
        (
            ["export", "x", "--format", "onxx"],
            "should be one of 'onnx', 'safetensors', got \"onxx\". Did you mean 'onnx'?",
        ),
        (["predict", "a", "b", "--device"], "mmtk: --device needs a value."),
        (["diff", "umtl", "multimix", "x"], "mmtk: nothing is expected behind the others: x."),
    ],
)
def test_mistakes(mmtk, here, arguments, words):
    (here / "torn.toml").write_text('name = "x"\n[data\n')
    code, out, err = mmtk(*arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_many_problems_are_shown_with_their_lines(mmtk, here):
    (here / "r.toml").write_text('extends = "multimix"\n[ssl]\ntreshold = 0.5\n[train]\nbatchs = 3\n')
    code, _, err = mmtk("check", "r.toml")
    assert code == 2
    assert err == (
        "mmtk: r.toml has 2 problems:\n"
        "r.toml:5: train.batchs: unknown key. Did you mean 'batch'? Keys here: alarm, balance, batch, clip, "
        "decay, decay_every, ema, epoch_images, epochs, frozen_views, groups, lr, optimizer, precision, ratio, "
        "schedule, steps, validate_every, warmup, weight_decay.\n"
        "r.toml:3: ssl.treshold: unknown key. Did you mean 'threshold'? Keys here: threshold, weight.\n"
    )


def test_check_says_that_a_recipe_is_fine(mmtk):
    code, out, _ = mmtk("check", "multimix", "--profile", "chest-xray", "--set", "ssl.threshold=0.9")
    assert code == 0
    assert re.fullmatch(r"multimix: fine\. MultiMix \(classification, segmentation\), digest [0-9a-f]{10}\n", out)


def test_show_prints_every_value_with_its_place_as_toml(mmtk, here):
    (here / "r.toml").write_text('extends = "multimix"\n[ssl]\nthreshold = 0.5\n')
    code, out, _ = mmtk("show", "r.toml", "--set", "bridge.stride=4")
    assert code == 0
    assert re.search(r'^tasks += \["classification", "segmentation"\] +# mmtk:base\.toml:5$', out, re.MULTILINE)
    tables = dict(re.findall(r"^\[([\w.]+)\]\n((?:.+\n)+)", out, re.MULTILINE))
    assert re.search(r"^threshold += 0\.5 +# r\.toml:3$", tables["ssl"], re.MULTILINE)
    assert re.search(r"^stride += 4 +# --set$", tables["bridge"], re.MULTILINE)
    assert re.search(r"^width += 16 +# default$", tables["encoder"], re.MULTILINE)
    assert max(len(line) for line in out.splitlines() if not line.startswith("# mmtk: stands")) <= 80
    from mmtk.recipe.load import load_recipe

    shown = tomllib.loads(out)
    assert shown == load_recipe("r.toml", overrides={"bridge.stride": 4}).values


@pytest.mark.parametrize("profile", ["phantom", "chest-xray"])
def test_show_changed_is_what_base_and_defaults_do_not_say(mmtk, here, profile):
    text = 'extends = "multimix"\n[ssl]\nthreshold = 0.7\n[loss.segmentation]\nweight = 5.0\n[train]\nema = 0.9\n'
    (here / "r.toml").write_text(text)
    code, out, _ = mmtk("show", "r.toml", "--changed", "--profile", profile, "--set", "bridge.stride=4")
    assert code == 0
    shown = tomllib.loads(out)
    assert shown.pop("name") == "MultiMix"
    assert shown.pop("description")
    assert shown == {
        "bridge": {"use": "saliency", "stride": 4},
        "ssl": {"use": "confidence", "threshold": 0.7, "weight": 0.25},
        "consistency": {"use": "kl", "weight": 0.01},
        "train": {"ema": 0.9},
    }
    one = tomllib.loads(mmtk("show", "enc", "--changed")[1])
    assert one.pop("description")
    assert one == {"name": "Enc", "tasks": ["classification"]}


def test_show_breaks_what_is_long_and_keeps_empty_tables(here):
    from mmtk.recipe.recipe import Recipe
    from mmtk.recipe.text import as_text

    folder = here.parent / "elsewhere" / "mine.toml"
    words = 'say "ä\\ " ' * 20 + "end"
    values = {
        "text": "x" * 90,
        "words": words,
        "spaces": words + "  end",
        "list": [f"item {i}, with a comma" for i in range(9)],
        "table": {"none": {}, "a": {"b": 1}},
    }
    out = as_text(Recipe(values, {"table.a.b": f"{here}/x:1.toml:7", "text": f"{folder}:1"}), values)
    assert tomllib.loads(out) == values
    assert [line[:5] for line in out.splitlines() if len(line) > 80] == ["text "]
    assert f"# {folder}:1\ntext   = " in out
    assert "b = 1  # x:1.toml:7" in out


@pytest.mark.parametrize("profile", ["chest-xray", "own.toml"])
def test_data_that_nobody_named_are_asked_for(mmtk, here, profile):
    folders = '[data.classification.{0}]\nuse = "folder"\nimages = "{0}"\nlabels = "folders"\n'
    Path("own.toml").write_text('extends = "chest-xray"\n' + folders.format("source") + folders.format("cross"))
    code, _, err = mmtk("run", "enc", "--profile", profile)
    assert code == 2
    assert "no data: no --data was given, MMTK_DATA is not set, and there is no folder 'data' here." in err
    assert "--data" in err.splitlines()[-1]


@pytest.mark.long
@pytest.mark.parametrize("profile", ["phantom", "chest-xray"])
def test_the_suite_of_the_paper_is_planned_without_data(mmtk, here, profile):
    small = TINY | SOURCES if profile == "phantom" else TINY
    sets = [text for key, value in small.items() for text in ("--set", f"{key}={json.dumps(value)}")]
    labels = ["--labels", "classification=8", "--labels", "segmentation=4", "--seeds", "1"]
    code, out, err = mmtk("ablate", "--suite", "paper", "--profile", profile, "--dry-run", *labels, *sets)
    first, *others = err.splitlines()
    assert (code, first) == (0, "Looking at the data and weights of the plan …")
    timing = (
        "" if profile == "chest-xray" else r"Timing a few steps of \d+ systems? …|"
    )  # of those not timed before
    assert re.fullmatch(timing, "".join(others))
    assert "10 cells × 1 seed = 10 runs, 10 to do" in out
    assert ("Not timed, and it would not run: no data: no --data was given" in out) == (profile == "chest-xray")
    assert not (here / "studies").exists()


def test_show_as_json(mmtk):
    code, out, _ = mmtk("show", "enc", "--json")
    values: dict[str, Any] = json.loads(out)
    assert code == 0
    assert values["tasks"]["value"] == ["classification"]
    assert values["tasks"]["origin"].endswith("enc.toml:4")


def test_diff(mmtk, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = mmtk("diff", "umtl-ssl", "enc-ssl")
    assert code == 0
    lines = out.splitlines()
    assert len({line.index("→") for line in lines}) == 1  # a table
    assert ["tasks", '["classification", "segmentation"]', '["classification"]'] in [
        re.split(r"  +(?:→  )?", line) for line in lines
    ]
    assert any(re.fullmatch(r"decoder\.use +unet +→  –", line) for line in lines)
    assert "origin." not in out
    assert "ssl.threshold" not in out
    assert mmtk("diff", "umtl", "umtl")[:2] == (0, "No difference.\n")
    notes = [line for line in mmtk("diff", "umtl", "multimix")[1].splitlines() if line.startswith("others:")]
    assert notes == ["others: strategies that an ablation does not name: off drops them, keep keeps them"]


def test_one_cure_of_several_problems_is_printed_once():
    problems = [
        MmtkError("is bent", "a", "Mend it."),
        MmtkError("is bent", "b", "Mend it."),
        MmtkError("is gone", "c"),
    ]
    assert str(Problems(problems)) == "a: is bent\nb: is bent\n  Mend it.\nc: is gone"


def test_plugins_show_has_documentation_keys_and_source_line(mmtk):
    code, out, _ = mmtk("plugins", "show", "ssl/confidence")
    assert code == 0
    assert "Train the strong view towards the weak view's class" in out
    assert "  threshold: number ≥ 0 and ≤ 1, default 0.7\n" in out
    assert "Wired by the host: supervised\n" in out
    assert "Views: weak: 1, strong: 1\n" in out
    (place,) = re.findall(r"Defined in (.+):(\d+)", out)
    with open(place[0], encoding="utf-8") as file:
        assert file.read().splitlines()[int(place[1]) - 1].startswith("class Confidence(")


def test_plugins_show_speaks_toml(mmtk):
    _, out, _ = mmtk("plugins", "show", "source/folder")
    assert "  images: text, required\n" in out
    assert "  exclusive: true or false, default false\n" in out
    assert "  swap: list of [text, text], default []\n" in out
    _, out, _ = mmtk("plugins", "show", "loss/smp")
    assert "  alpha: number ≥ 0, optional\n" in out
    assert "  weight: number ≥ 0, default 1.0\n" in out
    _, out, _ = mmtk("plugins", "show", "augment/strong")
    assert "  n: integer ≥ 1 or any, default 2\n" in out


# --- the schema -----------------------------------------------------------------------------------------------

ANNOTATIONS = {"title", "description", "default", "$schema", "$defs"}
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def fits(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """JSON Schema 2020-12, as far as ours uses it; an unknown keyword is an error, so that none is passed over."""
    checks = {
        "$ref": lambda want: fits(root["$defs"][want.removeprefix("#/$defs/")], value, root),
        "anyOf": lambda want: any(fits(each, value, root) for each in want),
        "enum": lambda want: value in want,
        "const": lambda want: value == want,
        "type": lambda want: any(
            isinstance(value, TYPES[each]) and (each == "boolean" or not isinstance(value, bool))
            for each in ([want] if isinstance(want, str) else want)
        ),
        "minimum": lambda want: not isinstance(value, int | float) or value >= want,
        "maximum": lambda want: not isinstance(value, int | float) or value <= want,
        "exclusiveMinimum": lambda want: not isinstance(value, int | float) or value > want,
        "exclusiveMaximum": lambda want: not isinstance(value, int | float) or value < want,
        "minLength": lambda want: not isinstance(value, str) or len(value) >= want,
        "minItems": lambda want: not isinstance(value, list) or len(value) >= want,
        "maxItems": lambda want: not isinstance(value, list) or len(value) <= want,
        "uniqueItems": lambda want: (
            not isinstance(value, list) or len(set(map(str, value))) == len(value) or not want
        ),
        "items": lambda want: not isinstance(value, list) or all(fits(want, each, root) for each in value),
        "prefixItems": lambda want: (
            not isinstance(value, list)
            or all(fits(one, each, root) for one, each in zip(want, value, strict=False))
        ),
        "properties": lambda want: (
            not isinstance(value, dict)
            or all(fits(want[key], each, root) for key, each in value.items() if key in want)
        ),
        "required": lambda want: not isinstance(value, dict) or set(want) <= set(value),
    }
    other = schema.get("additionalProperties", True)
    own = schema.get("properties", {})
    if isinstance(value, dict) and other is not True:
        for key, each in value.items():
            if key not in own and (other is False or not fits(other, each, root)):
                return False
    return all(
        checks[key](want) for key, want in schema.items() if key not in ANNOTATIONS | {"additionalProperties"}
    )


def test_the_schema_takes_every_shipped_file_and_every_resolved_recipe_and_refuses_mistakes(mmtk, here):
    code, out, _ = mmtk("schema")
    assert code == 0
    schema: dict[str, Any] = json.loads(out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["$defs"]) == {
        "encoder",
        "decoder",
        "bridge",
        "ssl",
        "consistency",
        "loss",
        "augment",
        "metric",
        "source",
        "tune",
    }
    from mmtk.recipe.load import load_recipe

    # Plugins are hidden here, and release needs one.
    own = [path for path in SHIPPED if path.stem != "release"]
    for path in [*own, *PROFILES]:
        assert fits(schema, tomllib.loads(path.read_text()), schema), path
    for path in own:
        assert fits(schema, tomllib.loads(load_recipe(path, "chest-xray").toml()), schema), path
    good: list[dict[str, Any]] = [
        {"extends": ["base.toml"], "ssl": {"threshold": 0.5}},
        {"ssl": {"use": "mmtk/confidence"}},
        {"data": {"classification": {"labels": "full"}}, "augment": {"mine": {"use": "weak"}}},
    ]
    bad: list[dict[str, Any]] = [
        {"extends": 3},
        {"nam": "x"},
        {"ssl": "none"},
        {"ssl": {"use": "confidence", "treshold": 0.5}},
        {"ssl": {"use": "confidence", "threshold": 1.5}},
        {"ssl": {"use": "none", "threshold": 0.5}},
        {"ssl": {"use": "nope"}},
        {"data": {"size": 3}},
        {"data": {"classification": {"labels": "ful"}}},
        {"data": {"classification": {"source": {"use": "dice"}}}},
        {"loss": {"other": {"use": "dice"}}},
        {"augment": {"mine": 3}},
        {"tasks": []},
        {"tasks": ["segmentation", "segmentation"]},
        {"tasks": ["other"]},
        {"train": {"lr": True}},
        {"train": {"steps": 0}},
    ]
    assert [case for case in good if not fits(schema, case, schema)] == []
    assert [case for case in bad if fits(schema, case, schema)] == []


def test_a_broken_plugin_leaves_the_schema_whole(here, tmp_path, monkeypatch):
    from mmtk.recipe.describe import recipe_schema

    site = tmp_path / "site"
    install(site, "mmtk-bad", {"ssl/bad": "badmod:Bad"}, modules={"badmod": "import nope_nope"})
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("MMTK_PLUGINS", "mmtk-bad")
    refresh()
    schema = recipe_schema()
    refresh()
    assert fits(schema, {"ssl": {"use": "bad", "anything": 3}}, schema)
    assert fits(schema, {"ssl": {"use": "confidence"}}, schema)
    assert not fits(schema, {"ssl": {"use": "worse"}}, schema)
    (bad,) = [each for each in schema["$defs"]["ssl"]["anyOf"] if each["title"] == "ssl/bad"]
    assert "could not be imported" in bad["description"]


@pytest.mark.parametrize(
    "arguments", [("list",), ("check", "multimix"), ("predict", "run", "film.png", "--out", "p")]
)
def test_a_current_folder_that_is_gone_is_named(tmp_path, monkeypatch, capsys, arguments):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, _, err = caller(monkeypatch, capsys)(*arguments)
    assert code == 2
    problem, cure = err.splitlines()
    assert problem == "mmtk: the current folder is gone (No such file or directory)."
    assert cure == "  Go to a folder that exists, such as: cd ~"
