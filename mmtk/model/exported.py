"""Header of an exported model: facts that travel with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmtk.errors import MmtkError
from mmtk.model import checkpoint
from mmtk.runs.folder import RunDir

KEYS = ("name", "run", "digest", "seed", "mmtk", "size", "channels", "targets", "thresholds", "components", "data")


def read_about(folder: Path) -> dict[str, Any]:
    """The facts that lie in the weights of an exported folder."""
    file = RunDir(folder).model
    _, note = checkpoint.read(file, "It is damaged: copy it again, or export the run again.")
    if missing := [key for key in KEYS if key not in note]:
        cure = "Make the folder with: mmtk export RUNDIR --format safetensors"
        raise MmtkError(f"was not written by mmtk export: it does not say {', '.join(missing)}.", str(file), cure)
    return note
