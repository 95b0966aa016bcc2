"""The help: every command below a heading, whole sentences, examples that are commands, and completion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest
import typer

from mmtk.cli import help
from mmtk.cli import main as cli

ROOT = typer.main.get_command(cli.app)


def mmtk(capsys, monkeypatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["mmtk", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_every_command_stands_below_one_heading_with_its_whole_first_sentence(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = mmtk(capsys, monkeypatch, "--help")
    assert code == 0
    named = [name for group in help.GROUPS.values() for name in group]
    assert sorted(named) == sorted(ROOT.commands)
    words = " ".join(out.split())
    for heading in help.GROUPS:
        assert f"\n{heading}:\n" in out
    for name, command in ROOT.commands.items():
        assert f"{name} {' '.join(command.help.partition(chr(10) * 2)[0].split())}" in words
    assert "..." not in out.partition("\n")[2]


def test_arguments_have_no_types_of_python_and_one_sign_where_they_may_be_repeated(capsys, monkeypatch):
    for path in LEAVES:
        usage, _, rest = mmtk(capsys, monkeypatch, *path.split(), "-h")[1].partition("\n")
        assert "..." not in usage, usage
        assert not re.search(r"list\[| range>", rest), path
    assert usage.startswith("Usage: mmtk ")


def test_a_command_without_a_heading_stands_below_other(capsys, monkeypatch):
    monkeypatch.setattr(help, "GROUPS", {"Run": ("run",)})
    _, out, _ = mmtk(capsys, monkeypatch, "--help")
    assert "schema" in out.partition("\nOther:\n")[2]
    assert "Train, evaluate" not in out.partition("\nOther:\n")[2]


def test_without_a_command_the_help_is_on_standard_output(capsys, monkeypatch):
    for words in ((), ("data",)):
        code, out, err = mmtk(capsys, monkeypatch, *words)
        assert (code, err) == (2, ""), words
        assert out.startswith("Usage: mmtk")


@pytest.mark.parametrize("words", [("-h",), ("run", "-h"), ("help", "run"), ("plugins", "check", "-h"), ("help",)])
def test_every_spelling_of_help(capsys, monkeypatch, words):
    code, out, err = mmtk(capsys, monkeypatch, *words)
    assert (code, err) == (0, "")
    path = [word for word in words if word not in ("-h", "help")]
    assert out.startswith(f"Usage: {' '.join(['mmtk', *path])} ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["help", "rum"], "mmtk: mmtk has no command 'rum'. Did you mean 'run'?\n"),
        (["help", "run", "x"], "mmtk: mmtk has no command 'run x'.\n"),
        (["help", "plugins", "chek"], "mmtk: mmtk has no command 'plugins chek'. Did you mean 'check'?\n"),
    ],
)
def test_help_for_no_command_names_the_nearest(capsys, monkeypatch, words, message):
    assert mmtk(capsys, monkeypatch, *words) == (2, "", message)


def leaves(command, path=""):
    for name, each in getattr(command, "commands", {}).items():
        yield from leaves(each, f"{path} {name}".strip())
    if path and not hasattr(command, "commands"):
        yield path, command


LEAVES = dict(leaves(ROOT))


def test_examples_are_of_commands_and_every_command_with_arguments_has_one():
    assert set(help.EXAMPLES) <= set(LEAVES)
    asking = {path for path, command in LEAVES.items() if any(p.required for p in command.params)}
    assert asking <= set(help.EXAMPLES)


@pytest.mark.parametrize("path", help.EXAMPLES)
def test_an_example_is_a_line_of_its_command_and_is_printed(capsys, monkeypatch, path):
    _, out, _ = mmtk(capsys, monkeypatch, *path.split(), "--help")
    for example in help.EXAMPLES[path]:
        assert f"\n  {example}\n" in f"{out}\n"
        words = shlex.split(example.partition(" > ")[0])
        assert words[1 : 1 + len(path.split())] == path.split()
        rest = [word for word in words[1 + len(path.split()) :] if not word.startswith("--code")]
        with LEAVES[path].make_context(
            path, rest[: rest.index("my_method.py")] if "my_method.py" in rest else rest
        ):
            pass  # it parses


def test_a_shell_completes_commands():
    environment = os.environ | {"_MMTK_COMPLETE": "complete_bash", "COMP_WORDS": "mmtk re", "COMP_CWORD": "1"}
    script = [sys.executable, "-c", "from mmtk.cli.main import main; main()"]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["report"], done.stderr
