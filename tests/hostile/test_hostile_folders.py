"""Folders from elsewhere: nothing in them runs, writes outside the output folder, or acts where it is shown."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import commands
import fork_server
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fake_plugin import install, refresh
from PIL import Image
from tiny import tiny

from mmtk.components.source import _layout
from mmtk.components.source.folder import Folder
from mmtk.data import sources, store
from mmtk.errors import MmtkError
from mmtk.images import loader
from mmtk.io.csv_text import read_csv
from mmtk.io.files import write_json
from mmtk.model import build, predictor
from mmtk.report.analysis import analyse
from mmtk.report.figures import study as study_figures
from mmtk.report.page import write_report
from mmtk.report.tables.table import Entry, Table, headings
from mmtk.runs import finished
from mmtk.runs.arrays import read_cases
from mmtk.runs.folder import RunDir
from mmtk.study import results
from mmtk.study.cells import PlannedCell
from mmtk.study.folder import StudyDir
from mmtk.study.launch import job_argv
from mmtk.study.plan import Plan
from mmtk.workflows import predict as predict_workflow
from mmtk.workflows import run as run_workflow

GRAY = np.random.default_rng(0).integers(0, 256, (24, 20), dtype=np.uint8)
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>"
FORMULAS = ("=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "a\r=1")
UPWARDS = (
    "../../up",
    "../up",
    "..",
    "/absolute/up",
    "a/../../up",
    "..\\up",
    "~/up",
    "up\n/../../up",
    "x/" * 40 + "up",
)


class Payload:
    """Unpickling it writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.marker, "run")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A finished run of both tasks; tests work on copies of it."""
    path = tmp_path_factory.mktemp("trained") / "run"
    run_workflow.run(tiny(train__steps=2), path, pictures=False)
    return path


@pytest.fixture
def run(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs" / "run"))


@pytest.fixture
def marker(tmp_path) -> Path:
    """A file that only hostile code writes."""
    return tmp_path / "marker"


def seal(run: Path) -> None:
    """Give ``done.json`` the hashes that the files have now: who makes a hostile run can do that too."""
    folder = RunDir(run)
    folder.finish(json.loads(folder.done_file.read_text()))


def save(path: Path, values: np.ndarray = GRAY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def or_refused(*words: str) -> Iterator[None]:
    """The block ends well, or in an MmtkError that has one of the words."""
    try:
        yield
    except MmtkError as error:
        said = str(error)
    else:
        return
    assert any(word in said for word in words), said


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [fork_server.python(), "-m", "mmtk", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)


# --- nothing is unpickled -------------------------------------------------------------------------------------


def pickles(path: Path, marker: Path) -> Iterator[None]:
    """The payload in ``path`` as a plain pickle, and as PyTorch writes one."""
    path.write_bytes(pickle.dumps(Payload(marker)))
    yield
    torch.save({"net.encoder": Payload(marker)}, path)
    yield


def test_the_payload_would_run(tmp_path, marker):
    for _ in pickles(tmp_path / "x", marker):
        torch.load(tmp_path / "x", weights_only=False) if marker.exists() else pickle.loads(
            (tmp_path / "x").read_bytes()
        )
        assert marker.read_text() == "run"


@pytest.mark.parametrize("name", ["best", "last"])
def test_a_pickle_as_checkpoint(run, marker, name):
    for _ in pickles(run / "checkpoints" / f"{name}.safetensors", marker):
        (run / "done.json").unlink(missing_ok=True)
        read = predictor.load if name == "best" else partial(run_workflow.run, tiny(train__steps=2))
        with pytest.raises(MmtkError, match=rf"{name}\.safetensors: cannot be read"):
            read(run)
        assert not marker.exists()


@pytest.mark.parametrize("key", ["init", "encoder.weights"])
@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth", "bin"])
def test_a_pickle_as_weights(tmp_path, marker, key, suffix):
    path = tmp_path / f"weights.{suffix}"
    recipe = tiny().with_values({key: str(path)})
    for _ in pickles(path, marker):
        with pytest.raises(MmtkError, match=rf"weights\.{suffix}: cannot be read"):
            build.network(recipe, sources.targets(recipe))
        assert not marker.exists()


def test_a_damaged_checkpoint_is_an_error_that_names_it(run):
    path, rng = run / "checkpoints" / "best.safetensors", np.random.default_rng(3)
    whole = path.read_bytes()
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(600) if rng.random() < 0.8 else rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data))] if rng.random() < 0.3 else data)
        if path.read_bytes() != whole:
            with pytest.raises(MmtkError, match=r"best\.safetensors: "):
                predictor.load(run)


def test_a_pickle_as_samples(run, marker):
    sample = np.array([Payload(marker)], dtype=object)
    for allowed in (True, False):
        if allowed:
            np.savez(run / "samples.npz", **{"in-domain/segmentation/ids": sample})
        else:
            (run / "samples.npz").write_bytes(pickle.dumps(Payload(marker)))
        seal(run)
        with pytest.raises(MmtkError, match=r"samples\.npz"):
            _ = finished.read_run(run).samples
        assert not marker.exists()


def test_a_pickle_in_the_values_per_image(run, marker):
    kept = pq.read_table(run / "cases.parquet")
    told = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Payload(marker)),
    }
    fields = [field.with_metadata(told) if field.name == "id" else field for field in kept.schema]
    pq.write_table(pa.table(kept.columns, schema=pa.schema(fields)), run / "cases.parquet")
    seal(run)
    found = [name for part in read_cases([run / "cases.parquet"]).values() for name in part["id"]]
    assert sorted(found) == sorted(kept["id"].to_pylist())
    assert not marker.exists()


@pytest.mark.parametrize("sealed", [True, False])
def test_a_pickle_as_stored_images(tmp_path, marker, sealed):
    import zlib

    recipe = tiny("enc")
    source = sources.source(recipe, "classification")
    before = store.open_store(source, 16, cache=tmp_path / "cache")
    (folder,) = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    payload = pickle.dumps(Payload(marker))
    for name in ("items.json", "images.bin"):
        whole, index = (folder / name).read_bytes(), (folder / "index.json").read_text()
        (folder / name).write_bytes(payload)
        if sealed:
            listed = json.loads(index) | {name: [len(payload), zlib.crc32(payload)]}
            (folder / "index.json").write_text(json.dumps(listed))
            with pytest.raises((MmtkError, ValueError)):  # whoever writes to the cache may break it, not run code
                store.open_store(source, 16, cache=tmp_path / "cache")
        else:
            with pytest.warns(UserWarning, match="are damaged"):
                again = store.open_store(source, 16, cache=tmp_path / "cache")
            assert np.array_equal(again.images, before.images)
        assert not marker.exists()
        (folder / name).write_bytes(whole)
        (folder / "index.json").write_text(index)


# --- nothing else is run --------------------------------------------------------------------------------------


def test_an_image_that_is_a_program_is_not_run(tmp_path, marker, monkeypatch):
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    from PIL import EpsImagePlugin

    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    path = tmp_path / "films" / "x.png"
    path.parent.mkdir()
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 24\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(MmtkError, match=r"x\.png: is not an image"):
        loader.read_image(path)
    assert not marker.exists()


def planted(folder: Path, marker: Path) -> Path:
    """A local file of components that a folder brings with it, and that nobody asked for."""
    path = folder / "code.py"
    path.write_text(f"from pathlib import Path\nPath({str(marker)!r}).write_text('run')\n")
    return path


def test_code_in_a_run_is_not_run(run, marker, monkeypatch, capsys):
    mmtk = commands.caller(monkeypatch, capsys)
    planted(run, marker)
    text = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(re.sub(r'use = "confidence"', 'use = "code/Mine"', text))
    for command in (
        ["run", str(run)],
        ["check", str(run)],
        ["check", str(run / "recipe.toml")],
        ["predict", str(run), "x.png", "--out", str(run.parent / "out")],
        ["evaluate", str(run)],
        ["track", str(run)],
    ):
        code, _, told = mmtk(*command)
        assert code == 2, command
        assert "Traceback" not in told
        assert not marker.exists(), command


def test_code_in_a_run_of_a_study_is_not_run(tmp_path, marker, monkeypatch):
    """Recipes without local components, but a file beside the run as if it had some."""
    monkeypatch.chdir(tmp_path)
    study = StudyDir(tmp_path / "studies" / "theirs")
    with study.locked():
        study.write(Plan("theirs", [PlannedCell("MultiMix", {}, tiny(), True)], [0]), {"command": "", "data": ""})
    (one,) = study.runs()
    with one.folder.locked():
        one.folder.claim(one.recipe)
    planted(one.folder.path, marker)
    argv = job_argv(one, None, "no such device")  # the run ends before it trains
    done = subprocess.run([fork_server.python(), *argv[1:]], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "no such device" in done.stderr
    assert not marker.exists()


@pytest.mark.long
def test_targets_of_plugins_are_neither_called_nor_imported(tmp_path, marker):
    site = tmp_path / "site"
    code = f"import pathlib\npathlib.Path({str(marker)!r}).write_text('run')\n"
    points = {
        "ssl/evil": "os:system",
        "ssl/worse": "hostile_module:run",
        "loss/none": "builtins:eval",
        "bridge/up": "os:remove",
        "source/odd": "os;import os:system('x')",
        "metric/exit": "sys:exit",
    }
    install(site, "mmtk-hostile", points, modules={"hostile_module": code})
    refresh()
    where = {"PYTHONPATH": str(site), "MMTK_PLUGINS": "mmtk-hostile"}
    for command in (["plugins"], ["check", "multimix"]):
        done = process(*command, **where)
        assert done.returncode == 0, done.stderr
        assert not marker.exists(), command
    assert re.search(r"^ssl +evil +mmtk-hostile 1\.0$", process("plugins", **where).stdout, re.MULTILINE)
    loaded = process("plugins", "--load", **where)  # this imports, as it says; nothing is called even then
    assert loaded.returncode == 1, loaded.stderr
    assert marker.exists()
    for name in ("evil", "worse", "exit"):
        assert re.search(rf"^\w+ +{name} +mmtk-hostile 1\.0 +broken\s+\S", loaded.stdout, re.MULTILINE), name


# --- names that point elsewhere -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UPWARDS)
def test_ids_in_a_table_name_images_of_the_folder_only(tmp_path, name):
    outside = save(tmp_path / "up.png")
    for number in range(6):
        save(tmp_path / "data" / "films" / f"{number}.png")
    rows = [["image", "label"], *[[f"{number}.png", "ab"[number % 2]] for number in range(6)], [name, "a"]]
    with open(tmp_path / "data" / "films.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(MmtkError, match=r"films\.csv"):
        Folder(tmp_path / "data", "classification", images="films", labels="films.csv")
    assert outside.is_file()


@pytest.mark.parametrize("name", [*UPWARDS, "", ".", "...", "\0", "‥/up", "con", "-rf"])
def test_a_run_is_called_by_one_word(name):
    called = tiny().with_values({"name": name}).run_name
    assert Path(called).name == called
    assert re.fullmatch(r"[\w.-]+", called)
    assert not called.startswith((".", "-"))


def test_names_of_classes_and_channels_stay_in_the_output_folder(run, tmp_path):
    told = json.loads((run / "provenance.json").read_text())
    told["targets"]["segmentation"]["names"] = ["/../../up"]
    told["targets"]["segmentation"]["exclusive"] = False
    told["targets"]["classification"]["names"] = ["../up", "/up"]
    write_json(run / "provenance.json", told)
    image = save(tmp_path / "in" / "x.png")
    (tmp_path / "out" / "deep" / "x-mask-").mkdir(parents=True)
    before = everything(tmp_path)
    predict_workflow.predict(run, [image], tmp_path / "out" / "deep", "cpu")
    new = {name for name in everything(tmp_path) if name not in before}
    assert new
    assert all(Path(name).is_relative_to(tmp_path / "out" / "deep") for name in new)


def test_two_channels_with_hostile_names_stay_in_the_output_folder(tmp_path):
    changes = {"data__segmentation__source__organs": "separate", "data__segmentation__cross__organs": "separate"}
    run_workflow.run(tiny("unet", train__steps=2, **changes), tmp_path / "run", pictures=False)
    told = json.loads((tmp_path / "run" / "provenance.json").read_text())
    names = told["targets"]["segmentation"]["names"]
    assert len(names) > 1
    told["targets"]["segmentation"]["names"] = [f"/../../up{k}" for k in range(len(names))]
    write_json(tmp_path / "run" / "provenance.json", told)
    out = tmp_path / "out" / "deep"
    (out / "x-mask-").mkdir(parents=True)
    predict_workflow.predict(tmp_path / "run", [save(tmp_path / "in" / "x.png")], out, "cpu")
    assert [path for path in tmp_path.rglob("*up*.png") if not path.is_relative_to(out)] == []
    assert len(list(out.glob("*.png"))) == len(names) + 1


def test_images_of_one_name_do_not_overwrite_each_other(run, tmp_path):
    folder = tmp_path / "in"
    given = [save(folder / name) for name in ("a.png", "a-2.png", "a.bmp", "b/a.png", "a-overlay.png")]
    rows = predict_workflow.predict(run, given, tmp_path / "out", "cpu")
    assert not any(row.error for row in rows)
    assert len(list((tmp_path / "out").glob("*-mask.png"))) == len(given)


# --- symbolic links -------------------------------------------------------------------------------------------


def test_links_in_circles_end(tmp_path):
    """Two links to their own folder double the paths at each level, so a walk that follows all never ends."""
    films = tmp_path / "films"
    save(films / "a.png")
    for name in ("one", "two", "three"):
        (films / name).symlink_to(films, target_is_directory=True)
    code = f"""
        import signal
        from pathlib import Path
        from mmtk.components.source import _layout
        signal.alarm(10)
        print(len(_layout.list_images(Path({str(films)!r}))))
    """
    done = subprocess.run(
        [fork_server.python(), "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-500:]}"
    assert done.stdout == "1\n"


def test_a_link_to_a_folder_of_images_is_followed(tmp_path):
    save(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [path.name for path in _layout.list_images(tmp_path / "films")] == ["a.png"]


def test_links_to_nowhere_and_pipes_are_errors_that_name_them(tmp_path):
    for number in range(6):
        save(tmp_path / "films" / f"{number}.png")
    rows = ["image,label", *[f"{number}.png,{'ab'[number % 2]}" for number in range(6)], "bad.png,a"]
    (tmp_path / "films.csv").write_text("\n".join(rows))
    path = tmp_path / "films" / "bad.png"
    for make in (
        lambda: path.symlink_to(tmp_path / "nowhere"),
        lambda: path.symlink_to(path),
        lambda: os.mkfifo(path),
    ):
        make()
        source = Folder(tmp_path, "classification", images="films", labels="films.csv")
        with pytest.raises(MmtkError, match=r"bad\.png"):
            loader.read_image(path)
        if path.is_symlink():
            with pytest.raises(MmtkError, match=r"bad\.png"):
                store.open_store(source, 16, cache=tmp_path / "cache")
        path.unlink()


@pytest.mark.parametrize(
    "name",
    [
        "run.lock",
        "metrics.jsonl",
        "timing.jsonl",
        "checkpoints/last.safetensors",
        "provenance.json",
        "splits.json",
        "results.json",
        "cases.parquet",
        "samples.npz",
        "data.json",
        "done.json",
    ],
)
def test_a_link_in_a_run_is_not_written_through(run, tmp_path, name, monkeypatch):
    """A run that came from elsewhere is continued: a file of it is a link to one of ours."""
    mine = tmp_path / "mine.txt"
    (run / "done.json").unlink()
    mine.write_bytes((run / name).read_bytes() if name == "provenance.json" else b"mine\n")
    before = mine.read_bytes()
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(mine)
    with or_refused(Path(name).name, "link"):
        run_workflow.run(tiny(train__steps=2), run, pictures=False)
    assert mine.read_bytes() == before


@pytest.mark.parametrize("name", ["checkpoints", "figures"])
def test_a_link_to_a_folder_in_a_run_is_not_written_through(run, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (run / "done.json").unlink()
    shutil.rmtree(run / name)
    (run / name).symlink_to(tmp_path / "mine", target_is_directory=True)
    with or_refused("link"):
        run_workflow.run(tiny(train__steps=2), run, pictures=False)
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("name", ["predictions.csv", "x-mask.png", "x-overlay.png", "x-saliency.png"])
def test_predictions_are_not_written_through_a_link(run, tmp_path, name):
    mine = tmp_path / "mine.txt"
    mine.write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(mine)
    with or_refused("link" if name.endswith("csv") else f"holds images of yours: {name}"):
        predict_workflow.predict(run, [save(tmp_path / "in" / "x.png")], tmp_path / "out", "cpu")
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("part", ["tables", "figures"])
def test_a_report_neither_removes_nor_writes_through_a_link(run, tmp_path, part, monkeypatch):
    monkeypatch.setattr(study_figures, "OF_STUDY", {})
    monkeypatch.setattr(study_figures, "AT_BUDGET", {})
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "scores.csv").write_text("mine")
    (mine / "kept.png").write_text("mine")
    out = tmp_path / "report"
    out.mkdir()
    (out / part).symlink_to(mine, target_is_directory=True)
    write_json(out / "files.json", [f"{part}/scores.csv", f"{part}/kept.png"])
    before = everything(mine)
    with or_refused("link"):
        write_report(analyse(results.from_runs([run])), out)
    assert everything(mine) == before


def test_a_study_runs_in_its_own_place(tmp_path, monkeypatch):
    """``study.json`` says where the runs lie; one from elsewhere must not send them anywhere on the disk."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    study = StudyDir(tmp_path / "work" / "studies" / "theirs")
    with study.locked():
        study.write(Plan("theirs", [PlannedCell("MultiMix", {}, tiny(), True)], [0]), {"command": "", "data": ""})
    about = json.loads(study.file.read_text())
    for place in (str(tmp_path / "mine"), "../../../mine", "/"):
        write_json(study.file, about | {"runs": place})
        with or_refused("runs"):
            (one,) = study.runs()
            assert one.folder.path.resolve().is_relative_to(tmp_path / "work"), place


