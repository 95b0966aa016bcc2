"""Finished runs read back from their files, checked, and grouped into cells: all that reports see."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.errors import MmtkError
from mmtk.io.files import read_facts
from mmtk.runs.folder import RunDir
from mmtk.runs.score_names import current, read_declarations
from mmtk.scores import ScoreInfo, info
from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN

SHARED_DATA = ("allowed", "shared encoder")  # how warnings of results.json on data shared with training begin


@dataclass(frozen=True)
class Run:
    """One finished run: what its files say.

    ``tested`` holds a hash of the ids of every test set by ``task/domain``: what must agree between runs compared.
    ``seconds`` is how long training took, ``memory`` the most that the process had by then, in GB; None where the
    run does not say it (mmtk 0.2.0 and before).
    """

    folder: RunDir
    digest: str
    seed: int
    scores: Mapping[str, Any]
    provenance: Mapping[str, Any]
    tested: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    memory: float | None = None

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.folder.path

    def score(self, domain: str, task: str, metric: str) -> float | None:
        """One number of ``results.json``; None where the run has none."""
        value = self.scores.get(domain, {}).get(task, {}).get(metric)
        return None if value is None else float(value)

    @cached_property
    def declared(self) -> dict[str, dict[str, ScoreInfo]]:
        """The declared scores by task."""
        return read_declarations(self.folder, self.provenance)

    def score_info(self, task: str, metric: str) -> ScoreInfo:
        """The declaration of a score."""
        return info(self.declared.get(task, {}), metric)

    @cached_property
    def data(self) -> dict[str, Any]:
        """Counts of parts and classes, and intensities, by ``task/domain`` (mmtk.model.examples.describe)."""
        return read_facts(self.folder.data_file)

    @cached_property
    def layers(self) -> tuple[list[dict[str, Any]], int]:
        """The layers of the network in the order they run (mmtk.model.layers), and the size of the images."""
        file = self.folder.layers_file
        if not file.is_file():
            raise MmtkError("it has no layers.json, which runs of mmtk 0.1 did not write.", str(self.path))
        facts = read_facts(file, size=int, layers=list)
        return facts["layers"], facts["size"]

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Arrays of a few test images under ``DOMAIN/TASK/WHAT`` (mmtk.model.examples.write_samples)."""
        return read_arrays(self.folder.samples_file)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a NumPy archive by name; MmtkError for a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise MmtkError(f"cannot be read: {error}", str(path)) from error


def read_run(path: Path) -> Run:
    """A finished run; MmtkError for one that is unfinished, or whose files are not as it left them."""
    folder = RunDir(path)
    if not folder.recipe_file.is_file():
        raise folder.no_run()
    if folder.model.is_file():
        cure = "Name the run that it was exported from."
        raise MmtkError("is an exported model, not a run: it holds no results.", str(path), cure)
    if not folder.finished:
        cure = f"Finish it with: {folder.command('run')}"
        raise MmtkError("this run is not finished.", str(path), cure)
    seal = read_facts(folder.done_file, files=dict, training_seconds=(int, float))
    if changed := folder.altered(seal):
        verb = "was" if len(changed) == 1 else "were"
        raise MmtkError(
            f"{', '.join(changed)} {verb} changed or cut after the run ended, so its numbers do not count.",
            str(path),
            f"Restore them, or remove {folder.done_file.name} and finish it again: {folder.command('run')}",
        )
    provenance = read_facts(folder.provenance_file, digest=str, seed=int, data=dict)
    scores = current(read_facts(folder.results_file))
    if not any(scores.get(domain) for domain in (IN_DOMAIN, CROSS_DOMAIN)):
        cure = "Its results.json has the validation score under selected."
        raise MmtkError("this run scored no test set (evaluate.test = false), as trials do.", str(path), cure)
    return Run(
        folder,
        provenance["digest"],
        provenance["seed"],
        scores,
        provenance,
        _tested(folder),
        float(seal["training_seconds"]),
        seal.get("peak_memory_gb"),
    )


def _tested(folder: RunDir) -> dict[str, str]:
    splits = read_facts(folder.splits_file)
    splits = read_facts(folder.splits_file, **dict.fromkeys(splits, dict))
    names = {IN_DOMAIN: "test", CROSS_DOMAIN: CROSS_DOMAIN}
    return {
        f"{task}/{domain}": hashlib.sha256(json.dumps(parts[part]).encode()).hexdigest()
        for task, parts in splits.items()
        for domain, part in names.items()
        if part in parts
    }


def check_comparable(runs: Iterable[Run], folds: int = 0) -> None:
    """Raise MmtkError naming the runs whose data or test images differ from the others'.

    ``folds``: of a repeat; then runs of one seed alone have the in-domain test images in common
    """
    first_values: dict[tuple[str, str], tuple[str, Run]] = {}
    wrong = []
    for run in runs:
        facts = {("data", name): digest for name, digest in run.provenance["data"].items()}
        of_fold = f" of seed {run.seed}" if folds else ""
        facts |= {
            ("test images", name + (of_fold if name.endswith(f"/{IN_DOMAIN}") else "")): digest
            for name, digest in run.tested.items()
        }
        for (what, name), digest in facts.items():
            first, other = first_values.setdefault((what, name), (digest, run))
            if digest != first:
                wrong.append(f"{run.path} and {other.path} have other {what} in {name}")
    if wrong:
        raise MmtkError(
            f"these runs cannot be compared: {'; '.join(wrong[:3])}{' …' if len(wrong) > 3 else ''}.",
            hint="Report them apart, or run one of them again on the data of the other.",
        )
