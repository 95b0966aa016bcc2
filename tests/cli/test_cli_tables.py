"""Tables of commands in a pipe: every name is whole, however wide the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import caller

from mmtk.io.extras import requirements
from mmtk.recipe.load import load_recipe
from mmtk.registry.catalog import entries


def table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """Output of a command that a pipe reads on a narrow terminal."""
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = caller(monkeypatch, capsys)(*command)
    assert "…" not in out
    return out


def test_plugins_names_every_component(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [line.split() for line in table(monkeypatch, capsys, "plugins").splitlines()]
    assert {(entry.kind, entry.name) for entry in entries()} <= {(row[0], row[1]) for row in rows if len(row) > 1}


@pytest.mark.long
def test_doctor_names_every_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = table(monkeypatch, capsys, "doctor").split()
    assert {requirement.name for requirement in requirements()} <= {*words}


def test_diff_names_every_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {line.split()[0] for line in table(monkeypatch, capsys, "diff", "multimix", "enc").splitlines() if line}
    multimix, enc = load_recipe("multimix"), load_recipe("enc")
    differing = {key for key in ("bridge.use", "consistency.use", "ssl.use") if multimix.get(key) != enc.get(key)}
    assert differing
    assert differing <= keys
