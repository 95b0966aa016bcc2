"""What mmtk doctor thinks of machines."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from mmtk.cli import main as cli
from mmtk.io import extras
from mmtk.runs import pace
from mmtk.workflows import doctor


def test_packages_are_judged_by_what_mmtk_needs(monkeypatch):
    needed = [Requirement(text) for text in ("numpy>=1", "pillow>=999", "no-such-package>=2")]
    monkeypatch.setattr(extras, "requirements", lambda extra="": [] if extra else needed)
    fine, old, missing = list(doctor._packages())[:3]
    assert (fine.mark, fine.name) == ("✓", "numpy")
    assert old.mark == "✗"
    assert "and mmtk needs >=999. Install it: python -m pip install 'pillow>=999'" in old.text
    cure = "not installed. Install it: python -m pip install 'no-such-package>=2'"
    assert missing == ("✗", "no-such-package", cure)


def test_an_extra_that_is_missing_is_a_drawback_with_its_line(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "" if name == "pydicom" else "99999999")
    found = {finding.name: finding for finding in doctor._packages()}
    assert found["dicom"].mark == "!"
    assert "DICOM files cannot be read: python -m pip install 'pydicom" in found["dicom"].text
    assert found["onnx"].mark == "✓"


@pytest.mark.parametrize(("load", "mark"), [(8.2, "!"), (0.5, "✓"), (2.0, "✓")])
def test_load_beyond_the_cores_is_told(monkeypatch, load, mark):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(pace, "cores", lambda: 2)
    found = doctor._load()
    assert found.mark == mark
    assert ("load 8 on 2 cores: steps will be slow." in found.text) == (mark == "!")


def test_a_folder_that_cannot_be_written_or_has_no_room(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert doctor._folder("cache", tmp_path / "not" / "yet", "Cure.").mark == "✓"
    assert doctor._folder("cache", tmp_path / "file" / "x", "Cure.")[::2] == (
        "✗",
        f"{tmp_path}/file/x cannot be written. Cure.",
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**29))
    mark, _, text = doctor._folder("cache", tmp_path, "Cure.")
    assert (mark, text) == ("!", f"{tmp_path}, 0.5 GiB free: little. Cure.")


def test_the_store_of_mlflow_is_reached_or_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def verdict(uri: str) -> doctor.Finding:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return doctor._store()

    with closing(sqlite3.connect("good.db")) as store:
        store.execute("CREATE TABLE runs (id)")
        store.commit()
    (tmp_path / "bad.db").write_text("this is no database, however long it may be" * 9)
    for uri in ("sqlite:///mlflow.db", "sqlite:///good.db", f"sqlite:////{tmp_path}/good.db", "mlruns"):
        assert verdict(uri) == ("✓", "tracking", verdict(uri).text), uri
    assert not (tmp_path / "mlflow.db").exists(), "a look makes no store"
    for uri in ("sqlite:///bad.db", "sqlite:////no/such/folder/mlflow.db"):
        assert verdict(uri).mark == "✗", uri
        assert "Start the server, or set MLFLOW_TRACKING_URI." in verdict(uri).text
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        assert verdict(f"http://127.0.0.1:{port}").mark == "✓"
    secret = verdict(f"http://me:secret@127.0.0.1:{port}")
    assert secret.mark == "✗"
    assert "secret" not in secret.text


def test_the_command_judges_and_fails_where_data_are_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    for folder, code in ((tmp_path, 0), (tmp_path / "nowhere", 1)):
        monkeypatch.setattr("sys.argv", ["mmtk", "doctor", "--data", str(folder)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        assert caught.value.code == code, (out, err)
        assert all(re.match("[✓!✗] [a-z]|    ", line) for line in out.splitlines())
        assert "✓ torch " in out
        if code:
            assert f"✗ data {folder} is not a folder." in " ".join(out.split())
            assert "1 of these has to be mended (✗)." in err
        else:
            assert "! chex" in out
