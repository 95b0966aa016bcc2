"""Scores of saliency maps on NIHX as a table of Markdown: maps.py TABLES, the folder of a report's tables."""

import csv
import sys
from pathlib import Path

TEST_SET = "cross-domain classification"
COLUMNS = (
    "mass in lungs",
    "mass in boxes",
    "pointing game in boxes",
    "deletion",
    "insertion",
    "rank correlation, shuffled head",
    "rank correlation, shuffled all layers",
    "rank correlation of seeds",
)


def cell(row: dict[str, str] | None) -> str:
    """A mean with its interval."""
    if row is None:
        return "–"
    ends = f" ({float(row['Score low']):.2f} to {float(row['Score high']):.2f})" if row["Score low"] else ""
    return f"{float(row['Score']):.2f}{ends}"


def main(tables: Path) -> None:
    """Print a row per system and map, and the verdict on the paper's sentence."""
    with open(tables / "saliency.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["Test set"] == TEST_SET]
    with open(tables / "saliency-claims.csv", newline="", encoding="utf-8") as file:
        claims = [row for row in csv.DictReader(file) if row["Test set"] == "all"]
    verdicts = {(row["System"], row["Map"]): row["Verdict"] for row in claims}
    print("|", " | ".join(["system", "map", "seeds", *COLUMNS, "the paper's sentence"]), "|")
    for key in dict.fromkeys((row["System"], row["Map"], row["Seeds"]) for row in rows):
        by_score = {row["Metric"]: row for row in rows if (row["System"], row["Map"], row["Seeds"]) == key}
        cells = [cell(by_score.get(name)) for name in COLUMNS]
        print("|", " | ".join([*key, *cells, verdicts.get(key[:2], "–")]), "|")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