# --- names that act where they are shown ----------------------------------------------------------------------


@pytest.mark.long
def test_a_page_shows_names_as_text(run, tmp_path, monkeypatch):
    """Names of systems, profiles, classes, machines and images that hold HTML."""
    told = json.loads((run / "provenance.json").read_text())
    told |= {"profile": SCRIPT, "hardware": SCRIPT, "device": SCRIPT, "python": SCRIPT, "git": {"commit": SCRIPT}}
    told["libraries"] = {SCRIPT: SCRIPT}
    told["targets"]["classification"]["names"] = [f"{SCRIPT}a", f"{SCRIPT}b"]
    told["targets"]["segmentation"]["names"] = [SCRIPT]
    write_json(run / "provenance.json", told)
    about = json.loads((run / "data.json").read_text())
    write_json(run / "data.json", json.loads(json.dumps(about).replace('"normal"', json.dumps(f"{SCRIPT}a"))))
    with np.load(run / "samples.npz") as file:
        arrays = {name: file[name] for name in file.files}
    for name in [name for name in arrays if name.endswith("/ids")]:
        arrays[name] = np.array([f"{SCRIPT}{k}" for k in range(len(arrays[name]))])
    np.savez(run / "samples.npz", **arrays)
    seal(run)
    study = results.from_runs([run])
    study.title = study.cells[0].name = study.command = SCRIPT
    study.gaps.append(SCRIPT)
    page = write_report(analyse(study), tmp_path / "report")
    drawn = [page, *(tmp_path / "report").rglob("*.svg")]
    assert len(drawn) > 3
    for path in drawn:
        text = path.read_text(encoding="utf-8")
        assert "<script>alert" not in text, path.name
        assert "<img src=x" not in text, path.name
    assert page.read_text(encoding="utf-8").count("&lt;script&gt;alert(1)") > 5


