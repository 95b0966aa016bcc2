"""Scores of saliency maps on NIHX as a table of Markdown: maps.py TABLES, the folder of a report's tables."""

import csv
import sys
from pathlib import Path

TEST_SET = "cross-domain classification"
COLUMNS = {
    "mass in lungs": "mass in lungs",
    "mass in boxes": "mass in boxes",
    "pointing game in boxes": "points into a box",
    "deletion": "deletion",
    "insertion": "insertion",
    "rank correlation, shuffled all layers": "shuffled",
    "rank correlation of seeds": "seeds",
}


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
    print("|", " | ".join(["map", "system", "trainings", *COLUMNS.values(), "the paper's sentence"]), "|")
    print("|---|---|" + "---:|" * (1 + len(COLUMNS)) + "---|")
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in rows:
        found.setdefault((row["Map"], row["System"]), {})[row["Metric"]] = row
    names = list(dict.fromkeys(name for name, _ in found))
    for name, system in sorted(found, key=lambda key: names.index(key[0])):
        scores = found[name, system]
        values = [cell(scores.get(metric)) for metric in COLUMNS]
        word = verdicts.get((system, name), "–")
        print("|", " | ".join([name, system, scores["deletion"]["Seeds"], *values, word]), "|")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
