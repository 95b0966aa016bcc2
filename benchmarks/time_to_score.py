"""From the command to a score: seconds until validation reaches a Dice and an AUROC, of mmtk and of its peers.

python benchmarks/time_to_score.py --data FOLDER [--peers mmtk,plain,monai] [--seeds 3] [--json FILE]

Every peer gets the same images: 10 masks of JSRT, 100 labels of CheX, 128 px, as mmtk's splits have them. The
clock begins with the command, so imports and the reading of files count; it stops when validation, scored every 25
steps, is there, and the test is scored once, after it. A peer that learns one task at a time is a command for
each, and its times are added. A peer's packages are installed into an environment of its own under ``--cache``.
What the JSON file has already is not measured again.
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
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

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


class Peer(NamedTuple):
    """A peer of mmtk: its script, the packages of its environment, and whether it learns both tasks at once."""

    script: str
    packages: Sequence[str]
    joint: bool = False


SCRIPTS = {
    "plain": Peer("plain_loop.py", ["torch", "numpy", "pillow"], joint=True),
    "monai": Peer("monai_loops.py", ["monai", "torch", "numpy", "pillow"]),
    # those that PyMIC 0.6.2 imports without asking for them: torch and all behind pillow
    "pymic": Peer(
        "pymic_loops.py",
        ["PYMIC==0.6.2", "torch", "torchvision", "pillow", "einops", "imops", "ml_collections", "monai", "timm"],
    ),
}
ABSENT = """USB (semilearn 0.3.2) was not measured, since all that its documentation has asks for CUDA: without it
Trainer ends in torch.cuda.set_device, process_batch in Tensor.cuda,
and train.py in "ONLY GPU TRAINING IS SUPPORTED"."""
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
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *SCRIPTS[peer].packages], check=True)
        (folder / "whole").touch()
    return python


def peer_times(python: Path, script: str, wish: Wish, folder: Path) -> dict[str, Any]:
    """Result of a peer's script, started by ``python`` in ``folder``; ``wish``: parts, goals, seed, limit."""
    file = folder / "wish.json"
    write_json(file, wish | {"start": time.time()})
    command = [str(python), str(PEERS / script), str(file.absolute())]
    process = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
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
    cache = os.environ | {"MMTK_CACHE": str(folder / "cache")}
    process = subprocess.Popen(_command(recipe, run, root), stdout=subprocess.DEVNULL, env=cache)
    reached: dict[str, Any] = {}
    try:
        cpu = seconds = 0.0
        while len(reached) < len(wish["goals"]) and process.poll() is None and cpu < wish["limit"]:
            steps = _first(_validations(run), wish["goals"])
            cpu, seconds = _processor_seconds(process.pid), time.time() - start
            for task, one in steps.items():
                reached.setdefault(task, {"wall": seconds, "cpu": cpu, **one})
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    for task in wish["goals"].keys() - reached.keys():
        best = max((row[f"val/{task}/{SCORES[task]}"] for row in _validations(run)), default=0.0)
        reached[task] = {"wall": seconds, "cpu": cpu, "validation": best, "test": None}
    needed = [one["step"] for one in reached.values() if "step" in one]
    if needed:
        scores = _test_scores(recipe.with_values({"train.steps": max(needed)}), folder / "test", root, cache)
        reached = {task: {"test": scores[task], **one} for task, one in reached.items()}
    return {"versions": {"mmtk": version("mmtk")}, "tasks": reached}


def _first(rows: Sequence[dict[str, Any]], goals: dict[str, float]) -> dict[str, Any]:
    """Step and score of every task whose validation has reached its goal, where it did so first."""
    reached: dict[str, Any] = {}
    for row in rows:
        for task, goal in goals.items():
            if (value := row[f"val/{task}/{SCORES[task]}"]) >= goal:
                reached.setdefault(task, {"validation": value, "step": row["step"]})
    return reached


def _command(recipe: Recipe, out: Path, root: Path | None) -> list[str]:
    """The command of a run: its recipe as a file."""
    file = out.with_suffix(".toml")
    file.write_text(recipe.toml(), encoding="utf-8")
    data = ["--data", str(root)] if root else []
    return [sys.executable, "-m", "mmtk", "run", str(file), "--out", str(out), "--no-pictures", *data]


