"""Real MLflow servers on loopback."""

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


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Server:
    """``mlflow server`` with SQLite in a folder, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"

    @property
    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--workers",
            "1",
            "--backend-store-uri",
            f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination",
            str(self.folder / "files"),
        ]

    def start(self) -> None:
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
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
