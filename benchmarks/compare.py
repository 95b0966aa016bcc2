"""How a measurement differs from an older one, as ratios of medians.

python benchmarks/compare.py BASE.json NEW.json

It fails where a row grew by more than 15 %.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmtk.bench.tables import changes, grown
from mmtk.io.files import read_json


def main() -> None:
    """Print the rows that both have, and what differs between the machines; exit with 1 where a row grew."""
    base, new = (read_json(Path(path)) for path in sys.argv[1:3])
    headings, lines = changes(base, new)
    table = Table(*headings, title=f"{sys.argv[2]} against {sys.argv[1]}")
    for line in lines:
        table.add_row(*line)
    console = Console()
    console.print(table)
    for part in ("machine", "settings"):
        for key, value in new[part].items():
            if base[part].get(key) != value:
                console.print(f"{part}: {key}: {base[part].get(key)} → {value}")
    if rows := grown(base, new):
        console.print("[red]Grown by more than 15 %:[/red]")
        console.print("\n".join(rows), markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
