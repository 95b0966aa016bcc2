"""Put the tables of a measurement into docs/performance.md: python benchmarks/page.py MEASURED.json [PAGE]

Between ``<!-- bench: WHAT -->`` and ``<!-- end -->`` stands what was measured; the rest of the page is prose.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mmtk.bench.tables import cells, markdown, number
from mmtk.io.files import read_json

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
MARK = re.compile(r"(<!-- bench: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def facts(measured: dict[str, Any]) -> str:
    """The machine and the settings."""
    values = measured["machine"] | {"measured on": measured["measured"]} | measured["settings"]
    texts = {k: ", ".join(v) if isinstance(v, list) else v for k, v in values.items()}
    return markdown(["", ""], [[k, v if isinstance(v, str) else number(v)] for k, v in texts.items()])


def fill(page: str, measured: dict[str, Any]) -> str:
    """The page with every table that was measured; the others stay."""

    def table(match: re.Match[str]) -> str:
        part = match[2]
        if part == "machine":
            return f"{match[1]}{facts(measured)}\n{match[3]}"
        if part not in measured["parts"]:
            return match[0]
        return f"{match[1]}{markdown(*cells(measured['parts'][part]))}\n{match[3]}"

    return MARK.sub(table, page)


def main() -> None:
    """Rewrite the page."""
    page = Path(sys.argv[2]) if len(sys.argv) > 2 else PAGE
    page.write_text(fill(page.read_text(encoding="utf-8"), read_json(Path(sys.argv[1]))), encoding="utf-8")


if __name__ == "__main__":
    main()
