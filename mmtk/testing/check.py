"""A named check of a component, and the error that says what was expected, what came, and what to change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mmtk.errors import MmtkError
from mmtk.registry import signature


class ContractError(AssertionError):
    """A component that breaks the contract of its kind."""

    def __init__(self, expected: str, got: str, change: str) -> None:
        super().__init__(f"expected: {expected}\ngot: {got}\nchange: {change}")


class UnmadeError(ContractError):
    """A component of which no instance can be made: no other check says more."""


def expect(fine: bool, expected: str, got: str, change: str) -> None:
    """Raise ContractError unless ``fine``.

    fine: whether the component keeps the promise
    expected: what it promises
    got: what it did
    change: the cure
    """
    if not fine:
        raise ContractError(expected, got, change)


@dataclass(frozen=True)
class Subject:
    """The component that is checked: its class, recipe keys, and for a source the data folder."""

    kind: str
    component: type[Any]
    keys: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None

    @property
    def word(self) -> str:
        """Name in messages."""
        return f"{self.kind}/{self.component.__name__}"

    def make(self, **wires: Any) -> Any:
        """Make an instance with its keys, wired with what is offered; raise UnmadeError where that cannot be."""
        try:
            checked, problems = signature.validate(
                signature.schema(self.component), {"use": "it", **self.keys}, "", lambda key: None
            )
            if problems:
                raise problems[0]
            checked.pop("use")
            return signature.construct(self.component, self.word, wires, checked)
        except MmtkError as error:
            raise UnmadeError(
                f"{self.word} can be made with the keys {dict(self.keys)}",
                error.message,
                error.hint or "see above",
            ) from error


@dataclass(frozen=True)
class Check:
    """One check of one component; calling it raises ContractError where the component fails it."""

    name: str
    subject: Subject
    function: Callable[[Subject], None]

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> None:
        """Run it; what it draws leaves the global generator as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.function(self.subject)


def named(function: Callable[[Subject], None]) -> str:
    """A check's name: that of its function, with dashes."""
    return function.__name__.replace("_", "-")


def outcomes(checks: Iterable[Check]) -> Iterator[tuple[Check, Exception | None]]:
    """Run checks, each with what it raised; an error of the component's own counts as a failure too.

    A component that cannot be made fails once: the checks behind that failure would repeat it and are not run.
    """
    for check in checks:
        try:
            check()
        except Exception as error:
            yield check, error if isinstance(error, ContractError) else _component_error(check, error)
            if isinstance(error, UnmadeError):
                return
        else:
            yield check, None


def _component_error(check: Check, error: Exception) -> ContractError:
    return ContractError(
        f"{check.subject.word} gets through the check",
        f"{type(error).__name__}: {error}",
        "mend the error; pytest shows where it is raised.",
    )


def in_child(task: Callable[[], str]) -> str:
    """Run ``task`` in a forked process, so that its side effects stay there; return its result."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            message = task()
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
        os.write(write, message.encode()[:60_000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        message = pipe.read().decode()
    os.waitpid(child, 0)
    return message
