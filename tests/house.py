"""Measure names, docstrings and lengths of the code. ``python tests/house.py [PACKAGE]`` prints them."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1] / "mmtk"
LONG = 40  # lines of code of a function, docstring left out
# Words that leave open what they name.
WORDS = """
    asked begun chosen done drawn each found given held here judged kept known lost made meant mine moved
    named needed offered others ours own place placed planned refused said seen sent shown standing stored
    taken theirs there told turned wanted written
"""
FILLER = frozenset(WORDS.split())


@dataclass
class Findings:
    """Measurements of some modules.

    names: stored names and parameters, each counted once for every place that binds it
    filler: those without a noun, with their places
    undescribed: public functions with four or more parameters of which the docstring leaves out more than one
    long: functions of more than ``LONG`` lines of code
    vague: docstrings that begin with neither a verb nor a noun; those of the contract kit's checks are sentences
    modules: lines of each module
    """

    names: int = 0
    filler: dict[str, list[str]] = field(default_factory=dict)
    undescribed: list[str] = field(default_factory=list)
    long: list[str] = field(default_factory=list)
    vague: list[str] = field(default_factory=list)
    modules: dict[str, int] = field(default_factory=dict)

    @property
    def filler_share(self) -> float:
        """Share of the names that have no noun, from 0 to 1."""
        return sum(map(len, self.filler.values())) / max(1, self.names)


def bound_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that a module binds, with their lines: parameters, variables, attributes, functions, classes."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name, lineno=line) | ast.FunctionDef(name=name, lineno=line):
                yield name, line
            case ast.ClassDef(name=name, lineno=line):
                yield name, line
            case ast.Name(id=name, ctx=ast.Store(), lineno=line):
                yield name, line
            case ast.Attribute(attr=name, ctx=ast.Store(), lineno=line):
                yield name, line


def functions(node: ast.AST, prefix: str = "", public: bool = True) -> Iterator[tuple[str, ast.FunctionDef, bool]]:
    """Functions and methods below a node: qualified name, node, and whether others may call it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield prefix + child.name, child, public and not child.name.startswith("_")
            yield from functions(child, f"{prefix}{child.name}.", False)
        elif isinstance(child, ast.ClassDef):
            yield from functions(child, f"{prefix}{child.name}.", public and not child.name.startswith("_"))
        else:
            yield from functions(child, prefix, public)


def code_lines(function: ast.FunctionDef, lines: list[str]) -> int:
    """Lines of a function's body that hold code: no docstring, comments or empty lines."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    texts = (line.strip() for line in lines[body[0].lineno - 1 : function.end_lineno])
    return sum(bool(text) and not text.startswith("#") for text in texts)


def undescribed_parameters(function: ast.FunctionDef) -> list[str]:
    """Parameters that the docstring does not name as ``name`` or in a line ``name: …``."""
    arguments = function.args
    names = [
        a.arg
        for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        if a.arg not in ("self", "cls")
    ]
    text = ast.get_docstring(function) or ""
    missing = [name for name in names if not re.search(rf"``\*?{name}\b[^`]*``|^\s*{name}: ", text, re.MULTILINE)]
    return missing if len(names) >= 4 else []


def vague_openings(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Docstrings that begin with a relative clause instead of a verb or a noun, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if re.match(r"(What|Where|How|Those|That|Who|Of|As)\b", first):
                yield first, getattr(node, "lineno", 1)


@functools.cache
def survey(package: str = "") -> Findings:
    """Measure the modules of a package (all of mmtk by default); templates of plugins are left out.

    Commands are functions whose parameters are described by their options, and components are held to their
    parameters by the contract kit.
    """
    result = Findings()
    for path in sorted((ROOT / package).rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        if "templates" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        tree, lines = ast.parse(text), text.splitlines()
        if path.name != "__init__.py":
            result.modules[where] = len(lines)
        for name, line in bound_names(tree):
            result.names += 1
            if name.strip("_") in FILLER:
                result.filler.setdefault(name.strip("_"), []).append(f"{where}:{line}")
        if path.parent.name != "testing":
            result.vague += [f"{where}:{line} {first}" for first, line in vague_openings(tree)]
        for name, function, public in functions(tree):
            if code_lines(function, lines) > LONG:
                result.long.append(f"{where}:{function.lineno} {name} ({code_lines(function, lines)})")
            described_elsewhere = where.startswith(("components/", "cli/"))
            if public and not described_elsewhere and len(missing := undescribed_parameters(function)) > 1:
                result.undescribed.append(f"{where}:{function.lineno} {name}: {', '.join(missing)}")
    return result


def marks(word: str) -> list[str]:
    """Places in Python files of the project with a comment such as ``noqa`` or ``fmt:``."""
    tops = ("mmtk", "plugins", "tests", "benchmarks", "docs")
    files = [path for top in tops for path in (ROOT.parent / top).rglob("*.py") if ".venv" not in path.parts]
    pattern = re.compile(rf"# {word}:? ?[A-Zo]")
    return [
        f"{path.relative_to(ROOT.parent).as_posix()}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line) and path.name != "house.py"
    ]


def main() -> None:
    """Print the findings."""
    result = survey(*sys.argv[1:2])
    counts = Counter({name: len(places) for name, places in result.filler.items()})
    print(f"{result.names} names, {counts.total()} without a noun ({result.filler_share:.2%})")
    for name, count in counts.most_common():
        print(f"  {name} {count}: {', '.join(result.filler[name][:6])}{' …' if count > 6 else ''}")
    for title, lines in (
        ("docstrings that leave out parameters", result.undescribed),
        (f"functions over {LONG} lines", result.long),
        ("docstrings that begin with neither a verb nor a noun", result.vague),
    ):
        print(f"{title}: {len(lines)}", *lines, sep="\n  ")
    sizes = result.modules.values()
    print(f"modules: {len(sizes)}, median {median(sizes):.0f} lines, longest {max(sizes)}")
    print(*(f"  {lines} {name}" for name, lines in result.modules.items() if lines > 300), sep="\n")


if __name__ == "__main__":
    main()
