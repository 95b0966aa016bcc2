"""Plugins through the real command: discovered, shown, broken in every way; one installed by pip; local files."""

from __future__ import annotations

import json
import os
import re
import shlex
import site as python_site
import subprocess
import sys
import tomllib
import venv
from itertools import takewhile
from pathlib import Path

import fork_server
import pytest
from commands import caller
from fake_plugin import alone, install, refresh
from tiny import CLASSIFICATION, SOURCES, TINY

from mmtk.errors import MmtkError
from mmtk.io.extras import plugin_line
from mmtk.io.files import read_json
from mmtk.registry import catalog, scaffold
from mmtk.registry.summaries import summary
from mmtk.runs.folder import RunDir

ENTROPY = (scaffold.TEMPLATES / "ssl.py").read_text().replace("Example", "Entropy")
SMALL = TINY | CLASSIFICATION | {key: value for key, value in SOURCES.items() if "classification" in key}
SETS = [text for key, value in SMALL.items() for text in ("--set", f"{key}={json.dumps(value)}")]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder on sys.path, an empty current folder, and no trace of other plugins."""
    folder, here = tmp_path / "site", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(here)
    monkeypatch.setenv("MMTK_PLUGINS", "mmtk-good,mmtk-bad,mmtk-gone,mmtk-wrong,mmtk-rival,mmtk-old,mmtk-keys")
    before = set(sys.modules)
    refresh()
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("mmtk_code_") or str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
    monkeypatch.undo()
    catalog.offer(None)
    refresh()


@pytest.fixture
def mmtk(site, monkeypatch, capsys):
    """Run the command in this process → exit code, output, errors."""
    return caller(monkeypatch, capsys)


def install_all(site: Path) -> None:
    """One distribution of every sort that can be met."""
    wrong = "class Wrong:\n    '''No contract.'''\n"
    keys = f"{ENTROPY}\n\nclass Loose(Entropy):\n    def __init__(self, supervised, *, weight=0.1): pass\n"
    install(site, "mmtk-good", {"ssl/good": "goodmod:Entropy"}, modules={"goodmod": ENTROPY})
    install(site, "mmtk-bad", {"ssl/bad": "badmod:Bad"}, modules={"badmod": "import nope_nope"})
    install(site, "mmtk-gone", {"ssl/gone": "gonemod:Gone"}, modules={"gonemod": ""})
    install(site, "mmtk-wrong", {"ssl/wrong": "wrongmod:Wrong"}, modules={"wrongmod": wrong})
    install(site, "mmtk-rival", {"ssl/confidence": "rivalmod:Entropy"}, modules={"rivalmod": ENTROPY})
    install(site, "mmtk-old", {"ssl/old": "oldmod:Entropy"}, requires=["mmtk>=99"], modules={"oldmod": "1/0"})
    install(site, "mmtk-keys", {"ssl/keys": "keysmod:Loose"}, modules={"keysmod": keys})
    install(site, "mmtk-unseen", {"ssl/unseen": "unseenmod:Entropy"}, modules={"unseenmod": "1/0"})


# --- discovery ------------------------------------------------------------------------------------------------

STATES = {
    ("good", "mmtk-good"): "ok",
    ("bad", "mmtk-bad"): "broken: ModuleNotFoundError: No module named 'nope_nope'",
    ("gone", "mmtk-gone"): "broken: AttributeError: module 'gonemod' has no attribute 'Gone'",
    ("wrong", "mmtk-wrong"): "broken: wrongmod:Wrong does not subclass mmtk.api.SSL",
    ("keys", "mmtk-keys"): "broken: Loose: the key 'weight' has no type.",
    ("confidence", "mmtk"): "clash",
    ("confidence", "mmtk-rival"): "clash",
    ("old", "mmtk-old"): "excluded",
    ("unseen", "mmtk-unseen"): "hidden",
    ("none", "mmtk"): "ok",
}


def rows(out: str) -> dict[tuple[str, str], str]:
    """The ssl lines of ``mmtk plugins``: (name, distribution) → state, and the reason of a broken one."""
    head, *lines = re.sub(r"\n +", "\n ", out).splitlines()  # what a component does stands below it, in a pipe
    last = head.index("what it does")
    found = {}
    for number, line in enumerate(lines):
        if line.startswith("ssl "):
            name, dist = line.split()[1:3]
            state = line[head.index("state") : last].strip() if "state" in head else ""
            below = "".join(takewhile(lambda one: one.startswith(" "), lines[number + 1 :]))
            found[name, dist] = f"broken: {line[last:]}{below.strip()}" if state == "broken" else state
    return found


def test_a_process_lists_every_state_and_load_finds_what_is_broken(site):
    install_all(site)
    command = [fork_server.python(), "-m", "mmtk", "plugins"]
    environment = os.environ | {"PYTHONPATH": str(site)}
    plain, loaded = (
        subprocess.run([*command, *more], capture_output=True, text=True, env=environment)
        for more in ([], ["--load"])
    )
    assert (plain.returncode, plain.stderr) == (0, "")
    assert loaded.returncode == 1
    assert re.fullmatch(r"mmtk: \d+ of \d+ components (is|are) broken\.\n", loaded.stderr)
    found = rows(loaded.stdout)
    assert {key: found[key] for key in STATES} == STATES
    unloaded = {key: "" if state.startswith(("broken", "ok")) else state for key, state in STATES.items()}
    found = rows(plain.stdout)
    assert {key: found[key] for key in unloaded} == unloaded
    assert "Train the strong view towards the weak view's class" in plain.stdout


def test_what_components_do_is_read_without_importing_them(site):
    (site / "pack").mkdir()
    (site / "pack" / "__init__.py").write_text("from .inner.part import Part as Renamed\n1 / 0\n")
    (site / "pack" / "inner").mkdir()
    (site / "pack" / "inner" / "part.py").write_text('1 / 0\nclass Part:\n    """Do it.\n\n    More."""\n')
    (site / "torn.py").write_text("class Torn(:\n")
    (site / "bare.py").write_text("class Bare: pass\n")
    (site / "ring.py").write_text("from ring import Ring\n")
    targets = {"pack:Renamed": "Do it.", "pack.inner.part:Part": "Do it."}
    targets |= dict.fromkeys(["torn:Torn", "bare:Bare", "bare:None", "ring:Ring", "nowhere.at:All", ":"], "")
    assert {target: summary(catalog.Entry("ssl", "x", target)) for target in targets} == targets
    assert not {"pack", "torn", "bare", "ring"} & set(sys.modules)


@pytest.mark.parametrize("entry", [e for e in catalog.entries() if e.dist == catalog.OURS], ids=lambda e: e.word)
def test_every_component_says_what_it_does(entry):
    assert re.fullmatch(r"[A-Z].{10,120}[.:]", summary(entry))


OWN = catalog.version()
REFUSALS = {
    "bad": (
        "mmtk: --set: ssl.use: ssl/bad comes from mmtk-bad 1.0 (badmod:Bad) and could not be imported:\n"
        "    ModuleNotFoundError: No module named 'nope_nope'\n"
        "  Reinstall or remove mmtk-bad; nothing else in mmtk depends on it.\n"
    ),
    "gone": (
        "mmtk: --set: ssl.use: ssl/gone comes from mmtk-gone 1.0 (gonemod:Gone) and could not be imported:\n"
        "    AttributeError: module 'gonemod' has no attribute 'Gone'\n"
        "  Reinstall or remove mmtk-gone; nothing else in mmtk depends on it.\n"
    ),
    "wrong": (
        "mmtk: --set: ssl/wrong (wrongmod:Wrong of mmtk-wrong) is no ssl: it does not subclass mmtk.api.SSL.\n"
    ),
    "confidence": (
        f"mmtk: --set: ssl.use: ssl/confidence is provided by mmtk {OWN} and mmtk-rival 1.0. "
        'Say which: use = "mmtk/confidence".\n'
    ),
    "old": (
        "mmtk: --set: ssl.use: ssl/old comes from mmtk-old 1.0, which asks for 'mmtk>=99', "
        f"but this is mmtk {OWN}.\n"
        f"  Install a version of mmtk-old made for mmtk {OWN}.\n"
    ),
    "unseen": (
        "mmtk: --set: ssl.use: ssl/unseen comes from mmtk-unseen, which MMTK_PLUGINS hides.\n"
        "  Add mmtk-unseen to MMTK_PLUGINS, or unset it.\n"
    ),
    "keys": (
        "mmtk: --set: ssl.use: Loose: the key 'weight' has no type.\n"
        "  Annotate it, for example weight: float = 0.5.\n"
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_recipe_that_names_a_broken_plugin_gets_its_message(mmtk, site, name):
    install_all(site)
    assert mmtk("check", "enc", "--set", f"ssl.use={name}") == (2, "", REFUSALS[name])


@pytest.mark.long
def test_all_other_recipes_work_beside_broken_plugins(mmtk, site):
    install_all(site)
    named = ("umtl", "none"), ("enc", "good"), ("enc", "mmtk/confidence"), ("enc", "mmtk-rival/confidence")
    for recipe, ssl in named:
        code, out, err = mmtk("check", recipe, "--set", f"ssl.use={ssl}")
        assert (code, err) == (0, "")
        assert ": fine. " in out


def test_show_tells_keys_tasks_views_wiring_and_place(mmtk, site):
    install(site, "mmtk-good", {"ssl/good": "goodmod:Entropy"}, modules={"goodmod": ENTROPY})
    code, out, _ = mmtk("plugins", "show", "ssl/good")
    assert code == 0
    line = next(n for n, text in enumerate(ENTROPY.splitlines(), 1) if text.startswith("class "))
    assert out.startswith("ssl/good   mmtk-good 1.0\n\nAdd the mean entropy of the predictions")
    assert out.endswith(
        "Recipe keys\n"
        "  weight: number ≥ 0, default 0.1\n"
        "Wired by the host: supervised\n"
        "Tasks: classification\n"
        "Views: weak: 1\n"
        f"Defined in\n{site}/goodmod.py:{line}\n"
    )


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("loss/dice", "Tasks: segmentation\n"),
        ("loss/cross-entropy", "Tasks: classification, segmentation\n"),
        ("encoder/unet", "Tasks: classification, segmentation\n"),
        ("bridge/saliency", "Tasks: segmentation\n"),
        ("metric/classification", "Tasks: classification\n"),
        ("metric/classification", "  auroc: AUROC, higher is better\n"),
        ("metric/classification", "  f1-a: F1 of a, higher is better\n"),
        ("metric/segmentation", "  hd95-mm: HD95 (mm), lower is better\n"),
        ("source/nihx", "Tasks: classification\n"),
        ("source/phantom", "Tasks: classification, segmentation\n"),
        ("ssl/mixmatch", "Views: weak: 2\n"),  # its views depend on a key
    ],
)
def test_show_asks_the_component_for_its_tasks_and_views(mmtk, word, expected):
    assert expected in mmtk("plugins", "show", word)[1]


def test_show_says_what_a_view_starts_from_and_no_task_where_none_is_known(mmtk, site):
    code = (scaffold.TEMPLATES / "consistency.py").read_text()
    install(site, "mmtk-good", {"consistency/good": "goodmod:Example"}, modules={"goodmod": code})
    assert "Views: weak: 1, strong: 1 on weak, geometry kept\n" in mmtk("plugins", "show", "consistency/good")[1]
    for word in ("launcher/inline", "source/mcu"):
        assert "Tasks" not in mmtk("plugins", "show", word)[1]


# --- the contract kit -----------------------------------------------------------------------------------------


def test_check_prints_a_line_per_check_and_passes(mmtk, site):
    install(site, "mmtk-good", {"ssl/good": "goodmod:Entropy"}, modules={"goodmod": ENTROPY})
    for word in ("ssl/good", "mmtk-good"):
        code, out, err = mmtk("plugins", "check", word, "--set", "weight=0.5")
        assert (code, err) == (0, "")
        head, *lines, tail = out.splitlines()
        assert head == "ssl/good  (mmtk-good 1.0)"
        assert all(re.fullmatch(r"  ✓ [a-z0-9-]+", line) for line in lines), out
        assert "  ✓ targets-carry-no-gradient" in lines
        assert tail == f"All {len(lines)} checks passed."


def test_check_says_what_fails_below_it_and_ends_with_1(mmtk, site):
    unnamed = ENTROPY.replace("    weight: factor of the entropy in the total.\n", "")
    install(site, "mmtk-bad", {"ssl/bad": "badmod:Entropy"}, modules={"badmod": unnamed})
    code, out, err = mmtk("plugins", "check", "ssl/bad")
    assert code == 1
    lines = out.splitlines()
    (wrong,) = [n for n, line in enumerate(lines) if line.startswith("  ✗ ")]
    heads = [line.split(":")[0].strip() for line in lines[wrong + 1 : wrong + 4]]
    assert heads == ["expected", "got", "change"]
    assert "weight" in lines[wrong + 2]
    assert re.fullmatch(rf"mmtk: 1 of {len([x for x in lines if re.match('  [✓✗] ', x)])} checks failed\.\n", err)


# --- one local file -------------------------------------------------------------------------------------------

RECIPE = 'extends = "enc"\nname = "Mine"\n[ssl]\nuse = "code/Entropy"\n'


@pytest.fixture
def mine(site, monkeypatch):
    """A local file and a recipe that uses it, in the current folder; MMTK_PLUGINS is no matter of theirs."""
    Path("mine.py").write_text(ENTROPY)
    Path("r.toml").write_text(RECIPE)
    monkeypatch.setenv("MMTK_PLUGINS", "")
    return site


def test_a_local_file_is_checked_shown_and_described(mmtk, mine):
    code, out, err = mmtk("check", "r.toml", "--code", "mine.py")
    assert (code, err) == (0, "")
    assert out.startswith("r.toml: fine. Mine (classification)")
    code, out, _ = mmtk("show", "r.toml", "--code", "mine.py", "--json")
    assert json.loads(out)["ssl.weight"] == {"value": 0.1, "origin": "default"}
    code, out, _ = mmtk("plugins", "show", "ssl/code/Entropy", "--code", "mine.py")
    assert out.startswith("ssl/code/Entropy   code ")
    assert f"Defined in {Path('mine.py').absolute()}:" in " ".join(out.split())


@pytest.mark.parametrize("word", ["code/Entropy", "ssl/code/Entropy", "code"])
def test_a_local_file_passes_the_kit_by_every_spelling(mmtk, mine, word):
    code, out, err = mmtk("plugins", "check", word, "--code", "mine.py")
    assert (code, err) == (0, "")
    assert "✓ import-touches-neither-cuda-nor-network" in out
    if word != "code":
        assert mmtk("plugins", "show", word, "--code", "mine.py")[1].startswith("ssl/code/Entropy   code ")


def test_an_import_of_a_local_file_that_opens_a_connection_is_caught(mmtk, mine):
    asks = "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9), 0.1)\nexcept OSError:\n    pass\n"
    Path("mine.py").write_text(ENTROPY + asks)
    code, out, _ = mmtk("plugins", "check", "code/Entropy", "--code", "mine.py")
    assert code == 1
    assert "it opens a network connection" in out


MASKS = """from mmtk.api import Loss


