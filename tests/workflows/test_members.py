"""Arguments of commands that take runs, then images."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmtk.errors import MmtkError
from mmtk.workflows.members import leading_runs


def test_a_run_behind_something_else_is_refused_with_the_right_order(tmp_path: Path) -> None:
    run, films, film = tmp_path / "run", tmp_path / "Frau Öztürk, Zoë", tmp_path / "film.png"
    run.mkdir()
    films.mkdir()
    film.touch()
    for name in ("recipe.toml", "run.lock"):
        (run / name).touch()
    assert leading_runs([run, run, films, film]) == ([run, run], [films, film])
    for first, what in ((films, "a folder without a run"), (film, "a file")):
        with pytest.raises(MmtkError, match=f"{first.name}: is {what}, and {run} behind it is a run") as caught:
            leading_runs([first, run])
        assert caught.value.hint == "Name the run first."
