"""Finished runs of mmtk that were never one study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtk.compare.records import CASE, Records, empty_cases, empty_numbers
from mmtk.compare.request import Request
from mmtk.compare.study import formulas
from mmtk.errors import MmtkError, listing
from mmtk.recipe.recipe import Recipe
from mmtk.runs.arrays import read_cases
from mmtk.runs.finished import Run, read_run
from mmtk.study.folder import StudyDir
from mmtk.tasks import DOMAINS

if TYPE_CHECKING:
    from pandas import DataFrame


def read_runs(request: Request) -> tuple[Records, list[str]]:
    """Records of runs, and how systems are named in words."""
    runs = [run for source in request.sources for run in _runs(Path(source))]
    names = _names(runs, request)
    seen: dict[tuple[str, int], Run] = {}
    frames, numbers = [], []
    result = Records(empty_cases(), empty_numbers())
    for run, name in zip(runs, names, strict=True):
        if (other := seen.setdefault((name, run.seed), run)) is not run:
            both = f"{run.path} and {other.path} are both system '{name}', seed {run.seed}"
            raise MmtkError(f"{both}.", hint="Name one of them, or what tells them apart: --by KEY.")
        for task, scores in run.declared.items():
            shown_scores = {key: info for key, info in scores.items() if info.shown}
            result.declared[task] = {**shown_scores, **result.declared.get(task, {})}
            result.classes.setdefault(task, list(run.provenance.get("targets", {}).get(task, {}).get("names", [])))
        tables = read_cases([run.folder.cases_file]) if run.folder.cases_file.is_file() else {}
        frames += [_frame(name, run, part, table) for part, table in tables.items()]
        numbers += list(_numbers(name, run, tables))
    return _whole(result, frames, numbers), [
        f"systems: {listing(dict.fromkeys(names), 12)}",
        f"named by {', '.join(request.by) if request.by else 'the recipe'}",
        "seed = seed",
    ]


def _runs(path: Path) -> Iterator[Run]:
    """The runs of a source: a run, or all of a study."""
    if (path / "study.json").is_file():
        for cell in StudyDir(path).collect().cells:
            yield from (run for _, run in sorted(cell.runs.items()))
    else:
        yield read_run(path)


def _names(runs: list[Run], request: Request) -> list[str]:
    """The system of every run: the values of keys of its recipe, else its name, told apart where it is shared."""
    if request.by:
        recipes = [run.folder.recipe for run in runs]
        if unknown := [key for key in request.by if all(_value(recipe, key) == "none" for recipe in recipes)]:
            cure = "mmtk show RECIPE lists them, such as ssl.use."
            raise MmtkError(f"--by {listing(unknown)}: no run has a value of it.", hint=cure)
        return [" ".join(_value(recipe, key) for key in request.by) for recipe in recipes]
    recipes = [run.folder.recipe for run in runs]
    digests: dict[str, set[str]] = {}
    for recipe in recipes:
        digests.setdefault(recipe.name, set()).add(recipe.digest)
    lone = {name for name, shared in digests.items() if len(shared) == 1}
    return [recipe.name if recipe.name in lone else f"{recipe.name} {recipe.digest[:6]}" for recipe in recipes]


def _value(recipe: Recipe, key: str) -> str:
    value = recipe.get(key.removeprefix("params."))
    return "none" if value is None else str(value)


def _frame(system: str, run: Run, part: tuple[str, str], table: Mapping[str, np.ndarray]) -> DataFrame:
    """Values per image of one run and test set as rows.

    system: name
    run: with its declarations: values that no table shows are left out
    part: test set and task
    table: values by name
    """
    from pandas import DataFrame

    columns: dict[str, Any] = {"system": system, "seed": str(run.seed), "domain": part[0], "task": part[1]}
    declared = run.declared.get(part[1], {})
    columns |= {"id": table["id"], "patient": table.get("patient")}
    for name, values in table.items():
        if name not in columns and (name not in declared or declared[name].shown):
            columns[name] = values if values.ndim == 1 else values[0]
    return DataFrame(columns)


def _numbers(
    system: str, run: Run, tables: Mapping[tuple[str, str], Mapping[str, np.ndarray]]
) -> Iterator[dict[str, Any]]:
    """Scores that do not follow from values per image.

    system: name
    run: with its results
    tables: values per image by test set
    """
    for domain in DOMAINS:
        for task, scores in run.scores.get(domain, {}).items():
            declared = run.declared.get(task, {})
            with_cases = {metric for metric, _, _ in formulas(declared, tables.get((domain, task), {}))}
            for metric, value in scores.items():
                if (
                    value is not None
                    and metric not in with_cases
                    and metric in declared
                    and declared[metric].shown
                ):
                    key = {"system": system, "seed": str(run.seed), "domain": domain, "task": task}
                    yield {**key, "metric": metric, "value": float(value)}


def _whole(result: Records, frames: list[DataFrame], numbers: list[dict[str, Any]]) -> Records:
    from pandas import DataFrame, concat

    if frames:
        result.cases = concat(frames, ignore_index=True)
        result.cases["patient"] = (
            result.cases["patient"].astype(object).where(result.cases["patient"].notna(), None)
        )
        order = [*CASE, "patient"]
        result.cases = result.cases[[*order, *(name for name in result.cases if name not in order)]]
    if numbers:
        result.numbers = DataFrame(numbers)
    return result
