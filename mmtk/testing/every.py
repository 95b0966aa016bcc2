"""Checks for components of every kind."""

from __future__ import annotations

import importlib
import inspect
import re
import socket
import sys
from pathlib import Path
from typing import Any

import torch

from mmtk.errors import MmtkError
from mmtk.registry import local_file, signature
from mmtk.registry.kinds import KINDS
from mmtk.testing.check import Subject, UnmadeError, expect, in_child


def subclasses_the_contract(subject: Subject) -> None:
    """Its class is one of the kind."""
    kind = KINDS[subject.kind]
    if not (isinstance(subject.component, type) and issubclass(subject.component, kind.contract_class)):
        name = getattr(subject.component, "__name__", "X")
        raise UnmadeError(
            f"a subclass of {kind.contract_name}",
            f"{subject.component!r}",
            f"write class {name}({kind.contract_name.rpartition('.')[2]}).",
        )


def keys_are_typed(subject: Subject) -> None:
    """Every recipe key has a type that a recipe can hold, and there is no ``**kwargs``."""
    try:
        signature.schema(subject.component)
    except MmtkError as error:
        raise UnmadeError("typed keyword-only keys", error.message, error.hint or "annotate them.") from error


def defaults_are_valid(subject: Subject) -> None:
    """The defaults pass the same validation as a recipe's values."""
    model = signature.schema(subject.component)
    required_keys = {name for name, info in model.model_fields.items() if info.is_required()} - {"use"}
    values = {
        name: info.default
        for name, info in model.model_fields.items()
        if name != "use" and not info.is_required() and info.default is not None
    }
    missing = required_keys - set(subject.keys)
    expect(
        not missing,
        "a value for every key without default",
        f"none for {', '.join(sorted(missing))}",
        "give defaults, or pass keys={…} to suite.",
    )
    _, problems = signature.validate(model, {"use": "it", **values, **subject.keys}, "", lambda key: None)
    expect(
        not problems,
        "defaults within their own ranges",
        "; ".join(p.message for p in problems),
        "change the default or its range.",
    )


def docstring_names_every_key(subject: Subject) -> None:
    """A first line, and a line for every recipe key: ``key: what it is``."""
    text = inspect.getdoc(subject.component) if "__doc__" in vars(subject.component) else ""
    expect(bool(text and text.strip()), "a docstring", "none", "say in one line what it does.")
    keys = [name for name in signature.schema(subject.component).model_fields if name != "use"]
    missing = [
        key for key in keys if not re.search(rf"^\s*([\w-]+, )*{key}(, [\w-]+)*:", text or "", re.MULTILINE)
    ]
    expect(
        not missing,
        "a line `key: …` in the docstring for every key",
        f"none for {', '.join(missing)}",
        "add the lines: meaning, unit, range.",
    )


def import_touches_neither_cuda_nor_network(subject: Subject) -> None:
    """Importing its module opens no connection and starts no CUDA context."""
    name = subject.component.__module__

    def again() -> str:
        def refuse(what: str) -> Any:
            def stop(*args: Any, **kwargs: Any) -> None:
                raise RuntimeError(what)

            return stop

        socket.socket.connect = refuse("it opens a network connection")  # type: ignore[method-assign]
        torch.cuda._lazy_init = refuse("it starts CUDA")
        module = sys.modules.pop(name)
        if name.startswith(local_file.MODULE):  # a local file has no name to import it by
            local_file.run(Path(str(module.__file__)), Path(str(module.__file__)).read_bytes())
        else:
            importlib.import_module(name)
        return ""

    message = in_child(again) if name in sys.modules and name != "__main__" else ""
    expect(not message, "an import without side effects", message, "move that work into __init__ or later.")


CHECKS = (
    subclasses_the_contract,
    keys_are_typed,
    defaults_are_valid,
    docstring_names_every_key,
    import_touches_neither_cuda_nor_network,
)
