"""Files and folders in place of a recipe, a profile or a suite, and what to do with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from mmtk.errors import MmtkError
from mmtk.images.files import SUFFIXES
from mmtk.io.packed import inner_suffix
from mmtk.io.spelling import command

_PLAN = "mmtk data plan FOLDER writes a profile for the folder of the films"
_KINDS = {
    **dict.fromkeys(SUFFIXES, ("an image", f"{_PLAN}. mmtk predict RUN IMAGE --out DIR predicts one.")),
    **dict.fromkeys(
        (".csv", ".tsv", ".xlsx", ".xlsm", ".xls", ".ods", ".parquet"),
        ("a table", f"{_PLAN}, and reads the table that lies beside them, or that --labels names."),
    ),
    **dict.fromkeys(
        (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z"), ("an archive", f"Unpack it. {_PLAN}.")
    ),
}


def checked(path: str, what: str) -> Path:
    """Return the path of a file; refuse one that is an image, a table or an archive by its suffix.

    path: as it was given
    what: that it should be: recipe, profile or suite
    """
    suffixes = inner_suffix(Path(path)), Path(path).suffix.lower()  # of a packed table, that of the table
    kind, cure = next((_KINDS[suffix] for suffix in suffixes if suffix in _KINDS), ("", ""))
    if kind:
        raise MmtkError(f"{path} is {kind}, not a {what}.", hint=cure)
    return Path(path)


def refuse_folder(path: str, what: str) -> NoReturn:
    """Refuse a folder, with what to do with it: a study, or films.

    path: as it was given
    what: that it should be: recipe, profile or suite
    """
    if os.path.isfile(Path(path, "study.json")):
        cure = f"It is a study: {command('ablate', path)} continues it."
    else:
        run = "A run directory would have a recipe.toml. " if what == "recipe" else ""
        cure = f"{run}For films in it, {command('data', 'plan', path)} writes a profile."
    raise MmtkError(f"{path} is a folder, not a {what}.", hint=cure)
