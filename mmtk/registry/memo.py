"""Cache of components' answers on disk, valid while every file that was imported for them is unchanged.

A check asks each component of a recipe a few questions (are these keys right, which strides, which views), and
to ask the first one takes the import of torch. An answer depends on the code and on the table alone, so a
command remembers it. A refusal is never remembered, nor an answer that came with a warning.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from mmtk.io import warm
from mmtk.registry import catalog

_MARGIN = 2_000_000_000  # ns; no file system's clock is coarser, nor that far from ours
_MOST = 1000  # answers


class _Memo:
    """The answers, the imported files and folders with their states, and where top-level modules were found."""

    def __init__(self, begun: int) -> None:
        self.begun = begun  # ns since the epoch
        self.known: dict[str, Any] | None = None
        self.news = False

    @property
    def answers(self) -> dict[str, str]:
        """Digest of the question → JSON text; read from the disk when first asked for."""
        if self.known is None:
            self.known = _read(self.begun) or {"answers": {}, "states": {}, "places": {}}
        answers: dict[str, str] = self.known["answers"]
        return answers


_memo: _Memo | None = None


def begin() -> None:
    """Remember from here on, if what is imported for components is what lies on the disk.

    So it is where nothing is imported yet, and in the fork of a server if no file is younger than the server.
    """
    global _memo
    start = time.time_ns() if "torch" not in sys.modules else warm.server_start
    _memo = None if start is None else _Memo(start - _MARGIN)


def is_active() -> bool:
    """Whether answers are remembered on the disk: in commands, not for callers from Python."""
    return _memo is not None


def end() -> None:
    """Remember no longer: who calls from Python may change and reload what the answers came from."""
    global _memo
    _memo = None


def recall(question: str, entry: catalog.Entry, given: Any, ask: Callable[[], Any]) -> Any:
    """The answer of ``ask()``, or the same one from before: JSON values that ``entry`` and ``given`` determine.

    Always asked where a local file of components is in use, or where ``given`` names a file.
    """
    if _memo is None or catalog.code() is not None or names_a_file(given):
        return ask()
    import hashlib
    import json

    known = json.dumps([question, vars(entry), given], sort_keys=True, default=str)
    key = hashlib.sha256(known.encode()).hexdigest()
    if key in _memo.answers:
        return json.loads(_memo.answers[key])
    catalog.load(entry)  # what is said while importing is not the component's word
    with _listening() as heard:
        answer = ask()
    try:
        text = json.dumps(answer)
    except (TypeError, ValueError):  # what no contract allows is not ours to change
        return answer
    if not heard:
        _memo.answers[key] = text
        _memo.news = True
    return json.loads(text)


def keep() -> None:
    """Write what was learnt to the disk, if it can be written and nothing changed since the command began."""
    if _memo is None or _memo.known is None or not _memo.news:
        return
    _memo.news = False
    states, places = _imported(_memo.begun)
    if states is None:
        return
    known = _memo.known
    # What was read was looked at before anything was imported: that state counts.
    known["states"], known["places"] = {**states, **known["states"]}, {**places, **known["places"]}
    known["answers"] = dict(list(known["answers"].items())[-_MOST:])
    with suppress(OSError, RuntimeError):
        _write(known)


def names_a_file(given: Any) -> bool:
    """Whether a text in it (but for a component's name) is a path: then the answer may be the file's."""
    if isinstance(given, dict):
        return any(names_a_file(value) for key, value in given.items() if key != "use")
    if isinstance(given, list):
        return any(map(names_a_file, given))
    return isinstance(given, str) and os.path.exists(os.path.expanduser(given))


@contextmanager
def _listening() -> Iterator[list[str]]:
    """The warnings that are shown meanwhile."""
    heard: list[str] = []
    show = warnings.showwarning

    def note(message: Any, *rest: Any, **more: Any) -> None:
        heard.append(str(message))
        show(message, *rest, **more)

    warnings.showwarning = note
    try:
        yield heard
    finally:
        warnings.showwarning = show


# --- what the answers depend on -------------------------------------------------------------------------------


def _imported(begun: int) -> tuple[dict[str, list[int]] | None, dict[str, list[str]]]:
    """Every imported file and its folder with its state, and where top-level modules were found.

    No states if a file is younger than the process: another text may have been imported than lies there now.
    """
    states: dict[str, list[int]] = {}
    places = {}
    for name, module in list(sys.modules.items()):
        spec = vars(module).get("__spec__") if isinstance(module, ModuleType) else None
        if spec is None or name.startswith("__m"):  # __main__, however it was started
            continue
        if "." not in name and (place := _place(spec)) and _found(name):
            places[name] = place
        if spec.has_location and spec.origin and spec.origin not in states:
            state, folder = _state(spec.origin), os.path.dirname(spec.origin)
            if not state or max(state[1:]) >= begun:
                return None, {}
            states[spec.origin] = state
            states.setdefault(folder, _state(folder))
    return states, places


def _state(path: str) -> list[int]:
    """Size, and the times at which content and inode changed; empty if there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _found(name: str) -> bool:
    """Whether an import would look for the name and find it; some compiled modules are parts of others."""
    return any(finder.find_spec(name, None) for finder in sys.meta_path)


def _place(spec: Any) -> list[str]:
    origin = [spec.origin] if spec.has_location else []
    return [*origin, *(spec.submodule_search_locations or ())]


def _unchanged(states: dict[str, list[int]], places: dict[str, list[str]]) -> bool:
    """Whether all files are as they were, and the same ones would be imported."""
    from importlib.util import find_spec

    if any(_state(path) != state for path, state in states.items()):
        return False
    return all((spec := find_spec(name)) is not None and _place(spec) == place for name, place in places.items())


# --- the file -------------------------------------------------------------------------------------------------


def _file() -> Path:
    import hashlib

    from mmtk.io import cache

    here = "\n".join([sys.version, sys.prefix, os.path.dirname(os.path.dirname(__file__))])
    return cache.default_root() / f"answers-{hashlib.sha256(here.encode()).hexdigest()[:16]}.json"


def _read(begun: int) -> dict[str, Any] | None:
    """The memo on the disk, if it is whole and holds for what is imported since ``begun`` (ns)."""
    import hashlib
    import json

    try:
        checksum, _, text = _file().read_bytes().partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != checksum:
            return None
        known: dict[str, Any] = json.loads(text)
        older = all(state and max(state[1:]) < begun for state in known["states"].values())
        return known if older and _unchanged(known["states"], known["places"]) else None
    except Exception:  # whatever is wrong with it: the long way is always right
        return None


def _write(known: dict[str, Any]) -> None:
    import hashlib
    import json
    import uuid

    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(known).encode()
    beside = file.with_suffix(f".{uuid.uuid4().hex}")
    try:
        beside.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)
