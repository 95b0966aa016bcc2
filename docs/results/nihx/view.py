"""AUROC on NIHX within and across views: view.py RUNS DATA writes view.csv, effects.csv and view.png.

RUNS holds finished runs, DATA the folder of the data sets. Runs of one system share start, bridge, strategies and
label budget; systems with fewer than three seeds are left out.
"""

import csv
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmtk.report.figures import style
from mmtk.report.intervals import bounded
from mmtk.runs.arrays import read_cases
from mmtk.scores import ScoreInfo
from mmtk.stats import Jackknife, combine, two_way
from mmtk.stats.matching import joint_strata, matched
from mmtk.stats.strata import auroc_within

HERE = Path(__file__).parent
PARTS = ("encoder", "bridge", "ssl", "consistency")
COLUMNS = ("p-normal", "p-pneumonia", "predicted", "target")
SHOWN = {
    "all films": style.GREY,
    "within view": style.BLUE,
    "matched by view and sex": style.GREEN,
    "tells AP": style.VERMILION,
}


def systems(runs: Path) -> dict[str, list[Path]]:
    """Finished runs by system."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for run in sorted(runs.iterdir()):
        if (run / "done.json").is_file():
            recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
            labels = recipe["data"]["classification"]["labels"]
            words = [recipe.get(part, {}).get("use", "none") for part in PARTS]
            groups[", ".join([*(word for word in words if word != "none"), f"{labels} labels"])].append(run)
    return {name: groups[name] for name in sorted(groups) if len(groups[name]) > 2}


@dataclass(frozen=True)
class Films:
    """Values of one system on NIHX's films, the view being 1 of AP films."""

    values: np.ndarray
    table: dict[str, np.ndarray]
    ill: np.ndarray
    patients: np.ndarray
    view: np.ndarray
    sex: np.ndarray

    def strata(self) -> dict[str, np.ndarray]:
        """Films whose pairs count, by score."""
        alone = {
            name: np.where(self.view == number, 0, -1) for number, name in ((1, "within AP"), (0, "within PA"))
        }
        return {
            "all films": np.zeros(len(self.ill), int),
            "within view": self.view,
            **alone,
            "within sex": self.sex,
        }


def films(group: list[Path], facts: dict[str, dict[str, str]]) -> Films:
    """The films of one system's runs, with what NIH's table says of them."""
    tables = read_cases([run / "cases.parquet" for run in group])
    (table,) = (tables[key] for key in tables if key[0] != "in-domain" and key[1] == "classification")
    rows = [facts[name] for name in table["id"]]
    patients = np.array([row["Patient ID"] for row in rows])
    view = np.array([row["View Position"] == "AP" for row in rows], int)
    sex = np.array([row["Patient Gender"] == "F" for row in rows], int)
    return Films(table["p-pneumonia"], table, table["target"][0] == 1, patients, view, sex)


def scores(of: Films) -> dict[str, Jackknife]:
    """AUROCs of one system, with each patient left out."""
    result = {name: auroc_within(of.values, of.ill, strata, of.patients) for name, strata in of.strata().items()}
    columns, strata = {name: of.table[name] for name in COLUMNS}, joint_strata([of.view, of.sex])
    result["matched by view and sex"] = matched("auroc", columns, strata, of.patients)
    result["tells AP"] = auroc_within(of.values, of.view == 1, of.ill.astype(int), of.patients)
    return result


def effects(groups: dict[str, list[Path]], facts: dict[str, dict[str, str]]) -> Iterator[list[object]]:
    """What every part changes from each start: mean of the systems with it less mean of those without it."""
    for start in sorted({name.partition(",")[0] for name in groups}):
        names = [name for name in groups if name.startswith(f"{start},") and name.endswith(" 100 labels")]
        seeds = set.intersection(*({run.name[-3:] for run in groups[name]} for name in names))
        parts = [scores(films([run for run in groups[name] if run.name[-3:] in seeds], facts)) for name in names]
        for part in ("saliency", "confidence", "kl"):
            weights = [(1 if part in name else -1) * 2 / len(names) for name in names]
            for score in ("all films", "within view", "tells AP"):
                one = two_way(combine(weights, [row[score] for row in parts]))
                yield [start, part, len(seeds), score, *(round(x, 4) for x in (one.est, one.low, one.high, one.p))]


def main(runs: Path, data: Path) -> None:
    """Write the table and the figure."""
    with open(data / "NIHX/Data_Entry_2017.csv", newline="", encoding="utf-8-sig") as file:
        facts = {Path(row["Image Index"]).stem: row for row in csv.DictReader(file)}
    groups, unit = systems(runs), ScoreInfo("AUROC", low=0.0, high=1.0)
    results = {}
    for name, group in groups.items():
        rows = scores(films(group, facts)).items()
        results[name, len(group)] = {score: bounded(two_way(one), unit, difference=False) for score, one in rows}
    with open(HERE / "effects.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["start", "part", "seeds", "score", "effect", "low", "high", "p"])
        table.writerows(effects(groups, facts))
    with open(HERE / "view.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["system", "seeds", "score", "AUROC", "low", "high"])
        for (name, seeds), row in results.items():
            table.writerows(
                [name, seeds, score, *(round(number, 4) for number in (one.est, one.low, one.high))]
                for score, one in row.items()
            )
    with style.chart(
        HERE / "view.png", "AUROC on NIHX, by what the view is allowed to do", 8.5, 1.2 + 0.38 * len(results)
    ) as figure:
        axes = figure.subplots()
        for line, row in enumerate(results.values()):
            for place, (score, colour) in enumerate(SHOWN.items()):
                one, height = row[score], line + 0.18 * (place - 1.5)
                axes.plot([one.low, one.high], [height, height], color=colour, lw=1.5)
                axes.plot([one.est], [height], "o", color=colour, ms=4.5, label=score if not line else None)
        axes.axvline(0.5, color=style.GREY, lw=1, ls="--")
        axes.set_yticks(range(len(results)), [name for name, _ in results])
        axes.set_ylim(len(results) - 0.5, -0.5)
        axes.set_xlabel("AUROC with 95 % interval; orange: of AP against PA, among films of one class")
        axes.legend(ncol=4, loc="lower center", bbox_to_anchor=(0.4, 1.0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
