"""A finished run as a folder to share: weights, recipe and model card, and nothing else of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtk.errors import MmtkError
from mmtk.export.card import model_card
from mmtk.export.origin import about, place, same_run
from mmtk.io.outputs import MANIFEST, OutputFolder
from mmtk.model import checkpoint
from mmtk.model.exported import read_about
from mmtk.model.predictor import load
from mmtk.registry.local_file import COPY
from mmtk.runs.files import MODEL
from mmtk.runs.finished import Run, read_run
from mmtk.runs.folder import RunDir


def write_shared(path: Path, out: Path | None = None) -> Path:
    """Write a finished run as a folder (default ``PATH/exports/RUN``) that ``mmtk.load`` takes like the run.

    ``model.safetensors`` holds the best weights, with classes, organs, versions and digests in its header;
    ``recipe.toml`` is the run's own, ``README.md`` the model card, and ``code.py`` the local file of components,
    where the run has one. Raises MmtkError for what is no finished run, for an ``out`` that holds something else
    than an earlier export of the same run, and for files there that were changed since, such as an edited card.
    """
    folder = RunDir(path)
    if folder.model.is_file():
        raise MmtkError("is an exported folder already.", str(path), "Copy it as it is.")
    if not folder.recipe_file.is_file():
        raise folder.no_run()
    run = read_run(path)
    facts = about(run)
    export = RunDir(out or path / "exports" / facts["run"])
    place(export.path, lambda: _is_export(export, facts))
    output = OutputFolder(export.path, "export", set_aside=out is None)
    names = (MODEL, "recipe.toml", COPY, "README.md")
    output.check(names)
    net = load(path, "cpu").net
    with output.alone(names):
        place(export.path, lambda: _is_export(export, facts))  # another export may have ended meanwhile
        # The weights first: they say whose folder it is, should the rest not come to be.
        with output.file(export.model.name) as temporary:
            checkpoint.save(temporary, {"": net}, None, facts)
        for name, text in _texts(run).items():
            with output.file(name) as temporary:
                temporary.write_bytes(text)
    return export.path


def write_all_shared(paths: Sequence[Path], out: Path | None = None) -> Path:
    """Write runs as ``write_shared`` does: several into folders in ``out``, named after the runs."""
    if len(paths) == 1:
        return write_shared(paths[0], out)
    if out is None:
        raise MmtkError("an ensemble has no folder of its own.", hint="Say where to write: --out DIR")
    load(paths, "cpu")  # refuses runs that are no ensemble
    for path in paths:
        write_shared(path, out / about(read_run(path))["run"])
    return out


def _is_export(folder: RunDir, facts: Mapping[str, Any]) -> bool:
    """Whether a folder is empty, or an earlier export of the run that has these facts."""
    if not folder.path.is_dir():
        return False
    if not folder.model.is_file():
        return all(item.name == MANIFEST for item in folder.path.iterdir())
    try:
        return same_run(read_about(folder.path), facts)
    except MmtkError:  # damaged, or another's: not ours to replace
        return False


def _texts(run: Run) -> dict[str, bytes]:
    """The files beside the weights: recipe, model card, and the local file of components, where there is one."""
    texts = {"recipe.toml": run.folder.recipe_file.read_bytes()}
    texts["README.md"] = model_card(run, other_seeds(run)).encode()
    if run.folder.code_file.is_file():
        texts[run.folder.code_file.name] = run.folder.code_file.read_bytes()
    return texts


def other_seeds(run: Run) -> list[Run]:
    """Finished runs beside this one, of the same recipe and data with other seeds: those of its study."""
    runs_by_seed: dict[int, Run] = {}
    for file in sorted(run.path.absolute().parent.glob("*/done.json")):
        try:
            other = read_run(file.parent)
        except MmtkError:  # no run, or a damaged one: it has no say
            continue
        same = (other.digest, other.provenance["data"]) == (run.digest, run.provenance["data"])
        if same and other.seed != run.seed:
            runs_by_seed.setdefault(other.seed, other)
    return list(runs_by_seed.values())
