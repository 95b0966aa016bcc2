"""From the command to a score: seconds until validation reaches a Dice and an AUROC, of mmtk and of its peers.

python benchmarks/time_to_score.py --data FOLDER [--peers mmtk,plain,monai] [--seeds 3] [--json FILE]

Every peer gets the same images: 10 masks of JSRT, 100 labels of CheX, 128 px, as mmtk's splits have them. The
clock begins with the command, so imports and the reading of files count; it stops when validation, scored every 25
steps, is there, and the test is scored once, after it. A peer's packages are installed into an environment of its
own under ``--cache``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmtk import load_recipe
from mmtk.api import Item, Source
from mmtk.data.dataset import without_images
from mmtk.data.sources import source
from mmtk.io.files import read_json, write_json
from mmtk.recipe.recipe import Recipe
from mmtk.runs.pace import cores

PEERS = Path(__file__).parent / "peers"
SCORES = {"segmentation": "dice", "classification": "auroc"}
INTERVAL = 25  # steps between two validations, of every peer
PACKAGES = {"plain": ["torch", "numpy", "pillow"], "monai": ["monai", "torch", "numpy", "pillow"]}
SCRIPTS = {"plain": "plain_loop.py", "monai": "monai_loops.py"}
ABSENT = (
    "USB (semilearn 0.3.2) cannot run on a CPU: its Trainer calls torch.cuda.set_device.",
    "PyMIC (0.6.2) was not measured: it installs, but no loop of it was written.",
)
Wish = dict[str, Any]


# --- the images that all peers get ----------------------------------------------------------------------------


def parts_of(recipe: Recipe, root: Path | None, folder: Path) -> dict[str, Any]:
    """Images and labels of every task by part, as files; masks and images made in code are written to ``folder``.

    recipe: with its budgets and seed
    root: folder of the data sets
    """
    splits = without_images(recipe, root).splits()
    lists: dict[str, Any] = {}
    for task in recipe.tasks:
        one = source(recipe, task, root=root)
        items = {item.id: item for item in one.items("all")}
        lists[task] = {
            part: [_files(one, items[name], folder) for name in splits[task][part]]
            for part in ("labelled", "val", "test")
        }
    return lists


def _files(one: Source, item: Item, folder: Path) -> dict[str, Any]:
    """File of an image, with its class or the file of its mask."""
    image = (
        Path(item.image)
        if isinstance(item.image, str | Path)
        else _png(folder / f"{item.id}.png", one.image(item))
    )
    if one.labels.task == "classification":
        return {"image": str(image), "target": int(item.target)}
    name = folder / f"{item.id.replace('/', '-')}-mask.png"
    return {"image": str(image), "target": str(_png(name, 255 * (one.mask(item).max(0) == 1).astype(np.uint8)))}


def _png(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path.absolute()


# --- the peers ------------------------------------------------------------------------------------------------


def environment(peer: str, cache: Path) -> Path:
    """Python of a peer's own environment, made on first use."""
    folder = cache / f"time-to-score-{peer}"
    python = folder / "bin" / "python"
    if not (folder / "whole").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES[peer]], check=True)
        (folder / "whole").touch()
    return python


def peer_times(python: Path, script: str, wish: Wish, folder: Path) -> dict[str, Any]:
    """Result of a peer's script, started by ``python`` in ``folder``; ``wish``: parts, goals, seed, limit."""
    file = folder / "wish.json"
    write_json(file, wish | {"start": time.time()})
    process = subprocess.run(
        [str(python), str(PEERS / script), str(file)], stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


def mmtk_times(recipe: Recipe, wish: Wish, root: Path | None, folder: Path) -> dict[str, Any]:
    """Seconds until each validation score of ``mmtk run`` is there; the run then ends, and its test is read.

    recipe: what is trained
    wish: goals and limit, as a peer gets them
    root: folder of the data sets
    folder: a new one, for the runs
    """
    start, run = time.time(), folder / "run"
    process = subprocess.Popen(_command(recipe, run, root), stdout=subprocess.DEVNULL)
    reached: dict[str, Any] = {}
    try:
        while len(reached) < len(wish["goals"]) and process.poll() is None and time.time() - start < wish["limit"]:
            for row in _validations(run):
                for task, goal in wish["goals"].items():
                    value = row[f"val/{task}/{SCORES[task]}"]
                    if task not in reached and value >= goal:
                        seconds = {"wall": time.time() - start, "cpu": _processor_seconds(process.pid)}
                        reached[task] = {**seconds, "validation": value, "step": row["step"]}
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    if len(reached) == len(wish["goals"]):
        _add_test(recipe, reached, root, folder)
    return {"versions": {"mmtk": read_json(run / "provenance.json")["mmtk"]}, "tasks": reached}


def _command(recipe: Recipe, out: Path, root: Path | None) -> list[str]:
    """The command of a run: its recipe as a file."""
    file = out.with_suffix(".toml")
    file.write_text(recipe.toml(), encoding="utf-8")
    data = ["--data", str(root)] if root else []
    return [sys.executable, "-m", "mmtk", "run", str(file), "--out", str(out), "--no-pictures", *data]


def _add_test(recipe: Recipe, reached: dict[str, Any], root: Path | None, folder: Path) -> None:
    """Add the test scores of the steps that were needed: the same run, which ends there by itself."""
    last = max(one["step"] for one in reached.values())
    out = folder / "test"
    command = _command(recipe.with_values({"train.steps": last}), out, root)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    scores = read_json(out / "results.json")["in-domain"]
    for task, one in reached.items():
        one["test"] = scores[task][SCORES[task]]


def _validations(run: Path) -> list[dict[str, Any]]:
    """The validation rows of a run so far."""
    with contextlib.suppress(FileNotFoundError):
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines if '"val/' in line]
    return []


