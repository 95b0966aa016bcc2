"""A report is made from files: no network runs, and torch is not imported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny

from mmtk.workflows.run import run

pytestmark = pytest.mark.xdist_group("report")

REPORT = """
import sys
from pathlib import Path
from mmtk.report.analysis import analyse
from mmtk.report.page import write_report
from mmtk.runs.finished import read_run
from mmtk.study.results import Cell, Study
run, out = Path(sys.argv[1]), Path(sys.argv[2])
labels = {"classification": 8, "segmentation": 4}
study = Study("one", [Cell("MultiMix", {}, labels, "digest", runs={0: read_run(run)})], [0])
print(write_report(analyse(study), out))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny("multimix", train__steps=2), tmp_path_factory.mktemp("torchless") / "run").path


def imported(*arguments: str | Path) -> set[str]:
    """The modules that a Python process and its forks import, from their own account of them."""
    command = [sys.executable, "-X", "importtime", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}


def test_a_report_imports_no_torch_whatever_it_draws(trained: Path, tmp_path: Path) -> None:
    modules = imported("-c", REPORT, trained, tmp_path / "report")
    assert "mmtk.report.figures.examples" in modules
    assert "matplotlib.figure" in modules
    assert not {name for name in modules if name.partition(".")[0] in ("torch", "timm", "lightning_fabric")}
    for name in ("figures/boundaries.png", "tables/encoder.csv", "tables/decoder.csv"):
        assert (tmp_path / "report" / name).is_file()


def test_the_command_draws_a_run_without_torch_or_weights(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "figures"))
    modules = imported("-m", "mmtk", "report", copy, "--out", tmp_path / "report")
    assert not {name for name in modules if name.partition(".")[0] in ("torch", "timm", "lightning_fabric")}
    before = {path.name: path.read_bytes() for path in (trained / "figures").iterdir()}
    assert {path.name: path.read_bytes() for path in (copy / "figures").iterdir()} == before
