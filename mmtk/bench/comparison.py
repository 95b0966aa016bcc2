"""Numbers of other programs, from the command to the report: a table, and masks."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np

from mmtk.bench.measure import Options, Row, fresh, spread
from mmtk.bench.startup import whole_command
from mmtk.counts import counted

SYSTEMS, SEEDS = 10, 5
ROWS, MASKS = 1_000, 20  # cases of the table and of the masks
HERE = "mmtk.bench.comparison"


def rows(options: Options) -> list[Row]:
    """A table of 1,000 cases, and masks of some cases in run size, each of 10 systems × 5 seeds."""
    table: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="mmtk-bench-") as name:
        folder = Path(name)
        fresh(f"{HERE}:draw", folder=name, size=options.size)
        sources = {
            f"table of {counted(ROWS, 'case')}": (ROWS, [str(folder / "table.csv")]),
            f"masks of {counted(MASKS, 'case')}, {options.size} px": (
                MASKS,
                [str(folder / "masks"), "--reference", str(folder / "reference")],
            ),
        }
        for number, (what, (cases, arguments)) in enumerate(sources.items()):
            call = ["-m", "mmtk", "compare", *arguments, "--out", str(folder / f"report-{number}")]
            samples = [whole_command(call) for _ in range(options.rounds)]
            row: Row = {"name": f"{what}, {SYSTEMS} systems × {SEEDS} seeds", "seconds": spread(samples)}
            table.append(row | {"values/s": SYSTEMS * SEEDS * cases / row["seconds"]["median"]})
    return table


def draw(folder: str, size: int) -> None:
    """Draw what is compared, in a process of its own: scores as a table, and masks with outlines of their own."""
    rng = np.random.default_rng(0)
    path = Path(folder)
    with (path / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["system", "seed", "case", "dice"])
        for system in range(SYSTEMS):
            for seed in range(SEEDS):
                values = rng.beta(20, 3, ROWS).round(4)
                writer.writerows((f"system{system}", seed, case, value) for case, value in enumerate(values))
    for case in range(MASKS):
        outline = _outline(rng, 0.03)
        _save(path / "reference" / f"case{case}.png", outline, size)
        for system in range(SYSTEMS):
            for seed in range(SEEDS):
                file_path = path / "masks" / f"system{system}" / f"seed{seed}" / f"case{case}.png"
                _save(file_path, outline + _outline(rng, 0.01), size)


def _outline(rng: np.random.Generator, waves: float) -> np.ndarray:
    """Waves of a radius over 360 angles, as shares of it."""
    angles = np.radians(np.arange(360))
    return np.asarray(sum(rng.normal(0, waves) * np.sin(k * angles + rng.uniform(0, 6)) for k in range(2, 9)))


def _save(path: Path, outline: np.ndarray, size: int) -> None:
    """Write a mask of two lungs, ellipses whose radius has the waves of an outline."""
    from PIL import Image

    rows, columns = np.mgrid[:size, :size] / size - 0.5
    mask = np.zeros((size, size), bool)
    for middle in (-0.2, 0.2):
        x, y = (columns - middle) / 0.15, rows / 0.3
        angle = np.degrees(np.arctan2(y, x)).astype(int) % 360
        mask |= np.hypot(x, y) < 1 + outline[angle]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((mask * 255).astype(np.uint8)).save(path)
