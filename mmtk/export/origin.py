"""Origin of an exported model, and the place of exports."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io.outputs import FREE
from mmtk.model.exported import read_about
from mmtk.runs.finished import Run, read_run
from mmtk.runs.folder import RunDir
from mmtk.tasks import IN_DOMAIN

About = Mapping[str, Any]


def about(run: Run) -> dict[str, Any]:
    """Facts of a finished run that travel with its weights; no path and no name of a machine is among them.

    ``targets`` are classes and organs by task. ``thresholds``: of the second class, chosen on validation (None
    where there are not two), and of a mask. ``components`` and ``data`` are versions and digests.
    """
    recipe = run.folder.recipe
    return {
        "name": recipe.name,
        "run": recipe.run_name,
        "digest": run.digest,
        "seed": run.seed,
        "mmtk": run.provenance["mmtk"],
        "size": recipe.data.size,
        "channels": recipe.data.channels,
        "targets": run.provenance["targets"],
        "thresholds": {"classification": run.score(IN_DOMAIN, "classification", "threshold"), "segmentation": 0.5},
        "components": run.provenance["components"],
        "data": run.provenance["data"],
    }


def origin(path: Path) -> dict[str, Any]:
    """The facts of a finished run or of an exported folder; MmtkError for anything else."""
    folder = RunDir(path)
    if folder.model.is_file():
        return read_about(path)
    if not folder.recipe_file.is_file():
        raise folder.no_run()
    return about(read_run(path))


def origin_of_all(paths: Sequence[Path]) -> dict[str, Any]:
    """The facts of one run or exported folder, or of an ensemble: names of all, and a digest over them.

    An ensemble has no threshold chosen on validation: those of its runs are not that of their mean.
    """
    members = [origin(path) for path in paths]
    if len(members) == 1:
        return members[0]
    names = [f"{one['digest']}-s{one['seed']}" for one in members]
    digest = hashlib.sha256(" ".join(sorted(names)).encode()).hexdigest()[:10]
    return {
        **members[0],
        "name": f"Ensemble of {counted(len(members), 'run')}, the first {members[0]['name']}",
        "run": f"ensemble-{digest}",
        "digest": digest,
        "seed": ", ".join(names),
        "thresholds": {"classification": None, "segmentation": 0.5},
    }


def place(out: Path, is_earlier_export: Callable[[], bool]) -> None:
    """Refuse an ``out`` that could not be written, or is not ours to replace, before any work is done.

    ``is_earlier_export`` says whether what lies at ``out`` is an earlier export of the same run.
    """
    above = next(folder for folder in (out.parent, *out.parent.parents) if folder.exists())
    if not above.is_dir():
        raise MmtkError("is a file, not a folder.", str(above), "Choose another --out.")
    if not os.access(above, os.W_OK):
        raise MmtkError("cannot be written in: permission denied.", str(above), "Choose another --out.")
    if out.is_symlink():
        raise MmtkError("is a symbolic link.", str(out), FREE)
    if out.exists() and not is_earlier_export():
        raise MmtkError("is there already, and is no export of this run.", str(out), FREE)


def same_run(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two exports come from one run: the same recipe and seed."""
    return all(str(one.get(key)) == str(other.get(key)) for key in ("digest", "seed"))