def _test_scores(recipe: Recipe, run: Path, root: Path | None, cache: dict[str, str]) -> dict[str, Any]:
    """Test scores by task of the recipe's run in ``run``, which ends by itself."""
    subprocess.run(_command(recipe, run, root), stdout=subprocess.DEVNULL, env=cache, check=True)
    scores: dict[str, Any] = read_json(run / "results.json")["in-domain"]
    return {task: scores[task][SCORES[task]] for task in recipe.tasks}


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
    """A row for every peer and seed; those in the JSON file already are not measured again."""
    goals = {"segmentation": options.dice, "classification": options.auroc}
    rows: list[dict[str, Any]] = read_json(options.json) if options.json.is_file() else []
    for seed in range(options.seeds):
        plain = _recipe("umtl", options, seed)
        wish = {"limit": options.limit, "seed": seed, "size": plain.data.size}
        wish["parts"] = parts_of(plain, options.data, folder / f"seed-{seed}")
        for peer in options.peers.split(","):
            for tasks in [[*goals]] if _joint(peer) else [[task] for task in goals]:
                row = _row(rows, peer, seed)
                if row["tasks"].keys() >= set(tasks):
                    continue
                print(f"{peer}, seed {seed}, {' and '.join(tasks)} …", file=sys.stderr, flush=True)
                training = wish | {"goals": {task: goals[task] for task in tasks}}
                with tempfile.TemporaryDirectory() as run:
                    times = _times(peer, training, options, Path(run))
                row["versions"] = times["versions"]
                row["tasks"] |= times["tasks"]
                write_json(options.json, rows)
    return rows


def _joint(peer: str) -> bool:
    """Whether one training of a peer learns both tasks."""
    return peer not in SCRIPTS or SCRIPTS[peer].joint


def _row(rows: list[dict[str, Any]], peer: str, seed: int) -> dict[str, Any]:
    """The row of a peer and seed, added to ``rows`` if it is not there."""
    for row in rows:
        if (row["peer"], row["seed"]) == (peer, seed):
            return row
    rows.append({"peer": peer, "seed": seed, "versions": {}, "tasks": {}})
    return rows[-1]


def _times(peer: str, wish: Wish, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Times and scores of one training."""
    if peer in SCRIPTS:
        return peer_times(_python(peer, options.cache), SCRIPTS[peer].script, wish, folder)
    recipe = _recipe(peer.partition("-")[2] or "umtl", options, wish["seed"])
    return mmtk_times(recipe, wish, options.data, folder)


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
    """The rows in Markdown: processor seconds until each score and both are there, and seconds by the clock."""
    names = " | ".join(f"{label}, CPU s" for label in ("Dice", "AUROC", "both"))
    lines = [
        f"| who | seed | {names} | both, s by the clock | test Dice | test AUROC |",
        "| --- " + "| ---: " * 7 + "|",
    ]
    for row in sorted(rows, key=lambda row: (row["peer"], row["seed"])):
        tasks = [row["tasks"].get(task, {}) for task in SCORES]
        both = ["–", "–"]
        if all(one.get("test") is not None for one in tasks):
            unite = max if _joint(row["peer"]) else sum
            both = [f"{unite(one[key] for one in tasks):.0f}" for key in ("cpu", "wall")]
        tests = ["–" if one.get("test") is None else f"{one['test']:.3f}" for one in tasks]
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        cells = [f"{row['peer']} ({versions})", str(row["seed"]), *map(_seconds, tasks), *both, *tests]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", ABSENT])


def _seconds(one: dict[str, Any]) -> str:
    """Processor seconds until a score was there, or how far validation was when the time was up."""
    if not one:
        return "–"
    number = f"{one['cpu']:.0f}"
    return number if one["test"] is not None else f"not in {number} (validation {one['validation']:.3f})"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of JSRT, chest_xray, …")
    parser.add_argument(
        "--peers", default="mmtk,mmtk-multimix,plain,monai,pymic", help="mmtk-RECIPE trains that recipe"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dice", type=float, default=0.93)
    parser.add_argument("--auroc", type=float, default=0.90)
    parser.add_argument("--limit", type=float, default=900, help="processor seconds of a training")
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
