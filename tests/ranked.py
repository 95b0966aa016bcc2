"""Steps of several systems in float64 without dropout: called here in one process, or on every rank by torchrun.

    torchrun --nproc-per-node 2 tests/ranked.py FILE NAME…

Rank 0 writes to FILE what came out: every gradient and every term of the last step.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny import tiny

from mmtk.data.dataset import prepare
from mmtk.io import distributed
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.training.trainer import Trainer, make_trainer

SYSTEMS = ("unet", "unet-ssl", "enc", "enc-ssl", "umtl", "umtl-s", "umtl-ssl", "umtl-ssl-s", "multimix")
EXACT: dict[str, Any] = {
    "train__precision": "fp64",
    "train__optimizer": "sgd",
    "train__batch": 4,
    "encoder__depth": 4,
    "encoder__dropout": 0.0,
}
# Losses and statistics that are no mean over images.
CASES: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in SYSTEMS} | {
    "all at once": (
        "multimix",
        {
            "train__ratio": 2,
            "train__balance": "weight",
            "train__clip": 0.5,
            "train__ema": 0.9,
            "loss__segmentation__use": "smp",
            "ssl__threshold": 0.5,
        },
    ),
    "enc-mm": ("enc-mm", {}),
    "fine-tuning": (
        "multimix",
        {
            "train__clip": 0.5,
            "train__groups__encoder__lr": 0.1,
            "train__groups__encoder__frozen": 1,
            "train__groups__head__frozen": "always",
        },
    ),
}
SSL: dict[str, dict[str, Any]] = {
    "pseudo-label": {"threshold": 0.5, "ramp": 0.0},
    "entropy": {},
    "pi-model": {"ramp": 0.0},
    "mean-teacher": {"ramp": 0.0},
    "uda": {"threshold": 0.5},
    "fixmatch": {"threshold": 0.5, "alignment": True},
    "flexmatch": {"threshold": 0.5},
    "freematch": {},
    "softmatch": {},
}
CONSISTENCY: dict[str, dict[str, Any]] = {
    "entropy": {"ramp": 0.0},
    "mean-teacher": {"ramp": 0.0, "noise": 0.0},
    "cps": {},
    "ua-mt": {"ramp": 0.0, "noise": 0.0, "passes": 1},
    "weak-strong": {"threshold": 0.5},
    "area-prior": {},
}
CASES |= {
    f"{kind}/{word}": (system, {f"{kind}__{key}": value for key, value in {"use": word, **keys}.items()})
    for kind, system, words in (("ssl", "enc-ssl", SSL), ("consistency", "unet-ssl", CONSISTENCY))
    for word, keys in words.items()
}
CASES["consistency/cps"] = ("multimix", CASES["consistency/cps"][1])  # whose second class head nobody uses


def training(case: str, folder: Path) -> Trainer:
    """A case before its first step."""
    system, changes = CASES[case]
    if system not in ("enc", "enc-ssl", "enc-mm"):
        changes = {"decoder__dropout": 0.0, **changes}
    recipe = tiny(system, **EXACT | changes)
    (folder / "checkpoints").mkdir(parents=True)
    made = make_trainer(recipe, prepare(recipe, None), RunDir(folder), "cpu", Display(quiet=True))
    made.objective.train()
    return made


def steps(cases: Sequence[str], folder: Path, count: int = 2) -> dict[str, torch.Tensor]:
    """Gradients and terms of the last of ``count`` steps, by case."""
    found = {}
    for case in cases:
        made = training(case, folder / case.replace("/", "-"))
        for index in range(count):
            step = made.train_step(index)
        made.close()
        for name, parameter in made.objective.named_parameters():
            if parameter.grad is not None:
                found[f"{case}: gradient of {name}"] = parameter.grad.clone()
        for name, term in {"loss": step.loss, **{n: t.value for n, t in step.terms.items()}}.items():
            found[f"{case}: {name}"] = term.detach().double().clone()
    return found


if __name__ == "__main__":
    out, *asked = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary, distributed.process_group("cpu"):
        written = steps(asked, Path(temporary))
        if distributed.rank_and_world_size()[0] == 0:
            save_file(written, out)