def _processor_seconds(process: int) -> float:
    """Processor seconds of a process and of its children that have ended (proc(5))."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


# --- the table ------------------------------------------------------------------------------------------------


def measure(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """A row for every peer and seed."""
    goals = {"segmentation": options.dice, "classification": options.auroc}
    rows = []
    for seed in range(options.seeds):
        plain = _recipe("umtl", options, seed)
        seed_folder = folder / f"seed-{seed}"
        wish = {"goals": goals, "limit": options.limit, "seed": seed, "size": plain.data.size}
        wish["parts"] = parts_of(plain, options.data, seed_folder / "files")
        for peer in options.peers.split(","):
            print(f"{peer}, seed {seed} …", file=sys.stderr, flush=True)
            peer_folder = seed_folder / peer
            peer_folder.mkdir(parents=True)
            if peer in SCRIPTS:
                times = peer_times(_python(peer, options.cache), SCRIPTS[peer], wish, peer_folder)
            else:
                times = mmtk_times(
                    _recipe(peer.partition("-")[2] or "umtl", options, seed), wish, options.data, peer_folder
                )
            rows.append({"peer": peer, "seed": seed, **times})
            write_json(options.json, rows)
    return rows


def _python(peer: str, cache: Path | None) -> Path:
    """Python of a peer: that of its own environment, or without a ``cache`` this one."""
    return environment(peer, cache) if cache else Path(sys.executable)


def _recipe(name: str, options: argparse.Namespace, seed: int) -> Recipe:
    """A recipe with the budget of the comparison; at a constant rate no step depends on how many follow."""
    values = {"train.steps": options.steps, "train.validate_every": INTERVAL, "train.schedule": "constant"}
    values |= {"train.lr": 1e-3, "train.batch": 10, "train.balance": "sample", "tracking.enabled": "false"}
    pairs = [f"{key}={value}" for key, value in (values | {"seed": seed}).items()]
    return load_recipe(name, options.profile, [*pairs, *options.set])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown: seconds until both scores are there, and each of them."""
    lines = ["| who | seed | Dice, s | AUROC, s | both, s | both, CPU s | test Dice | test AUROC |"]
    lines.append("| --- " + "| ---: " * 7 + "|")
    for row in rows:
        tasks = [row["tasks"].get(task, {}) for task in SCORES]
        walls = [one.get("wall") if one.get("test") is not None else None for one in tasks]
        both = all(wall is not None for wall in walls)
        ends = [max(one[key] for one in tasks) if both else None for key in ("wall", "cpu")]
        cells = [*walls, *ends, *(one.get("test") for one in tasks)]
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        numbers = ["–" if cell is None else f"{cell:.3g}" for cell in cells]
        lines.append(f"| {row['peer']} ({versions}) | {row['seed']} | {' | '.join(numbers)} |")
    return "\n".join([*lines, "", *ABSENT])


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of JSRT, chest_xray, …")
    parser.add_argument("--peers", default="mmtk,mmtk-multimix,plain,monai", help="mmtk-RECIPE trains that recipe")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dice", type=float, default=0.93)
    parser.add_argument("--auroc", type=float, default=0.90)
    parser.add_argument("--limit", type=float, default=1800, help="seconds of a peer")
    parser.add_argument("--steps", type=int, default=3000, help="of an mmtk run at most")
    parser.add_argument("--profile", default="chest-xray-small")
    parser.add_argument("--set", action="append", default=[], help="a recipe key of mmtk's runs")
    parser.add_argument(
        "--cache", type=Path, help="folder of the peers' environments; without it they run in this one"
    )
    parser.add_argument("--json", type=Path, default=Path("time-to-score.json"))
    return parser.parse_args(words)


def main() -> None:
    """Measure, write and show."""
    options = arguments()
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        print(table(measure(options, Path(folder))))


if __name__ == "__main__":
    main()
