"""AUROC on NIHX of every cure, and its change: cures.py DATA RUNS [FOLDER…] writes cures.csv, and prints a table.

RUNS holds the finished runs plain-…-s0, gray-levels-…-s0 and so on; DATA the folder of the data sets. A FOLDER,
such as batch-norm, holds evaluations of the plain runs under their names. Changes are paired by seed and film.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from view import films, scores

from mmtk.report.intervals import bounded
from mmtk.scores import ScoreInfo
from mmtk.stats import Interval, Jackknife, combine, two_way

HERE = Path(__file__).parent
COLUMNS = ("all films", "within view", "matched by view and sex", "tells AP")  # of the table that is printed
UNIT = ScoreInfo("AUROC", low=0.0, high=1.0)
PLAIN = "plain"


def cures(runs: Path, folders: list[Path]) -> dict[str, dict[str, Path]]:
    """Folders with values per image by cure and seed, those without cure first."""
    groups: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(runs.glob("*/done.json")):
        name, _, seed = path.parent.name.rsplit("-", 2)
        groups[name][seed] = path.parent
    for folder in folders:
        for path in sorted(folder.glob(f"{PLAIN}-*/cases.parquet")):
            groups[folder.name][path.parent.name.rpartition("-")[2]] = path.parent
    return {name: groups[name] for name in sorted(groups, key=lambda name: (name != PLAIN, name))}


def rows(
    own: dict[str, Jackknife], plain: dict[str, Jackknife] | None
) -> Iterator[tuple[str, Interval, Interval | None]]:
    """AUROC of every score, and its change from the runs without cure; None for these themselves."""
    for score, one in own.items():
        change = None if plain is None else two_way(combine((1, -1), (one, plain[score])))
        yield score, bounded(two_way(one), UNIT, difference=False), change


def printed(name: str, entries: dict[str, Interval], sign: bool = False) -> None:
    """Print a row of the page's table."""
    cells = (
        f"{one.est:{'+' if sign else ''}.{2 + sign}f} ({one.low:.{2 + sign}f} to {one.high:.{2 + sign}f}"
        + (f"; p {one.p:.3f})" if sign else ")")
        for one in (entries[score] for score in COLUMNS)
    )
    print("|", " | ".join([name, *cells]), "|")


def main(data: Path, runs: Path, folders: list[Path]) -> None:
    """Write a row per cure and score: AUROC, change, and how many seeds both have."""
    with open(data / "NIHX/Data_Entry_2017.csv", newline="", encoding="utf-8-sig") as file:
        facts = {Path(row["Image Index"]).stem: row for row in csv.DictReader(file)}
    groups = cures(runs, folders)
    with open(HERE / "cures.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["cure", "seeds", "score", "AUROC", "low", "high", "change", "low", "high", "p"])
        for name, group in groups.items():
            seeds = sorted({*group} & {*groups[PLAIN]})
            pair = group, groups[PLAIN]
            own, plain = (scores(films([one[seed] for seed in seeds], facts)) for one in pair)
            found = [*rows(own, None if name == PLAIN else plain)]
            for score, one, change in found:
                numbers = [
                    one.est,
                    one.low,
                    one.high,
                    *((change.est, change.low, change.high, change.p) if change else ()),
                ]
                table.writerow([name, len(seeds), score, *("" if x is None else round(x, 4) for x in numbers)])
            printed(f"{name} | {len(seeds)}", {score: one for score, one, _ in found})
            if name != PLAIN:
                printed("change | ", {score: change for score, _, change in found if change}, sign=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]), [*map(Path, sys.argv[3:])])
