"""A real MLflow server on loopback."""

from __future__ import annotations

import pytest
from servers import Server


@pytest.fixture
def server(tmp_path, monkeypatch):
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # eight processes that nobody needs here
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")  # a busy machine is no failure here
    running = Server(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    try:
        running.start()
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()
