"""Record of a run's training in its folder: logs, and the checkpoints that it goes on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from mmtk.errors import MmtkError
from mmtk.io.files import lines_end
from mmtk.model import checkpoint
from mmtk.runs.folder import Log, RunDir


class Logs:
    """``metrics.jsonl``, which repeats to the byte, and ``timing.jsonl``, with a row for each of its rows."""

    def __init__(self, folder: RunDir, size: int) -> None:
        """Cut both back to the first ``size`` bytes of the metrics."""
        self._metrics = Log(folder.metrics_file, size)
        rows = self._metrics.rows()
        self._timing = Log(folder.timing_file, lines_end(folder.timing_file, len(rows)))
        pairs = zip(rows, self._timing.rows(), strict=False)
        self.training_seconds: float = sum(timing["seconds"] for row, timing in pairs if "train/loss" in row)

    @property
    def size(self) -> int:
        """Bytes of the metrics."""
        return self._metrics.size

    def write(self, row: Mapping[str, Any], seconds: float) -> None:
        """Append a row of metrics, and to the other file its time and ``seconds``."""
        self._metrics.write(row)
        self._timing.write({"step": row["step"], "time": time.time(), "seconds": round(seconds, 6)})

    def close(self) -> None:
        """Close both files."""
        self._metrics.close()
        self._timing.close()


def load_newest(
    folder: RunDir, modules: dict[str, nn.Module], optimizer: Optimizer, warn: Callable[[str], None]
) -> dict[str, Any]:
    """Restore the newest intact checkpoint and return its note, ``{}`` if there is none.

    folder: of the run; a damaged checkpoint in it is removed
    modules: by the prefix of their names in the file
    optimizer: whose state is restored too
    warn: called with a sentence for a damaged checkpoint

    MmtkError if all checkpoints are damaged.
    """
    paths = [path for path in (folder.last, folder.previous) if path.is_file()]
    for path in paths:
        try:
            return checkpoint.load(path, modules, optimizer)
        except MmtkError as error:
            if path is paths[-1]:
                raise
            warn(f"{error.where} {error.message} Going on from the checkpoint before it.")
            path.unlink()  # or it would take the place of the good one when the next is written
    return {}


def save_newest(folder: RunDir, modules: dict[str, nn.Module], optimizer: Optimizer, note: dict[str, Any]) -> None:
    """Write a checkpoint as ``last``, and leave the one before as ``previous``.

    folder: of the run, with the folder ``checkpoints``
    modules: by the prefix of their names in the file
    optimizer: whose state is written too
    note: JSON values
    """
    if folder.last.is_file():
        folder.last.replace(folder.previous)
    checkpoint.save(folder.last, modules, optimizer, note)
