"""Provenance of a run: versions, hardware, data digests, command; and checks that they still agree."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import torch

from mmtk.api import LabelSpec
from mmtk.errors import MmtkError
from mmtk.io import distributed
from mmtk.io.files import read_facts, write_json
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog, local_file
from mmtk.runs.folder import RunDir
from mmtk.runs.hardware import hardware
from mmtk.runs.versions import component_versions, expected_versions, listed, version_changes

LIBRARIES = ("torch", "timm", "segmentation-models-pytorch", "numpy", "pillow", "scipy")


class DataFacts(Protocol):
    """Data of a run by task and domain, as far as its provenance needs them."""

    @property
    def targets(self) -> dict[str, LabelSpec]:
        """Labels of each task."""

    @property
    def digests(self) -> dict[str, str]:
        """A hash of the content of every source, by ``task/domain``."""


def write_provenance(
    folder: RunDir, recipe: Recipe, data: DataFacts, root: Path | None, device: str, deterministic: bool
) -> None:
    """Write provenance.json of a new run; of one that goes on, check its data and note where they are now.

    folder: of the run
    recipe: of the run
    data: with the labels and the digest of every source
    root: data folder, None for sources without files
    device: ``cpu`` or ``cuda``
    deterministic: whether torch may use deterministic algorithms alone

    MmtkError if the run goes on and its data have changed.
    """
    data_folder = str(root.absolute()) if root else ""
    if folder.has_begun and folder.provenance_file.is_file():
        before = folder.provenance
        _check_digests(folder, before["data"], data.digests)
        if before.get("data_root") != data_folder:
            write_json(folder.provenance_file, {**before, "data_root": data_folder})
        return
    facts = {
        **_recipe_facts(recipe),
        "data": data.digests,
        "data_root": data_folder,
        "targets": {task: asdict(target) for task, target in data.targets.items()},
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "device": device,
        "deterministic": deterministic,
        **_process_facts(device),
    }
    write_json(folder.provenance_file, facts)


def _check_digests(folder: RunDir, before: dict[str, str], now: dict[str, str]) -> None:
    """Refuse to go on with data whose digests are not those of the run's start."""
    if before == now:
        return
    changed = ", ".join(name for name, digest in now.items() if before.get(name) != digest)
    raise MmtkError(
        f"the data of this unfinished run has changed: {changed}.",
        str(folder.path),
        "Restore the data, or choose another --out to start anew.",
    )


def _recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """Recipe, seed and the code of its components."""
    code = local_file.used_by([recipe])
    return {
        "mmtk": catalog.version(),
        "recipe": recipe.run_name,
        "digest": recipe.digest,
        "seed": recipe.seed,
        "profile": recipe.profile,
        "components": component_versions(recipe),
        "code": {"path": str(code.path.absolute()), "sha256": code.sha256} if code else {},
    }


def _process_facts(device: str) -> dict[str, Any]:
    """Hardware, commits, command and time of this process."""
    return {
        "devices": distributed.rank_and_world_size()[1],
        "hardware": hardware(device),
        "threads": torch.get_num_threads(),
        "git": _git(Path(__file__).parents[2]),
        "git_here": _git(_checkout(Path.cwd()), "--untracked-files=no"),
        "command": distributed.command(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def add_facts(folder: RunDir, facts: dict[str, Any]) -> None:
    """Add facts to provenance.json of a run that begins."""
    write_json(folder.provenance_file, {**folder.provenance, **facts})


def note_continuation(folder: RunDir, recipe: Recipe, step: int, warn: Callable[[str], None]) -> None:
    """Add the versions to provenance.json where they differ from those before, and warn.

    folder: of the run, with its provenance.json
    recipe: of the run; its components have versions too
    step: after which the run goes on, from 0
    warn: called with one sentence if a version has changed
    """
    facts = folder.provenance
    last = [facts, *facts.get("continued", [])][-1]
    torch_before, torch_now = last["libraries"].get("torch", ""), _version("torch")
    now = expected_versions(recipe)
    before = {"torch": torch_before, "mmtk": last["mmtk"], **last["components"]}
    changed = version_changes(before, {"torch": torch_now, **now})
    if not changed:
        return
    line = {
        "step": step,
        "mmtk": now["mmtk"],
        "libraries": {"torch": torch_now},
        "components": component_versions(recipe),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(folder.provenance_file, {**facts, "continued": [*facts.get("continued", []), line]})
    warn(f"this run goes on after step {step} with other versions than before ({listed(changed, 'then', 'now')}).")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _checkout(folder: Path) -> Path:
    """The folder, or that above it, which is a git repository; the folder itself where none is."""
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)


def _git(folder: Path, *options: str) -> dict[str, Any]:
    """Commit and dirty flag (``options`` of git status) of a checkout; empty for any other folder."""
    if not (folder / ".git").exists():
        return {}

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", *options))}
    except (OSError, subprocess.SubprocessError):
        return {}


# --- what must agree ---------------------------------------------------------------------------------------------


def check_versions(folder: RunDir, recipe: Recipe) -> None:
    """Refuse to train with other versions than the study was started with: another machine may have them.

    A finished run is what it is, whatever reads it.
    """
    if folder.finished or not folder.expected_file.is_file():
        return
    changed = version_changes(read_facts(folder.expected_file), expected_versions(recipe))
    if changed:
        versions = listed(changed, "there", "here")
        raise MmtkError(
            f"the study that this run belongs to was started with other versions ({versions}).",
            str(folder.path),
            f"Install the same versions on {platform.node()}, or continue the study from here: mmtk ablate.",
        )
