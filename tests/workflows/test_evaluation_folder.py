"""Folders of evaluations: no other evaluation replaces the one in a folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from mmtk.errors import MmtkError
from mmtk.io.files import write_json
from mmtk.workflows.evaluation_folder import Origin, free_evaluation, refuse_other_evaluation

FILMS = Origin(["unet-1-s0"], ["/a/films"])


def test_films_of_the_same_name_have_a_folder_of_their_own(tmp_path: Path) -> None:
    folder, others = tmp_path / "films", Origin(FILMS.runs, ["/b/films"])
    assert free_evaluation(folder, FILMS) == folder
    folder.mkdir()
    write_json(folder / "evaluation.json", {"origin": asdict(FILMS)})
    assert free_evaluation(folder, FILMS) == folder
    assert free_evaluation(folder, others) == tmp_path / "films-2"


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        (FILMS, ""),
        (Origin(["unet-1-s0", "unet-1-s1"], FILMS.data), ""),  # a run was added
        (Origin(["umtl-2-s0"], FILMS.data), "holds the evaluation of unet-1-s0, which this one would replace"),
        (Origin(FILMS.runs, ["/b/films"]), "holds the evaluation of /a/films, which this one would replace"),
    ],
)
def test_an_evaluation_of_other_runs_or_films_is_not_replaced(
    tmp_path: Path, origin: Origin, message: str
) -> None:
    write_json(tmp_path / "evaluation.json", {"origin": asdict(FILMS)})
    if not message:
        refuse_other_evaluation(tmp_path, origin)
        return
    with pytest.raises(MmtkError, match=message) as caught:
        refuse_other_evaluation(tmp_path, origin)
    assert caught.value.hint == "Name another folder: --out FOLDER."


def test_an_evaluation_of_an_earlier_release_does_not_say_its_origin(tmp_path: Path) -> None:
    write_json(tmp_path / "evaluation.json", {"sets": []})
    refuse_other_evaluation(tmp_path, FILMS)
    assert free_evaluation(tmp_path, FILMS) == tmp_path
