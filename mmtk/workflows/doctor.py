"""Report on this machine: requirements of mmtk, their state, and the cure of each fault."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io import cache, extras
from mmtk.io.spelling import visible
from mmtk.registry import catalog
from mmtk.runs import pace

Mark = Literal["✓", "!", "✗"]
ROOM = 2 * 2**30  # bytes: the stored images of the paper's data sets and a study's runs
EXTRAS = {"dicom": "DICOM files cannot be read", "onnx": "mmtk export --format onnx does not work"}
SECONDS = 3.0  # until a server counts as out of reach


class Finding(NamedTuple):
    """One line of the report: ``✓`` fine, ``!`` works with a drawback, ``✗`` does not work."""

    mark: Mark
    name: str
    text: str


def findings(data: Path | None) -> Iterator[Finding]:
    """Yield the findings one by one; ``data`` is the folder of the data sets."""
    yield Finding("✓", "mmtk", f"{catalog.version()} on Python {platform.python_version()}")
    yield from _packages()
    yield _load()
    yield from _device()
    yield _store()
    yield _folder("cache", cache.default_root(), "Set MMTK_CACHE to another folder.")
    yield _folder("runs", Path.cwd() / "runs", "Work in another folder, or name one by --out.")
    yield from _data(data)


# --- packages -------------------------------------------------------------------------------------------------


def _packages() -> Iterator[Finding]:
    for requirement in extras.requirements():
        version = _version(requirement.name)
        if version and requirement.specifier.contains(version, prereleases=True):
            yield Finding("✓", requirement.name, version)
        else:
            versions = (
                f"{version} is installed, and mmtk needs {requirement.specifier}" if version else "not installed"
            )
            cure = f"Install it: python -m pip install '{requirement}'"
            yield Finding("✗", requirement.name, f"{versions}. {cure}")
    for extra, loss in EXTRAS.items():
        brought = {required.name: _version(required.name) for required in extras.requirements(extra)}
        if missing := [name for name, version in brought.items() if not version]:
            yield Finding("!", extra, f"without {', '.join(missing)} {loss}: {extras.install_line(extra)}")
        else:
            yield Finding("✓", extra, ", ".join(f"{name} {version}" for name, version in brought.items()))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


# --- machine --------------------------------------------------------------------------------------------------


def _load() -> Finding:
    cores, load = pace.cores(), os.getloadavg()[0]
    if load > cores:
        text = f"load {load:.0f} on {counted(cores, 'core')}: steps will be slow. Run fewer programs at a time."
        return Finding("!", "cores", text)
    return Finding("✓", "cores", f"{cores}, with a load of {load:.1f}")


def _device() -> Iterator[Finding]:
    try:
        import torch

        from mmtk.model.device import tune_malloc
        from mmtk.model.device_choice import choose_device, choose_precision
        from mmtk.runs.hardware import hardware
    except Exception as error:  # whatever a broken installation raises
        yield Finding("✗", "device", f"torch cannot be imported: {error}. Install torch again.")
        return
    device = choose_device("auto")
    text = f"{device}: {hardware(device)}"
    if device == "cpu" and shutil.which("nvidia-smi"):
        cure = f"Install a torch that is built for CUDA; this is {torch.__version__}."
        yield Finding("!", "device", f"{text}. There is a GPU that torch does not see. {cure}")
    else:
        yield Finding("✓", "device", text)
    yield Finding("✓", "precision", f"{choose_precision('auto', device)} (what auto means here)")
    if device == "cpu" and not tune_malloc():
        yield Finding("!", "memory", "libc is not glibc, so steps take about twice as long as they could.")


def _folder(name: str, folder: Path, cure: str) -> Finding:
    """Check that a folder, which may not exist yet, can be written, and its free space."""
    existing = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path("/"))
    visible_name = visible(folder)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding("✗", name, f"{visible_name} cannot be written. {cure}")
    free = shutil.disk_usage(existing).free
    text = f"{visible_name}, {free / 2**30:.1f} GiB free"
    return Finding("✓", name, text) if free >= ROOM else Finding("!", name, f"{text}: little. {cure}")


# --- MLflow ---------------------------------------------------------------------------------------------------


def _store() -> Finding:
    """Check that the MLflow store can be reached, without importing MLflow, which takes seconds."""
    from mmtk.tracking.run import tracking_uri

    uri = tracking_uri()
    parts, address = urlsplit(uri), re.sub(r"//[^/]*@", "//", uri)  # without a password
    try:
        if parts.scheme.startswith("sqlite"):
            _open_sqlite(Path(parts.path.removeprefix("/")))
        elif parts.scheme in ("", "file"):
            return _folder("tracking", Path(parts.path), "Set MLFLOW_TRACKING_URI.")
        elif parts.hostname:
            _reach(parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme, 5432))
    except (OSError, ValueError, sqlite3.Error) as error:
        cure = "Start the server, or set MLFLOW_TRACKING_URI. Runs go on without it; mmtk track sends them later."
        return Finding("✗", "tracking", f"{address} cannot be reached: {error}. {cure}")
    return Finding("✓", "tracking", address)


def _open_sqlite(file: Path) -> None:
    if file.exists():
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=SECONDS)) as store:
            store.execute("SELECT count(*) FROM sqlite_master").fetchone()
    elif not os.access(file.absolute().parent, os.W_OK | os.X_OK):
        raise OSError(f"{file.absolute().parent} cannot be written")


def _reach(host: str, port: int) -> None:
    import socket

    socket.create_connection((host, port), timeout=SECONDS).close()


# --- data -----------------------------------------------------------------------------------------------------


def _data(data: Path | None) -> Iterator[Finding]:
    """Report on the paper's data sets in the data folder."""
    try:
        from mmtk.data import locations, sources
        from mmtk.recipe.load import load_recipe

        root = locations.data_root(data)
        if root is None:
            yield Finding("✓", "data", "no folder given (--data or MMTK_DATA); the synthetic X-rays need none")
            return
        if not root.is_dir():
            yield Finding("✗", "data", f"{visible(root)} is not a folder. Name another by --data or MMTK_DATA.")
            return
        recipe = load_recipe("multimix", "chest-xray")
    except Exception as error:  # whatever a broken installation raises
        yield Finding("✗", "data", f"cannot be looked at: {error}")
        return
    for task in recipe.tasks:
        for domain in ("source", "cross"):
            use = recipe.source(task, domain)["use"]
            try:
                count = len(sources.source(recipe, task, domain, root).items("all"))
                yield Finding("✓", use, f"{counted(count, 'image')} in {visible(root)}")
            except MmtkError as error:
                yield Finding("!", use, error.message.splitlines()[0])
