"""Request for a comparison: sources and their mapping, as options and as ``compare.toml``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mmtk.errors import MmtkError, listing, nearest

FILE = "compare.toml"
FIRST_LINE = f"# Written by mmtk compare; the same report again: mmtk compare {FILE}\n"


@dataclass(frozen=True)
class Request:
    """Sources of a comparison and how they are read.

    sources: files, folders, or tracking addresses
    kind: reader of the sources; "" to be guessed
    columns: column by role, of tables
    by: columns, params or tags whose values name a system
    seed: column, param or tag that names the replicate
    reference: folder of reference masks
    metrics: names of scores to read; of a wide table the score that it holds
    lower: scores that improve downwards
    system: the one that is compared with every other; "" for the first
    margins: largest differences that do not matter, by score
    """

    sources: Sequence[str] = ()
    kind: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    by: Sequence[str] = ()
    seed: str = ""
    reference: str = ""
    metrics: Sequence[str] = ()
    lower: Sequence[str] = ()
    system: str = ""
    margins: Mapping[str, float] = field(default_factory=dict)

    def from_folder(self, folder: Path) -> Request:
        """The same with paths that were seen from a folder."""
        return self._with_paths(lambda path: os.path.normpath(folder / path))

    def for_folder(self, folder: Path) -> Request:
        """The same with paths as they are seen from a folder."""
        return self._with_paths(lambda path: Path(os.path.relpath(path, folder)).as_posix())

    def _with_paths(self, move: Any) -> Request:
        sources = [source if is_address(source) else move(source) for source in self.sources]
        return replace(self, sources=sources, reference=move(self.reference) if self.reference else "")


def is_address(source: str) -> bool:
    """Whether a source is a tracking server or search, and not a path."""
    return "://" in source or source.startswith("mlflow:")


def write_request(request: Request) -> str:
    """The text of ``compare.toml``: what differs from the defaults."""
    import tomli_w

    table = {name: value for name, value in asdict(request).items() if value}
    return FIRST_LINE + tomli_w.dumps({key: list(v) if isinstance(v, tuple) else v for key, v in table.items()})


def read_request(path: Path) -> Request:
    """The request of a ``compare.toml``, its paths as seen from here."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MmtkError(f"cannot be read: {error}", str(path)) from error
    kinds: dict[str, Any] = {item.name: type(getattr(Request(), item.name)) for item in fields(Request)}
    for key, value in table.items():
        if key not in kinds:
            raise MmtkError(f"{key}: no such key.{nearest(key, kinds)}", str(path), f"Keys: {listing(kinds)}.")
        kind = {tuple: list}.get(kinds[key], kinds[key])
        if not isinstance(value, kind):
            raise MmtkError(f"{key}: should be a {kind.__name__}.", str(path))
    return Request(**table).from_folder(path.parent)


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """ROLE=COLUMN of a command line as columns by role."""
    columns = {}
    for text in texts:
        role, sign, column = text.partition("=")
        if not sign or not role or not column:
            raise MmtkError(f"--column {text}: should be ROLE=COLUMN.", hint="Such as --column system=model.")
        columns[role.strip()] = column.strip()
    return columns
