"""Folders of inspections: pictures of one profile do not replace those of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmtk.errors import MmtkError
from mmtk.inspection.sets import ORIGIN
from mmtk.io.files import write_json
from mmtk.workflows.inspect import _picture_folder


def drawn(folder: Path, origin: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    write_json(folder / ORIGIN, {"sets": origin})


def test_pictures_of_other_sets_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    films, others, more = ["films (folder ., profile a.toml)"], ["films (folder ., profile b.toml)"], ["masks"]
    inspect = Path("inspect")
    assert _picture_folder(None, films) == inspect
    drawn(inspect, films)
    assert _picture_folder(None, films) == _picture_folder(None, films + more) == inspect
    assert _picture_folder(None, others) == Path("inspect-2")
    drawn(Path("inspect-2"), others)
    assert _picture_folder(None, others) == Path("inspect-2")
    assert _picture_folder(None, more) == Path("inspect-3")
    assert _picture_folder("inspect", films) == inspect
    with pytest.raises(MmtkError, match=r"holds the pictures of films \(folder \., profile a\.toml\)") as caught:
        _picture_folder("inspect", others)
    assert caught.value.hint == "Name another folder: --out FOLDER."
    (inspect / ORIGIN).write_text("{}")  # of an earlier release, or damaged: whose they are is not known
    assert _picture_folder(None, others) == inspect
