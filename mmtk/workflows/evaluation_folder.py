"""Folders of evaluations: what the one in a folder was made of, so that no other evaluation replaces it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtk.errors import MmtkError
from mmtk.io.files import read_json
from mmtk.io.outputs import free_folder, refuse_other
from mmtk.runs.folder import RunDir


@dataclass(frozen=True)
class Origin:
    """Names of the runs that were averaged, and the folders of films or the profile that they were scored on."""

    runs: list[str]
    data: list[str]

    @classmethod
    def of(cls, runs: Sequence[RunDir], folders: Sequence[Path], profile: str | None) -> Origin:
        """Name runs by recipe and seed, which stay where a study is moved, and folders by their paths."""
        names = [run.recipe.run_name for run in runs]
        return cls(names, [str(path.absolute()) for path in folders] or [profile or OWN])


OWN = "the data of the run"


def refuse_other_evaluation(folder: Path, origin: Origin) -> None:
    """Refuse a folder with the evaluation of other runs, or on other data; runs may have been added."""
    if earlier := _origin(folder):
        refuse_other(folder, "the evaluation", earlier.runs, origin.runs)
        refuse_other(folder, "the evaluation", [", ".join(earlier.data)], [", ".join(origin.data)])


def free_evaluation(folder: Path, origin: Origin) -> Path:
    """The folder, with a number behind it where it holds an evaluation on other films of the same name."""
    return free_folder(folder, lambda free: (earlier := _origin(free)) is not None and earlier.data != origin.data)


def _origin(folder: Path) -> Origin | None:
    """Origin of the evaluation in a folder; None where there is none, or one that does not say it."""
    try:
        facts = read_json(folder / "evaluation.json")
        return Origin(list(facts["origin"]["runs"]), list(facts["origin"]["data"]))
    except (MmtkError, OSError, KeyError, TypeError):
        return None
