"""``mmtk plugins new``: a complete package with one small component of a kind."""

from __future__ import annotations

import ast
import keyword
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from mmtk.errors import MmtkError, nearest
from mmtk.io.spelling import quoted
from mmtk.registry import catalog
from mmtk.registry.kinds import KINDS, TEMPLATES, Kind

PREFIX = "mmtk-"
LONGEST = 30


@dataclass(frozen=True)
class Package:
    """A package that was written: where it lies and what it brings."""

    folder: Path
    kind: str
    name: str
    files: tuple[Path, ...]

    @property
    def commands(self) -> list[str]:
        """Next commands: install the package, check it, use it."""
        folder = quoted(self.folder)
        recipe = quoted(self.folder / "recipe.toml")
        return [
            f"python -m pip install -e {quoted(f'{self.folder}[test]')}",
            f"mmtk plugins check {self.kind}/{self.name}",
            f"python -m pytest {folder}",
            _run_line(self.kind, self.name, recipe),
        ]


def write_package(name: str, kind: str, parent: Path = Path()) -> Package:
    """Write ``parent/mmtk-NAME``: pyproject.toml, the component, its test, a recipe and a README.

    name: the component's word in recipes, ``my-method`` or ``mmtk-my-method``. The distribution is
    ``mmtk-my-method``, the module ``mmtk_my_method`` (so it hides no other) and the class ``MyMethod``.
    kind: one of the kinds that ``mmtk plugins new --help`` names.

    Raises MmtkError for a bad or taken name, an unknown kind and a folder that is there already.
    """
    if kind not in KINDS:
        raise MmtkError(f"--kind {kind}: no such kind.{nearest(kind, KINDS)}", hint=f"Kinds: {', '.join(KINDS)}.")
    word = _checked(name)
    dist = PREFIX + word
    component = KINDS[kind].template.read_text(encoding="utf-8")
    cls = "".join(part.capitalize() for part in word.split("-"))
    _check_free(word, kind, dist, cls, component)
    folder = parent / dist
    if os.path.lexists(folder):
        raise MmtkError("is there already.", str(folder), "Choose another name, or another --dir.")
    title = f"MultiMix with {word}"
    words = {
        "name": word,
        "kind": kind,
        "dist": dist,
        "module": dist.replace("-", "_"),
        "cls": cls,
        "title": title,
        "summary": _summary(component),
        "requirement": _requirement(),
        "run": _run_line(kind, word, "recipe.toml"),
    }
    words["table"] = Template(_recipe_lines(KINDS[kind])).substitute(words)
    in_a_recipe = f"```toml\n{words['table']}\n```\n\n" if words["table"] else ""
    words["use"] = f"{in_a_recipe}```sh\n{words['run']}\n```"
    texts = dict(_texts(component, words))
    try:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except (FileExistsError, NotADirectoryError) as error:
        raise MmtkError("is a file, not a folder.", str(parent), "Choose another --dir.") from error
    except OSError as error:
        message = f"the package cannot be written ({error.strerror})."
        raise MmtkError(message, str(folder), "Choose another --dir.") from error
    return Package(folder, kind, word, tuple(folder / path for path in texts))


def _checked(name: str) -> str:
    """The component's word, or an error that says what a name looks like."""
    word = name.removeprefix(PREFIX)
    if re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", word) and len(word) <= LONGEST:
        return word
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", word).lower()
    better = re.sub(r"[^a-z0-9]+", "-", plain).strip("-0123456789")[:LONGEST].strip("-")
    raise MmtkError(
        f"'{name}' is no name for a component: lower-case letters, digits and single dashes, a letter first, "
        f"at most {LONGEST} signs.",
        hint=f"For example: {better or 'my-method'}",
    )


def _check_free(word: str, kind: str, dist: str, cls: str, component: str) -> None:
    """Refuse names that something else has: a keyword, what the component imports, an installed plugin."""
    cure = "Choose another name."
    if keyword.iskeyword(cls):
        raise MmtkError(f"'{word}' would make a class called {cls}, which is a keyword of Python.", hint=cure)
    if cls in _imported(component):
        message = f"'{word}' would make a class called {cls}, as what it imports from mmtk.api is."
        raise MmtkError(message, hint=f"{cure} For example: my-{word}")
    for entry in catalog.entries(everything=True):
        if (entry.kind, entry.name) == (kind, word):
            hint = f"{cure} mmtk plugins show {entry.word} describes it."
            raise MmtkError(f"{entry.word} is there already, from {entry.dist} {entry.version}.", hint=hint)
        if entry.dist == dist:
            hint = f"{cure} To replace it, uninstall it first: python -m pip uninstall {dist}"
            raise MmtkError(f"a distribution called {dist} is installed; it brings {entry.word}.", hint=hint)


def _imported(text: str) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name for node in nodes for alias in node.names}


def _summary(component: str) -> str:
    """The first line of the class's docstring."""
    (example,) = [node for node in ast.parse(component).body if isinstance(node, ast.ClassDef)]
    return (ast.get_docstring(example) or "").partition("\n")[0]


def _requirement() -> str:
    """The versions of mmtk that keep this one's contracts: before 1.0 a minor one may change them."""
    major, minor = (int(part) for part in catalog.version().split(".")[:2])
    following = f"{major}.{minor + 1}" if major == 0 else f"{major + 1}"
    return f"mmtk>={major}.{minor},<{following}"


def _run_line(kind: str, name: str, recipe: str) -> str:
    return Template(KINDS[kind].command).substitute(name=name, recipe=recipe)


def _recipe_lines(kind: Kind) -> str:
    """The lines of a recipe that uses a component; empty for a kind that recipes do not name."""
    lines = kind.template.with_suffix(".toml")
    if lines.is_file():
        return lines.read_text(encoding="utf-8").rstrip()
    return f'[{kind.tables[0].replace("*", "$name")}]\nuse = "$name"' if kind.tables else ""


def _texts(component: str, words: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every file of the package and its text."""
    places = {
        "pyproject.toml": "pyproject.toml.in",
        "README.md": "README.md.in",
        "recipe.toml": "recipe.toml.in",
        f"tests/test_{words['name'].replace('-', '_')}.py": "test.py.in",
    }
    plain = re.sub(r"  # noqa.*", "", component)
    yield f"{words['module']}.py", re.sub(r"\bExample\b", words["cls"], plain)
    for path, template in places.items():
        text = (TEMPLATES / "package" / template).read_text(encoding="utf-8")
        yield path, Template(text).substitute(words).rstrip() + "\n"
