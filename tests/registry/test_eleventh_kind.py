"""A kind that mmtk does not have costs a contract, a row, a template and a check, and no other change."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import fork_server
import pytest
from fake_plugin import install

from mmtk.registry.catalog import BUILTINS
from mmtk.registry.kinds import KINDS, TEMPLATES

KIND = '''
"""Schedules: a contract, its checks, and its row."""
from abc import ABC, abstractmethod
from pathlib import Path

from mmtk.registry.kinds import KINDS, Kind
from mmtk.testing.check import Subject, expect


class Schedule(ABC):
    """(*, …): a factor of the learning rate."""

    @abstractmethod
    def factor(self, progress: float) -> float:
        """Progress in [0, 1] → a factor."""


def ends_lower_than_it_begins(subject: Subject) -> None:
    """The factor falls."""
    schedule = subject.make()
    begin, end = schedule.factor(0.0), schedule.factor(1.0)
    expect(end < begin, "a factor that falls", f"{begin} to {end}", "let it fall.")


CHECKS = (ends_lower_than_it_begins,)
KINDS["schedule"] = Kind(
    "schedule",
    "schedules:Schedule",
    "schedules:CHECKS",
    Path(__file__).with_name("template.py"),
    tables=("schedule",),
)
'''
TEMPLATE = '''
"""A schedule."""
from schedules import Schedule


class Example(Schedule):
    """Fall in a straight line.

    end: the last factor.
    """

    def __init__(self, *, end: float = 0.1) -> None:
        self.end = end

    def factor(self, progress: float) -> float:
        """Progress in [0, 1] → from 1 to ``end``."""
        return 1 - (1 - self.end) * progress
'''
# A kind is there before anything of mmtk is imported; the process that this is a fork of has imported it.
SCRIPT = """
import json, sys
for name in [name for name in sys.modules if name.split(".")[0] == "mmtk"]:
    del sys.modules[name]
import schedules
from mmtk.cli import main
for arguments in json.load(sys.stdin):
    print("$", *arguments, flush=True)
    sys.argv = ["mmtk", *arguments]
    try:
        main.main()
    except SystemExit as done:
        print("exit code", done.code or 0, flush=True)
"""


def commands(folder: Path, *lines: str) -> dict[str, str]:
    """Run commands of mmtk in one process that has the row: what each printed, with its exit code."""
    paths = os.pathsep.join(map(str, (folder, folder / "site", folder / "mmtk-gentle")))
    done = subprocess.run(
        [fork_server.python(), "-c", SCRIPT],
        input=json.dumps([line.split() for line in lines]),
        env=os.environ | {"PYTHONPATH": paths, "MMTK_PLUGINS": "mmtk-gentle"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    outputs = dict(part.split("\n", 1) for part in done.stdout.split("$ ")[1:])
    return {line: outputs[line] + (done.stderr if "exit code 0" not in outputs[line] else "") for line in lines}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the kind, and a package of it as ``mmtk plugins new`` writes it, installed."""
    folder = tmp_path_factory.mktemp("kind")
    (folder / "schedules.py").write_text(KIND)
    (folder / "template.py").write_text(TEMPLATE)
    new = "plugins new gentle --kind schedule"
    output = commands(folder, new)[new]
    assert "exit code 0" in output, output
    assert "mmtk plugins check schedule/gentle" in output
    install(folder / "site", "mmtk-gentle", {"schedule/gentle": "mmtk_gentle:Gentle"})
    return folder


def test_it_is_listed_shown_checked_and_stands_in_a_recipe(folder: Path) -> None:
    recipe = "mmtk-gentle/recipe.toml"
    (folder / "wrong.toml").write_text('extends = "multimix"\n[schedule]\nuse = "gentle"\nstart = 2\n')
    (folder / "none.toml").write_text('extends = "multimix"\n[schedule]\nuse = "steep"\n')
    output = commands(
        folder,
        "plugins",
        "plugins show schedule/gentle",
        "plugins check schedule/gentle",
        "plugins check schedule/gentle --set end=2.0",
        f"show {recipe}",
        "check wrong.toml",
        "check none.toml",
        "schema",
    )
    assert re.search(r"schedule +gentle +mmtk-gentle 1\.0\s+Fall in a straight line\.", output["plugins"])
    description = output["plugins show schedule/gentle"]
    assert "end: number, default 0.1" in description
    assert "Tasks: classification, segmentation" in description
    assert "✓ ends-lower-than-it-begins" in output["plugins check schedule/gentle"]
    assert "All 6 checks passed" in output["plugins check schedule/gentle"]
    assert "✗ ends-lower-than-it-begins" in output["plugins check schedule/gentle --set end=2.0"]
    assert "[schedule]" in output[f"show {recipe}"]
    assert "end = 0.1" in output[f"show {recipe}"]
    assert "schedule.start: unknown key" in output["check wrong.toml"]
    assert "No schedule component is called 'steep'" in output["check none.toml"]
    assert '"schedule/gentle"' in output["schema"]


def test_a_row_is_complete() -> None:
    assert {*BUILTINS} == {*KINDS}
    for name, kind in KINDS.items():
        assert name == kind.name
        assert kind.contract_class.__name__ == kind.contract_name.rpartition(".")[2]
        assert kind.template == TEMPLATES / f"{name}.py"
        assert set(kind.lasting) <= {key for key, _, _ in kind.added_keys}
