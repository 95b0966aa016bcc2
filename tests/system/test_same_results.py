"""Every shipped recipe gives the results that it gave: same digest and values, on the same machine same bytes.

``PYTHONPATH=tests python tests/system/test_same_results.py`` writes ``fixtures/results.json``, and only when a
change of results is meant: the CHANGELOG then says which and why. Floating point differs in the last bits between
processors and versions of torch: bytes are compared on the kind of machine that wrote the file, values everywhere.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny

import mmtk

PATH = Path(__file__).parents[1] / "fixtures" / "results.json"
RECIPES = sorted({path.stem for path in (Path(__file__).parents[2] / "recipes").glob("*.toml")} - {"base"})
FILES = ("metrics.jsonl", "checkpoints/last.safetensors", "checkpoints/best.safetensors")
# Four steps of a few images: the processors' rounding grows, a changed method is far off.
TOLERANCE = 5e-3


def machine() -> str:
    """What floating-point bits depend on: the processor and torch."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{processor}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def results(name: str, folder: Path) -> dict[str, Any]:
    """Digest, losses of every step and SHA-256 of the files of a tiny run of a recipe, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        recipe = tiny(name)
        scores = mmtk.run(recipe, folder, pictures=False).scores
    finally:
        torch.set_num_threads(threads)
    assert set(scores["in-domain"]) == set(mmtk.load_recipe(folder).tasks)
    assert bool(scores["warnings"]) == (name == "release")  # whose KL divergence is dead
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    return {
        "digest": recipe.digest,
        "loss": [row["train/loss"] for row in rows if "train/loss" in row],
        "sha256": {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in FILES},
    }


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_gives_the_results_that_it_gave(name: str, tmp_path: Path) -> None:
    expected = json.loads(PATH.read_text())
    actual = results(name, tmp_path / "run")
    assert actual["digest"] == expected["recipes"][name]["digest"]
    assert actual["loss"] == pytest.approx(expected["recipes"][name]["loss"], rel=TOLERANCE)
    if machine() == expected["machine"]:
        assert actual["sha256"] == expected["recipes"][name]["sha256"]


def test_every_shipped_recipe_is_compared() -> None:
    assert sorted(json.loads(PATH.read_text())["recipes"]) == RECIPES


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        rows = {name: results(name, Path(scratch, name)) for name in RECIPES}
    PATH.write_text(json.dumps({"machine": machine(), "recipes": rows}, indent=1) + "\n")