class Masks(Loss):
    "A loss."

    def __call__(self, logits, target):
        b, k, h, w = target.shape
        return logits.sum()
"""


def test_a_loss_that_fails_has_its_file_line_and_cure(mmtk, mine):
    Path("mine.py").write_text(MASKS)
    Path("r.toml").write_text('extends = "enc"\n[loss.classification]\nuse = "code/Masks"\n')
    code, _, err = mmtk("check", "r.toml", "--code", "mine.py")
    assert code == 2
    assert "r.toml:3: loss/code/Masks fails on a small batch of classification: ValueError: not enough" in err
    assert f"({Path('mine.py').absolute()}:8)" in err
    assert 'declare tasks = ("segmentation",) in its class' in err
    Path("mine.py").write_text(MASKS.replace('"A loss."', 'tasks = ("segmentation",)'))
    assert "loss/code/Masks compares masks, not class labels." in mmtk("check", "r.toml", "--code", "mine.py")[2]


def test_a_recipe_alone_never_runs_code(mmtk, mine):
    Path("mine.py").write_text("raise RuntimeError('I ran')")
    assert mmtk("check", "r.toml") == (
        2,
        "",
        "mmtk: r.toml:4: ssl.use: ssl/code/Entropy is a class in a local file, and no file was named.\n"
        "  Name it: --code FILE.py (in Python: mmtk.registry.local_file.use). A recipe alone never runs code.\n",
    )


def test_the_bare_name_of_a_local_class_is_not_enough(mmtk, mine):
    Path("r.toml").write_text(RECIPE.replace("code/Entropy", "Entropy"))
    code, _, err = mmtk("check", "r.toml", "--code", "mine.py")
    assert code == 2
    assert "No ssl component is called 'Entropy'. Did you mean 'code/Entropy'?" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "mine.py: cannot be read: No such file or directory."),
        ("x = (", "mine.py:1: cannot be loaded: SyntaxError: '(' was never closed"),
        ("\nimport nope_nope", "mine.py:2: cannot be loaded: ModuleNotFoundError: No module named 'nope_nope'"),
        ("import sys\nsys.exit(3)", "mine.py:2: cannot be loaded: SystemExit: 3"),
        (
            "from mmtk.api import SSL",
            "mine.py: has no component: no class in it subclasses a contract of mmtk.api.",
        ),
        (
            "from mmtk.api import Loss\nclass Focal(Loss):\n    def forward(self, a, b):\n        return 0",
            "mine.py: Focal is no loss yet: it has no __call__(), which mmtk.api.Loss asks for.",
        ),
    ],
)
def test_a_file_that_cannot_serve_gets_file_line_and_cause(mmtk, mine, text, message):
    Path("mine.py").unlink() if text is None else Path("mine.py").write_text(text)
    code, _, err = mmtk("check", "r.toml", "--code", "mine.py")
    assert code == 2
    assert err.startswith(f"mmtk: {message}")


@pytest.mark.long
def test_a_run_keeps_the_file_and_its_hash_and_needs_the_option_again(mmtk, mine):
    code, out, err = mmtk("run", "r.toml", "--no-pictures", "--code", "mine.py", *SETS, "--out", "d")
    assert code == 0, err
    assert "Next      mmtk predict d --code d/code.py IMAGE… --out DIR" in out
    assert re.search(r"^Finished in .+, .+ of them training\.$", out + err, re.MULTILINE)
    folder = RunDir(Path("d"))
    assert folder.code_file.read_text() == ENTROPY
    loaded = catalog.code()
    assert folder.provenance["code"] == {"path": str(Path("mine.py").absolute()), "sha256": loaded.sha256}
    assert folder.provenance["components"]["ssl=ssl/code/Entropy"] == f"code {loaded.sha256[:12]}"
    assert folder.altered() == []

    told = (
        "mmtk: d: its components come from a local file, whose copy is d/code.py. No recipe runs code by itself.\n"
        "  Look at it, then say so: "
    )
    again = ["run", "d"], ["evaluate", "d"], ["predict", "d", "x.png", "--out", "o"], ["check", "d/recipe.toml"]
    for words in again:
        assert mmtk(*words) == (2, "", f"{told}mmtk {shlex.join(words)} --code d/code.py\n")
    code, _, err = mmtk("run", "d", "--code", "d/code.py")
    assert (code, err.splitlines()[0]) == (0, "d is finished; nothing to do.")
    code, out, err = mmtk("evaluate", "d", "--no-pictures", "--code", "mine.py", "--json")
    assert code == 0, err
    assert 0 <= json.loads(out)["results"]["in-domain"]["classification"]["accuracy"] <= 1

    Path("mine.py").write_text(ENTROPY + "\n# changed\n")
    digits = loaded.sha256[:12]
    for words in (["run", "d"], ["evaluate", "d"], ["predict", "d", "x.png", "--out", "o"]):
        code, _, err = mmtk(*words, "--code", "mine.py")
        assert code == 2
        assert err.startswith(f"mmtk: d: its components come from another file: {digits} then, ")
    Path("d/code.py").write_text(ENTROPY + "\n# changed\n")
    code, _, err = mmtk("run", "d", "--code", "d/code.py")
    assert (code, err.startswith(f"mmtk: d: its components come from another file: {digits} then, ")) == (2, True)
    Path("mine.py").write_text(ENTROPY)
    code, _, err = mmtk("run", "d", "--code", "mine.py")
    assert code == 2
    assert err == (
        "mmtk: d/code.py: this copy of the components differs from mine.py.\n"
        "  It was changed; put it back: cp mine.py d/code.py\n"
    )


@pytest.mark.long
def test_runs_without_local_components_keep_no_file(mmtk, mine):
    code, _, err = mmtk("run", "enc", "--no-pictures", "--code", "mine.py", *SETS, "--out", "d")
    assert code == 0, err
    assert not Path("d/code.py").exists()
    assert RunDir(Path("d")).provenance["code"] == {}
    assert mmtk("run", "d")[0] == 0


def study(mmtk, *options: str, launcher: str) -> tuple[int, str, str]:
    words = ["--components", "ssl=none+code/Entropy", *SETS, "--launcher", launcher, "--out", "s"]
    return mmtk("ablate", "enc", *words, *options)


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["inline", "process"])
def test_a_study_hands_the_file_to_its_runs_and_knows_it_again(mmtk, mine, launcher, monkeypatch):
    monkeypatch.setattr(sys, "executable", fork_server.python())
    code, _, err = study(mmtk, "--code", "mine.py", launcher=launcher)
    assert code == 0, err
    folders = {read_json(path / "provenance.json")["recipe"]: path for path in Path("runs").iterdir()}
    with_code = [path for path in folders.values() if (path / "code.py").is_file()]
    assert len(folders) == 2
    assert [(path / "code.py").read_text() for path in with_code] == [ENTROPY]
    assert Path("s/code.py").read_text() == ENTROPY

    told = "mmtk: s: its components come from a local file, whose copy is s/code.py."
    for words in (["ablate", "s"], ["status", "s"], ["report", "s"]):
        catalog.offer(None)
        code, _, err = mmtk(*words)
        assert code == 2
        assert err.startswith(told)
        assert err.endswith(f"  Look at it, then say so: mmtk {' '.join(words)} --code s/code.py\n")
    code, out, err = mmtk("ablate", "s", "--code", "s/code.py", "--dry-run")
    assert code == 0, err
    assert "2 runs, 0 to do." in out
    assert "2 done" in mmtk("status", "s", "--code", "s/code.py")[1]

    Path("mine.py").write_text(ENTROPY + "\n# changed\n")
    code, _, err = study(mmtk, "--code", "mine.py", launcher=launcher)
    assert code == 2
    assert err.startswith("mmtk: s/code.py: this copy of the components differs from mine.py.")
    code, _, err = study(mmtk, "--code", "mine.py", "--out", "t", launcher=launcher)
    assert code == 2
    assert "was made with other versions: ssl=ssl/code/Entropy (code " in err
    assert f"Move {with_code[0]} away, and it will be run again." in err


def test_a_file_of_another_text_takes_the_place_of_the_first(mine):
    from mmtk.registry import local_file

    first = local_file.use("mine.py")
    assert local_file.use("mine.py") is first
    Path("other.py").write_text(ENTROPY.replace("Entropy", "Other"))
    local_file.use("other.py")
    assert catalog.find("ssl", "code/Other").version == catalog.code().sha256[:12]
    with pytest.raises(MmtkError, match="No ssl component is called 'code/Entropy'"):
        catalog.find("ssl", "code/Entropy")


# --- a real installation --------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_generated_plugin_installs_by_pip_and_runs_end_to_end(tmp_path):
    """Into an environment laid over this one, without an index: what an author does on a train."""
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    (place,) = (tmp_path / "env").glob("lib/python*/site-packages")
    under = "; ".join(f"site.addsitedir({folder!r})" for folder in python_site.getsitepackages())
    (place / "under.pth").write_text(f"import site; {under}\n")
    environment = {key: value for key, value in os.environ.items() if key not in ("MMTK_PLUGINS", "PYTHONPATH")}

    def call(*words: str) -> str:
        done = subprocess.run(
            [python, "-m", *words], cwd=tmp_path, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    call("mmtk", "plugins", "new", "gentle", "--kind", "ssl")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    call("pip", "install", "--quiet", *offline, "./mmtk-gentle")
    assert "mmtk_gentle.py" in {path.name for path in place.iterdir()}
    assert rows(call("mmtk", "plugins"))["gentle", "mmtk-gentle"] == ""
    assert rows(call("mmtk", "plugins", "--load"))["gentle", "mmtk-gentle"] == "ok"
    call("mmtk", "plugins", "check", "mmtk-gentle")
    call(
        "mmtk",
        "run",
        "mmtk-gentle/recipe.toml",
        "--no-pictures",
        "--set",
        'tasks=["classification"]',
        *SETS,
        "--set",
        'bridge.use="none"',
        "--set",
        'consistency.use="none"',
        "--out",
        "d",
    )
    assert read_json(tmp_path / "d" / "done.json")["steps"] == TINY["train.steps"]
    assert read_json(tmp_path / "d" / "provenance.json")["components"]["ssl=ssl/gentle"] == "mmtk-gentle 0.1.0"
    terms = json.loads((tmp_path / "d" / "metrics.jsonl").read_text().splitlines()[0])
    assert terms["train/classification/entropy"] > 0


# --- the plugins that are developed beside mmtk ---------------------------------------------------------------


def test_the_catalog_knows_what_the_plugins_beside_it_bring():
    """So that it can say what to install; the smallest one is an example and brings nothing of use."""
    brought = {}
    for path in (Path(__file__).parents[2] / "plugins").glob("*/pyproject.toml"):
        about = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        groups = about["entry-points"].items()
        brought[about["name"]] = {f"{group[5:]}/{name}" for group, names in groups for name in names}
    assert {dist: set(words) for dist, words in catalog.BESIDE.items()} | {"mmtk-hello": {"ssl/hello"}} == brought


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "release"], ["consistency/release-kl", "augment/release-strong"]),
        (["run", "release"], ["consistency/release-kl", "augment/release-strong"]),
        (["check", "multimix", "--set", "ssl.use=fixmatch"], ["ssl/fixmatch"]),
        (["check", "multimix", "--set", "bridge.use=mmtk-captum/grad-cam"], ["bridge/grad-cam"]),
        (["ablate", "--components", "consistency=kl+ua-mt", "--dry-run"], ["consistency/ua-mt"]),
    ],
)
def test_a_recipe_whose_plugin_is_not_installed_says_what_to_install(
    mmtk, monkeypatch, tmp_path, arguments, words
):
    monkeypatch.chdir(tmp_path)
    alone(monkeypatch, tmp_path)
    code, _, err = mmtk(*arguments)
    assert code == 2
    for word in words:
        dist = next(dist for dist, all_words in catalog.BESIDE.items() if word in all_words)
        assert f"{word} is part of {dist}, which is not installed." in err
        assert plugin_line(dist) in err
    code, out, _ = mmtk("list")
    assert code == 0
    assert "MultiMix-release" in out
