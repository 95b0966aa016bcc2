"""All parts of ``mmtk bench``, and a plain implementation of Algorithm 1 beside the step: one JSON.

python benchmarks/all.py OUT.json [--device auto] [--size 256] [--rounds 3] [--parts step,data,…]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mmtk.bench.measure import Options, Row, fresh
from mmtk.bench.run import PARTS, measure, options_for
from mmtk.bench.step import BATCH, summary
from mmtk.bench.tables import show
from mmtk.io.files import write_json

HERE = Path(__file__).parent
BASELINES = {"plain Algorithm 1, fp32, as it ships": False, "plain Algorithm 1, fp32, pages kept": True}


def plain_rows(options: Options) -> list[Row]:
    found = []
    for name, pages in BASELINES.items():
        if pages and options.device == "cuda":
            continue
        keys: dict[str, Any] = {"size": options.size, "batch": BATCH, "device": options.device, "pages": pages}
        results = [
            fresh("baseline:measure", {"PYTHONPATH": f"{HERE}:{HERE.parent}"}, **keys)
            for _ in range(options.rounds)
        ]
        found.append(summary(name, results, BATCH))
    return found


def beside(plain: list[Row], rows: list[Row]) -> list[Row]:
    """All rows, with how many times faster than the plain step each step of the same size and batch is."""
    for row in rows:
        if row["name"].startswith("mmtk") and " px" not in row["name"]:
            for title, baseline in zip(("× plain", "× plain, pages kept"), plain, strict=False):
                row[title] = baseline["seconds"]["median"] / row["seconds"]["median"]
            row["peak / plain"] = row["peak GB"] / plain[0]["peak GB"]
    return plain + rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default=",".join(PARTS))
    asked = parser.parse_args()
    options = options_for(asked.device, asked.precision, asked.size, asked.rounds)
    parts = asked.parts.split(",")
    measured = measure(parts, options, lambda text: print(text, file=sys.stderr, flush=True))
    if "step" in parts:
        print("Measuring the plain step …", file=sys.stderr, flush=True)
        measured["parts"]["step"] = beside(plain_rows(options), measured["parts"]["step"])
    write_json(asked.out, measured)
    show(measured)


if __name__ == "__main__":
    main()
