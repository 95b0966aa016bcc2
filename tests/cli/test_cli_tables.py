"""Tables of commands in a pipe: every name is whole, and no line is wider than 80 signs."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import caller

from mmtk.cli.help import EXAMPLES
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


def test_without_a_terminal_no_line_is_wider_than_80_signs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    table = tmp_path / "published.csv"
    table.write_text(
        "system,setting,f1_ill,f1_well,accuracy\n"
        + "".join(
            f"a system with a long name {k},another setting {k % 2},0.{k}83,0.853,0.{k}5\n" for k in range(1, 6)
        )
    )
    call = caller(monkeypatch, capsys)
    for command in (
        *(["list"], ["plugins"], ["plugins", "show", "source/folder"], ["diff", "multimix", "enc"]),
        *(["show", "multimix"], ["audit", str(table)], ["audit", str(table), "--cases", "90", "--all"]),
        *(["--help"], *([*name.split(), "--help"] for name in EXAMPLES)),
    ):
        code, out, err = call(*command)
        wide = [line for line in out.splitlines() if len(line) > 80]
        assert (code, wide, err) == (0, [], ""), command
