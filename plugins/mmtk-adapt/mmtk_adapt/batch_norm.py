"""Batch norm with the statistics of unlabelled films of another hospital (Li et al. 2017, AdaBN).

``python -m mmtk_adapt.batch_norm RUN --out DIR`` scores a finished run with those of its cross-domain films.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmtk.api import MmtkError
from mmtk.data.batches import network_input, pixels
from mmtk.data.dataset import TestSet, prepare
from mmtk.data.locations import data_root
from mmtk.errors import report
from mmtk.io.files import write_json
from mmtk.model.evaluate import evaluate, write_cases
from mmtk.predict import load
from mmtk.recipe.recipe import Recipe
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

SMALLEST = 2  # films: of one alone no variance can be taken


def adapt(encoder: nn.Module, recipe: Recipe, test: TestSet, batch: int = 64) -> int:
    """Replace means and variances of all batch norms by those of the films of a test set; count of the norms.

    encoder: whose norms are changed; weights stay
    recipe: of the encoder
    test: whose films are read, without labels
    batch: films that pass at once; statistics are the means over the batches
    """
    norms = [
        module for module in encoder.modules() if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    if not norms:
        raise MmtkError("has no batch norm with statistics, so there is nothing to adapt.", recipe.name)
    if len(test.rows) < SMALLEST:
        raise MmtkError(f"{test.domain} has too few films for statistics.", recipe.name)
    encoder.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    device = next(encoder.parameters()).device
    with torch.no_grad():
        for rows in torch.tensor(test.rows).split(batch):
            if len(rows) >= SMALLEST:
                encoder(network_input(pixels(test.store, rows.tolist()), recipe, test.task).to(device))
    encoder.eval()
    return len(norms)


def evaluate_adapted(
    run: Path, out: Path, data: Path | None = None, device: str = "auto"
) -> dict[str, dict[str, dict[str, float]]]:
    """Score a run whose batch norm has the statistics of its cross-domain films.

    run: a finished run
    out: the folder of ``results.json`` and ``cases.parquet``
    data: the folder of the data sets
    device: auto, cpu or cuda
    """
    predictor = load(run, device)
    tests = prepare(predictor.recipe, data_root(data)).tests()
    crossed = [test for test in tests if (test.domain, test.task) == ("cross-domain", "classification")]
    if not crossed:
        raise MmtkError(
            "has no cross-domain films of classes.",
            str(run),
            "Name a run whose recipe has data.classification.cross.",
        )
    (net,) = predictor.net.members
    count = adapt(net.encoder, predictor.recipe, crossed[0])
    scores = evaluate(predictor.net, predictor.recipe, crossed, {}, predictor.device)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "results.json", scores.results)
    write_json(out / "adapted.json", {"run": str(run.absolute()), "norms": count, "films": len(crossed[0].rows)})
    write_cases(out / "cases.parquet", scores)
    return scores.results


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mmtk_adapt.batch_norm", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    options = parser.parse_args()
    try:
        results = evaluate_adapted(options.run, options.out, options.data, options.device)
    except MmtkError as error:
        return report(error)
    auroc = results["cross-domain"]["classification"].get("auroc")
    print(f"AUROC {auroc:.3f}; {options.out}/results.json" if auroc is not None else f"{options.out}/results.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
