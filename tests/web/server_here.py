"""``mlflow server`` in one process: MLflow's own code, which would start another Python for uvicorn.

Arguments: a file for the number of this process, a port, a database's address, a folder of files.
"""

import os
import runpy
import sys
from pathlib import Path

from mlflow import server


def become(command: list[str], extra_env: dict[str, str], **options: bool) -> None:
    """Run the module that MLflow wants to start."""
    os.environ.update(extra_env)
    sys.argv = command[2:]
    runpy.run_module(command[2], run_name="__main__", alter_sys=True)


number, port, database, files = sys.argv[1:]
Path(number).write_text(str(os.getpid()), encoding="utf-8")
server._exec_cmd = become
server._run_server(
    file_store_path=database,
    registry_store_uri=database,
    default_artifact_root="mlflow-artifacts:/",
    serve_artifacts=True,
    artifacts_only=False,
    artifacts_destination=files,
    host="127.0.0.1",
    port=int(port),
    workers=1,
)
