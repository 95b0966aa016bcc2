"""The real command in a process of its own, with something done to it at an exact moment."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fork_server
from tiny import CLASSIFICATION, SEGMENTATION, SOURCES, TINY

SMALL = TINY | CLASSIFICATION | SEGMENTATION | SOURCES | {"encoder.depth": 4}
KEPT = (
    "metrics.jsonl",
    "results.json",
    "cases.parquet",
    "splits.json",
    "samples.npz",
    "checkpoints/last.safetensors",
    "checkpoints/best.safetensors",
)
KILL = "os.kill(os.getpid(), signal.SIGKILL)"

# Run in the child before the command: `act` at the n-th call of something, sometimes half-way through it.
HOOKS = {
    "step": "after(train.Trainer, 'train_step')",
    "log row, half written": (
        "def half(self, row):\n"
        "    if calls() == N: self._file.write(b'{\"step\": 3, '); self._file.flush(); act()\n"
        "    return plain(self, row)\n"
        "plain, runs.Log.write = runs.Log.write, half"
    ),
    "checkpoint, half written": (
        "def half(self, data):\n"
        "    if 'last.safetensors' in self.name and calls() == N: plain(self, data[: len(data) // 2]); act()\n"
        "    return plain(self, data)\n"
        "plain, Path.write_bytes = Path.write_bytes, half"
    ),
    "between two checkpoints": (
        "def save(path, *rest):\n"
        "    if 'last' in path.name and calls() == N: act()\n"
        "    return plain(path, *rest)\n"
        "plain, checkpoint.save = checkpoint.save, save"
    ),
    "validation": "before(train, 'fill')",
    "scores per image": "before(session, 'write_cases')",
    "figures": "before(session, 'draw_run')",
    "done file": "before(runs, 'write_json', lambda path, value: path.name == 'done.json')",
    "between two runs": "before(session, 'run')",
    "report": "before(study_session, 'report')",
    "MLflow, before a batch": "before(MlflowClient, 'log_batch')",
    "MLflow, after a batch": "after(MlflowClient, 'log_batch')",
}
CHILD = """
import os, signal, sys, time
from pathlib import Path
from mmtk.cli import main as cli
from mmtk.model import checkpoint
from mmtk.runs import folder as runs
from mmtk.training import trainer as train
from mmtk.workflows import run as session, study_session
hook, N, count = sys.argv[1], int(sys.argv[2]), [0]
def act(): ACT
def calls(): count[0] += 1; return count[0]
def before(owner, name, when=lambda *a: True):
    plain = getattr(owner, name)
    def hook(*a, **k):
        if when(*a) and calls() == N: act()
        return plain(*a, **k)
    setattr(owner, name, hook)
def after(owner, name):
    plain = getattr(owner, name)
    def hook(*a, **k):
        done = plain(*a, **k)
        if calls() == N: act()
        return done
    setattr(owner, name, hook)
if 'MlflowClient' in hook:
    from mlflow import MlflowClient
exec(hook)
sys.argv[1:] = sys.argv[3:]
cli.main()
"""


def sets(*without: str, **changes: Any) -> list[str]:
    """The options that make a recipe small, ``without`` keys with these words; changes write dots as ``__``."""
    values = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    chosen = {key: value for key, value in values.items() if not any(word in key for word in without)}
    return [part for key, value in chosen.items() for part in ("--set", f"{key}={json.dumps(value)}")]


def mmtk(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    before: Callable[[], object] | None = None,
) -> subprocess.CompletedProcess[str]:
    """The command, run to its end; ``before`` is called in the process first."""
    call = [fork_server.python(), "-m", "mmtk", *map(str, arguments)]
    environment = os.environ | (env or {})
    return subprocess.run(call, cwd=cwd, capture_output=True, text=True, env=environment, preexec_fn=before)


def begin(
    moment: str,
    number: int,
    *arguments: str | Path,
    cwd: Path,
    act: str = KILL,
    env: Mapping[str, str] | None = None,
    python: str | None = None,
) -> subprocess.Popen[str]:
    """The command in a process that does ``act``, a Python statement, at the n-th time of a moment.

    ``python`` is the interpreter where the process has to be no fork, such as for its own number.
    """
    code = CHILD.replace("ACT", act)
    call = [python or fork_server.python(), "-c", code, HOOKS.get(moment, ""), str(number), *map(str, arguments)]
    return subprocess.Popen(
        call, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | (env or {})
    )


def same(one: Path, other: Path) -> None:
    """Two runs left the same bytes, but for clock times, and nothing half-written."""
    for file in KEPT:
        assert filecmp.cmp(one / file, other / file, shallow=False), f"{one.name}: {file}"
    for run in (one, other):
        lines = [(run / f"{name}.jsonl").read_bytes().count(b"\n") for name in ("metrics", "timing")]
        assert lines[0] == lines[1]
        assert not list(run.rglob("*.tmp"))
