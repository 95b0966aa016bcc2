"""AUROC on NIHX of every cure, and its change: cures.py DATA RUNS [FOLDER…] writes cures.csv.

RUNS holds the finished runs plain-…-s0, gray-levels-…-s0 and so on; DATA the folder of the data sets. A FOLDER,
such as batch-norm, holds evaluations of the plain runs under their names. Changes are paired by seed and film.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

from view import films, scores

from mmtk.report.intervals import bounded
from mmtk.scores import ScoreInfo
from mmtk.stats import combine, two_way

HERE = Path(__file__).parent
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
            for score in own:
                one = bounded(two_way(own[score]), UNIT, difference=False)
                row = [one.est, one.low, one.high]
                if name != PLAIN:
                    change = two_way(combine((1, -1), (own[score], plain[score])))
                    row += [change.est, change.low, change.high, change.p]
                table.writerow([name, len(seeds), score, *("" if x is None else round(x, 4) for x in row)])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]), [*map(Path, sys.argv[3:])])
