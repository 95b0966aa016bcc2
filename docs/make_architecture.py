"""Draw docs/images/packages.svg and the table of packages in explanation/architecture.md from the real imports."""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
PICTURE = ROOT / "docs" / "images" / "packages.svg"
BEGIN, END = "<!-- packages: begin -->", "<!-- packages: end -->"
ROW, LEFT, WIDTH = 34, 250, 1060  # pixels: height of a row, room for arcs, whole picture
STYLE = """
  rect.room { fill: #e0f2f1; stroke: #00796b }
  text { fill: #1c262b; font: 14px system-ui, sans-serif }
  text.small { fill: #455a64; font-size: 12px }
  path { fill: none; stroke: #78909c; stroke-width: 1.3 }
  path.back { stroke: #c62828; stroke-width: 2 }
"""


def layers() -> list[str]:
    """Packages and modules at the top of mmtk, from the command line down to the errors."""
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    order = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    names = [name.strip() for layer in order for name in layer.split("|")]
    return [name for name in names if name != "__main__"]


def summary(name: str) -> str:
    """First line of the docstring of a package or module."""
    path = ROOT / "mmtk" / name
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").splitlines()[0]


def size(name: str) -> int:
    """Number of modules of a package, templates and package files left out; 1 for a module."""
    path = ROOT / "mmtk" / name
    files = [*path.rglob("*.py")] if path.is_dir() else [path]
    return sum(file.name != "__init__.py" and "templates" not in file.parts for file in files)


def imports() -> dict[str, set[str]]:
    """Package → packages that it imports, those for types alone left out."""
    graph = grimp.build_graph("mmtk", exclude_type_checking_imports=True, cache_dir=None)
    edges: dict[str, set[str]] = {name: set() for name in layers()}
    for module in graph.modules:
        room = module.split(".")[1] if "." in module else ""
        for other in graph.find_modules_directly_imported_by(module) if room in edges else ():
            target = other.split(".")[1] if "." in other else ""
            if target in edges and target != room:
                edges[room].add(target)
    return edges


def reduced(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """The imports that no chain of other imports implies, so that arrows can be followed by eye."""
    order = {name: row for row, name in enumerate(layers())}

    def below(name: str) -> set[str]:
        down = {other for other in edges[name] if order[other] > order[name]}
        return down | {far for other in down for far in below(other)}

    kept: dict[str, set[str]] = {}
    for name, others in edges.items():
        implied = {far for other in others if order[other] > order[name] for far in below(other)}
        kept[name] = {other for other in others if other not in implied or order[other] < order[name]}
    return kept


def picture() -> str:
    """One row for each package; arcs lead from a package to those that it imports, upward ones in red."""
    names, edges = layers(), reduced(imports())
    order = {name: row for row, name in enumerate(names)}
    parts = []
    for name in names:
        for other in sorted(edges[name]):
            start, end = order[name] * ROW + 32, order[other] * ROW + 24
            bow = LEFT - 24 - 11 * abs(order[other] - order[name])
            kind = ' class="back"' if order[other] < order[name] else ""
            parts.append(
                f'<path{kind} d="M{LEFT} {start}C{bow} {start},{bow} {end},{LEFT} {end}" marker-end="url(#head)"/>'
            )
    for name, row in order.items():
        top, modules = row * ROW + 14, size(name)
        count = f"{modules} module{'s' if modules != 1 else ''}"
        parts.append(f'<rect class="room" x="{LEFT}" y="{top}" width="132" height="26" rx="5"/>')
        parts.append(f'<text x="{LEFT + 10}" y="{top + 18}" font-weight="600">{name}</text>')
        parts.append(
            f'<text class="small" x="{LEFT + 144}" y="{top + 12}">{escape(summary(name).replace("``", ""))}</text>'
        )
        parts.append(f'<text class="small" x="{LEFT + 144}" y="{top + 26}">{count}</text>')
    height = len(names) * ROW + 24
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            'aria-labelledby="title">',
            '<title id="title">Packages of mmtk and what they import</title>',
            f"<style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0L10 5L0 10z" style="fill:#78909c;stroke:none"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def table() -> str:
    """Markdown table: package, what stands in it, number of modules, and what it imports."""
    edges, order = imports(), {name: row for row, name in enumerate(layers())}
    rows = ["| package | holds | modules | imports |", "|---|---|---|---|"]
    for name in layers():
        listed = ", ".join(f"`{other}`" for other in sorted(edges[name], key=order.__getitem__)) or "–"
        rows.append(f"| `{name}` | {summary(name)} | {size(name)} | {listed} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """The page with its table drawn anew."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
