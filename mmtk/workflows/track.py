"""Upload of run directories to MLflow."""

from __future__ import annotations

from pathlib import Path

from mmtk.runs.folder import RunDir
from mmtk.tracking.run import Mirror


def track(run_dir: str | Path) -> str:
    """Send what MLflow does not have yet of a run directory, and say what it was; nothing is doubled.

    The store is that of the environment variable MLFLOW_TRACKING_URI (default ``sqlite:///mlflow.db``).
    """
    return Mirror(RunDir(Path(run_dir))).sync()
