"""Weights at an address of the Hugging Face hub, from a server that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fork_server
import pytest
import timm
import torch
from safetensors.torch import save

from mmtk.errors import MmtkError
from mmtk.model.hub import fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOAD = """
import sys
from pathlib import Path
from mmtk.components.encoder.timm import TimmEncoder
from mmtk.errors import MmtkError
from mmtk.model.encoder_start import load_encoder
encoder = TimmEncoder(1, model="resnet18")
for address in sys.argv[1:]:
    try:
        start = load_encoder(encoder, Path(address))
        print(start.file, start.sha256, start.loaded)
    except MmtkError as error:
        print(repr(f"refused: {error}"))
"""


class Hub(ThreadingHTTPServer):
    """Repositories by name: files by name."""

    repositories: dict[str, dict[str, bytes]]
    downloads: int = 0


class Answers(BaseHTTPRequestHandler):
    """The hub's two answers that a download needs: the list of files, and a file with its commit and tag."""

    server: Hub

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0].removeprefix("/api/models").strip("/").split("/")
        files = self.server.repositories.get("/".join(path[:2]))
        if files is None or ("resolve" in path and path[-1] not in files):
            code = "RepoNotFound" if files is None else "EntryNotFound"
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if "resolve" in path:
            content = files[path[-1]]
            self.server.downloads += body
        else:
            listed = [{"type": "file", "path": one, "size": len(files[one]), "oid": COMMIT} for one in files]
            content = json.dumps(listed).encode()
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    torch.manual_seed(0)
    weights = save(
        {name: tensor.contiguous() for name, tensor in timm.create_model("resnet18").state_dict().items()}
    )
    server = Hub(("127.0.0.1", 0), Answers)
    server.repositories = {
        "timm/resnet18": {"README.md": b"-", "model.safetensors": weights},
        "some/two": {"one.pth": b"-", "other.pth": b"-"},
        "some/text": {"README.md": b"-"},
    }
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def load(hub: Hub | None, cache: Path, *addresses: str, **more: str) -> list[str]:
    """Lines that a process of its own prints which loads addresses."""
    endpoint = f"http://127.0.0.1:{hub.server_address[1]}" if hub else "http://127.0.0.1:9"
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", **more}
    command = [fork_server.python(), "-c", LOAD, *addresses]
    ended = subprocess.run(command, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.long
def test_weights_are_fetched_once_and_what_cannot_be_is_refused_with_a_cure(hub: Hub, tmp_path: Path) -> None:
    address = "hf-hub:timm/resnet18"
    wrong = ("hf-hub:some/two", "hf-hub:some/text", "hf-hub:some/missing", f"{address}@main/other.pth")
    fetched, again, *refused = load(hub, tmp_path, address, f"{address}@{COMMIT}", *wrong)
    digest = hashlib.sha256(hub.repositories["timm/resnet18"]["model.safetensors"]).hexdigest()
    assert fetched == f"{address} {digest} 120"
    assert again == f"{address}@{COMMIT} {digest} 120"
    assert hub.downloads == 1
    several, none, missing, other = refused
    assert "has several files of weights: one.pth" in several
    assert "Name one: hf-hub:some/two/one.pth" in several
    assert "has no file of weights" in none
    for answer in (missing, other):
        assert "cannot be fetched" in answer
        assert "give a local file" in answer

    offline = load(None, tmp_path, address, "hf-hub:some/one", HF_HUB_OFFLINE="1")
    assert offline[0] == fetched
    assert "HF_HUB_OFFLINE forbids" in offline[1]


@pytest.mark.parametrize("address", ["hf-hub:", "hf-hub:resnet18", "hf-hub:/resnet18"])
def test_an_address_names_owner_and_network(address: str) -> None:
    with pytest.raises(MmtkError, match="no address on the hub"):
        fetch(address)
