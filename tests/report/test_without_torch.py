"""A report is made from files: no network runs, and torch is not imported."""

from __future__ import annotations

import os
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
from pictures import draw_coarsely
draw_coarsely()
from mmtk.report.analysis import analyse
from mmtk.report.page import write_report
from mmtk.runs.finished import read_run
from mmtk.study.results import Cell, Study
run, out = Path(sys.argv[1]), Path(sys.argv[2])
labels = {"classification": 8, "segmentation": 4}
study = Study("one", [Cell("MultiMix", {}, labels, "digest", runs={0: read_run(run)})], [0])
print(write_report(analyse(study), out))
from mmtk.cli.main import main
sys.argv = ["mmtk", "report", sys.argv[3], "--out", sys.argv[4]]
main()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny("multimix", train__steps=2), tmp_path_factory.mktemp("torchless") / "run").path


def imported(*arguments: str | Path) -> set[str]:
    """The modules that a Python process and its forks import, from their own account of them."""
    command = [sys.executable, "-X", "importtime", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}


@pytest.mark.long
def test_reports_of_a_study_and_a_run_import_no_torch_whatever_they_draw(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "figures"))
    modules = imported("-c", REPORT, trained, tmp_path / "report", copy, tmp_path / "of-run")
    assert "mmtk.report.figures.examples" in modules
    assert "matplotlib.figure" in modules
    assert "mmtk.report.run" in modules
    assert not {name for name in modules if name.partition(".")[0] in ("torch", "timm", "lightning_fabric")}
    for name in ("figures/boundaries.png", "tables/encoder.csv", "tables/decoder.csv"):
        assert (tmp_path / "report" / name).is_file()
    before = {path.name: path.read_bytes() for path in (trained / "figures").iterdir()}
    assert {path.name: path.read_bytes() for path in (copy / "figures").iterdir()} == before
