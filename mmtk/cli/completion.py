"""Completions of the shell: recipes, profiles, components, and folders of runs and studies; without torch."""

from __future__ import annotations

import glob
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import typer

from mmtk.errors import MmtkError

RUN = ("run.lock", "provenance.json", "model.safetensors")  # one of these is in a run's folder, or an exported one
STUDY = ("study.json",)
MOST = 200  # folders that are looked at
# Where runs and studies lie below a folder, as mmtk and its users put them.
BELOW = ("*", "runs/*", "studies/*", "*/runs/*", "studies/*/runs/*")
DEVICES = ("auto", "cpu", "cuda")


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes, and folders of runs; a path of a file is left to the shell."""
    return [*_shipped("", incomplete), *_folders(incomplete, *RUN)]


def recipes_and_studies(incomplete: str) -> list[str]:
    """Shipped recipes, and folders of studies."""
    return [*_shipped("", incomplete), *_folders(incomplete, *STUDY)]


def profiles(incomplete: str) -> list[str]:
    """Shipped profiles, those in the folder ``profiles``, and the TOML files of the current folder."""
    near = [path for folder in ("", "profiles/") for path in glob.glob(f"{folder}*.toml")]
    return [*_shipped("profiles", incomplete), *_starting(near, incomplete)]


def suites(incomplete: str) -> list[str]:
    """Shipped suites of systems."""
    return _shipped("suites", incomplete)


def devices(incomplete: str) -> list[str]:
    """Devices by the words that every machine knows."""
    return _starting(DEVICES, incomplete)


def runs(incomplete: str) -> list[str]:
    """Folders of runs and studies, and exported ones."""
    return _folders(incomplete, *RUN, *STUDY)


def first_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Folders of runs and studies; behind the first one films may follow, which are left to the shell."""
    return [] if ctx.params.get("paths") else runs(incomplete)


def studies(incomplete: str) -> list[str]:
    """Folders of studies."""
    return _folders(incomplete, *STUDY)


def components(incomplete: str) -> list[str]:
    """Components as KIND/NAME."""
    from mmtk.registry import catalog

    return _starting((entry.word for entry in catalog.entries()), incomplete)


def kinds(incomplete: str) -> list[str]:
    """Kinds of components."""
    from mmtk.registry.kinds import KINDS

    return _starting(KINDS, incomplete)


def axes(ctx: typer.Context, incomplete: str) -> list[str]:
    """The next word of ``--components``: a part of the recipe, or behind ``ssl=`` and ``+`` a component."""
    from mmtk.registry import catalog
    from mmtk.registry.kinds import KINDS

    before, comma, axis = incomplete.rpartition(",")
    kind, equals, levels = axis.partition("=")
    if not equals:
        words = [*_parts(ctx.params.get("recipe") or "multimix"), "tasks"]
        return [f"{before}{comma}{word}" for word in _starting(words, axis)]
    if kind not in KINDS:
        return []
    others, plus, level = levels.rpartition("+")
    names = _starting((entry.name for entry in catalog.entries(kind)), level)
    return [f"{before}{comma}{kind}={others}{plus}{name}" for name in names if name not in others.split("+")]


def assignments(incomplete: str) -> list[str]:
    """The next word of ``--set``: the component of a kind, ``encoder.use=``, and behind the sign its name."""
    from mmtk.registry import catalog
    from mmtk.registry.kinds import KINDS

    key, equals, name = incomplete.partition("=")
    if not equals:
        return _starting((f"{kind}.use=" for kind in KINDS), key)
    kind = key.removesuffix(".use")
    names = _starting((entry.name for entry in catalog.entries(kind)), name) if kind in KINDS else []
    return [f"{key}={name}" for name in names if kind != key]


def launcher_keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """The next word of ``--launch``: a key of the launcher that ``--launcher`` names, else of the default one."""
    from mmtk.recipe import tables
    from mmtk.registry import catalog

    try:
        entry = catalog.find("launcher", ctx.params.get("launcher") or "process")
        keys = tables.model_of(entry).model_fields
    except MmtkError:  # misspelt
        return []
    return _starting((f"{key}=" for key in keys if key != "use"), incomplete)


@contextmanager
def words_of_bash() -> Iterator[None]:
    """Put words with "=" together, where bash ends one (``COMP_WORDBREAKS``), and offer what follows the sign."""
    if os.environ.get("_MMTK_COMPLETE") != "complete_bash":
        yield
        return
    words, current = joined_words(os.environ["COMP_WORDS"].split("\n"), int(os.environ["COMP_CWORD"]))
    os.environ.update(COMP_WORDS="\n".join(words), COMP_CWORD=str(current))
    output = io.StringIO()
    try:
        with redirect_stdout(output):
            yield
    finally:
        lines = output.getvalue().splitlines()
        print("\n".join(line.rpartition("=")[2] if "=" in words[current] else line for line in lines))


def joined_words(words: Sequence[str], current: int) -> tuple[list[str], int]:
    """Words of a command line, ``ssl``, ``=``, ``mix`` as one, and the place of the current one.

    words: as bash divides them
    current: place among them
    """
    joined: list[str] = []
    index = len(words)
    for number, word in enumerate([*words, ""] if current == len(words) else words):
        if joined and (word == "=" or joined[-1].endswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
        index = len(joined) - 1 if number == current else index
    return joined, index


def _parts(recipe: str) -> list[str]:
    """Kinds of the parts that a method may do without, and the components that a recipe has for them."""
    from mmtk.recipe import toml
    from mmtk.registry.kinds import KINDS

    optional = [name for name, kind in KINDS.items() if kind.optional]
    try:
        values = toml.with_parents(toml.locate(recipe)).values
    except MmtkError:  # of a study, or misspelt
        return optional
    components = [str(toml.get(values, f"{name}.use", "none")) for name in optional]
    return [*optional, *(component for component in components if component != "none")]


def _shipped(folder: str, incomplete: str) -> list[str]:
    from mmtk.recipe.toml import recipe_folder

    names = (path.stem for path in sorted((recipe_folder() / folder).glob("*.toml")))
    return _starting(names, incomplete)


def _starting(words: Iterable[str], incomplete: str) -> list[str]:
    return sorted({word for word in words if word.startswith(incomplete)})


def _folders(incomplete: str, *marks: str) -> list[str]:
    """Folders whose path begins as typed and that hold one of the ``marks``, at the first depth that has some."""
    start = glob.escape(incomplete)
    patterns = [f"{start}*", *(f"{start}*/{below}" for below in BELOW)]
    for pattern in patterns:
        paths = itertools.islice(glob.iglob(pattern), MOST)
        if matches := [path for path in paths if any(os.path.isfile(Path(path, mark)) for mark in marks)]:
            return sorted(matches)
    return []
