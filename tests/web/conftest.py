"""A real MLflow server on loopback."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest


class Server:
    """``mlflow server`` with SQLite in a folder, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
            "--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination", str(self.folder / "files"),
        ]  # fmt: skip
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 600
        while True:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except OSError:
                assert self.process.poll() is None, (self.folder / "server.log").read_text()
                assert time.monotonic() < end
                time.sleep(0.2)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def number(self, table: str) -> int:
        with sqlite3.connect(self.folder / "mlflow.db", timeout=60) as database:
            return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def content(self) -> dict:
        """Numbers of rows, and files with their sizes, read without MLflow."""
        tables = ("runs", "metrics", "params", "tags", "inputs", "input_tags", "datasets", "logged_models")
        files = [p for p in (self.folder / "files").rglob("*") if p.is_file()]
        return {table: self.number(table) for table in tables} | {str(p): p.stat().st_size for p in files}


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
