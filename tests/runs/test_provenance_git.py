"""The commit that provenance names: of the repository in which the user works, and of mmtk's own checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tiny import tiny

from mmtk.runs import provenance
from mmtk.tracking.payload import tags


def commit(folder: Path) -> str:
    git = ["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first", "--allow-empty"]):
        subprocess.run([*git, *words], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def test_the_repository_of_a_folder_below_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "recipe.toml").write_text("")
    first = commit(tmp_path)
    (tmp_path / "below" / "results").write_text("")
    found = provenance._git(provenance._checkout(tmp_path / "below"), "--untracked-files=no")
    assert found == {"commit": first, "dirty": False}
    (tmp_path / "recipe.toml").write_text("seed = 1")
    assert provenance._git(tmp_path, "--untracked-files=no")["dirty"]


def test_a_folder_without_a_repository(tmp_path: Path) -> None:
    assert provenance._checkout(tmp_path) == tmp_path
    assert provenance._git(tmp_path) == {}


def test_the_users_commit_is_the_source_of_a_tracked_run() -> None:
    about = {"device": "cpu", "hardware": "", "mmtk": "0", "python": "3", "libraries": {}, "components": {}}
    about |= {"command": ["mmtk"], "data": {}, "created": "", "git": {"commit": "a", "dirty": False}}
    without = tags(tiny("multimix"), about, {}, {})
    assert without["mlflow.source.git.commit"] == "a"
    assert "mmtk.git.commit" not in without
    found = tags(tiny("multimix"), about | {"git_here": {"commit": "b", "dirty": True}}, {}, {})
    assert (found["mlflow.source.git.commit"], found["mmtk.source.git.dirty"]) == ("b", "True")
    assert found["mmtk.git.commit"] == "a"
