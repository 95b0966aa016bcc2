"""``--code FILE``: one local file whose component classes a recipe uses as ``code/ClassName``."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from mmtk.errors import MmtkError, listing
from mmtk.io.spelling import quoted
from mmtk.registry import catalog
from mmtk.registry.catalog import Code, Entry
from mmtk.registry.kinds import KINDS

if TYPE_CHECKING:
    from mmtk.recipe.recipe import Recipe

COPY = "code.py"  # what the file is called in run and study directories
PREFIX = f"{catalog.CODE}/"  # of the components' names
MODULE = "mmtk_code_"  # of the name that a file has as a module


def use(path: str | Path) -> Code:
    """Run a Python file and offer every class in it that subclasses a contract of ``mmtk.api``.

    Another file's components are offered no longer; the same text is not run a second time. Raises MmtkError
    with file and line for what cannot be read or run, and for a file without a component.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise MmtkError(f"cannot be read: {error.strerror}.", str(path), "Name a Python file.") from error
    current = catalog.code()
    if current is not None and current.text == text:
        return current
    module = run(path, text)
    entries = tuple(_entries(module))
    if not entries:
        refuse_unfinished(module, path)
        cure = "Write one, such as class Mine(mmtk.api.SSL); mmtk plugins new shows how."
        raise MmtkError("has no component: no class in it subclasses a contract of mmtk.api.", str(path), cure)
    code = Code(path, text, entries)
    catalog.offer(code)
    return code


def _digits(text: bytes) -> str:
    import hashlib

    return hashlib.sha256(text).hexdigest()[:12]


def run(path: Path, text: bytes) -> ModuleType:
    """Run a file as a module that is named by its hash, so that what is imported is what was read."""
    name = f"{MODULE}{_digits(text)}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path.absolute())
    sys.modules[name] = module  # dataclasses and inspect look there
    try:
        exec(compile(text, module.__file__, "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        line = error.lineno if isinstance(error, SyntaxError) else _line(error, module.__file__)
        where = f"{path}:{line}" if line else str(path)
        raise MmtkError(f"cannot be loaded: {type(error).__name__}: {error}", where) from error
    return module


def _line(error: BaseException, file: str) -> int | None:
    """The last line of the file that was running."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return lines[-1] if lines else None


def _entries(module: ModuleType) -> Iterable[Entry]:
    version = module.__name__.rpartition("_")[2]
    for name, value, kind in _subclasses(module):
        if not inspect.isabstract(value):
            yield Entry(kind, PREFIX + name, f"{module.__name__}:{name}", catalog.CODE, version)


def _subclasses(module: ModuleType) -> Iterator[tuple[str, type, str]]:
    """Name, class and kind of the subclasses of contracts that a module defines."""
    classes = [(name, value) for name, value in vars(module).items() if isinstance(value, type)]
    for name, value in classes:
        for kind, row in KINDS.items():
            if value.__module__ == module.__name__ and issubclass(value, row.contract_class):
                yield name, value, kind


def refuse_unfinished(module: ModuleType, path: Path) -> None:
    """Refuse a file whose components lack a method of their contracts: Python calls such a class abstract."""
    for name, value, kind in _subclasses(module):
        methods = listing([f"{method}()" for method in sorted(getattr(value, "__abstractmethods__", ()))])
        message = f"{name} is no {kind} yet: it has no {methods}, which {KINDS[kind].contract_name} asks for."
        raise MmtkError(message, str(path), "mmtk plugins new writes one with every method.")


# --- what runs and studies remember ---------------------------------------------------------------------------


def used_by(recipes: Iterable[Recipe]) -> Code | None:
    """The local file, if any of the recipes has a component of it."""
    words = [table["use"] for recipe in recipes for _, _, table in recipe.components()]
    return catalog.code() if any(word.startswith(PREFIX) for word in words) else None


def check(code: Code | None, copy: Path, sha256: str | None) -> None:
    """Refuse a file other than the one kept in ``copy``, or than the one with the hash on record."""
    if code is None:
        return
    if sha256 is not None and sha256 != code.sha256:
        raise MmtkError(
            f"its components come from another file: {sha256[:12]} then, {code.sha256[:12]} now ({code.path}).",
            str(copy.parent),
            "Give --code the file as it was, or choose another --out to start anew.",
        )
    if copy.is_file() and copy.read_bytes() != code.text:
        intact = f"It was changed; put it back: cp {quoted(code.path)} {quoted(copy)}"
        anew = f"Continue with --code {quoted(copy)}, or choose another --out to start anew."
        message = f"this copy of the components differs from {code.path}."
        raise MmtkError(message, str(copy), anew if sha256 is None else intact)
