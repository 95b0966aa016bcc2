"""``mmtk plugins new``: names, refusals, and packages that pass their own tests as written, for every kind."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import fork_server
import pytest
from fake_plugin import install, refresh

from mmtk.cli import main as cli
from mmtk.errors import MmtkError
from mmtk.registry import catalog, scaffold
from mmtk.registry.kinds import KINDS

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No plugin of this machine counts."""
    monkeypatch.setenv("MMTK_PLUGINS", "")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """One package of every kind, and the outcome of all their tests, run once in one process: case → failure."""
    parent = tmp_path_factory.mktemp("new")
    scaffolds = {kind: scaffold.write_package(f"my-{kind}", kind, parent) for kind in KINDS}
    site = parent / "site"
    paths = [str(site)]
    for package in scaffolds.values():
        project = tomllib.loads((package.folder / "pyproject.toml").read_text())["project"]
        ((group, points),) = project["entry-points"].items()
        words = {f"{group.removeprefix('mmtk.')}/{name}": target for name, target in points.items()}
        install(site, project["name"], words, version=project["version"], requires=project["dependencies"])
        paths.append(str(package.folder))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    environment.pop("MMTK_PLUGINS", None)
    report = parent / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command = [fork_server.python(), "-m", "pytest", *options, *paths[1:]]
    done = subprocess.run(command, cwd=parent, env=environment, capture_output=True, text=True, check=False)
    refresh()
    assert report.is_file(), done.stdout + done.stderr
    outcomes: dict[str, dict[str, str | None]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        wrong = [each for each in case if each.tag in ("failure", "error", "skipped")]
        module = case.get("classname", "").rpartition(".")[2]
        outcomes.setdefault(module, {})[case.get("name", "")] = wrong[0].get("message") if wrong else None
    return scaffolds, outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_passes_its_own_tests_as_written(packages, kind):
    cases = packages[1][f"test_my_{kind}"]
    assert {name: wrong for name, wrong in cases.items() if wrong is not None} == {}
    assert "test_the_recipe_is_fine" in cases
    assert len([name for name in cases if name.startswith("test_contract[")]) >= 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_complete_and_free_of_place_holders(packages, kind):
    package = packages[0][kind]
    names = {path.relative_to(package.folder).as_posix() for path in package.files}
    assert names == {
        f"mmtk_my_{kind}.py",
        "pyproject.toml",
        "README.md",
        "recipe.toml",
        f"tests/test_my_{kind}.py",
    }
    for path in package.files:
        text = path.read_text()
        assert not re.search(r"\$|Example|noqa|mmtk\.registry\.templates", text), path
        assert text.endswith("\n")
        assert not text.endswith("\n\n"), path
    project = tomllib.loads((package.folder / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["mmtk>=0.2,<0.3"]
    component = f"mmtk_my_{kind}:My{kind.capitalize()}"
    assert project["entry-points"] == {f"mmtk.{kind}": {f"my-{kind}": component}}
    readme = (package.folder / "README.md").read_text()
    assert project["description"] in readme
    for heading in ("Install", "Use", "Check"):
        assert f"\n## {heading}\n" in readme
    blocks = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    recipe = (package.folder / "recipe.toml").read_text()
    assert len(blocks) == (kind != "launcher")
    assert all(block.strip() in recipe for block in blocks)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_template_with_typed_documented_keys(kind):
    import importlib
    import inspect

    from mmtk.registry.signature import schema

    example = importlib.import_module(f"mmtk.registry.templates.{kind}").Example
    assert issubclass(example, KINDS[kind].contract_class)
    keys = set(schema(example).model_fields) - {"use"}
    assert keys
    documented = set(re.findall(r"^(\w+): ", inspect.getdoc(example), re.MULTILINE))
    assert documented == keys


def test_the_command_prints_the_next_steps_and_they_are_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["mmtk", "plugins", "new", "lung-size", "--kind", "consistency", "--dir", "a b"]
    )
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Wrote a b/mmtk-lung-size: consistency/lung-size, version 0.1.0"
    steps = [shlex.split(line) for line in lines[lines.index("Next") + 1 :]]
    assert steps == [
        ["python", "-m", "pip", "install", "-e", "a b/mmtk-lung-size[test]"],
        ["mmtk", "plugins", "check", "consistency/lung-size"],
        ["python", "-m", "pytest", "a b/mmtk-lung-size"],
        ["mmtk", "run", "a b/mmtk-lung-size/recipe.toml"],
    ]
    assert all((tmp_path / line.strip()).is_file() for line in lines[1 : lines.index("Next")])
    assert "class LungSize(Consistency):" in (tmp_path / "a b/mmtk-lung-size/mmtk_lung_size.py").read_text()


def test_a_name_may_have_the_prefix_of_the_distribution(tmp_path):
    package = scaffold.write_package("mmtk-gentle", "ssl", tmp_path)
    assert (package.folder.name, package.name) == ("mmtk-gentle", "gentle")


@pytest.mark.parametrize(
    ("name", "kind", "message", "hint"),
    [
        ("MyMethod", "ssl", "'MyMethod' is no name for a component: lower-case letters", "For example: my-method"),
        ("my_method", "ssl", "'my_method' is no name", "For example: my-method"),
        ("../x", "ssl", "'../x' is no name", "For example: x"),
        ("9lives", "ssl", "'9lives' is no name", "For example: lives"),
        ("", "ssl", "'' is no name", "For example: my-method"),
        ("a--b", "ssl", "'a--b' is no name", "For example: a-b"),
        ("a\n", "ssl", "'a\n' is no name", "For example: a"),
        ("é", "ssl", "'é' is no name", "For example: my-method"),
        ("x" * 31, "ssl", f"'{'x' * 31}' is no name", f"For example: {'x' * 30}"),
        ("mmtk-9x", "ssl", "'mmtk-9x' is no name", "For example: x"),
        ("mmtk-", "ssl", "'mmtk-' is no name", "For example: my-method"),
        ("fine", "sll", "--kind sll: no such kind. Did you mean 'ssl'?", "Kinds: encoder, decoder, bridge"),
        ("none", "encoder", "'none' would make a class called None, which is a keyword of Python.", "Choose"),
        ("bridge", "bridge", "'bridge' would make a class called Bridge, as what", "example: my-bridge"),
        ("term", "ssl", "'term' would make a class called Term, as what it imports", "For example: my-term"),
        ("confidence", "ssl", "ssl/confidence is there already, from mmtk ", "mmtk plugins show ssl/confidence"),
    ],
)
def test_bad_and_taken_names_are_refused_with_the_cure(tmp_path, name, kind, message, hint):
    with pytest.raises(MmtkError) as caught:
        scaffold.write_package(name, kind, tmp_path)
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_an_installed_distribution_of_that_name_is_refused(tmp_path, monkeypatch):
    install(tmp_path / "site", "mmtk-gentle", {"bridge/other": "m:C"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    refresh()
    try:
        with pytest.raises(
            MmtkError, match="a distribution called mmtk-gentle is installed; it brings bridge/other"
        ):
            scaffold.write_package("gentle", "ssl", tmp_path)
    finally:
        monkeypatch.undo()
        refresh()


def test_an_existing_folder_stays_as_it_is(tmp_path):
    (tmp_path / "mmtk-gentle").mkdir()
    (tmp_path / "mmtk-gentle" / "mine.txt").write_text("precious")
    with pytest.raises(MmtkError, match="is there already") as caught:
        scaffold.write_package("gentle", "ssl", tmp_path)
    assert caught.value.where == str(tmp_path / "mmtk-gentle")
    assert [path.name for path in (tmp_path / "mmtk-gentle").iterdir()] == ["mine.txt"]


def test_a_file_in_the_place_of_the_folder_is_a_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MmtkError, match="is a file, not a folder"):
        scaffold.write_package("gentle", "ssl", tmp_path / "file")


def test_a_command_that_writes_a_package_needs_no_torch(tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "mmtk", "plugins", "new", "gentle", "--kind", "ssl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not re.search(r"\| +(torch|numpy|rich)$", done.stderr, re.MULTILINE)


def test_the_tutorial_s_plugin_is_what_the_command_writes(tmp_path, monkeypatch):
    """Only the name of its class, its README and one more test are its own."""
    monkeypatch.setattr(catalog, "_third_party", lambda: ())  # it may be installed here, and so be taken
    written = scaffold.write_package("hello", "ssl", tmp_path).folder
    for name in ("mmtk_hello.py", "pyproject.toml", "recipe.toml"):
        ours = re.sub(r"  # noqa.*", "", (PLUGINS / "mmtk-hello" / name).read_text())
        assert ours == re.sub(r"\bHello\b", "Entropy", (written / name).read_text()), name


def test_a_folder_that_cannot_be_written_is_told_with_the_option_of_this_command():
    """``/proc`` takes no folder, not even root's."""
    with pytest.raises(MmtkError, match=r"the package cannot be written \(.+\)") as refused:
        scaffold.write_package("gentle-one", "ssl", Path("/proc/packages"))
    assert refused.value.where == "/proc/packages/mmtk-gentle-one"
    assert refused.value.hint == "Choose another --dir."