def formulas(text: str) -> list[str]:
    """The cells that a spreadsheet takes for a formula; a number may have a sign."""
    found = []
    for cell in (cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row):
        if re.match(r"[=+\-@\t\r]", cell):
            try:
                float(cell)
            except ValueError:
                found.append(cell)
    return found


@pytest.mark.parametrize("name", FORMULAS)
def test_a_table_holds_no_formula(name):
    rows = [[Entry(name), Entry("-1.5", {"": -1.5}), Entry("x", note=name)]]
    table = Table("t", "Title", "Caption", headings("system", "*score", name), rows)
    text = table.csv()
    assert name.split()[-1] in text
    assert "-1.5" in text  # a number stays one
    assert formulas(text) == []


def test_predictions_hold_no_formula(run, tmp_path, monkeypatch):
    told = json.loads((run / "provenance.json").read_text())
    told["targets"]["classification"]["names"] = [FORMULAS[0], FORMULAS[3]]
    write_json(run / "provenance.json", told)
    monkeypatch.chdir(tmp_path)
    given = [save(Path(f"{sign}1+1.png")) for sign in "=+-@\t\r"]
    rows = predict_workflow.predict(run, [Path(path.name) for path in given], tmp_path / "out", "cpu")
    assert not any(row.error for row in rows)
    text = (tmp_path / "out" / "predictions.csv").read_bytes().decode()
    assert text[0] != "\ufeff"
    assert len(list(csv.reader(io.StringIO(text, newline="")))) == len(given) + 1
    assert formulas(text) == []
    predict_workflow.predict(run, save(tmp_path / "Zoë.png"), tmp_path / "out", "cpu")
    assert (tmp_path / "out" / "predictions.csv").read_bytes().startswith(codecs.BOM_UTF8)  # for Excel
    assert read_csv(tmp_path / "out" / "predictions.csv").columns[0] == "image"


# --- files that are too deep, too long or of another kind -----------------------------------------------------


HOSTILE = ("[" * 100_000, "null", "[]", "{}", "1e999", '"x"', "\0", '{"a": NaN}')


@pytest.mark.parametrize("name", ["results.json", "provenance.json", "splits.json", "data.json", "done.json"])
def test_a_hostile_results_file_is_an_error_that_names_the_run(run, name):
    whole, faults = (run / name).read_text(), []
    for text in HOSTILE:
        (run / name).write_text(text)
        if name != "done.json":
            seal(run)
        try:
            with or_refused(str(run)):
                one = finished.read_run(run)
                finished.check_comparable([one])
                _ = one.data, one.seconds, one.score("in-domain", "segmentation", "dice")
        except Exception as error:
            faults.append(f"{text[:10]}: {type(error).__name__}: {str(error)[:60]}")
        (run / name).write_text(whole)
    assert faults == []
