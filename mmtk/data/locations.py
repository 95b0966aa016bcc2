"""Folders of the data sets of a recipe."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mmtk.errors import MmtkError
from mmtk.recipe.recipe import Recipe


def data_root(data: str | Path | None = None) -> Path | None:
    """Folder of the data sets: ``--data``, else ``MMTK_DATA``, else None."""
    folder = data or os.environ.get("MMTK_DATA")
    try:
        return Path(folder).expanduser() if folder else None
    except RuntimeError as error:
        raise MmtkError("there is no such home directory.", str(folder), "Give the whole path.") from error


def data_paths(recipe: Recipe, root: Path | None = None) -> list[Path]:
    """Existing folders and files that the keys of the recipe's sources name."""
    tables = [recipe.source(task, domain) or {} for task in recipe.tasks for domain in ("source", "cross")]
    texts = [value for table in tables for key, value in table.items() if isinstance(value, str) and key != "use"]
    fixed = [re.split(r"(?:^|/)\*(?:/|$)", text)[0] for text in texts if text]  # of a pattern such as "*/images"
    paths = dict.fromkeys((root or Path("data")) / text for text in fixed)
    return [path for path in paths if os.path.exists(path)]
