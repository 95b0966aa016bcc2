"""Upload of run directories to MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmtk.runs.folder import RunDir
from mmtk.tracking.run import Mirror


def track(run_dirs: str | Path | Sequence[str | Path]) -> str:
    """Send what MLflow does not have yet of runs, and say what it was, a line for each; nothing is doubled.

    run_dirs: a run directory, or several
    The store is that of the environment variable MLFLOW_TRACKING_URI (default ``sqlite:///mlflow.db``).
    """
    paths = [run_dirs] if isinstance(run_dirs, str | Path) else run_dirs
    return "\n".join(Mirror(RunDir(Path(path))).sync() for path in paths)
