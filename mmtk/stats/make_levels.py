"""Simulate the levels of looks at every number of seeds: ``python -m mmtk.stats.make_levels`` writes levels.json.

Linear spending (Kim and DeMets 1987, ρ = 1, of Lan and DeMets 1983): by J of at most J_max seeds α · J / J_max of
the error may be spent. Exact for Student's t, up to the error of the simulation.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FIRST = 3  # seeds at the first look
PATHS = 2_000_000  # of one simulation
SIMULATIONS = 16  # behind a table that is shipped
SHIPPED = (10, 15, 20)
FILE = Path(__file__).with_name("levels.json")


def simulate(maximum: int, alpha: float, paths: int = PATHS, seed: int = 0) -> list[float]:
    """The level of the look at 3, 4, … ``maximum`` seeds.

    maximum: J_max, at least 3
    alpha: error of all looks together
    paths: number of simulated studies without a difference
    seed: of the draws

    At each look, c_J is what |t| exceeds in so many of the paths not yet stopped as may be spent there; the level
    is 2 T(−c_J; J − 1).
    """
    from scipy.special import stdtr

    rng = np.random.default_rng(seed)
    total, squares = np.zeros(paths), np.zeros(paths)
    levels, spent = [], 0
    for seeds in range(1, maximum + 1):
        draws = rng.standard_normal(len(total))
        total += draws
        squares += draws**2
        if seeds < FIRST:
            continue
        spendable = round(alpha * paths * seeds / maximum) - spent
        spent += spendable
        variance = (squares - total**2 / seeds) / (seeds - 1)
        t = np.abs(total) / np.sqrt(seeds * variance)
        border = len(t) - spendable
        order = np.argpartition(t, [border - 1, border])
        critical = (t[order[border - 1]] + t[order[border]]) / 2
        levels.append(float(2 * stdtr(seeds - 1, -critical)))
        rest = order[:border]
        total, squares = total[rest], squares[rest]
    return levels


def table(maximum: int, simulations: int = 1) -> dict[str, list[float]]:
    """Levels of the tests of a difference and of equivalence, as the file holds them: means of simulations."""
    parts = {"difference": 0.05, "equivalence": 0.10}
    levels = {
        name: np.mean([simulate(maximum, alpha, seed=seed) for seed in range(simulations)], axis=0)
        for name, alpha in parts.items()
    }
    return {name: values.round(5).tolist() for name, values in levels.items()}


if __name__ == "__main__":
    tables = {str(maximum): table(maximum, SIMULATIONS) for maximum in SHIPPED}
    FILE.write_text(json.dumps(tables, indent=1) + "\n")
